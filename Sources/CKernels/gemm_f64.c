// Matrix products in double precision (see gemm_kernels.h).
#include "gemm.h"

#define ELEMENT double
#define ELEMENT_BYTES 8

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

void mg_gemm_f64(bool transpose_a, bool transpose_b, int64_t m, int64_t n, int64_t k, const double *a, int64_t lda,
                 const double *b, int64_t ldb, bool accumulate, const double *bias, double *c, int64_t ldc) {
  __typeof__(gemm_generic) *best = GEMM_BEST(gemm);
  best(transpose_a, transpose_b, m, n, k, a, lda, b, ldb, accumulate, bias, c, ldc);
}

void mg_gemm_batch_f64(int64_t batches, bool transpose_a, bool transpose_b, int64_t m, int64_t n, int64_t k, const double *a,
                       int64_t lda, int64_t a_stride, const double *b, int64_t ldb, int64_t b_stride, double *c) {
  __typeof__(gemm_batch_generic) *best = GEMM_BEST(gemm_batch);
  best(batches, transpose_a, transpose_b, m, n, k, a, lda, a_stride, b, ldb, b_stride, c);
}
