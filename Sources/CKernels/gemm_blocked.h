// Large matrix products: the second half of the template gemm_kernels.h.
//
// The classic blocking (Goto, van de Geijn: Anatomy of high-performance matrix multiplication). A slab of Y, BLOCK_K
// rows deep, is packed into panels as wide as the tile; then each task packs a block of X and runs it along a group
// of panels, so that a panel stays in the first-level cache and the block of X in the second. Tasks are cut by the
// sizes alone and each element of C is summed in one order, so threads never change a result.

#define BLOCK_K 256
#define BLOCK_ROWS 64
#define BLOCK_COLUMNS 256                                       // columns of one task
#define SLAB_COLUMNS 1024
#define PANEL (VECTORS * LANES)                                 // columns of a panel of Y
#define SIDE ((ROWS + LANES - 1) / LANES * LANES)               // row stride of a packed panel of X

/// One slab: C (+)= X·Y for up to SLAB_COLUMNS columns and BLOCK_K steps of k, Y packed.
typedef struct {
  PRODUCT product;
  ELEMENT *packed;                                              // panels of k × PANEL, one after another
  int64_t block_rows, row_blocks;
} NAME(slab);

/// to[p · to_row + j] = from[p · from_row + j · from_column], for one panel.
static void NAME(pack)(int64_t depth, int64_t width, const ELEMENT *from, int64_t from_row, int64_t from_column, ELEMENT *to,
                       int64_t to_row) {
  if (from_row == 1) return NAME(transpose)(width, depth, from, from_column, to, to_row);
  const NAME(mask) mask = NAME(first)(width % LANES);
  for (int64_t p = 0; p < depth; p++, from += from_row, to += to_row) {
    int64_t l = 0;
    for (; l + LANES <= width; l += LANES) NAME(store)(to + l, NAME(load)(from + l));
    if (l < width) NAME(store)(to + l, NAME(load_part)(from + l, mask));
  }
}

static void NAME(pack_panels)(void *context, int64_t begin, int64_t end) {
  NAME(slab) *slab = context;
  const PRODUCT *q = &slab->product;
  for (int64_t j = begin * PANEL; j < end * PANEL && j < q->n; j += PANEL)
    NAME(pack)(q->k, q->n - j < PANEL ? q->n - j : PANEL, q->y + j * q->y_column, q->y_row, q->y_column,
               slab->packed + j * q->k, PANEL);
}

/// The rows of one block by the columns of one group.
static void NAME(multiply_block)(const NAME(slab) *slab, int64_t i, int64_t j) {
  PRODUCT q = slab->product;
  const int64_t rows = q.m - i < slab->block_rows ? q.m - i : slab->block_rows;
  const int64_t columns = q.n - j < BLOCK_COLUMNS ? q.n - j : BLOCK_COLUMNS;
  ELEMENT *packed = scratch(1, (size_t)(BLOCK_ROWS + ROWS) / ROWS * SIDE * BLOCK_K * ELEMENT_BYTES);
  const ELEMENT *x = q.x + i * q.x_row;
  if (packed) {
    for (int64_t r = 0; r < rows; r += ROWS)
      NAME(pack)(q.k, rows - r < ROWS ? rows - r : ROWS, x + r * q.x_row, q.x_column, q.x_row,
                 packed + r / ROWS * SIDE * q.k, SIDE);
  }
  for (int64_t column = j; column < j + columns; column += PANEL) {
    int64_t width = j + columns - column < PANEL ? j + columns - column : PANEL;
    for (int64_t r = 0; r < rows; r += ROWS) {
      q.m = rows - r < ROWS ? rows - r : ROWS;
      q.c = slab->product.c + (i + r) * q.c_row;
      q.x = x + r * slab->product.x_row;
      if (packed) q.x = packed + r / ROWS * SIDE * q.k, q.x_row = 1, q.x_column = SIDE;
      NAME(strip)(&q, column, width, slab->packed + column * q.k, PANEL);
    }
  }
}

static void NAME(multiply_blocks)(void *context, int64_t begin, int64_t end) {
  const NAME(slab) *slab = context;
  for (int64_t task = begin; task < end; task++)
    NAME(multiply_block)(slab, task % slab->row_blocks * slab->block_rows, task / slab->row_blocks * BLOCK_COLUMNS);
}

/// C = X·Y for any sizes; the columns of C are contiguous.
static void NAME(by_blocks)(const PRODUCT *q, ELEMENT *packed, bool threads) {
  const int64_t blocks = (q->m + BLOCK_ROWS - 1) / BLOCK_ROWS;
  NAME(slab) slab = {*q, packed, ((q->m + blocks - 1) / blocks + ROWS - 1) / ROWS * ROWS, 0};
  slab.row_blocks = (q->m + slab.block_rows - 1) / slab.block_rows;
  PRODUCT *part = &slab.product;
  for (int64_t j = 0; j < q->n; j += SLAB_COLUMNS) {
    part->n = q->n - j < SLAB_COLUMNS ? q->n - j : SLAB_COLUMNS;
    part->c = q->c + j;
    part->bias = q->bias ? q->bias + j : NULL;
    part->accumulate = q->accumulate;
    for (int64_t p = 0; p < q->k; p += BLOCK_K) {
      part->k = q->k - p < BLOCK_K ? q->k - p : BLOCK_K;
      part->x = q->x + p * q->x_column;
      part->y = q->y + p * q->y_row + j * q->y_column;
      int64_t panels = (part->n + PANEL - 1) / PANEL;
      int64_t tasks = slab.row_blocks * ((part->n + BLOCK_COLUMNS - 1) / BLOCK_COLUMNS);
      if (threads) {
        mg_parallel(panels, 8, NAME(pack_panels), &slab);
        mg_parallel(tasks, 1, NAME(multiply_blocks), &slab);
      } else {
        NAME(pack_panels)(&slab, 0, panels);
        NAME(multiply_blocks)(&slab, 0, tasks);
      }
      part->accumulate = true;
      part->bias = NULL;
    }
  }
}

// ------------------------------------------------------------------------------------------------ any size

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

static void NAME(gemm)(bool transpose_a, bool transpose_b, int64_t m, int64_t n, int64_t k, const ELEMENT *a, int64_t lda,
                       const ELEMENT *b, int64_t ldb, bool accumulate, const ELEMENT *bias, ELEMENT *c, int64_t ldc) {
  const int64_t work = m * n * k;
  if (work <= SMALL_WORK)
    return NAME(small)(transpose_a, transpose_b, m, n, k, a, lda, b, ldb, accumulate, bias, c, ldc);
  const int64_t slab_columns = ((n < SLAB_COLUMNS ? n : SLAB_COLUMNS) + PANEL - 1) / PANEL * PANEL;
  ELEMENT *packed = m < NARROW || n < NARROW
      ? NULL : scratch(0, (size_t)(slab_columns * (k < BLOCK_K ? k : BLOCK_K)) * ELEMENT_BYTES);
  if (packed) {
    PRODUCT q = {m, n, k, a, b, transpose_a ? 1 : lda, transpose_a ? lda : 1, transpose_b ? 1 : ldb,
                 transpose_b ? ldb : 1, c, ldc, 1, bias, 1, accumulate};
    NAME(by_blocks)(&q, packed, work >= THREADS_WORK);
  } else {
    NAME(arguments) g = {transpose_a, transpose_b, accumulate, m, n, k, lda, ldb, ldc, a, b, bias, c};
    // Chunks of some hundred thousand multiply-adds, and long stretches of memory.
    const int64_t least = (m < n ? !transpose_b : transpose_a) ? 512 : 16;
    int64_t grain = THREADS_WORK / 4 * (m < n ? n : m) / work;
    grain = grain < least ? least : grain / 16 * 16;
    if (m < n) mg_parallel(n, grain, NAME(some_columns), &g);
    else mg_parallel(m, grain, NAME(some_rows), &g);
  }
}

#undef BLOCK_COLUMNS
#undef BLOCK_K
#undef BLOCK_ROWS
#undef PANEL
#undef SIDE
#undef SLAB_COLUMNS
