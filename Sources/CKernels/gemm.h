// What the matrix products of both element types share.
#ifndef MG_GEMM_H
#define MG_GEMM_H

#include "mg_kernels.h"

#include <stdatomic.h>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

/// Multiply-adds up to which one core does a product, and from which it packs its operands.
#define GEMM_ALONE ((int64_t)1 << 19)
#define GEMM_PACKED ((int64_t)1 << 27)

/// This thread's packing buffer: at least `size` bytes, aligned to a cache line, or NULL. It is kept for the thread's
/// next product and freed when the thread ends.
void *mg_gemm_scratch(size_t size);

/// Which of the kernels this machine runs best: the LEVEL of gemm_kernels.h. Not an ifunc, since those are glibc's
/// and crash under ThreadSanitizer.
static inline int mg_gemm_level(void) {
  static _Atomic int cached = -1;
  int level = atomic_load_explicit(&cached, memory_order_relaxed);
  if (level < 0) {
    level = 0;
#if defined(__x86_64__)
    if (__builtin_cpu_supports("x86-64-v3")) level = 3;
    if (__builtin_cpu_supports("x86-64-v4")) level = 4;
#endif
    atomic_store_explicit(&cached, level, memory_order_relaxed);
  }
  return level;
}

/// That kernel. (Calling through a pointer keeps it a jump: the arguments need not be copied.)
#if defined(__x86_64__)
#define GEMM_BEST(function)                                                                                          \
  (mg_gemm_level() == 4 ? function##_v4 : mg_gemm_level() == 3 ? function##_v3 : function##_generic)
#else
#define GEMM_BEST(function) function##_generic
#endif

#endif
