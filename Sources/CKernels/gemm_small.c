// Small matrix products in single precision (see gemm_kernels.h). The instruction set is chosen at the first call.
#include "mg_kernels.h"

#include <stdatomic.h>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

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

typedef void gemm_f32(bool, bool, int64_t, int64_t, int64_t, const float *, int64_t, const float *, int64_t, bool,
                      const float *, float *, int64_t);

static gemm_f32 *choose(void) {
#if defined(__x86_64__)
  if (__builtin_cpu_supports("x86-64-v4")) return small_v4;
  if (__builtin_cpu_supports("x86-64-v3")) return small_v3;
#endif
  return small_generic;
}

void mg_gemm_small_f32(bool transpose_a, bool transpose_b, int64_t m, int64_t n, int64_t k, const float *a, int64_t lda,
                       const float *b, int64_t ldb, bool accumulate, const float *bias, float *c, int64_t ldc) {
  static gemm_f32 *_Atomic chosen;
  gemm_f32 *gemm = atomic_load_explicit(&chosen, memory_order_relaxed);
  if (!gemm) {
    gemm = choose();
    atomic_store_explicit(&chosen, gemm, memory_order_relaxed);
  }
  gemm(transpose_a, transpose_b, m, n, k, a, lda, b, ldb, accumulate, bias, c, ldc);
}
