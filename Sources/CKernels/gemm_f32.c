// Matrix products in single precision (see gemm_kernels.h).
#include "gemm.h"

#define ELEMENT float
#define ELEMENT_BYTES 4

#define LEVEL 0
#define NAME(x) x##_generic
#include "gemm_kernels.h"

#if defined(__x86_64__)
#define LEVEL 3
#define NAME(x) x##_v3
#include "gemm_kernels.h"

#define LEVEL 4
#define NAME(x) x##_v4
#include "gemm_kernels.h"
#endif

void mg_gemm_small_f32(bool transpose_a, bool transpose_b, int64_t m, int64_t n, int64_t k, const float *a, int64_t lda,
                       const float *b, int64_t ldb, bool accumulate, const float *bias, float *c, int64_t ldc) {
  __typeof__(small_generic) *best = GEMM_BEST(small);
  best(transpose_a, transpose_b, m, n, k, a, lda, b, ldb, accumulate, bias, c, ldc);
}

void mg_gemm_f32(bool transpose_a, bool transpose_b, int64_t m, int64_t n, int64_t k, const float *a, int64_t lda,
                 const float *b, int64_t ldb, bool accumulate, const float *bias, float *c, int64_t ldc) {
  __typeof__(gemm_generic) *best = GEMM_BEST(gemm);
  best(transpose_a, transpose_b, m, n, k, a, lda, b, ldb, accumulate, bias, c, ldc);
}

void mg_gemm_batch_f32(int64_t batches, bool transpose_a, bool transpose_b, int64_t m, int64_t n, int64_t k, const float *a,
                       int64_t lda, int64_t a_stride, const float *b, int64_t ldb, int64_t b_stride, float *c) {
  __typeof__(gemm_batch_generic) *best = GEMM_BEST(gemm_batch);
  best(batches, transpose_a, transpose_b, m, n, k, a, lda, a_stride, b, ldb, b_stride, c);
}
