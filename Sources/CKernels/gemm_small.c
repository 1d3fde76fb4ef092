// Matrix products in float, first version: plain loops.
#include "mg_kernels.h"

void mg_gemm_small_f32(bool transpose_a, bool transpose_b, int64_t m, int64_t n, int64_t k, const float *a, int64_t lda,
                const float *b, int64_t ldb, bool accumulate, const float *bias, float *c, int64_t ldc) {
  int64_t a_row = transpose_a ? 1 : lda, a_column = transpose_a ? lda : 1;
  int64_t b_row = transpose_b ? 1 : ldb, b_column = transpose_b ? ldb : 1;
  for (int64_t i = 0; i < m; i++) {
    for (int64_t j = 0; j < n; j++) {
      float sum = (accumulate ? c[i * ldc + j] : 0) + (bias ? bias[j] : 0);
      for (int64_t p = 0; p < k; p++) sum += a[i * a_row + p * a_column] * b[p * b_row + j * b_column];
      c[i * ldc + j] = sum;
    }
  }
}
