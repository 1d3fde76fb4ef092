// Moving and converting between element types, with both sides strided; and filling.
#include "internal.h"

// MARK: one element

// Float to integer truncates and saturates; NaN gives 0. The bounds are powers of two, hence exact in every type.
#define FLOAT_TO(tag, to, below, above, least, greatest)                                              \
  MG_INLINE to f32_to_##tag(float v) {                                                                \
    return v > below && v < above ? (to)v : v >= above ? greatest : v <= below ? least : 0;           \
  }                                                                                                   \
  MG_INLINE to f64_to_##tag(double v) {                                                               \
    return v > below && v < above ? (to)v : v >= above ? greatest : v <= below ? least : 0;           \
  }
FLOAT_TO(i64, int64_t, -0x1p63f, 0x1p63f, INT64_MIN, INT64_MAX)
FLOAT_TO(u8, uint8_t, -1, 256, 0, UINT8_MAX)
MG_INLINE int32_t f64_to_i32(double v) {
  return v > -0x1p31 - 1 && v < 0x1p31 ? (int32_t)v : v >= 0x1p31 ? INT32_MAX : v < 0 ? INT32_MIN : 0;
}
MG_INLINE int32_t f32_to_i32(float v) {
  return v >= -0x1p31f && v < 0x1p31f ? (int32_t)v : v >= 0x1p31f ? INT32_MAX : v < 0 ? INT32_MIN : 0;
}

#define PLAIN(from, type, to, result) \
  MG_INLINE result from##_to_##to(type v) { return (result)v; }
#define TO_BOOL(from, type) \
  MG_INLINE uint8_t from##_to_b8(type v) { return v != 0; }
#define FROM_INTEGER(tag, type)     \
  PLAIN(tag, type, f32, float)      \
  PLAIN(tag, type, f64, double)     \
  PLAIN(tag, type, i64, int64_t)    \
  PLAIN(tag, type, i32, int32_t)    \
  PLAIN(tag, type, u8, uint8_t)
MG_INTEGERS(FROM_INTEGER)
FROM_INTEGER(b8, uint8_t)
MG_TYPES(TO_BOOL)
PLAIN(f32, float, f32, float)
PLAIN(f32, float, f64, double)
PLAIN(f64, double, f32, float)
PLAIN(f64, double, f64, double)

// MARK: rows

/// Rows of n elements: they begin xr and yr apart, and their elements lie xs and ys apart.
typedef void (*rows_function)(int64_t rows, int64_t n, const void *x, int64_t xr, int64_t xs, void *y, int64_t yr, int64_t ys);

#define EACH_ROW for (int64_t r = 0; r < rows; r++, x += xr, y += yr)

#define ROWS(from, ft, to, tt)                                                                        \
  MG_CLONES static void from##_rows_##to(int64_t rows, int64_t n, const void *source, int64_t xr, int64_t xs, void *target, \
                                         int64_t yr, int64_t ys) {                                    \
    const ft *x = source;                                                                             \
    tt *y = target;                                                                                   \
    EACH_ROW {                                                                                        \
      if (xs == 1 && ys == 1) {                                                                       \
        MG_VECTORIZE                                                                                  \
        for (int64_t i = 0; i < n; i++) y[i] = from##_to_##to(x[i]);                                  \
      } else {                                                                                        \
        for (int64_t i = 0; i < n; i++) y[i * ys] = from##_to_##to(x[i * xs]);                        \
      }                                                                                               \
    }                                                                                                 \
  }
#define TO_ALL(from, ft)                                                                              \
  ROWS(from, ft, f32, float)                                                                          \
  ROWS(from, ft, f64, double)                                                                         \
  ROWS(from, ft, i64, int64_t)                                                                        \
  ROWS(from, ft, i32, int32_t)                                                                        \
  ROWS(from, ft, u8, uint8_t)                                                                         \
  ROWS(from, ft, b8, uint8_t)
MG_TYPES(TO_ALL)

// Rows backwards, and every second element, are shuffled in vectors. (These read pairs, of which the last has one element.)
#define COPY_ROWS(size, type)                                                                         \
  MG_CLONES static void copy_rows_##size(int64_t rows, int64_t n, const void *source, int64_t xr, int64_t xs, void *target, \
                                         int64_t yr, int64_t ys) {                                    \
    const type *x = source;                                                                           \
    type *y = target;                                                                                 \
    if (n <= 0) return;                                                                               \
    if (xs == 1 && ys == 1) {                                                                         \
      EACH_ROW mg_copy(y, x, (size_t)n * sizeof(type));                                               \
    } else if (xs == 0 && ys == 1) {                                                                  \
      EACH_ROW {                                                                                      \
        type v = *x;                                                                                  \
        for (int64_t i = 0; i < n; i++) y[i] = v;                                                     \
      }                                                                                               \
    } else if (xs == -1 && ys == 1) {                                                                 \
      EACH_ROW {                                                                                      \
        MG_VECTORIZE                                                                                  \
        for (int64_t i = 0; i < n; i++) y[i] = x[-i];                                                 \
      }                                                                                               \
    } else if (xs == 2 && ys == 1) {                                                                  \
      EACH_ROW {                                                                                      \
        MG_VECTORIZE                                                                                  \
        for (int64_t i = 0; i < n - 1; i++) y[i] = x[2 * i];                                          \
        y[n - 1] = x[2 * (n - 1)];                                                                    \
      }                                                                                               \
    } else {                                                                                          \
      EACH_ROW {                                                                                      \
        _Pragma("clang loop vectorize(disable) unroll_count(8)")                                      \
        for (int64_t i = 0; i < n; i++) y[i * ys] = x[i * xs];                                        \
      }                                                                                               \
    }                                                                                                 \
  }
COPY_ROWS(1, uint8_t)
COPY_ROWS(2, uint16_t)
COPY_ROWS(4, uint32_t)
COPY_ROWS(8, uint64_t)

static rows_function rows_for(mg_dtype from, mg_dtype to) {
  if (from == to) {
    static const rows_function copies[] = {copy_rows_1, copy_rows_2, copy_rows_4, copy_rows_8};
    return copies[__builtin_ctz((unsigned)mg_size(from))];
  }
  switch (from * MG_DTYPE_COUNT + to) {
#define CASE(from, to) \
  case MG_TAG_##from * MG_DTYPE_COUNT + MG_TAG_##to: return from##_rows_##to;
#define CASES(from, type) CASE(from, f32) CASE(from, f64) CASE(from, i64) CASE(from, i32) CASE(from, u8) CASE(from, b8)
    MG_TYPES(CASES)
    default: return NULL;
  }
}

// MARK: nests

// The order of a nest's dimensions is free here, so rows are chosen along the smallest stride of y. Where x is
// adjacent along another dimension, the two are moved tile by tile.
typedef struct {
  rows_function rows;
  size_t from, to;
  int32_t rank;  // of the outer dimensions
  int64_t size[MG_MAX_RANK], ys[MG_MAX_RANK], xs[MG_MAX_RANK];
  const char *x;
  char *y;
  bool transposed;  // the last two outer dimensions are tiles; size holds the number of groups of rows
  int64_t height;
} mover;

enum {
  TILE = 32,         // rows and columns of a tile
  PIECE = MG_GRAIN,  // elements of a long row that are moved at once
};

static void move_tiles(const mover *m, int64_t group, const char *x, char *y) {
  int32_t last = m->rank;  // the innermost dimension, along which y is adjacent
  int64_t columns = m->size[last], xs = m->xs[last], ys = m->ys[last - 1], first = group * TILE;
  int64_t rows = mg_min64(TILE, m->height - first);
  for (int64_t c = 0; c < columns; c += TILE)
    mg_transpose(m->to, rows, mg_min64(TILE, columns - c), x + (first + c * xs) * (int64_t)m->from, xs,
                 y + (first * ys + c) * (int64_t)m->to, ys);
}

static void move_rows(void *context, int64_t begin, int64_t end) {
  const mover *m = context;
  int32_t last = m->rank;
  for (int64_t task = begin, count; task < end; task += count) {
    int64_t rest = task, xo = 0, yo = 0, group = 0;
    count = 1;
    for (int32_t d = last - 1; d >= 0; d--) {
      int64_t next = rest / m->size[d], i = rest - next * m->size[d];
      rest = next;
      if (d == last - 1 && m->transposed) {
        group = i;
        continue;
      }
      if (d == last - 1) count = mg_min64(m->size[d] - i, end - task);  // all rows at once up to the end of the dimension
      xo += i * m->xs[d];
      yo += i * m->ys[d];
    }
    const char *x = m->x + xo * (int64_t)m->from;
    char *y = m->y + yo * (int64_t)m->to;
    if (m->transposed) move_tiles(m, group, x, y);
    else if (last == 0) m->rows(1, m->size[0], x, 0, m->xs[0], y, 0, m->ys[0]);
    else m->rows(count, m->size[last], x, m->xs[last - 1], m->xs[last], y, m->ys[last - 1], m->ys[last]);
  }
}

/// Long rows, in pieces: the first piece of each, then the second of each, since the rows may be copies of one.
static void move_pieces(void *context, int64_t begin, int64_t end) {
  const mover *m = context;
  int32_t last = m->rank;
  int64_t rows = 1;
  for (int32_t d = 0; d < last; d++) rows *= m->size[d];
  for (int64_t task = begin; task < end; task++) {
    int64_t rest = task % rows, first = task / rows * PIECE, xo = first * m->xs[last], yo = first * m->ys[last];
    for (int32_t d = last - 1; d >= 0; d--) {
      int64_t i = rest % m->size[d];
      rest /= m->size[d];
      xo += i * m->xs[d];
      yo += i * m->ys[d];
    }
    m->rows(1, mg_min64(PIECE, m->size[last] - first), m->x + xo * (int64_t)m->from, 0, m->xs[last], m->y + yo * (int64_t)m->to, 0,
            m->ys[last]);
  }
}

static int64_t magnitude(int64_t v) { return v < 0 ? -v : v; }

static void exchange(mover *m, int32_t a, int32_t b) {
  int64_t size = m->size[a], xs = m->xs[a], ys = m->ys[a];
  m->size[a] = m->size[b], m->xs[a] = m->xs[b], m->ys[a] = m->ys[b];
  m->size[b] = size, m->xs[b] = xs, m->ys[b] = ys;
}

/// Takes over the nest without dimensions of size 1, largest stride of y first, neighbours merged where they can be.
static void arrange(mover *m, const mg_loop *loop) {
  int32_t count = 0;
  for (int32_t d = 0; d < loop->rank; d++) {
    if (loop->size[d] == 1) continue;
    m->size[count] = loop->size[d];
    m->ys[count] = loop->stride[0][d];
    m->xs[count] = loop->stride[1][d];
    for (int32_t i = count++; i > 0 && magnitude(m->ys[i - 1]) < magnitude(m->ys[i]); i--) exchange(m, i - 1, i);
  }
  int32_t kept = 0;
  for (int32_t d = 1; d < count; d++) {
    if (m->ys[kept] == m->ys[d] * m->size[d] && m->xs[kept] == m->xs[d] * m->size[d]) {
      m->size[kept] *= m->size[d];
      m->ys[kept] = m->ys[d];
      m->xs[kept] = m->xs[d];
    } else {
      kept++;
      m->size[kept] = m->size[d], m->ys[kept] = m->ys[d], m->xs[kept] = m->xs[d];
    }
  }
  m->rank = count == 0 ? -1 : kept;
}

void mg_convert_nd(mg_dtype from, mg_dtype to, const mg_loop *loop, const void *x, void *y) {
  int64_t total = mg_count(loop);
  if (total == 0) return;
  mover m = {.rows = rows_for(from, to), .from = mg_size(from), .to = mg_size(to), .x = x, .y = y};
  if (loop->rank == 1 && loop->size[0] < 2 * MG_GRAIN) {
    m.rows(1, loop->size[0], x, 0, loop->stride[1][0], y, 0, loop->stride[0][0]);
    return;
  }
  arrange(&m, loop);
  if (m.rank < 0) {
    m.rows(1, 1, x, 0, 1, y, 0, 1);
    return;
  }
  int32_t last = m.rank;
  if (from == to && m.ys[last] == 1 && m.xs[last] != 1 && m.size[last] >= 4)
    for (int32_t d = 0; d < last && !m.transposed; d++)
      if (m.xs[d] == 1 && m.size[d] >= 4) {
        exchange(&m, d, last - 1);
        m.transposed = true;
        m.height = m.size[last - 1];
        m.size[last - 1] = (m.height + TILE - 1) / TILE;
      }
  int64_t tasks = 1;
  for (int32_t d = 0; d < last; d++) tasks *= m.size[d];
  if (total < 2 * MG_GRAIN) move_rows(&m, 0, tasks);
  else if (!m.transposed && m.size[last] > PIECE) mg_share(tasks * ((m.size[last] + PIECE - 1) / PIECE), 1, move_pieces, &m);
  else mg_share(tasks, MG_GRAIN / mg_max64(total / tasks, 1) + 1, move_rows, &m);
}

#define FILL(size, type)                                                                              \
  MG_CLONES static void fill_##size(int64_t n, type v, type *y) {                                     \
    MG_VECTORIZE                                                                                      \
    for (int64_t i = 0; i < n; i++) y[i] = v;                                                         \
  }
FILL(2, uint16_t)
FILL(4, uint32_t)
FILL(8, uint64_t)

typedef struct {
  mg_dtype dtype;
  const void *value;
  char *y;
} filler;

static void fill_piece(void *context, int64_t begin, int64_t end) {
  const filler *f = context;
  size_t size = mg_size(f->dtype);
  void *y = f->y + begin * (int64_t)size;
  int64_t n = end - begin;
  switch (size) {
    case 1: memset(y, *(const uint8_t *)f->value, (size_t)n); break;
    case 2: fill_2(n, *(const uint16_t *)f->value, y); break;
    case 4: fill_4(n, *(const uint32_t *)f->value, y); break;
    default: fill_8(n, *(const uint64_t *)f->value, y); break;
  }
}

void mg_fill(mg_dtype dtype, int64_t n, const void *value, void *y) {
  filler f = {dtype, value, y};
  if (n < 4 * MG_GRAIN) fill_piece(&f, 0, n);
  else mg_share(n, 2 * MG_GRAIN, fill_piece, &f);
}

typedef struct {
  int64_t rows, columns, diagonal, size;  // of an element, in bytes
  bool lower;
  const char *x;
  char *y;
} triangle;

static void triangle_rows(void *context, int64_t begin, int64_t end) {
  const triangle *t = context;
  int64_t width = t->columns * t->size;
  for (int64_t r = begin; r < end; r++) {
    int64_t edge = r % t->rows + t->diagonal + (t->lower ? 1 : 0);  // the first column beyond, or the first that stays
    int64_t cut = mg_max64(0, mg_min64(edge, t->columns)) * t->size;
    const char *x = t->x + r * width;
    char *y = t->y + r * width;
    if (t->lower) {
      mg_copy(y, x, (size_t)cut);
      memset(y + cut, 0, (size_t)(width - cut));
    } else {
      memset(y, 0, (size_t)cut);
      mg_copy(y + cut, x + cut, (size_t)(width - cut));
    }
  }
}

/// The lower (or upper) triangles of matrices: x to y (operands 0 and 1), both as bytes. Sizes: rows, columns, the diagonal up
/// to which (or from which) elements stay, and twice the bytes of an element, plus 1 for the lower one.
MG_KERNEL(triangle) {
  triangle t = {.rows = call->size[0], .columns = call->size[1], .diagonal = call->size[2], .size = call->size[3] / 2,
                .lower = call->size[3] % 2, .x = call->operand[0], .y = call->operand[1]};
  int64_t width = t.columns * t.size;
  if (call->count[0] == 0) return;
  int64_t rows = call->count[0] / width;
  if (call->count[0] < 8 * MG_GRAIN) triangle_rows(&t, 0, rows);
  else mg_share(rows, 4 * MG_GRAIN / width + 1, triangle_rows, &t);
}
