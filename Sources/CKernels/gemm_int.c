// Integer matrix products, wrapping: blocks of C that stay in registers while they are summed.
#include "internal.h"

enum {
  ROWS = 4,        // of C at once
  DEEP = 256,      // products summed before the next block of C
  GRAIN = 100000,  // products of a thread's part
};

// Unsigned types, since their overflow is defined. A panel of B, DEEP × COLUMNS, is packed first, with zeros beside it where
// B ends; then every ROWS rows of A go over it.
#define DEFINE_GEMM(tag, T, COLUMNS)                                                                      \
  MG_CLONES static void block_##tag(int64_t rows, int64_t columns, int64_t k, const T *a, int64_t a_row,  \
                                    int64_t a_column, const T *panel, T *c, int64_t ldc) {                \
    T sum[ROWS][COLUMNS] = {0};                                                                           \
    if (rows == ROWS) {                                                                                   \
      for (int64_t p = 0; p < k; p++)                                                                     \
        for (int i = 0; i < ROWS; i++) {                                                                  \
          T factor = a[i * a_row + p * a_column];                                                         \
          for (int j = 0; j < COLUMNS; j++) sum[i][j] = (T)(sum[i][j] + factor * panel[p * COLUMNS + j]); \
        }                                                                                                 \
    } else {                                                                                              \
      for (int64_t i = 0; i < rows; i++)                                                                  \
        for (int64_t p = 0; p < k; p++) {                                                                 \
          T factor = a[i * a_row + p * a_column];                                                         \
          for (int j = 0; j < COLUMNS; j++) sum[i][j] = (T)(sum[i][j] + factor * panel[p * COLUMNS + j]); \
        }                                                                                                 \
    }                                                                                                     \
    for (int64_t i = 0; i < rows; i++)                                                                    \
      for (int64_t j = 0; j < columns; j++) c[i * ldc + j] = (T)(c[i * ldc + j] + sum[i][j]);             \
  }                                                                                                       \
  static void rows_##tag(void *context, int64_t begin, int64_t end) {                                     \
    const product *g = context;                                                                           \
    T panel[DEEP * COLUMNS];                                                                              \
    T *c = (T *)g->c;                                                                                     \
    for (int64_t i = begin; i < end; i++) memset(c + i * g->ldc, 0, (size_t)g->n * sizeof(T));            \
    for (int64_t j = 0; j < g->n; j += COLUMNS)                                                           \
      for (int64_t p = 0; p < g->k; p += DEEP) {                                                          \
        int64_t columns = mg_min64(COLUMNS, g->n - j), k = mg_min64(DEEP, g->k - p);                      \
        const T *b = (const T *)g->b + p * g->b_row + j * g->b_column;                                    \
        if (columns < COLUMNS) memset(panel, 0, sizeof panel);                                            \
        for (int64_t q = 0; q < k; q++)                                                                   \
          for (int64_t l = 0; l < columns; l++) panel[q * COLUMNS + l] = b[q * g->b_row + l * g->b_column]; \
        for (int64_t i = begin; i < end; i += ROWS)                                                       \
          block_##tag(mg_min64(ROWS, end - i), columns, k, (const T *)g->a + i * g->a_row + p * g->a_column, \
                      g->a_row, g->a_column, panel, c + i * g->ldc + j, g->ldc);                          \
      }                                                                                                   \
  }

typedef struct {
  int64_t n, k, a_row, a_column, b_row, b_column, ldc;
  const void *a, *b;
  void *c;
} product;

DEFINE_GEMM(u64, uint64_t, 32)
DEFINE_GEMM(u32, uint32_t, 64)
DEFINE_GEMM(u8, uint8_t, 128)

void mg_gemm_int(mg_dtype dtype, bool transpose_a, bool transpose_b, int64_t m, int64_t n, int64_t k, const void *a,
                 int64_t lda, const void *b, int64_t ldb, void *c, int64_t ldc) {
  if (m <= 0 || n <= 0) return;
  product g = {.n = n, .k = k, .a_row = transpose_a ? 1 : lda, .a_column = transpose_a ? lda : 1,
               .b_row = transpose_b ? 1 : ldb, .b_column = transpose_b ? ldb : 1, .ldc = ldc, .a = a, .b = b, .c = c};
  void (*body)(void *, int64_t, int64_t) = dtype == MG_I64 ? rows_u64 : dtype == MG_I32 ? rows_u32 : rows_u8;
  int64_t part = GRAIN / mg_max64(n * k, 1) + 1;
  if (m <= part) body(&g, 0, m);
  else mg_parallel(m, (part + ROWS - 1) / ROWS * ROWS, body, &g);
}
