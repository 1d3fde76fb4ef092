// Matrix products in double precision, of any size (see gemm_kernels.h and gemm_blocked.h).
#include "mg_kernels.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

/// Multiply-adds up to which a product is not packed, and from which it is split over threads.
#define SMALL_WORK (1 << 19)
#define THREADS_WORK (1 << 19)
/// Fewest rows and columns that are worth packing.
#define NARROW 8

// ------------------------------------------------------------------------------------------------ scratch

/// A thread's packing buffers: 0 for a slab of Y, 1 for a block of X (the thread that packed a slab also takes
/// blocks). They are kept for the thread's next product and freed when it ends.
typedef struct {
  void *start[2];
  size_t size[2];
} buffers;

static pthread_key_t buffers_key;
static pthread_once_t buffers_once = PTHREAD_ONCE_INIT;

static void free_buffers(void *pointer) {
  buffers *mine = pointer;
  free(mine->start[0]);
  free(mine->start[1]);
  free(mine);
}

static void make_key(void) { if (pthread_key_create(&buffers_key, free_buffers) != 0) abort(); }

/// At least `size` bytes, aligned to a cache line, or NULL.
static void *scratch(int which, size_t size) {
  pthread_once(&buffers_once, make_key);
  buffers *mine = pthread_getspecific(buffers_key);
  if (!mine) {
    mine = calloc(1, sizeof *mine);
    if (!mine || pthread_setspecific(buffers_key, mine) != 0) return free(mine), NULL;
  }
  if (mine->size[which] < size) {
    free(mine->start[which]);
    mine->start[which] = aligned_alloc(64, (size + 63) / 64 * 64);
    mine->size[which] = mine->start[which] ? size : 0;
  }
  return mine->start[which];
}

// ------------------------------------------------------------------------------------------------ instruction sets

#define ELEMENT double
#define ELEMENT_BYTES 8
#define BLOCKED

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

typedef void gemm_f64(bool, bool, int64_t, int64_t, int64_t, const double *, int64_t, const double *, int64_t, bool,
                      const double *, double *, int64_t);

static gemm_f64 *choose(void) {
#if defined(__x86_64__)
  if (__builtin_cpu_supports("x86-64-v4")) return gemm_v4;
  if (__builtin_cpu_supports("x86-64-v3")) return gemm_v3;
#endif
  return gemm_generic;
}

void mg_gemm_f64(bool transpose_a, bool transpose_b, int64_t m, int64_t n, int64_t k, const double *a, int64_t lda,
                 const double *b, int64_t ldb, bool accumulate, const double *bias, double *c, int64_t ldc) {
  static gemm_f64 *_Atomic chosen;
  gemm_f64 *gemm = atomic_load_explicit(&chosen, memory_order_relaxed);
  if (!gemm) {
    gemm = choose();
    atomic_store_explicit(&chosen, gemm, memory_order_relaxed);
  }
  gemm(transpose_a, transpose_b, m, n, k, a, lda, b, ldb, accumulate, bias, c, ldc);
}
