// The loops of maths.c for one level of the CPU: a body, see levels.h.

#include "maths_f32.h"

// MARK: float32's own functions

#define LOOP_16(name)                                                                                   \
  static void LEVEL(name##_f32)(int64_t n, const float *x, float *y) {                                  \
    int64_t whole = n & ~(int64_t)15;                                                                   \
    for (int64_t i = 0; i < whole; i += 16) MG_STORE(F, LEVEL(name)(MG_LOAD(F, x + i)), y + i);         \
    if (whole == n) return;                                                                             \
    F few = LEVEL(name)(LEVEL(load_few)(n - whole, x + whole, 0.5f));                                   \
    LEVEL(store_few)(n - whole, few, y + whole);                                                        \
  }
LOOP_16(exp)
LOOP_16(expm1)
LOOP_16(log)
LOOP_16(log1p)
LOOP_16(tanh)
LOOP_16(erf)
LOOP_16(sigmoid)
LOOP_16(logsigmoid)
LOOP_16(softplus)
LOOP_16(silu)
LOOP_16(mish)
LOOP_16(gelu)
LOOP_16(gelu_tanh)

// Of two operands, the first of which may be one number.
#define LOOP2_16(name)                                                                                  \
  static void LEVEL(name##_f32)(int64_t n, const float *a, int64_t as, const float *b, int64_t bs, float *y) { \
    (void)bs;                                                                                           \
    F va = a[0];                                                                                        \
    int64_t whole = n & ~(int64_t)15;                                                                   \
    for (int64_t i = 0; i < whole; i += 16) {                                                           \
      if (as) va = MG_LOAD(F, a + i);                                                                   \
      MG_STORE(F, LEVEL(name)(va, MG_LOAD(F, b + i)), y + i);                                           \
    }                                                                                                   \
    if (whole == n) return;                                                                             \
    if (as) va = LEVEL(load_few)(n - whole, a + whole, 0.5f);                                           \
    F few = LEVEL(name)(va, LEVEL(load_few)(n - whole, b + whole, 0.5f));                               \
    LEVEL(store_few)(n - whole, few, y + whole);                                                        \
  }
LOOP2_16(silu_gradient)
LOOP2_16(gelu_gradient)

#include "maths_f64.h"

#if MG_SLEEF

typedef float LEVEL(VF) __attribute__((ext_vector_type(FLOATS)));
typedef double LEVEL(VD) __attribute__((ext_vector_type(DOUBLES)));
#define VF LEVEL(VF)
#define VD LEVEL(VD)

/// SLEEF's function f of one or two vectors.
#define OVERLOADED __attribute__((overloadable)) static inline
OVERLOADED VF LEVEL(call)(void (*f)(void), VF a, VF b) {
  VF y;
  LEVEL(mg_sleef_call)(f, &a, &b, &y);
  return y;
}
OVERLOADED VD LEVEL(call)(void (*f)(void), VD a, VD b) {
  VD y;
  LEVEL(mg_sleef_call)(f, &a, &b, &y);
  return y;
}
OVERLOADED VF LEVEL(call)(void (*f)(void), VF v) { return LEVEL(call)(f, v, v); }
OVERLOADED VD LEVEL(call)(void (*f)(void), VD v) { return LEVEL(call)(f, v, v); }
#undef OVERLOADED

// One block, then a loop of blocks. Fewer elements than a block are padded, with a number every function likes.
#define LOOP(V, type, name, LANES, ...)                                                                 \
  static inline V LEVEL(block_##name)(V v) { __VA_ARGS__ }                                              \
  static void LEVEL(name)(int64_t n, const type *x, type *y) {                                          \
    int64_t i = 0;                                                                                      \
    for (; i + LANES <= n; i += LANES) MG_STORE(V, LEVEL(block_##name)(MG_LOAD(V, x + i)), y + i);      \
    if (i == n) return;                                                                                 \
    V few = 0.5f;                                                                                       \
    for (int64_t j = i; j < n; j++) few[j - i] = x[j];                                                  \
    few = LEVEL(block_##name)(few);                                                                     \
    for (int64_t j = i; j < n; j++) y[j] = few[j - i];                                                  \
  }
#define LOOP_F(name, ...) LOOP(VF, float, name##_f32, FLOATS, __VA_ARGS__)
#define LOOP_D(name, ...) LOOP(VD, double, name##_f64, DOUBLES, __VA_ARGS__)

// SLEEF's functions, declared by name only (see `call`).
#define PLAIN_F(name, accuracy)                                                                         \
  void SLEEF_F(name, accuracy)(void);                                                                   \
  LOOP_F(name, return LEVEL(call)(SLEEF_F(name, accuracy), v);)
#define PLAIN_D(name, accuracy)                                                                         \
  void SLEEF_D(name, accuracy)(void);                                                                   \
  LOOP_D(name, return LEVEL(call)(SLEEF_D(name, accuracy), v);)

// MARK: functions that are SLEEF's own

#define BOTH(name, accuracy) PLAIN_F(name, accuracy) PLAIN_D(name, accuracy)
BOTH(exp2, u10)
PLAIN_D(expm1, u10)
BOTH(log2, u10)
BOTH(log10, u10)
BOTH(sin, u10)
BOTH(cos, u10)
BOTH(tan, u10)
BOTH(asin, u10)
BOTH(acos, u10)
BOTH(atan, u10)
BOTH(atanh, u10)
BOTH(erfc, u15)
void SLEEF_D(exp, u10)(void);
PLAIN_D(log, u10)
PLAIN_D(erf, u10)
#undef BOTH

// MARK: functions that are SLEEF's up to a limit

// Beyond it SLEEF returns infinity too early, or (lgamma, negative) is inexact near zeros; libm does those lanes again.
#define LIMITED(V, type, name, LANES, OP, CALL, BEYOND)                                                 \
  void CALL(void);                                                                                      \
  LOOP(V, type, name, LANES, {                                                                          \
    V r = LEVEL(call)(CALL, v);                                                                         \
    __typeof__(v < v) beyond = BEYOND;                                                                  \
    if (__builtin_reduce_or(beyond))                                                                    \
      for (int i = 0; i < LANES; i++)                                                                   \
        if (beyond[i]) r[i] = (type)mg_libm(OP, v[i]);                                                  \
    return r;                                                                                           \
  })
#define BOTH(OP, name, BEYOND_F, BEYOND_D)                                                              \
  LIMITED(VF, float, name##_f32, FLOATS, OP, SLEEF_F(name, u10), BEYOND_F)                              \
  LIMITED(VD, double, name##_f64, DOUBLES, OP, SLEEF_D(name, u10), BEYOND_D)
BOTH(MG_SINH, sinh, ABS(v) > 88, ABS(v) > 709)
BOTH(MG_COSH, cosh, ABS(v) > 88, ABS(v) > 709)
BOTH(MG_ASINH, asinh, ABS(v) > 1e19f, ABS(v) > 1e154)
BOTH(MG_ACOSH, acosh, v > 1e19f, v > 1e154)
BOTH(MG_LGAMMA, lgamma, v < 0 | v > 4e36f, v < 0 | v > 1e305)
LIMITED(VD, double, log1p_f64, DOUBLES, MG_LOG1P, SLEEF_D(log1p, u10), v > 1e307)
#undef BOTH

// MARK: the logistic family in float64 (float32's are above)

#define EXP(v) LEVEL(call)(SLEEF_D(exp, u10), v)
#define LOG1P(v) LEVEL(call)(SLEEF_D(log1p, u10), v)

// e = e^−|x| never overflows. The negative side is e/(1 + e) = e − e·e/(1 + e), which rounds better.
LOOP_D(sigmoid, {
  VD e = EXP(-ABS(v)), q = (v < 0 ? e : 1) / (1 + e);
  return v < 0 ? __builtin_elementwise_fma(-e, q, e) : q;
})
// The square root of e^−|x|, multiplied in twice, keeps the digits of denormal results.
LOOP_D(silu, {
  VD h = EXP(-0.5 * ABS(v)), d = __builtin_elementwise_fma(h, h, (VD)1);
  VD y = v < 0 ? v * h / d * h : v / d;
  return v == -INFINITY ? (VD)-0.0 : y;
})
LOOP_D(logsigmoid, { return (v > 0 ? 0 : v) - LOG1P(EXP(-ABS(v))); })
LOOP_D(softplus, { return (v < 0 ? 0 : v) + LOG1P(EXP(-ABS(v))); })
LOOP_D(gelu_tanh, {
  VD e = EXP(-ABS(v * (1.5957691216057308 + 0.07135481627159136 * v * v)));
  VD y = v * ((v < 0 ? e : 1) / (1 + e));
  return v == -INFINITY ? (VD)-0.0 : y;
})
LOOP_D(mish, {
  VD h = EXP(0.5 * (v > 40 ? 40 : v)), e = h * h;
  VD y = v * h * ((e + 2) / __builtin_elementwise_fma(e, e + 2, (VD)2)) * h;
  return v > 40 ? v : v == -INFINITY ? (VD)-0.0 : y;
})
// ½·x·erfc(z), z = −x/√2; z's rounding error δ would show 2z-fold in the tail, so it is undone: erfc' ≈ −2z·erfc.
LOOP_D(gelu, {
  VD z = -v * M_SQRT1_2, lost = __builtin_elementwise_fma(-v, (VD)M_SQRT1_2, -z);
  VD y = 0.5 * v * LEVEL(call)(SLEEF_D(erfc, u15), z);
  y = z > 1 ? y - y * (2 * z * (lost - v * -4.8336466567264565e-17)) : y;
  return v == -INFINITY ? (VD)-0.0 : y;
})

// MARK: two operands

#define LOOP2(V, type, name, LANES, CALL)                                                               \
  void CALL(void);                                                                                      \
  static void LEVEL(name)(int64_t n, const type *a, int64_t as, const type *b, int64_t bs, type *y) {   \
    if (n == 0) return;                                                                                 \
    V va = a[0], vb = b[0];                                                                             \
    int64_t i = 0;                                                                                      \
    for (; i + LANES <= n; i += LANES) {                                                                \
      if (as) memcpy(&va, a + i, sizeof va);                                                            \
      if (bs) memcpy(&vb, b + i, sizeof vb);                                                            \
      V v = LEVEL(call)(CALL, va, vb);                                                                  \
      memcpy(y + i, &v, sizeof v);                                                                      \
    }                                                                                                   \
    if (i == n) return;                                                                                 \
    if (as) for (int64_t j = i; j < n; j++) va[j - i] = a[j];                                           \
    if (bs) for (int64_t j = i; j < n; j++) vb[j - i] = b[j];                                           \
    V v = LEVEL(call)(CALL, va, vb);                                                                    \
    for (int64_t j = i; j < n; j++) y[j] = v[j - i];                                                    \
  }
#define PAIR(name, accuracy)                                                                            \
  LOOP2(VF, float, name##_f32, FLOATS, SLEEF_F(name, accuracy))                                         \
  LOOP2(VD, double, name##_f64, DOUBLES, SLEEF_D(name, accuracy))
PAIR(pow, u10)
PAIR(atan2, u10)
PAIR(hypot, u05)

#endif

// MARK: the table

#define BOTH(X, type)                                                                                   \
  X(EXP2, exp2, type) X(LOG2, log2, type) X(LOG10, log10, type) X(SIN, sin, type) \
  X(COS, cos, type) X(TAN, tan, type) X(ASIN, asin, type) X(ACOS, acos, type) X(ATAN, atan, type)       \
  X(SINH, sinh, type) X(COSH, cosh, type) X(ASINH, asinh, type) X(ACOSH, acosh, type)                   \
  X(ATANH, atanh, type) X(ERFC, erfc, type) X(LGAMMA, lgamma, type)
#define OWN(X, type)                                                                                    \
  X(EXP, exp, type) X(EXPM1, expm1, type) X(LOG, log, type) X(LOG1P, log1p, type)                       \
  X(TANH, tanh, type) X(ERF, erf, type) X(SIGMOID, sigmoid, type) X(SILU, silu, type)                   \
  X(LOGSIGMOID, logsigmoid, type) X(SOFTPLUS, softplus, type) X(GELU_TANH, gelu_tanh, type)             \
  X(MISH, mish, type) X(GELU, gelu, type)
#define PAIRS(X, type) X(POW, pow, type) X(ATAN2, atan2, type) X(HYPOT, hypot, type)
#define OWN_PAIRS(X, type) X(SILU_GRAD, silu_gradient, type) X(GELU_GRAD, gelu_gradient, type)
#define ENTRY(OP, name, type) [MG_##OP] = LEVEL(name##_##type),

static const maths_table LEVEL(table) = {
#if MG_SLEEF
  .f32 = {OWN(ENTRY, f32) BOTH(ENTRY, f32)},
  .f64 = {OWN(ENTRY, f64) BOTH(ENTRY, f64)},
  .pair_f32 = {OWN_PAIRS(ENTRY, f32) PAIRS(ENTRY, f32)},
  .pair_f64 = {PAIRS(ENTRY, f64)},
#else
  .f32 = {OWN(ENTRY, f32)},
  .f64 = {ENTRY(EXP, exp, f64) ENTRY(TANH, tanh, f64)},
  .pair_f32 = {OWN_PAIRS(ENTRY, f32)},
#endif
};

#undef LOOP_16
#undef LOOP2_16
#undef VF
#undef VD
#undef LOOP
#undef LOOP_F
#undef LOOP_D
#undef PLAIN_F
#undef PLAIN_D
#undef LIMITED
#undef EXP
#undef LOG1P
#undef LOOP2
#undef PAIR
#undef BOTH
#undef OWN
#undef PAIRS
#undef OWN_PAIRS
#undef ENTRY
#include "maths_f32_end.h"
