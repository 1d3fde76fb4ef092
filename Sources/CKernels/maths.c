// Transcendental functions over contiguous arrays: float32 has its own (maths_f32.h) for the common ones; SLEEF does
// the others, and float64; libm does the rest.
#include "maths.h"

#include <stdatomic.h>

#include "lanes.h"

MG_NO_CONTRACTION

typedef struct {
  void (*f32[MG_UNARY_COUNT])(int64_t n, const float *x, float *y);
  void (*f64[MG_UNARY_COUNT])(int64_t n, const double *x, double *y);
  void (*pair_f32[MG_BINARY_COUNT])(int64_t n, const float *a, int64_t as, const float *b, int64_t bs, float *y);
  void (*pair_f64[MG_BINARY_COUNT])(int64_t n, const double *a, int64_t as, const double *b, int64_t bs, double *y);
} maths_table;

#if defined(__x86_64__)
// Clang's calling convention goes by the features of the whole file, not by a function's target attribute: here vectors of
// more than 128 bits would travel in memory, while SLEEF takes and returns them in registers. So calls go through a few
// lines of assembly, one function per level: y = f(a) or f(a, b), the vectors given by their places.
#define CALLER(LEVEL, MOVE, REGISTER)                                                                        \
  __asm__(".text\n.p2align 4\n.hidden mg_sleef_call_" #LEVEL "\n.globl mg_sleef_call_" #LEVEL                \
          "\n.type mg_sleef_call_" #LEVEL ", @function\nmg_sleef_call_" #LEVEL ":\n.cfi_startproc\n"          \
          "pushq %rbx\n.cfi_def_cfa_offset 16\n.cfi_offset %rbx, -16\n"                                      \
          "movq %rcx, %rbx\n" MOVE " (%rsi), %" REGISTER "0\n" MOVE " (%rdx), %" REGISTER "1\n"             \
          "callq *%rdi\n" MOVE " %" REGISTER "0, (%rbx)\n"                                                   \
          "popq %rbx\n.cfi_def_cfa_offset 8\nretq\n.cfi_endproc\n.size mg_sleef_call_" #LEVEL                \
          ", .-mg_sleef_call_" #LEVEL "\n");                                                                 \
  __attribute__((visibility("hidden"))) void mg_sleef_call_##LEVEL(void (*f)(void), const void *a, const void *b, void *y);
CALLER(v4, "vmovups", "zmm")
CALLER(v3, "vmovups", "ymm")
CALLER(v1, "movups", "xmm")
#endif

#define MG_BODY "maths_loops.h"
#include "levels.h"

int mg_level(void) {
#if MG_SLEEF
  static _Atomic int known;  // level + 1
  int level = atomic_load_explicit(&known, memory_order_relaxed);
  if (level == 0) {
    bool v4 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
              __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
    level = v4 ? 3 : __builtin_cpu_supports("x86-64-v3") ? 2 : 1;
    atomic_store_explicit(&known, level, memory_order_relaxed);
  }
  return level - 1;
#else
  return 0;
#endif
}

static const maths_table *table(void) { return MG_PICK(&table); }

#define LOOPS(tag, T)                                                                                            \
  void mg_math_##tag(mg_unary_op op, int64_t n, const T *x, T *y) {                                              \
    void (*loop)(int64_t, const T *, T *) = table()->tag[op];                                                    \
    if (loop) loop(n, x, y);                                                                                     \
    else for (int64_t i = 0; i < n; i++) y[i] = (T)mg_libm(op, x[i]);                                            \
  }                                                                                                              \
  void mg_math2_##tag(mg_binary_op op, int64_t n, const T *a, int64_t as, const T *b, int64_t bs, T *y) {        \
    if (n == 0) return;                                                                                          \
    void (*loop)(int64_t, const T *, int64_t, const T *, int64_t, T *) = table()->pair_##tag[op];                \
    if (loop) {                                                                                                  \
      loop(n, a, as, b, bs, y);                                                                                  \
      return;                                                                                                    \
    }                                                                                                            \
    T a0 = a[0], b0 = b[0];                                                                                      \
    for (int64_t i = 0; i < n; i++) y[i] = (T)mg_libm2(op, as ? a[i] : a0, bs ? b[i] : b0);                      \
  }
MG_FLOATS(LOOPS)
