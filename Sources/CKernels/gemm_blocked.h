// Matrix products of any size: the second half of the template gemm_kernels.h.
//
// Up to some size operands stay in a core's own cache, and `small` on a part of the columns or rows per task is best.
// Larger products use the classic blocking (Goto, van de Geijn: Anatomy of high-performance matrix multiplication):
// both operands are packed, slab by slab, into panels as wide as the tile, in the order in which it reads them; then
// each task runs a block of X's panels along a group of Y's, so that a panel of Y stays in the first-level cache and
// the block of X in the second. Tasks are cut by the sizes alone and each element of C is summed in one order, so
// threads never change a result.

#define SLAB_K 384
#define SLAB_ROWS 1024
#define SLAB_COLUMNS 2048
#define BLOCK_ROWS 64                                           // one task
#define BLOCK_COLUMNS 256
#define PANEL (VECTORS * LANES)                                 // columns of a panel of Y
// Row stride of a packed panel of X, and elements from one to the next. Packing writes whole vectors; what overhangs
// is overwritten by the next row (unless the rows of the panel take several vectors) or lies between panels.
#define SIDE (ROWS <= LANES ? ROWS : (ROWS + LANES - 1) / LANES * LANES)
#define X_PANEL(k) (SIDE * (k) + LANES)

INLINE int64_t NAME(least)(int64_t a, int64_t b) { return a < b ? a : b; }
INLINE int64_t NAME(pieces)(int64_t n, int64_t size) { return (n + size - 1) / size; }

/// A slab, C (+)= X·Y for up to SLAB_ROWS rows, SLAB_COLUMNS columns and SLAB_K steps of k, with both packed.
typedef struct {
  PRODUCT product;
  ELEMENT *x, *y;                                               // panels, one after another
  int64_t x_panels, y_panels, row_blocks;
} NAME(slab);

/// to[p · to_row + j] = from[p · from_row + j · from_column], for one panel; one of the strides is 1.
static void NAME(pack)(int64_t depth, int64_t width, const ELEMENT *from, int64_t from_row, int64_t from_column,
                       ELEMENT *to, int64_t to_row) {
  if (from_row == 1) return NAME(transpose)(width, depth, from, from_column, to, to_row);
  const NAME(mask) mask = NAME(first)(width % LANES);
  for (int64_t p = 0; p < depth; p++, from += from_row, to += to_row) {
    int64_t l = 0;
    for (; l + LANES <= width; l += LANES) NAME(store)(to + l, NAME(load)(from + l));
    if (l < width) NAME(store)(to + l, NAME(load_part)(from + l, mask));
  }
}

/// Panels of Y, then of X.
static void NAME(pack_panels)(void *context, int64_t begin, int64_t end) {
  const NAME(slab) *slab = context;
  const PRODUCT *q = &slab->product;
  for (int64_t panel = begin; panel < end; panel++) {
    const int64_t j = panel * PANEL, i = (panel - slab->y_panels) * ROWS;
    if (panel < slab->y_panels)
      NAME(pack)(q->k, NAME(least)(q->n - j, PANEL), q->y + j * q->y_column, q->y_row, q->y_column,
                 slab->y + j * q->k, PANEL);
    else
      NAME(pack)(q->k, NAME(least)(q->m - i, ROWS), q->x + i * q->x_row, q->x_column, q->x_row,
                 slab->x + i / ROWS * X_PANEL(q->k), SIDE);
  }
}

static void NAME(multiply_blocks)(void *context, int64_t begin, int64_t end) {
  const NAME(slab) *slab = context;
  const int64_t m = slab->product.m, n = slab->product.n, k = slab->product.k;
  PRODUCT q = slab->product;
  q.x_row = 1;
  q.x_column = SIDE;
  for (int64_t task = begin; task < end; task++) {
    const int64_t i = task % slab->row_blocks * BLOCK_ROWS, j = task / slab->row_blocks * BLOCK_COLUMNS;
    for (int64_t column = j; column < NAME(least)(n, j + BLOCK_COLUMNS); column += PANEL) {
      for (int64_t row = i; row < NAME(least)(m, i + BLOCK_ROWS); row += ROWS) {
        q.m = NAME(least)(m - row, ROWS);
        q.x = slab->x + row / ROWS * X_PANEL(k);
        q.c = slab->product.c + row * q.c_row;
        NAME(strip)(&q, column, NAME(least)(n - column, PANEL), slab->y + column * k, PANEL);
      }
    }
  }
}

static void NAME(by_blocks)(const PRODUCT *q, ELEMENT *x, ELEMENT *y) {
  NAME(slab) slab = {.product = *q, .x = x, .y = y};
  PRODUCT *part = &slab.product;
  for (int64_t j = 0; j < q->n; j += SLAB_COLUMNS) {
    for (int64_t p = 0; p < q->k; p += SLAB_K) {
      for (int64_t i = 0; i < q->m; i += SLAB_ROWS) {
        part->m = NAME(least)(q->m - i, SLAB_ROWS);
        part->n = NAME(least)(q->n - j, SLAB_COLUMNS);
        part->k = NAME(least)(q->k - p, SLAB_K);
        part->x = q->x + i * q->x_row + p * q->x_column;
        part->y = q->y + p * q->y_row + j * q->y_column;
        part->c = q->c + i * q->c_row + j;
        part->accumulate = q->accumulate || p > 0;
        part->bias = q->bias && p == 0 ? q->bias + j : NULL;
        slab.x_panels = NAME(pieces)(part->m, ROWS);
        slab.y_panels = NAME(pieces)(part->n, PANEL);
        slab.row_blocks = NAME(pieces)(part->m, BLOCK_ROWS);
        mg_parallel(slab.y_panels + slab.x_panels, 4, NAME(pack_panels), &slab);
        mg_parallel(slab.row_blocks * NAME(pieces)(part->n, BLOCK_COLUMNS), 1, NAME(multiply_blocks), &slab);
      }
    }
  }
}

// ------------------------------------------------------------------------------------------------ parts

/// The arguments of `gemm`, for tasks.
typedef struct {
  bool transpose_a, transpose_b, accumulate;
  int64_t m, n, k, lda, ldb, ldc;
  const ELEMENT *a, *b, *bias;
  ELEMENT *c;
} NAME(arguments);

static void NAME(some_rows)(void *context, int64_t begin, int64_t end) {
  const NAME(arguments) *g = context;
  NAME(small)(g->transpose_a, g->transpose_b, end - begin, g->n, g->k, g->a + begin * (g->transpose_a ? 1 : g->lda),
              g->lda, g->b, g->ldb, g->accumulate, g->bias, g->c + begin * g->ldc, g->ldc);
}

static void NAME(some_columns)(void *context, int64_t begin, int64_t end) {
  const NAME(arguments) *g = context;
  NAME(small)(g->transpose_a, g->transpose_b, g->m, end - begin, g->k, g->a, g->lda,
              g->b + begin * (g->transpose_b ? g->ldb : 1), g->ldb, g->accumulate, g->bias ? g->bias + begin : NULL,
              g->c + begin, g->ldc);
}

static void NAME(gemm)(bool transpose_a, bool transpose_b, int64_t m, int64_t n, int64_t k, const ELEMENT *a,
                       int64_t lda, const ELEMENT *b, int64_t ldb, bool accumulate, const ELEMENT *bias, ELEMENT *c,
                       int64_t ldc) {
  const int64_t work = m * n * k;
  if (work <= GEMM_ALONE)
    return NAME(small)(transpose_a, transpose_b, m, n, k, a, lda, b, ldb, accumulate, bias, c, ldc);
  if (work >= GEMM_PACKED && m >= BLOCK_ROWS && n >= 2 * PANEL) {
    const int64_t depth = NAME(least)(k, SLAB_K);
    const int64_t x_size = NAME(pieces)(NAME(least)(m, SLAB_ROWS), ROWS) * X_PANEL(depth);
    const int64_t y_size = NAME(pieces)(NAME(least)(n, SLAB_COLUMNS), PANEL) * PANEL * depth;
    ELEMENT *y = mg_gemm_scratch((size_t)(x_size + y_size) * ELEMENT_BYTES);
    if (y) {
      const PRODUCT q = {m, n, k, a, b, transpose_a ? 1 : lda, transpose_a ? lda : 1, transpose_b ? 1 : ldb,
                         transpose_b ? ldb : 1, c, ldc, 1, bias, 1, accumulate};
      return NAME(by_blocks)(&q, y + y_size, y);
    }
  }
  NAME(arguments) g = {transpose_a, transpose_b, accumulate, m, n, k, lda, ldb, ldc, a, b, bias, c};
  const bool by_columns = n / PANEL >= m / BLOCK_ROWS;
  // Whole tiles; and where only matrix times vector is asked for, memory is best read in long stretches.
  const int64_t tile = by_columns ? (m == 1 && !transpose_b ? 512 : PANEL) : (n == 1 && transpose_a ? 512 : BLOCK_ROWS);
  const int64_t wanted = GEMM_ALONE * (by_columns ? n : m) / work;
  const int64_t grain = wanted < tile ? tile : wanted / tile * tile;
  if (by_columns) mg_parallel(n, grain, NAME(some_columns), &g);
  else mg_parallel(m, grain, NAME(some_rows), &g);
}

/// Products of a batch, for tasks: how far each one's matrices lie apart.
typedef struct {
  NAME(arguments) each;
  int64_t a_stride, b_stride;
} NAME(batch);

static void NAME(some_of_a_batch)(void *context, int64_t begin, int64_t end) {
  const NAME(batch) *q = context;
  const NAME(arguments) *g = &q->each;
  for (int64_t i = begin; i < end; i++)
    NAME(small)(g->transpose_a, g->transpose_b, g->m, g->n, g->k, g->a + i * q->a_stride, g->lda, g->b + i * q->b_stride, g->ldb,
                false, NULL, g->c + i * g->m * g->n, g->n);
}

/// Small products side by side on all threads, large ones one by one, each on all threads.
static void NAME(gemm_batch)(int64_t batches, bool transpose_a, bool transpose_b, int64_t m, int64_t n, int64_t k, const ELEMENT *a,
                             int64_t lda, int64_t a_stride, const ELEMENT *b, int64_t ldb, int64_t b_stride, ELEMENT *c) {
  const int64_t work = m * n * k;
  if (work > GEMM_ALONE) {
    for (int64_t i = 0; i < batches; i++)
      NAME(gemm)(transpose_a, transpose_b, m, n, k, a + i * a_stride, lda, b + i * b_stride, ldb, false, NULL, c + i * m * n, n);
    return;
  }
  NAME(batch) q = {{transpose_a, transpose_b, false, m, n, k, lda, ldb, n, a, b, NULL, c}, a_stride, b_stride};
  if (batches * work <= GEMM_ALONE) NAME(some_of_a_batch)(&q, 0, batches);
  else mg_parallel(batches, GEMM_ALONE / 2 / (work + 1) + 1, NAME(some_of_a_batch), &q);
}

#undef BLOCK_COLUMNS
#undef BLOCK_ROWS
#undef PANEL
#undef SIDE
#undef SLAB_COLUMNS
#undef SLAB_K
#undef SLAB_ROWS
#undef X_PANEL
