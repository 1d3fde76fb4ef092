// Transcendental functions by SLEEF's vector functions, compiled for AVX-512, AVX2 and SSE2 and picked at run time.
//
// The loops are written once, in maths_sleef_loops.h, which is included for each level with the vectors' widths and
// the names of SLEEF's functions. SLEEF's own header declares only what the compiler's flags allow, so the loops
// declare what they call.
#include "maths.h"

#if defined(__x86_64__)
#include <stdatomic.h>

MG_NO_CONTRACTION

typedef struct {
  void (*f32[MG_UNARY_COUNT])(int64_t n, const float *x, float *y);
  void (*f64[MG_UNARY_COUNT])(int64_t n, const double *x, double *y);
  void (*pair_f32[MG_BINARY_COUNT])(int64_t n, const float *a, int64_t as, const float *b, int64_t bs, float *y);
  void (*pair_f64[MG_BINARY_COUNT])(int64_t n, const double *a, int64_t as, const double *b, int64_t bs, double *y);
} table;

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

#define LEVEL(name) name##_v4
#define FLOATS 16
#define DOUBLES 8
#define SLEEF_F(name, accuracy) Sleef_##name##f16_##accuracy##avx512f
#define SLEEF_D(name, accuracy) Sleef_##name##d8_##accuracy##avx512f
// Features instead of arch=x86-64-v4: at that level clang prefers 256 bits and would pass a vector in two halves.
#pragma clang attribute push(__attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,fma"))), apply_to = function)
#include "maths_sleef_loops.h"
#pragma clang attribute pop

#define LEVEL(name) name##_v3
#define FLOATS 8
#define DOUBLES 4
#define SLEEF_F(name, accuracy) Sleef_##name##f8_##accuracy##avx2
#define SLEEF_D(name, accuracy) Sleef_##name##d4_##accuracy##avx2
#pragma clang attribute push(__attribute__((target("arch=x86-64-v3"))), apply_to = function)
#include "maths_sleef_loops.h"
#pragma clang attribute pop

#define LEVEL(name) name##_v1
#define FLOATS 4
#define DOUBLES 2
#define SLEEF_F(name, accuracy) Sleef_##name##f4_##accuracy##sse2
#define SLEEF_D(name, accuracy) Sleef_##name##d2_##accuracy##sse2
#include "maths_sleef_loops.h"

static const table *choose(void) {
  static _Atomic(const table *) chosen;
  const table *t = atomic_load_explicit(&chosen, memory_order_relaxed);
  if (t) return t;
  t = __builtin_cpu_supports("x86-64-v4") ? &table_v4 : __builtin_cpu_supports("x86-64-v3") ? &table_v3 : &table_v1;
  atomic_store_explicit(&chosen, t, memory_order_relaxed);
  return t;
}

bool mg_sleef_f32(mg_unary_op op, int64_t n, const float *x, float *y) {
  void (*loop)(int64_t, const float *, float *) = choose()->f32[op];
  if (loop) loop(n, x, y);
  return loop;
}
bool mg_sleef_f64(mg_unary_op op, int64_t n, const double *x, double *y) {
  void (*loop)(int64_t, const double *, double *) = choose()->f64[op];
  if (loop) loop(n, x, y);
  return loop;
}
bool mg_sleef2_f32(mg_binary_op op, int64_t n, const float *a, int64_t as, const float *b, int64_t bs, float *y) {
  choose()->pair_f32[op](n, a, as, b, bs, y);
  return true;
}
bool mg_sleef2_f64(mg_binary_op op, int64_t n, const double *a, int64_t as, const double *b, int64_t bs, double *y) {
  choose()->pair_f64[op](n, a, as, b, bs, y);
  return true;
}

#else
bool mg_sleef_f32(mg_unary_op op, int64_t n, const float *x, float *y) { return false; }
bool mg_sleef_f64(mg_unary_op op, int64_t n, const double *x, double *y) { return false; }
bool mg_sleef2_f32(mg_binary_op op, int64_t n, const float *a, int64_t as, const float *b, int64_t bs, float *y) {
  return false;
}
bool mg_sleef2_f64(mg_binary_op op, int64_t n, const double *a, int64_t as, const double *b, int64_t bs, double *y) {
  return false;
}
#endif
