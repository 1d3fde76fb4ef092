// Means with sums of squared deviations, and norms, over the middle of [outer, n, inner].
//
// Columns (inner > 1) accumulate in float64, a tile at a time. Rows run in lanes; a row that is long and alone is cut
// into pieces, by its length only, which are spread over the pool.
#include "maths.h"
#include "rows.h"

MG_NO_CONTRACTION

enum { TILE = 64, PIECES = 64, CHUNK = 512 };

typedef struct {
  mg_dtype dtype;
  int64_t n, inner, tiles, piece;
  double p, center;
  const void *x;
  void *mean, *y;
  double (*partial)[2];
} statistics;

static const void *at(const statistics *s, int64_t index) {
  return (const char *)s->x + index * (int64_t)mg_size(s->dtype);
}

static void put(const statistics *s, void *y, int64_t index, double value) {
  if (!y) return;
  if (s->dtype == MG_F32) ((float *)y)[index] = (float)value;
  else ((double *)y)[index] = value;
}

/// Rows (of outer) or tiles of columns, as tasks.
static void run(statistics *s, int64_t outer, void (*rows)(void *, int64_t, int64_t),
                void (*tiles)(void *, int64_t, int64_t)) {
  s->tiles = s->inner == 1 ? 1 : (s->inner + TILE - 1) / TILE;
  int64_t tasks = outer * s->tiles, work = mg_max64(s->n * mg_min64(s->inner, TILE), 1);
  void (*body)(void *, int64_t, int64_t) = s->inner == 1 ? rows : tiles;
  if (tasks * work < 2 * MG_GRAIN) body(s, 0, tasks);
  else mg_share(tasks, MG_GRAIN / work + 1, body, s);
}

/// Cuts row `o` into pieces; returns how many.
static int64_t in_pieces(statistics *s, void (*body)(void *, int64_t, int64_t)) {
  s->piece = mg_max64(MG_GRAIN, (s->n + PIECES - 1) / PIECES);
  int64_t pieces = (s->n + s->piece - 1) / s->piece;
  mg_share(pieces, 1, body, s);
  return pieces;
}

static bool is_alone(const statistics *s, int64_t outer) {
  return s->inner == 1 && outer < 8 && s->n >= 2 * MG_GRAIN;
}

// MARK: moments

// Σ d and Σ d², d = x − center. What rounding the center cost is then taken back: Σ(x − mean)² = Σd² − (Σd)²/n.
#define DEVIATIONS(tag, T, V, LANES, FOLD)                                                            \
  MG_CLONES static double sum_##tag(int64_t n, const T *x) { return mg_row_sum_##tag(n, x); }         \
  MG_CLONES static void deviations_##tag(int64_t n, const T *x, T center, double *sums) {             \
    mg_exact first = {0, 0}, second = {0, 0};                                                         \
    for (int64_t begin = 0; begin < n; begin += MG_BLOCK) {                                           \
      int64_t end = mg_min64(n, begin + MG_BLOCK), i = begin;                                         \
      V a = 0, b = 0, s = 0, t = 0;                                                                   \
      for (; i + 2 * LANES <= end; i += 2 * LANES) {                                                  \
        V d = MG_LOAD(V, x + i) - center, e = MG_LOAD(V, x + i + LANES) - center;                     \
        a += d;                                                                                       \
        b += e;                                                                                       \
        s += d * d;                                                                                   \
        t += e * e;                                                                                   \
      }                                                                                               \
      double rest = 0, squares = 0;                                                                   \
      for (; i < end; i++) {                                                                          \
        double d = (double)x[i] - center;                                                             \
        rest += d;                                                                                    \
        squares += d * d;                                                                             \
      }                                                                                               \
      mg_exact_add(&first, FOLD(a + b) + rest);                                                       \
      mg_exact_add(&second, FOLD(s + t) + squares);                                                   \
    }                                                                                                 \
    sums[0] = mg_exact_value(first);                                                                  \
    sums[1] = mg_exact_value(second);                                                                 \
  }                                                                                                   \
  MG_CLONES static void moment_columns_##tag(const statistics *s, int64_t width, const T *x, double *mean, \
                                             double *squares) {                                       \
    double drift[TILE] = {0};                                                                         \
    for (int i = 0; i < TILE; i++) mean[i] = squares[i] = 0;                                          \
    for (int64_t j = 0; j < s->n; j++) {                                                              \
      MG_VECTORIZE                                                                                    \
      for (int64_t i = 0; i < width; i++) mean[i] += x[j * s->inner + i];                             \
    }                                                                                                 \
    for (int64_t i = 0; i < width; i++) mean[i] /= (double)s->n;                                      \
    for (int64_t j = 0; j < s->n; j++) {                                                              \
      MG_VECTORIZE                                                                                    \
      for (int64_t i = 0; i < width; i++) {                                                           \
        double d = x[j * s->inner + i] - mean[i];                                                     \
        drift[i] += d;                                                                                \
        squares[i] += d * d;                                                                          \
      }                                                                                               \
    }                                                                                                 \
    for (int64_t i = 0; i < width; i++) {                                                             \
      double off = drift[i] / (double)s->n;                                                           \
      mean[i] += off;                                                                                 \
      squares[i] -= drift[i] * off;                                                                   \
    }                                                                                                 \
  }
DEVIATIONS(f32, float, mg_f32x16, 16, MG_FOLD_SUM16)
DEVIATIONS(f64, double, mg_f64x8, 8, MG_FOLD_SUM8)

static double row_sum(const statistics *s, int64_t n, const void *x) {
  return s->dtype == MG_F32 ? sum_f32(n, x) : sum_f64(n, x);
}

static void row_deviations(const statistics *s, int64_t n, const void *x, double center, double *sums) {
  if (s->dtype == MG_F32) deviations_f32(n, x, (float)center, sums);
  else deviations_f64(n, x, center, sums);
}

/// n·variance from the two sums; never below 0, which rounding could reach.
static double around_mean(double first, double second, int64_t n) {
  double squares = second - first * first / (double)n;
  return n > 0 && squares < 0 ? 0 : squares;
}

static void moment_rows(void *context, int64_t begin, int64_t end) {
  const statistics *s = context;
  for (int64_t o = begin; o < end; o++) {
    const void *x = at(s, o * s->n);
    double mean = row_sum(s, s->n, x) / (double)s->n, sums[2];
    put(s, s->mean, o, mean);
    if (!s->y) continue;
    row_deviations(s, s->n, x, mean, sums);
    put(s, s->y, o, s->n ? around_mean(sums[0], sums[1], s->n) : 0);
  }
}

static void moment_tiles(void *context, int64_t begin, int64_t end) {
  const statistics *s = context;
  for (int64_t task = begin; task < end; task++) {
    int64_t o = task / s->tiles, first = task % s->tiles * TILE, width = mg_min64(TILE, s->inner - first);
    const void *x = at(s, o * s->n * s->inner + first);
    double mean[TILE], squares[TILE];
    if (s->dtype == MG_F32) moment_columns_f32(s, width, x, mean, squares);
    else moment_columns_f64(s, width, x, mean, squares);
    for (int64_t i = 0; i < width; i++) {
      put(s, s->mean, o * s->inner + first + i, mean[i]);
      put(s, s->y, o * s->inner + first + i, s->n == 0 || squares[i] < 0 ? 0 : squares[i]);
    }
  }
}

static void deviation_pieces(void *context, int64_t begin, int64_t end) {
  const statistics *s = context;
  for (int64_t k = begin; k < end; k++)
    row_deviations(s, mg_min64(s->piece, s->n - k * s->piece), at(s, k * s->piece), s->center, s->partial[k]);
}

void mg_moments(mg_dtype dtype, int64_t outer, int64_t n, int64_t inner, const void *x, void *mean, void *sum_squares) {
  if (outer <= 0 || inner <= 0) return;
  statistics s = {.dtype = dtype, .n = n, .inner = inner, .x = x, .mean = mean, .y = sum_squares};
  if (!is_alone(&s, outer)) {
    run(&s, outer, moment_rows, moment_tiles);
    return;
  }
  double partial[PIECES][2];
  s.partial = partial;
  for (int64_t o = 0; o < outer; o++, s.x = at(&s, n)) {
    // Any center near the mean will do: its distance from the mean comes out of the sums.
    s.center = row_sum(&s, mg_min64(n, MG_BLOCK), s.x) / (double)mg_min64(n, MG_BLOCK);
    if (dtype == MG_F32) s.center = (float)s.center;
    if (!__builtin_isfinite(s.center)) s.center = 0;
    double first = 0, second = 0;
    int64_t pieces = in_pieces(&s, deviation_pieces);
    for (int64_t k = 0; k < pieces; k++) {
      first += partial[k][0];
      second += partial[k][1];
    }
    put(&s, mean, o, s.center + first / (double)n);
    put(&s, sum_squares, o, around_mean(first, second, n));
  }
}

// MARK: norms

// float32 is widened first, so that squares neither overflow nor vanish.
MG_ROW(abs_sum_f32, float, mg_f64x8, 8, MG_LOAD8_WIDENED, MG_HALF8_WIDENED, MG_ABS, 0, MG_STEP_SUM, MG_FOLD_SUM8)
MG_ROW(square_sum_f32, float, mg_f64x8, 8, MG_LOAD8_WIDENED, MG_HALF8_WIDENED, MG_SQUARED, 0, MG_STEP_SUM, MG_FOLD_SUM8)
MG_ROW(abs_max_f32, float, mg_f64x8, 8, MG_LOAD8_WIDENED, MG_HALF8_WIDENED, MG_ABS, 0, MG_STEP_MAX, MG_FOLD_MAX8)
MG_ROW(abs_min_f32, float, mg_f64x8, 8, MG_LOAD8_WIDENED, MG_HALF8_WIDENED, MG_ABS, INFINITY, MG_STEP_MIN, MG_FOLD_MIN8)
MG_ROW(abs_sum_f64, double, mg_f64x8, 8, MG_LOAD8, MG_HALF8, MG_ABS, 0, MG_STEP_SUM, MG_FOLD_SUM8)
MG_ROW(square_sum_f64, double, mg_f64x8, 8, MG_LOAD8, MG_HALF8, MG_SQUARED, 0, MG_STEP_SUM, MG_FOLD_SUM8)
MG_ROW(abs_max_f64, double, mg_f64x8, 8, MG_LOAD8, MG_HALF8, MG_ABS, 0, MG_STEP_MAX, MG_FOLD_MAX8)
MG_ROW(abs_min_f64, double, mg_f64x8, 8, MG_LOAD8, MG_HALF8, MG_ABS, INFINITY, MG_STEP_MIN, MG_FOLD_MIN8)

#define NORM(tag, T)                                                                                  \
  /* The sum of powers (the extreme, the count) of a contiguous row. */                               \
  MG_CLONES static double power_sum_##tag(int64_t n, const T *x, double p) {                          \
    if (p == 1) return mg_row_abs_sum_##tag(n, x);                                                    \
    if (p == 2) return mg_row_square_sum_##tag(n, x);                                                 \
    if (p == INFINITY) return mg_row_abs_max_##tag(n, x);                                             \
    if (p == -INFINITY) return mg_row_abs_min_##tag(n, x);                                            \
    double total = 0, powers[CHUNK];                                                                  \
    for (int64_t begin = 0; begin < n; begin += CHUNK) {                                              \
      int64_t count = mg_min64(CHUNK, n - begin);                                                     \
      for (int64_t i = 0; i < count; i++)                                                             \
        powers[i] = p == 0 ? (double)(x[begin + i] != 0) : __builtin_fabs((double)x[begin + i]);      \
      if (p != 0) mg_math2_f64(MG_POW, count, powers, 1, &p, 0, powers);                              \
      total += mg_row_sum_f64(count, powers);                                                         \
    }                                                                                                 \
    return total;                                                                                     \
  }
MG_FLOATS(NORM)

static double power_sum(const statistics *s, int64_t n, const void *x) {
  return s->dtype == MG_F32 ? power_sum_f32(n, x, s->p) : power_sum_f64(n, x, s->p);
}

/// A norm from its sum of powers.
static double finish(double p, double sum, int64_t n) {
  if (n == 0) return 0;
  return isinf(p) || p == 0 || p == 1 ? sum : p == 2 ? sqrt(sum) : pow(sum, 1 / p);
}

/// The Euclidean norm of float64 whose squares left the range: scaled by the largest element.
static double rescaled(int64_t n, const double *x, int64_t stride) {
  double largest = 0, sum = 0;
  for (int64_t i = 0; i < n; i++) {
    double v = fabs(x[i * stride]);
    largest = v > largest || v != v ? v : largest;
  }
  if (largest == 0 || !__builtin_isfinite(largest)) return largest;
  for (int64_t i = 0; i < n; i++) sum += (x[i * stride] / largest) * (x[i * stride] / largest);
  return largest * sqrt(sum);
}

static bool left_range(const statistics *s, double sum) {
  return s->dtype == MG_F64 && s->p == 2 && (sum == INFINITY || sum < 1e-280);
}

static void norm_rows(void *context, int64_t begin, int64_t end) {
  const statistics *s = context;
  for (int64_t o = begin; o < end; o++) {
    const void *x = at(s, o * s->n);
    double sum = power_sum(s, s->n, x);
    put(s, s->y, o, left_range(s, sum) ? rescaled(s->n, x, 1) : finish(s->p, sum, s->n));
  }
}

static void norm_pieces(void *context, int64_t begin, int64_t end) {
  const statistics *s = context;
  for (int64_t k = begin; k < end; k++)
    s->partial[k][0] = power_sum(s, mg_min64(s->piece, s->n - k * s->piece), at(s, k * s->piece));
}

/// One row of a tile added to its columns' sums of powers.
static void add_powers(double p, int64_t width, const double *v, double *sums) {
  double powers[TILE];
  if (p == INFINITY) for (int64_t i = 0; i < width; i++) sums[i] = MG_STEP_MAX(sums[i], v[i]);
  else if (p == -INFINITY) for (int64_t i = 0; i < width; i++) sums[i] = MG_STEP_MIN(sums[i], v[i]);
  else if (p == 0) for (int64_t i = 0; i < width; i++) sums[i] += v[i] != 0;
  else if (p == 1) for (int64_t i = 0; i < width; i++) sums[i] += v[i];
  else if (p == 2) for (int64_t i = 0; i < width; i++) sums[i] += v[i] * v[i];
  else {
    mg_math2_f64(MG_POW, width, v, 1, &p, 0, powers);
    for (int64_t i = 0; i < width; i++) sums[i] += powers[i];
  }
}

static void norm_tiles(void *context, int64_t begin, int64_t end) {
  const statistics *s = context;
  for (int64_t task = begin; task < end; task++) {
    int64_t o = task / s->tiles, first = task % s->tiles * TILE, width = mg_min64(TILE, s->inner - first);
    int64_t start = o * s->n * s->inner + first;
    double sums[TILE], v[TILE];
    for (int i = 0; i < TILE; i++) sums[i] = s->p == -INFINITY ? INFINITY : 0;
    for (int64_t j = 0; j < s->n; j++) {
      const void *x = at(s, start + j * s->inner);
      if (s->dtype == MG_F32) for (int64_t i = 0; i < width; i++) v[i] = fabs((double)((const float *)x)[i]);
      else for (int64_t i = 0; i < width; i++) v[i] = fabs(((const double *)x)[i]);
      add_powers(s->p, width, v, sums);
    }
    for (int64_t i = 0; i < width; i++) {
      double norm = left_range(s, sums[i]) ? rescaled(s->n, (const double *)s->x + start + i, s->inner)
                                           : finish(s->p, sums[i], s->n);
      put(s, s->y, o * s->inner + first + i, norm);
    }
  }
}

void mg_norm(mg_dtype dtype, int64_t outer, int64_t n, int64_t inner, const void *x, double p, void *y) {
  if (outer <= 0 || inner <= 0) return;
  statistics s = {.dtype = dtype, .n = n, .inner = inner, .p = p, .x = x, .y = y};
  if (!is_alone(&s, outer)) {
    run(&s, outer, norm_rows, norm_tiles);
    return;
  }
  double partial[PIECES][2];
  s.partial = partial;
  for (int64_t o = 0; o < outer; o++, s.x = at(&s, n)) {
    int64_t pieces = in_pieces(&s, norm_pieces);
    double sum = partial[0][0];
    for (int64_t k = 1; k < pieces; k++)
      sum = p == INFINITY ? MG_STEP_MAX(sum, partial[k][0]) : p == -INFINITY ? MG_STEP_MIN(sum, partial[k][0]) : sum + partial[k][0];
    put(&s, y, o, left_range(&s, sum) ? rescaled(n, s.x, 1) : finish(p, sum, n));
  }
}
