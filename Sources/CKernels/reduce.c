// Sums, products, largest and smallest over the middle of [outer, n, inner].
//
// Float reductions run in 16 (or 8) fixed lanes. float32 sums collect at most 1024 elements, or 32 rows, in float32
// and then go on in float64; so their error does not grow with n. How work is cut depends on the shape alone.
#include "internal.h"
#include "rows.h"

MG_NO_CONTRACTION

enum {
  ROWS = 32,        // rows of a column summed in lanes
  TILE = 64,        // columns of one task
  SEGMENT = 65536,  // elements of one task where a reduction itself is cut
  SEGMENTS = 16,
  WIDE = 256,       // the widest inner for which it is
};

// MARK: floats in lanes

// total += w, exactly but for `lost`; for other steps nothing is lost. An infinite total makes `lost` a NaN, which then
// does not count.
#define ADD_EXACTLY(STEP, total, lost, w)                   \
  do {                                                      \
    __typeof__(w) sum = total + w, part = sum - total;      \
    lost += (total - (sum - part)) + (w - part);            \
    total = sum;                                            \
  } while (0)
#define ADD_PLAINLY(STEP, total, lost, w) total = STEP(total, w)
#define WHOLE(total, lost) (lost == lost ? total + lost : total)

// Columns: [n, width] with rows `stride` apart to `width` doubles. A tile of 4 vectors has one accumulator each, a
// single vector has four for alternate rows. Fewer columns than lanes: rows are read beyond their end, into the next
// row, as long as there is one. Totals are kept in W, with what rounding lost of them.
#define COLUMNS(name, T, V, W, LANES, LOAD, NEUTRAL, STEP, ADD)                                       \
  MG_INLINE void tile4_##name(int64_t n, int64_t stride, const T *x, double *y) {                     \
    W total[4] = {NEUTRAL, NEUTRAL, NEUTRAL, NEUTRAL}, lost[4] = {0, 0, 0, 0};                         \
    for (int64_t r = 0; r < n;) {                                                                     \
      int64_t end = mg_min64(n, r + ROWS);                                                            \
      V a = NEUTRAL, b = NEUTRAL, c = NEUTRAL, d = NEUTRAL, v;                                        \
      for (; r < end; r++) {                                                                          \
        const T *p = x + r * stride;                                                                  \
        v = LOAD(p);                                                                                  \
        a = STEP(a, v);                                                                               \
        v = LOAD(p + LANES);                                                                          \
        b = STEP(b, v);                                                                               \
        v = LOAD(p + 2 * LANES);                                                                      \
        c = STEP(c, v);                                                                               \
        v = LOAD(p + 3 * LANES);                                                                      \
        d = STEP(d, v);                                                                               \
      }                                                                                               \
      V part[4] = {a, b, c, d};                                                                       \
      for (int k = 0; k < 4; k++) {                                                                   \
        W w = __builtin_convertvector(part[k], W);                                                    \
        ADD(STEP, total[k], lost[k], w);                                                              \
      }                                                                                               \
    }                                                                                                 \
    for (int k = 0; k < 4; k++) MG_STORE(W, WHOLE(total[k], lost[k]), y + k * LANES);                 \
  }                                                                                                   \
  MG_INLINE void tile1_##name(int64_t n, int64_t stride, const T *x, int64_t readable, double *y) {   \
    W total = NEUTRAL, lost = 0;                                                                      \
    int64_t whole = readable < LANES ? 0 : mg_min64(n, (readable - LANES) / stride + 1);              \
    for (int64_t r = 0; r < whole;) {                                                                 \
      int64_t end = mg_min64(whole, r + ROWS);                                                        \
      V a = NEUTRAL, b = NEUTRAL, c = NEUTRAL, d = NEUTRAL, v;                                        \
      for (; r + 4 <= end; r += 4) {                                                                  \
        const T *p = x + r * stride;                                                                  \
        v = LOAD(p);                                                                                  \
        a = STEP(a, v);                                                                               \
        v = LOAD(p + stride);                                                                         \
        b = STEP(b, v);                                                                               \
        v = LOAD(p + 2 * stride);                                                                     \
        c = STEP(c, v);                                                                               \
        v = LOAD(p + 3 * stride);                                                                     \
        d = STEP(d, v);                                                                               \
      }                                                                                               \
      for (; r < end; r++) {                                                                          \
        v = LOAD(x + r * stride);                                                                     \
        a = STEP(a, v);                                                                               \
      }                                                                                               \
      a = STEP(a, b);                                                                                 \
      c = STEP(c, d);                                                                                 \
      a = STEP(a, c);                                                                                 \
      W w = __builtin_convertvector(a, W);                                                            \
      ADD(STEP, total, lost, w);                                                                      \
    }                                                                                                 \
    MG_STORE(W, WHOLE(total, lost), y);                                                               \
    for (int64_t r = whole; r < n; r++)                                                               \
      for (int64_t j = 0; j < readable - r * stride && j < LANES; j++) {                              \
        double v = x[r * stride + j];                                                                 \
        y[j] = STEP(y[j], v);                                                                         \
      }                                                                                               \
  }                                                                                                   \
  MG_CLONES static void columns_##name(int64_t n, int64_t stride, int64_t width, const T *x, double *y) { \
    int64_t i = 0;                                                                                    \
    for (; i + 4 * LANES <= width; i += 4 * LANES) tile4_##name(n, stride, x + i, y + i);             \
    for (; i + LANES <= width; i += LANES) tile1_##name(n, stride, x + i, n * stride, y + i);         \
    if (i == width) return;                                                                           \
    if (width >= LANES) {                                                                             \
      i = width - LANES;                                                                              \
      tile1_##name(n, stride, x + i, n * stride, y + i);                                              \
    } else {                                                                                          \
      double few[LANES];                                                                              \
      tile1_##name(n, stride, x, (n - 1) * stride + width, few);                                      \
      memcpy(y, few, (size_t)width * sizeof(double));                                                 \
    }                                                                                                 \
  }

// Products of float32 run in float64: they leave its range long before they leave float64's.
COLUMNS(sum_f32, float, mg_f32x16, mg_f64x16, 16, MG_LOAD16, 0, MG_STEP_SUM, ADD_EXACTLY)
COLUMNS(prod_f32, float, mg_f64x8, mg_f64x8, 8, MG_LOAD8_WIDENED, 1, MG_STEP_PROD, ADD_PLAINLY)
COLUMNS(max_f32, float, mg_f32x16, mg_f64x16, 16, MG_LOAD16, -INFINITY, MG_STEP_MAX, ADD_PLAINLY)
COLUMNS(min_f32, float, mg_f32x16, mg_f64x16, 16, MG_LOAD16, INFINITY, MG_STEP_MIN, ADD_PLAINLY)
COLUMNS(sum_f64, double, mg_f64x8, mg_f64x8, 8, MG_LOAD8, 0, MG_STEP_SUM, ADD_EXACTLY)
COLUMNS(prod_f64, double, mg_f64x8, mg_f64x8, 8, MG_LOAD8, 1, MG_STEP_PROD, ADD_PLAINLY)
COLUMNS(max_f64, double, mg_f64x8, mg_f64x8, 8, MG_LOAD8, -INFINITY, MG_STEP_MAX, ADD_PLAINLY)
COLUMNS(min_f64, double, mg_f64x8, mg_f64x8, 8, MG_LOAD8, INFINITY, MG_STEP_MIN, ADD_PLAINLY)

static double combine(mg_reduce_op op, double a, double b) {
  switch (op) {
    case MG_SUM: return a + b;
    case MG_PROD: return a * b;
    case MG_MAX: return MG_STEP_MAX(a, b);
    default: return MG_STEP_MIN(a, b);
  }
}

static double neutral(mg_reduce_op op) {
  return op == MG_SUM ? 0 : op == MG_PROD ? 1 : op == MG_MAX ? -INFINITY : INFINITY;
}

// MARK: shapes

typedef struct {
  mg_reduce_op op;
  mg_dtype dtype;
  int64_t n, inner, tasks, segment;  // tasks: per slice of outer
  bool streams;                      // more than the caches hold
  const void *x;
  void *y;
  void *partial;  // double for floats, else x's type
} reduction;

#define FLOAT_SHAPES(tag, T)                                                                          \
  MG_INLINE double row_##tag(mg_reduce_op op, int64_t n, const T *x) {                                \
    switch (op) {                                                                                     \
      case MG_SUM: return mg_row_sum_##tag(n, x);                                                     \
      case MG_PROD: return mg_row_prod_##tag(n, x);                                                   \
      case MG_MAX: return mg_row_max_##tag(n, x);                                                     \
      default: return mg_row_min_##tag(n, x);                                                         \
    }                                                                                                 \
  }                                                                                                   \
  MG_CLONES static void rows_##tag(const reduction *r, int64_t rows, const T *x, T *y) {              \
    int64_t n = r->n;                                                                                 \
    for (int64_t i = 0; i < rows; i++, x += n) {                                                      \
      if (r->streams) mg_prefetch_row(x, n * (int64_t)sizeof(T));                                     \
      y[i] = (T)row_##tag(r->op, n, x);                                                               \
    }                                                                                                 \
  }                                                                                                   \
  MG_CLONES static double segment_##tag(mg_reduce_op op, int64_t n, const T *x) { return row_##tag(op, n, x); } \
  static void columns_##tag(mg_reduce_op op, int64_t n, int64_t stride, int64_t width, const T *x, double *y) { \
    if (n == 0) {                                                                                     \
      for (int64_t i = 0; i < width; i++) y[i] = neutral(op);                                         \
      return;                                                                                         \
    }                                                                                                 \
    switch (op) {                                                                                     \
      case MG_SUM: columns_sum_##tag(n, stride, width, x, y); break;                                  \
      case MG_PROD: columns_prod_##tag(n, stride, width, x, y); break;                                \
      case MG_MAX: columns_max_##tag(n, stride, width, x, y); break;                                  \
      default: columns_min_##tag(n, stride, width, x, y); break;                                      \
    }                                                                                                 \
  }                                                                                                   \
  /* Whole slices of outer. */                                                                        \
  static void slices_##tag(void *context, int64_t begin, int64_t end) {                               \
    const reduction *r = context;                                                                     \
    const T *x = (const T *)r->x + begin * r->n * r->inner;                                           \
    T *y = (T *)r->y + begin * r->inner;                                                              \
    if (r->inner == 1) {                                                                              \
      rows_##tag(r, end - begin, x, y);                                                               \
      return;                                                                                         \
    }                                                                                                 \
    for (int64_t o = begin; o < end; o++, x += r->n * r->inner, y += r->inner) {                      \
      double total[TILE];                                                                             \
      for (int64_t i = 0; i < r->inner; i += TILE) {                                                  \
        int64_t width = mg_min64(TILE, r->inner - i);                                                 \
        columns_##tag(r->op, r->n, r->inner, width, x + i, total);                                    \
        for (int64_t j = 0; j < width; j++) y[i + j] = (T)total[j];                                   \
      }                                                                                               \
    }                                                                                                 \
  }                                                                                                   \
  /* Tiles of columns. */                                                                             \
  static void tiles_##tag(void *context, int64_t begin, int64_t end) {                                \
    const reduction *r = context;                                                                     \
    for (int64_t task = begin; task < end; task++) {                                                  \
      int64_t o = task / r->tasks, i = task % r->tasks * TILE, width = mg_min64(TILE, r->inner - i);  \
      double total[TILE];                                                                             \
      columns_##tag(r->op, r->n, r->inner, width, (const T *)r->x + o * r->n * r->inner + i, total);  \
      for (int64_t j = 0; j < width; j++) ((T *)r->y)[o * r->inner + i + j] = (T)total[j];            \
    }                                                                                                 \
  }                                                                                                   \
  /* Segments of one slice, into partial results. */                                                  \
  static void segments_##tag(void *context, int64_t begin, int64_t end) {                             \
    const reduction *r = context;                                                                     \
    for (int64_t task = begin; task < end; task++) {                                                  \
      int64_t first = task * r->segment, n = mg_min64(r->segment, r->n - first);                      \
      const T *x = (const T *)r->x + first * r->inner;                                                \
      double *y = (double *)r->partial + task * r->inner;                                                     \
      if (r->inner == 1) *y = segment_##tag(r->op, n, x);                                                 \
      else columns_##tag(r->op, n, r->inner, r->inner, x, y);                                         \
    }                                                                                                 \
  }                                                                                                   \
  static void reduce_##tag(reduction *r, int64_t outer) {                                             \
    int64_t slice = r->n * r->inner;                                                                  \
    r->streams = outer * slice * (int64_t)sizeof(T) > ((int64_t)16 << 20);                            \
    if (outer * slice < 2 * MG_GRAIN) {                                                               \
      slices_##tag(r, 0, outer);                                                                      \
    } else if (outer >= SEGMENTS) {                                                                   \
      mg_share(outer, MG_GRAIN / mg_max64(slice, 1) + 1, slices_##tag, r);                            \
    } else if (r->inner > WIDE) {                                                                     \
      r->tasks = (r->inner + TILE - 1) / TILE;                                                        \
      mg_share(outer * r->tasks, MG_GRAIN / (r->n * TILE) + 1, tiles_##tag, r);                       \
    } else {                                                                                          \
      double partial[SEGMENTS * WIDE];                                                                \
      r->partial = partial;                                                                           \
      int64_t least = (SEGMENT + r->inner - 1) / r->inner, even = (r->n + SEGMENTS - 1) / SEGMENTS;   \
      r->segment = mg_max64(least, even);                                                             \
      int64_t count = (r->n + r->segment - 1) / r->segment;                                           \
      for (int64_t o = 0; o < outer; o++) {                                                           \
        mg_share(count, 1, segments_##tag, r);                                                        \
        for (int64_t i = 0; i < r->inner; i++) {                                                      \
          double total = partial[i];                                                                  \
          for (int64_t k = 1; k < count; k++) total = combine(r->op, total, partial[k * r->inner + i]); \
          ((T *)r->y)[i] = (T)total;                                                                  \
        }                                                                                             \
        r->x = (const T *)r->x + slice;                                                               \
        r->y = (T *)r->y + r->inner;                                                                  \
      }                                                                                               \
    }                                                                                                 \
  }
MG_FLOATS(FLOAT_SHAPES)

// MARK: integers

// Order does not matter, so the vectoriser may choose.
#define INTEGERS(tag, T, U)                                                                           \
  MG_CLONES static T integer_row_##tag(mg_reduce_op op, int64_t n, const T *x) {                      \
    U sum = op == MG_PROD;                                                                            \
    T extreme = n ? x[0] : 0;                                                                         \
    switch (op) {                                                                                     \
      case MG_SUM:                                                                                    \
        for (int64_t i = 0; i < n; i++) sum += (U)x[i];                                               \
        return (T)sum;                                                                                \
      case MG_PROD:                                                                                   \
        for (int64_t i = 0; i < n; i++) sum *= (U)x[i];                                               \
        return (T)sum;                                                                                \
      case MG_MAX:                                                                                    \
        for (int64_t i = 0; i < n; i++) extreme = x[i] > extreme ? x[i] : extreme;                    \
        return extreme;                                                                               \
      default:                                                                                        \
        for (int64_t i = 0; i < n; i++) extreme = x[i] < extreme ? x[i] : extreme;                    \
        return extreme;                                                                               \
    }                                                                                                 \
  }                                                                                                   \
  MG_CLONES static void integer_columns_##tag(mg_reduce_op op, int64_t n, int64_t inner, const T *x, T *y) { \
    for (int64_t i = 0; i < inner; i++) y[i] = op < MG_MAX ? (T)(op == MG_PROD) : n ? x[i] : 0;       \
    for (int64_t j = 0; j < n; j++, x += inner) {                                                     \
      switch (op) {                                                                                   \
        case MG_SUM:                                                                                  \
          MG_VECTORIZE for (int64_t i = 0; i < inner; i++) y[i] = (T)((U)y[i] + (U)x[i]);             \
          break;                                                                                      \
        case MG_PROD:                                                                                 \
          MG_VECTORIZE for (int64_t i = 0; i < inner; i++) y[i] = (T)((U)y[i] * (U)x[i]);             \
          break;                                                                                      \
        case MG_MAX:                                                                                  \
          MG_VECTORIZE for (int64_t i = 0; i < inner; i++) y[i] = x[i] > y[i] ? x[i] : y[i];          \
          break;                                                                                      \
        default:                                                                                      \
          MG_VECTORIZE for (int64_t i = 0; i < inner; i++) y[i] = x[i] < y[i] ? x[i] : y[i];          \
          break;                                                                                      \
      }                                                                                               \
    }                                                                                                 \
  }                                                                                                   \
  static void integer_slices_##tag(void *context, int64_t begin, int64_t end) {                       \
    const reduction *r = context;                                                                     \
    int64_t slice = r->n * r->inner;                                                                  \
    const T *x = r->x;                                                                                \
    T *y = r->y;                                                                                      \
    for (int64_t o = begin; o < end; o++) {                                                           \
      if (r->inner == 1) y[o] = integer_row_##tag(r->op, r->n, x + o * slice);                        \
      else integer_columns_##tag(r->op, r->n, r->inner, x + o * slice, y + o * r->inner);             \
    }                                                                                                 \
  }                                                                                                   \
  /* Segments of one row, into results that are reduced in turn. */                                   \
  static void integer_segments_##tag(void *context, int64_t begin, int64_t end) {                     \
    const reduction *r = context;                                                                     \
    for (int64_t task = begin; task < end; task++) {                                                  \
      int64_t first = task * r->segment, n = mg_min64(r->segment, r->n - first);                      \
      ((T *)r->partial)[task] = integer_row_##tag(r->op, n, (const T *)r->x + first);                 \
    }                                                                                                 \
  }                                                                                                   \
  static void reduce_##tag(reduction *r, int64_t outer) {                                             \
    int64_t slice = r->n * r->inner;                                                                  \
    if (outer * slice < 2 * MG_GRAIN) {                                                               \
      integer_slices_##tag(r, 0, outer);                                                              \
    } else if (outer == 1 && r->inner == 1) {                                                         \
      T partial[SEGMENTS];                                                                            \
      r->partial = partial;                                                                           \
      r->segment = mg_max64(MG_GRAIN, (r->n + SEGMENTS - 1) / SEGMENTS);                              \
      int64_t count = (r->n + r->segment - 1) / r->segment;                                           \
      mg_share(count, 1, integer_segments_##tag, r);                                                  \
      *(T *)r->y = integer_row_##tag(r->op, count, partial);                                          \
    } else mg_share(outer, MG_GRAIN / mg_max64(slice, 1) + 1, integer_slices_##tag, r);                 \
  }
INTEGERS(i64, int64_t, uint64_t)
INTEGERS(i32, int32_t, uint32_t)
INTEGERS(u8, uint8_t, uint32_t)
INTEGERS(b8, uint8_t, uint32_t)

void mg_reduce(mg_reduce_op op, mg_dtype dtype, int64_t outer, int64_t n, int64_t inner, const void *x, void *y) {
  if (outer == 0 || inner == 0) return;
  if (dtype == MG_BOOL) {  // or, and
    if (n == 0) memset(y, op == MG_PROD, (size_t)(outer * inner));
    op = op == MG_SUM ? MG_MAX : op == MG_PROD ? MG_MIN : op;
    if (n == 0) return;
  }
  reduction r = {.op = op, .dtype = dtype, .n = n, .inner = inner, .x = x, .y = y};
  switch (dtype) {
#define CASE(tag, type) case MG_TAG_##tag: reduce_##tag(&r, outer); break;
    MG_TYPES(CASE)
#undef CASE
    default: break;
  }
}
