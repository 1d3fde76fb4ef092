// Integer matrix products, wrapping: plain loops in the order that walks memory forward.
#include "mg_kernels.h"

// Unsigned types, since their overflow is defined. B's rows are contiguous along j when B is not transposed, so a
// row of C is built as a sum of them; when B is transposed they are contiguous along p, so C holds dot products.
#define DEFINE_GEMM(T, NAME)                                                                                       \
  static void NAME(bool transpose_b, int64_t m, int64_t n, int64_t k, const T *restrict a, int64_t a_row,          \
                   int64_t a_column, const T *restrict b, int64_t ldb, T *restrict c, int64_t ldc) {               \
    for (int64_t i = 0; i < m; i++) {                                                                              \
      T *row = c + i * ldc;                                                                                        \
      const T *left = a + i * a_row;                                                                               \
      if (transpose_b) {                                                                                           \
        for (int64_t j = 0; j < n; j++) {                                                                          \
          T sum = 0;                                                                                               \
          for (int64_t p = 0; p < k; p++) sum = (T)(sum + left[p * a_column] * b[j * ldb + p]);                    \
          row[j] = sum;                                                                                            \
        }                                                                                                          \
      } else {                                                                                                     \
        for (int64_t j = 0; j < n; j++) row[j] = 0;                                                                \
        for (int64_t p = 0; p < k; p++) {                                                                          \
          T factor = left[p * a_column];                                                                           \
          for (int64_t j = 0; j < n; j++) row[j] = (T)(row[j] + factor * b[p * ldb + j]);                          \
        }                                                                                                          \
      }                                                                                                            \
    }                                                                                                              \
  }

DEFINE_GEMM(uint64_t, gemm_u64)
DEFINE_GEMM(uint32_t, gemm_u32)
DEFINE_GEMM(uint8_t, gemm_u8)

void mg_gemm_int(mg_dtype dtype, bool transpose_a, bool transpose_b, int64_t m, int64_t n, int64_t k, const void *a,
                 int64_t lda, const void *b, int64_t ldb, void *c, int64_t ldc) {
  int64_t a_row = transpose_a ? 1 : lda, a_column = transpose_a ? lda : 1;
  switch (dtype) {
  case MG_I64: gemm_u64(transpose_b, m, n, k, a, a_row, a_column, b, ldb, c, ldc); break;
  case MG_I32: gemm_u32(transpose_b, m, n, k, a, a_row, a_column, b, ldb, c, ldc); break;
  case MG_U8: gemm_u8(transpose_b, m, n, k, a, a_row, a_column, b, ldb, c, ldc); break;
  default: break;
  }
}
