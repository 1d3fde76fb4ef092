// Matrix products of one element type on one instruction set: a template that gemm_f32.c and gemm_f64.c include
// once for each, after defining
//
//   ELEMENT   float or double, of ELEMENT_BYTES
//   LEVEL     4 (AVX-512), 3 (AVX2 with FMA) or 0 (16-byte vectors, any machine)
//   NAME(x)   x with a suffix of its own
//
// One register tile does all the work: ROWS rows of X, each element broadcast, times a panel of Y whose rows are
// contiguous. X may have any strides, so it is never copied; a transposed Y is transposed into a panel on the stack.
// Since Cᵀ = Yᵀ·Xᵀ, a product may be turned over, which gives narrow results (matrix times vector) long rows. Where
// both operands are contiguous along k and one is narrow, dot products need no transposition at all. `small` guesses
// which of these is cheapest. There are no masks in portable C, so the three ways to touch part of a vector are the
// only code that knows the instruction set.

#if LEVEL == 4
#pragma clang attribute push(__attribute__((target("arch=x86-64-v4"), min_vector_width(512))), apply_to = function)
#define VECTOR_BYTES 64
#define ROWS 8
#define DOT_ROWS 4
#elif LEVEL == 3
#pragma clang attribute push(__attribute__((target("arch=x86-64-v3"))), apply_to = function)
#define VECTOR_BYTES 32
#define ROWS 6
#define DOT_ROWS 2
#else
#define VECTOR_BYTES 16
#define ROWS 6
#define DOT_ROWS 2
#endif

#define LANES (VECTOR_BYTES / ELEMENT_BYTES)
#define VECTORS 2                                        // vectors in a row of the tile
#define QUAD (LANES < 4 ? LANES : 4)
#define DEPTH (16384 / (VECTORS * VECTOR_BYTES))         // rows of a panel on the stack
#define INLINE static inline __attribute__((always_inline))
#define OUTLINE __attribute__((noinline))                // keeps registers for those who do not call it
#define UNROLL _Pragma("clang loop unroll(full)")

typedef ELEMENT NAME(vector) __attribute__((vector_size(VECTOR_BYTES), aligned(ELEMENT_BYTES), may_alias));
#define VECTOR NAME(vector)

/// C[m, n] = X·Y (+ C) (+ bias), with strides in elements along rows and columns. The bias is a row (bias_column = 1)
/// or a column (bias_column = 0).
typedef struct {
  int64_t m, n, k;
  const ELEMENT *x, *y;
  int64_t x_row, x_column, y_row, y_column;
  ELEMENT *c;
  int64_t c_row, c_column;
  const ELEMENT *bias;
  int64_t bias_column;
  bool accumulate;
} NAME(product);
#define PRODUCT NAME(product)

// ------------------------------------------------------------------------------------------------ parts of vectors

#if LEVEL == 4 && ELEMENT_BYTES == 4
typedef __mmask16 NAME(mask);
INLINE NAME(mask) NAME(first)(int64_t count) { return (__mmask16)((1u << count) - 1); }
INLINE VECTOR NAME(load_part)(const ELEMENT *p, NAME(mask) mask) { return (VECTOR)_mm512_maskz_loadu_ps(mask, p); }
INLINE void NAME(store_part)(ELEMENT *p, NAME(mask) mask, VECTOR v) { _mm512_mask_storeu_ps(p, mask, (__m512)v); }
#elif LEVEL == 4
typedef __mmask8 NAME(mask);
INLINE NAME(mask) NAME(first)(int64_t count) { return (__mmask8)((1u << count) - 1); }
INLINE VECTOR NAME(load_part)(const ELEMENT *p, NAME(mask) mask) { return (VECTOR)_mm512_maskz_loadu_pd(mask, p); }
INLINE void NAME(store_part)(ELEMENT *p, NAME(mask) mask, VECTOR v) { _mm512_mask_storeu_pd(p, mask, (__m512d)v); }
#elif LEVEL == 3 && ELEMENT_BYTES == 4
typedef __m256i NAME(mask);
INLINE NAME(mask) NAME(first)(int64_t count) {
  return _mm256_cmpgt_epi32(_mm256_set1_epi32((int)count), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}
INLINE VECTOR NAME(load_part)(const ELEMENT *p, NAME(mask) mask) { return (VECTOR)_mm256_maskload_ps(p, mask); }
INLINE void NAME(store_part)(ELEMENT *p, NAME(mask) mask, VECTOR v) { _mm256_maskstore_ps(p, mask, (__m256)v); }
#elif LEVEL == 3
typedef __m256i NAME(mask);
INLINE NAME(mask) NAME(first)(int64_t count) {
  return _mm256_cmpgt_epi64(_mm256_set1_epi64x(count), _mm256_setr_epi64x(0, 1, 2, 3));
}
INLINE VECTOR NAME(load_part)(const ELEMENT *p, NAME(mask) mask) { return (VECTOR)_mm256_maskload_pd(p, mask); }
INLINE void NAME(store_part)(ELEMENT *p, NAME(mask) mask, VECTOR v) { _mm256_maskstore_pd(p, mask, (__m256d)v); }
#else
typedef int64_t NAME(mask);
INLINE NAME(mask) NAME(first)(int64_t count) { return count; }
INLINE VECTOR NAME(load_part)(const ELEMENT *p, NAME(mask) mask) {
  VECTOR v = {0};
  for (int l = 0; l < LANES; l++)
    if (l < mask) v[l] = p[l];
  return v;
}
INLINE void NAME(store_part)(ELEMENT *p, NAME(mask) mask, VECTOR v) {
  for (int l = 0; l < LANES; l++)
    if (l < mask) p[l] = v[l];
}
#endif

INLINE VECTOR NAME(load)(const ELEMENT *p) { return *(const VECTOR *)p; }
INLINE void NAME(store)(ELEMENT *p, VECTOR v) { *(VECTOR *)p = v; }

// ------------------------------------------------------------------------------------------------ shuffles

// Of every 2h lanes, LOW takes the lower h of a and of b, HIGH the upper h; doing both for h = LANES/2 … 1 transposes
// a square. KEEP leaves the lower h of a and the upper h of b in place (a blend), CROSS brings the others there;
// adding them up for every h leaves the sum of vector l in lane l.
#define LOW(t, h) ((t) % (2 * (h)) < (h) ? (t) : LANES + (t) - (h))
#define HIGH(t, h) ((t) % (2 * (h)) < (h) ? (t) + (h) : LANES + (t))
#define KEEP(t, h) ((t) % (2 * (h)) < (h) ? (t) : LANES + (t))
#define CROSS(t, h) ((t) % (2 * (h)) < (h) ? (t) + (h) : LANES + (t) - (h))
#define LIST2(F, t, h) F(t, h), F((t) + 1, h)
#define LIST4(F, t, h) LIST2(F, t, h), LIST2(F, (t) + 2, h)
#define LIST8(F, t, h) LIST4(F, t, h), LIST4(F, (t) + 4, h)
#define LIST16(F, t, h) LIST8(F, t, h), LIST8(F, (t) + 8, h)
#if LANES == 16
#define LIST(F, h) LIST16(F, 0, h)
#elif LANES == 8
#define LIST(F, h) LIST8(F, 0, h)
#elif LANES == 4
#define LIST(F, h) LIST4(F, 0, h)
#else
#define LIST(F, h) LIST2(F, 0, h)
#endif

#define ADD_HALVES(h)                                                                                                \
  if (count > h) {                                                                                                   \
    UNROLL for (int i = 0; i < h; i++) v[i] = ADD_HALF(v[i], v[i + h], h);                                           \
  }
#define ADD_HALF(a, b, h) __builtin_shufflevector(a, b, LIST(KEEP, h)) + __builtin_shufflevector(a, b, LIST(CROSS, h))

/// Lane l of the result is the sum of the lanes of v[l], for the first `count` lanes: QUAD or LANES.
INLINE VECTOR NAME(sums)(const int count, VECTOR v[LANES]) {
#if LANES >= 16
  ADD_HALVES(8)
#endif
#if LANES >= 8
  ADD_HALVES(4)
#endif
#if LANES >= 4
  ADD_HALVES(2)
#endif
  ADD_HALVES(1)
#if LANES >= 16
  if (count <= 8) v[0] = ADD_HALF(v[0], v[0], 8);
#endif
#if LANES >= 8
  if (count <= 4) v[0] = ADD_HALF(v[0], v[0], 4);
#endif
  return v[0];
}

#define SWAP_HALVES(h)                                                                                               \
  UNROLL for (int i = 0; i < size; i++) {                                                                            \
    if (size <= h || (i & h)) continue;                                                                              \
    VECTOR low = __builtin_shufflevector(v[i], v[i + h], LIST(LOW, h));                                              \
    v[i + h] = __builtin_shufflevector(v[i], v[i + h], LIST(HIGH, h));                                               \
    v[i] = low;                                                                                                      \
  }

/// Transposes the first `rows` × `columns` of a `size` × `size` square; the rest of what it writes are zeros.
INLINE void NAME(transpose_square)(const int size, int64_t rows, int64_t columns, const ELEMENT *from, int64_t from_row,
                                   ELEMENT *to, int64_t to_row) {
  VECTOR v[LANES];
  if (rows == LANES && columns == LANES) {
    UNROLL for (int l = 0; l < size; l++) v[l] = NAME(load)(from + l * from_row);
  } else {
    NAME(mask) mask = NAME(first)(columns);
    UNROLL for (int l = 0; l < size; l++) v[l] = l < rows ? NAME(load_part)(from + l * from_row, mask) : (VECTOR){0};
  }
#if LANES >= 16
  SWAP_HALVES(8)
#endif
#if LANES >= 8
  SWAP_HALVES(4)
#endif
#if LANES >= 4
  SWAP_HALVES(2)
#endif
  SWAP_HALVES(1)
  UNROLL for (int l = 0; l < size; l++) if (l < columns) NAME(store)(to + l * to_row, v[l]);
}

/// to[p · to_row + j] = from[j · from_row + p] for `rows` × `columns` of `from`; rows up to the next multiple of
/// LANES become zeros.
static OUTLINE void NAME(transpose)(int64_t rows, int64_t columns, const ELEMENT *from, int64_t from_row, ELEMENT *to,
                                    int64_t to_row) {
  for (int64_t j = 0; j < rows; j += LANES) {
    for (int64_t p = 0; p < columns; p += LANES) {
      int64_t height = rows - j < LANES ? rows - j : LANES, width = columns - p < LANES ? columns - p : LANES;
      int64_t longer = height > width ? height : width;
      const ELEMENT *corner = from + j * from_row + p;
      ELEMENT *out = to + p * to_row + j;
      if (LANES > 4 && longer <= 4) NAME(transpose_square)(4, height, width, corner, from_row, out, to_row);
      else if (LANES > 8 && longer <= 8) NAME(transpose_square)(8, height, width, corner, from_row, out, to_row);
      else NAME(transpose_square)(LANES, height, width, corner, from_row, out, to_row);
    }
  }
}

// ------------------------------------------------------------------------------------------------ the tile

/// Writes `width` lanes of a row of C that are c_column apart; adds to them when accumulating.
static OUTLINE void NAME(scatter)(const PRODUCT *q, const ELEMENT *lanes, ELEMENT *c, int64_t width) {
  for (int64_t l = 0; l < width; l++) c[l * q->c_column] = q->accumulate ? c[l * q->c_column] + lanes[l] : lanes[l];
}

/// C[i, j…] = sum (+ C) for `width` lanes; `part` says that these may be fewer than all.
INLINE void NAME(finish)(const PRODUCT *q, const bool part, VECTOR sum, int64_t i, int64_t j, int64_t width,
                         NAME(mask) mask) {
  ELEMENT *c = q->c + i * q->c_row + j * q->c_column;
  if (q->c_column != 1) {
    ELEMENT lanes[LANES];
    NAME(store)(lanes, sum);
    NAME(scatter)(q, lanes, c, width);
  } else if (part) {
    NAME(store_part)(c, mask, q->accumulate ? sum + NAME(load_part)(c, mask) : sum);
  } else {
    NAME(store)(c, q->accumulate ? sum + NAME(load)(c) : sum);
  }
}

/// The part of the bias that belongs to columns j…, if it is a row.
INLINE VECTOR NAME(bias)(const PRODUCT *q, const bool part, int64_t j, NAME(mask) mask) {
  if (!q->bias || !q->bias_column) return (VECTOR){0};
  return part ? NAME(load_part)(q->bias + j, mask) : NAME(load)(q->bias + j);
}

/// `rows` × `vectors` vectors of C at (i, j); `part` says that of its (single) vector `width` lanes are meant. Few
/// accumulators cannot hide the latency of a multiply-add, so small tiles sum several steps of k apart.
INLINE void NAME(tile)(const int rows, const int vectors, const bool part, const PRODUCT *q, int64_t i, int64_t j,
                       int64_t width, NAME(mask) mask, const ELEMENT *y, int64_t y_row) {
  const int apart = rows * vectors >= 8 ? 1 : rows * vectors >= 4 ? 2 : rows * vectors >= 2 ? 4 : 8;
  const ELEMENT *x = q->x + i * q->x_row;
  const int64_t k = q->k, x_row = q->x_row, x_column = q->x_column;
  VECTOR sum[8][ROWS][VECTORS];
  UNROLL for (int v = 0; v < vectors; v++) {
    const VECTOR start = NAME(bias)(q, part, j + v * LANES, mask);
    UNROLL for (int s = 0; s < apart; s++)
      UNROLL for (int r = 0; r < rows; r++) sum[s][r][v] = s ? (VECTOR){0} : start;
  }
  if (q->bias && !q->bias_column) {
    UNROLL for (int r = 0; r < rows; r++)
      UNROLL for (int v = 0; v < vectors; v++) sum[0][r][v] += q->bias[i + r];
  }

#define STEP(s)                                                                                                      \
  VECTOR right[VECTORS];                                                                                             \
  UNROLL for (int v = 0; v < vectors; v++)                                                                           \
    right[v] = part ? NAME(load_part)(y + (s) * y_row, mask) : NAME(load)(y + (s) * y_row + v * LANES);              \
  UNROLL for (int r = 0; r < rows; r++)                                                                              \
    UNROLL for (int v = 0; v < vectors; v++) sum[s][r][v] += x[r * x_row + (s) * x_column] * right[v];

  int64_t p = 0;
  for (; p + apart <= k; p += apart, x += apart * x_column, y += apart * y_row) {
    UNROLL for (int s = 0; s < apart; s++) { STEP(s) }
  }
  for (; p < k; p++, x += x_column, y += y_row) { STEP(0) }
#undef STEP

  UNROLL for (int s = 1; s < apart; s++)
    UNROLL for (int r = 0; r < rows; r++)
      UNROLL for (int v = 0; v < vectors; v++) sum[0][r][v] += sum[s][r][v];
  if (q->c_column == 1 && !q->accumulate) {   // what finish does, with one branch for all
    ELEMENT *c = q->c + i * q->c_row + j;
    UNROLL for (int r = 0; r < rows; r++)
      UNROLL for (int v = 0; v < vectors; v++)
        if (part) NAME(store_part)(c + r * q->c_row, mask, sum[0][r][v]);
        else NAME(store)(c + r * q->c_row + v * LANES, sum[0][r][v]);
  } else {
    UNROLL for (int r = 0; r < rows; r++)
      UNROLL for (int v = 0; v < vectors; v++) NAME(finish)(q, part, sum[0][r][v], i + r, j + v * LANES, width, mask);
  }
}

/// All rows of the `vectors` vectors of C that begin at column j.
#define DEFINE_ROWS(name, vectors, part)                                                                             \
  static OUTLINE void name(const PRODUCT *q, int64_t j, int64_t width, const ELEMENT *y, int64_t y_row) {               \
    const NAME(mask) mask = NAME(first)(width);                                                                      \
    int64_t i = 0;                                                                                                   \
    for (; i + ROWS <= q->m; i += ROWS) NAME(tile)(ROWS, vectors, part, q, i, j, width, mask, y, y_row);             \
    if (i + 4 <= q->m) NAME(tile)(4, vectors, part, q, i, j, width, mask, y, y_row), i += 4;                         \
    if (i + 2 <= q->m) NAME(tile)(2, vectors, part, q, i, j, width, mask, y, y_row), i += 2;                         \
    if (i < q->m) NAME(tile)(1, vectors, part, q, i, j, width, mask, y, y_row);                                      \
  }
DEFINE_ROWS(NAME(rows_of_pair), VECTORS, false)
DEFINE_ROWS(NAME(rows_of_part), 1, true)
#if LEVEL == 0
DEFINE_ROWS(NAME(rows_of_one), 1, false)
#endif

/// All rows of the `width` ≤ VECTORS · LANES columns of C that begin at j; `y` points to Y's column j.
INLINE void NAME(strip)(const PRODUCT *q, int64_t j, int64_t width, const ELEMENT *y, int64_t y_row) {
  if (width == VECTORS * LANES) return NAME(rows_of_pair)(q, j, LANES, y, y_row);
#if LEVEL == 0
  if (width >= LANES) NAME(rows_of_one)(q, j, LANES, y, y_row), j += LANES, y += LANES, width -= LANES;
#endif
  for (; width > 0; j += LANES, y += LANES, width -= LANES)
    NAME(rows_of_part)(q, j, width < LANES ? width : LANES, y, y_row);
}

// ------------------------------------------------------------------------------------------------ whole products

/// Copies `width` columns of Y that are not contiguous to a panel.
static OUTLINE void NAME(gather)(const PRODUCT *q, int64_t width, const ELEMENT *y, ELEMENT *panel) {
  if (q->y_row == 1) return NAME(transpose)(width, q->k, y, q->y_column, panel, VECTORS * LANES);
  for (int64_t p = 0; p < q->k; p++)
    for (int64_t l = 0; l < width; l++) panel[p * VECTORS * LANES + l] = y[p * q->y_row + l * q->y_column];
}

/// One panel of columns, from j, and `depth` steps of k, from p. `all` holds what q began with.
INLINE void NAME(slice)(PRODUCT *q, const PRODUCT *all, int64_t p, int64_t depth, int64_t j, ELEMENT *panel) {
  const int64_t width = q->n - j < VECTORS * LANES ? q->n - j : VECTORS * LANES;
  const ELEMENT *y = q->y + p * q->y_row + j * q->y_column;
  q->k = all->k - p < depth ? all->k - p : depth;
  q->x = all->x + p * q->x_column;
  q->accumulate = all->accumulate || p > 0;
  q->bias = p > 0 ? NULL : all->bias;
  if (q->y_column == 1) {
    NAME(strip)(q, j, width, y, q->y_row);
  } else {
    NAME(gather)(q, width, y, panel);
    NAME(strip)(q, j, width, panel, VECTORS * LANES);
  }
}

/// Y by panels: in place where its rows are contiguous, else transposed on the stack. Either way Y is read along its
/// rows in memory. A single row of X uses each element of Y once: a few rows of Y are then best read all the way along.
static void NAME(by_strips)(PRODUCT *q) {
  ELEMENT panel[DEPTH * VECTORS * LANES] __attribute__((aligned(64)));
  const PRODUCT all = {.k = q->k, .x = q->x, .accumulate = q->accumulate, .bias = q->bias};
  if (q->y_column == 1) {
    const int64_t depth = q->m == 1 && q->n >= 256 ? 16 : DEPTH;
    for (int64_t p = 0; p == 0 || p < all.k; p += depth)
      for (int64_t j = 0; j < q->n; j += VECTORS * LANES) NAME(slice)(q, &all, p, depth, j, panel);
  } else {
    for (int64_t j = 0; j < q->n; j += VECTORS * LANES)
      for (int64_t p = 0; p == 0 || p < all.k; p += DEPTH) NAME(slice)(q, &all, p, DEPTH, j, panel);
  }
}

/// `rows` × `count` (QUAD or LANES) dot products at (i, j), of which the first `width` in each row exist. Both operands
/// are contiguous along k.
INLINE void NAME(dots)(const int rows, const int count, const PRODUCT *q, int64_t i, int64_t j, int64_t width) {
  const ELEMENT *x = q->x + i * q->x_row, *y = q->y + j * q->y_column;
  const bool part = width < LANES;
  VECTOR sum[DOT_ROWS][LANES];
  UNROLL for (int r = 0; r < rows; r++)
    UNROLL for (int l = 0; l < count; l++) sum[r][l] = (VECTOR){0};

#define STEP(LOAD, ...)                                                                                              \
  VECTOR left[DOT_ROWS];                                                                                             \
  UNROLL for (int r = 0; r < rows; r++) left[r] = LOAD(x + r * q->x_row + p __VA_ARGS__);                            \
  UNROLL for (int l = 0; l < count; l++) {                                                                           \
    VECTOR right = LOAD(y + (l < width ? l : width - 1) * q->y_column + p __VA_ARGS__);                              \
    UNROLL for (int r = 0; r < rows; r++) sum[r][l] += left[r] * right;                                              \
  }

  int64_t p = 0;
  for (; p + LANES <= q->k; p += LANES) { STEP(NAME(load)) }
  if (p < q->k) {
    NAME(mask) rest = NAME(first)(q->k - p);
    STEP(NAME(load_part), , rest)
  }
#undef STEP

  NAME(mask) mask = NAME(first)(width);
  const VECTOR start = NAME(bias)(q, part, j, mask);
  UNROLL for (int r = 0; r < rows; r++) {
    VECTOR total = NAME(sums)(count, sum[r]) + start;
    if (q->bias && !q->bias_column) total += q->bias[i + r];
    NAME(finish)(q, part, total, i + r, j, width, mask);
  }
}

/// Rows begin ..< end of C, `rows` at a time.
#define DEFINE_DOTS(name, rows)                                                                                      \
  static OUTLINE void name(const PRODUCT *q, int64_t begin, int64_t end) {                                           \
    int64_t j = 0;                                                                                                   \
    for (; j + QUAD <= q->n; j += QUAD)                                                                              \
      for (int64_t i = begin; i < end; i += rows) NAME(dots)(rows, QUAD, q, i, j, QUAD);                             \
    if (j < q->n)                                                                                                    \
      for (int64_t i = begin; i < end; i += rows) NAME(dots)(rows, QUAD, q, i, j, q->n - j);                         \
  }
DEFINE_DOTS(NAME(dots_of_rows), DOT_ROWS)
#if DOT_ROWS > 2
DEFINE_DOTS(NAME(dots_of_pair), 2)
#endif

/// A single row of C. Many rows of Y at once are fastest, unless they are so long that they collide in the cache.
static OUTLINE void NAME(dots_of_row)(const PRODUCT *q, int64_t i) {
  int64_t j = 0;
  if (q->k <= 32 * LANES)
    for (; j + LANES <= q->n; j += LANES) NAME(dots)(1, LANES, q, i, j, LANES);
  for (; j + QUAD <= q->n; j += QUAD) NAME(dots)(1, QUAD, q, i, j, QUAD);
  if (j < q->n) NAME(dots)(1, QUAD, q, i, j, q->n - j);
}

/// Several rows of X at a time make the most of what is read; while k is short, LANES sums at once matter more.
static void NAME(by_dots)(const PRODUCT *q) {
  int64_t i = 0;
  if (q->k > 2 * LANES || q->n < LANES) {
    i = q->m / DOT_ROWS * DOT_ROWS;
    if (i > 0) NAME(dots_of_rows)(q, 0, i);
#if DOT_ROWS > 2
    if (i + 2 <= q->m) NAME(dots_of_pair)(q, i, i + 2), i += 2;
#endif
  }
  for (; i < q->m; i++) NAME(dots_of_row)(q, i);
}

/// Estimates of the time of `by_strips` and `by_dots`, in vector operations. The weights are fitted to 720
/// shapes on Zen 4, where the choice costs 2–3 % over the best one on average. Results scattered over C must pay clearly,
/// since the long strides that go with them collide in the cache.
INLINE int64_t NAME(vectors)(int64_t n) { return (int64_t)((uint64_t)(n + LANES - 1) / LANES); }
INLINE int64_t NAME(strips_cost)(const PRODUCT *q) {
  int64_t transposed = q->y_column == 1 ? 0 : NAME(vectors)(q->k) * 4 * LANES;
  int64_t cost = NAME(vectors)(q->n) * (q->m * (q->k + 2) + transposed);
  return q->c_column == 1 ? cost : cost + cost / 4 + 2 * q->m * q->n;
}
INLINE int64_t NAME(dots_cost)(const PRODUCT *q) {
  if (q->x_column != 1 || q->y_row != 1) return INT64_MAX;
  int64_t single = q->m % 2, steps = NAME(vectors)(q->k);
  int64_t cost = (q->n + QUAD - 1) / QUAD * QUAD * ((q->m - single) * (steps + 4) + single * (3 * steps + 2) / 2);
  return q->c_column == 1 ? cost : cost + 2 * q->m * q->n;
}

static void NAME(small)(bool transpose_a, bool transpose_b, int64_t m, int64_t n, int64_t k, const ELEMENT *a,
                        int64_t lda, const ELEMENT *b, int64_t ldb, bool accumulate, const ELEMENT *bias, ELEMENT *c,
                        int64_t ldc) {
  int64_t a_row = transpose_a ? 1 : lda, a_column = transpose_a ? lda : 1;
  int64_t b_row = transpose_b ? 1 : ldb, b_column = transpose_b ? ldb : 1;
  // An index that takes one value only may have any stride, and an empty sum no operands.
  if (m == 1) a_row = 1;
  if (n == 1) b_column = 1;
  if (k == 1) a_column = b_row = 1;
  if (k == 0) a_row = a_column = b_row = b_column = 0;
#define UPRIGHT {m, n, k, a, b, a_row, a_column, b_row, b_column, c, ldc, 1, bias, 1, accumulate}
#define TURNED {n, m, k, b, a, b_column, b_row, a_column, a_row, c, 1, ldc, bias, 0, accumulate}
  const bool can_dot = a_column == 1 && b_row == 1;
  if (n == 1 && can_dot && (a_row != 1 || m == 1)) {  // the tiniest products should not wait for an estimate
    PRODUCT turned = TURNED;
    return NAME(by_dots)(&turned);
  }
  PRODUCT upright = UPRIGHT;
  if (b_column == 1 && (2 * n >= LANES || n >= m)) return NAME(by_strips)(&upright);
  if (can_dot && m <= n && m * n <= 4 * QUAD) return NAME(by_dots)(&upright);
  PRODUCT turned = TURNED;
#undef UPRIGHT
#undef TURNED
  int64_t strips = NAME(strips_cost)(&upright), turned_strips = NAME(strips_cost)(&turned);
  int64_t dots = NAME(dots_cost)(&upright), turned_dots = NAME(dots_cost)(&turned);
  PRODUCT *by_strips = turned_strips < strips ? &turned : &upright;
  PRODUCT *by_dots = turned_dots < dots ? &turned : &upright;
  if (turned_strips < strips) strips = turned_strips;
  if (turned_dots < dots) dots = turned_dots;
  if (dots < strips) NAME(by_dots)(by_dots);
  else NAME(by_strips)(by_strips);
}

#include "gemm_blocked.h"

#if LEVEL > 0
#pragma clang attribute pop
#endif

#undef ADD_HALF
#undef ADD_HALVES
#undef CROSS
#undef DEFINE_DOTS
#undef DEFINE_ROWS
#undef DEPTH
#undef DOT_ROWS
#undef HIGH
#undef INLINE
#undef KEEP
#undef LANES
#undef LEVEL
#undef LIST
#undef LIST16
#undef LIST2
#undef LIST4
#undef LIST8
#undef LOW
#undef NAME
#undef OUTLINE
#undef PRODUCT
#undef QUAD
#undef ROWS
#undef SWAP_HALVES
#undef UNROLL
#undef VECTOR
#undef VECTORS
#undef VECTOR_BYTES
