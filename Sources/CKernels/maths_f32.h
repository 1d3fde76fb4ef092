// float32 exponentials, logarithms and what is made of them, branch-free so that loops over them vectorise.
//
// Every function takes any argument (denormal results, infinities, NaN) and is within 2 ulp of the true value; the
// tests sweep the whole range. `fma` is written where it is meant, and nothing else is contracted, so all CPUs give
// the same bits. Polynomials are minimax fits with float coefficients.
#ifndef MG_MATHS_F32_H
#define MG_MATHS_F32_H

#include "internal.h"

MG_NO_CONTRACTION

MG_INLINE uint32_t mg_bits(float x) {
  uint32_t u;
  memcpy(&u, &x, sizeof u);
  return u;
}

MG_INLINE float mg_float(uint32_t u) {
  float x;
  memcpy(&x, &u, sizeof x);
  return x;
}

MG_INLINE float mg_fma(float a, float b, float c) { return __builtin_fmaf(a, b, c); }
MG_INLINE float mg_absf(float x) { return __builtin_fabsf(x); }

// MARK: the exponential

/// e^x = value · scale, where value is normal (or NaN) and only the last product may overflow or become denormal.
/// Callers with more factors multiply them in before the scale. x must be at most 89 and is cut off at −120.
typedef struct {
  float value, scale;
} mg_scaled;

/// e^(x + low). x = k·ln 2 + r, |r| ≤ ln 2 / 2. Adding 1.5·2²³ rounds to an integer, which then lies in the low bits;
/// 254 on top biases it for two exponents, so that 2^k splits into two factors, normal for −252 ≤ k ≤ 254.
MG_INLINE mg_scaled mg_exp_sum(float x, float low) {
  const float shift = 12582912 + 254;
  x = x < -120 ? -120 : x;
  float t = mg_fma(x, 0x1.715476p+0f, shift), k = t - shift;
  float r = mg_fma(k, -0x1.62e430p-1f, x);
  r = mg_fma(k, 0x1.05c610p-29f, r) + low;
  float q = 0x1.6a4154p-10f;
  q = mg_fma(q, r, 0x1.1239c6p-7f);
  q = mg_fma(q, r, 0x1.5558bcp-5f);
  q = mg_fma(q, r, 0x1.555492p-3f);
  q = mg_fma(q, r, 0x1.fffffcp-2f);
  float p = mg_fma(q * r, r, r) + 1;
  uint32_t both = mg_bits(t), half = both >> 1;
  return (mg_scaled){p * mg_float(half << 23), mg_float((both - half) << 23)};
}

MG_INLINE mg_scaled mg_exp_scaled(float x) { return mg_exp_sum(x, -0.0f); }

MG_INLINE float mg_expf(float x) {
  mg_scaled e = mg_exp_scaled(x > 89 ? 89 : x);
  return e.value * e.scale;
}

/// y = scale · e^x, n elements, inlined into a clone. y may be x.
MG_INLINE void mg_exp_row_f32(int64_t n, float scale, const float *x, float *y) {
  int64_t whole = n & ~(int64_t)15;
  float few[16];
  for (int64_t i = 0; i < whole; i += 16) {
    _Pragma("clang loop vectorize(assume_safety) vectorize_width(16) interleave_count(1)")
    for (int j = 0; j < 16; j++) y[i + j] = scale * mg_expf(x[i + j]);
  }
  if (whole == n) return;
  for (int j = 0; j < 16; j++) few[j] = 0;
  for (int64_t i = whole; i < n; i++) few[i - whole] = x[i];
  _Pragma("clang loop vectorize(assume_safety) vectorize_width(16) interleave_count(1)")
  for (int j = 0; j < 16; j++) few[j] = scale * mg_expf(few[j]);
  for (int64_t i = whole; i < n; i++) y[i] = few[i - whole];
}

/// e^x − 1 for |x| ≤ 80: 2^k·(e^r − 1) + (2^k − 1).
MG_INLINE float mg_expm1_near(float x) {
  const float shift = 12582912 + 127;
  float t = mg_fma(x, 0x1.715476p+0f, shift), k = t - shift;
  float r = mg_fma(k, -0x1.62e430p-1f, x);
  r = mg_fma(k, 0x1.05c610p-29f, r);
  float q = 0x1.9e7cf0p-13f;
  q = mg_fma(q, r, 0x1.6d3a84p-10f);
  q = mg_fma(q, r, 0x1.1112d4p-7f);
  q = mg_fma(q, r, 0x1.5554f8p-5f);
  q = mg_fma(q, r, 0x1.555554p-3f);
  q = mg_fma(q, r, 0.5f);
  float p = mg_fma(q * r, r, r), scale = mg_float(mg_bits(t) << 23);
  return mg_fma(p, scale, scale - 1);
}

// MARK: the logarithm

/// log(2^e·(1 + f)) for √½ ≤ 1 + f < √2: f − f²/2 + f³·P(f) + e·ln 2, the small terms first.
MG_INLINE float mg_log_parts(float e, float f) {
  float square = f * f, fourth = square * square;
  float p01 = mg_fma(-0x1.000006p-2f, f, 0x1.555548p-2f);
  float p23 = mg_fma(-0x1.555c42p-3f, f, 0x1.99a476p-3f);
  float p45 = mg_fma(-0x1.fc2924p-4f, f, 0x1.233b9cp-3f);
  float p67 = mg_fma(-0x1.de001cp-4f, f, 0x1.e6c110p-4f);
  float high = mg_fma(mg_fma(0x1.146e42p-4f, square, p67), square, p45);
  float p = mg_fma(high, fourth, mg_fma(p23, square, p01));
  float small = mg_fma(e, -0x1.bd0106p-13f, square * f * p);  // ln 2 = 0x1.63p−1 + this
  small = mg_fma(-0.5f, square, small);
  return mg_fma(e, 0x1.63p-1f, f + small);
}

enum { MG_SQRT_HALF = 0x3f3504f3 };  // the bits of √½, where the mantissa's range begins

MG_INLINE float mg_logf(float x) {
  bool tiny = x < 0x1p-126f;
  uint32_t bits = mg_bits(tiny ? x * 0x1p23f : x) - MG_SQRT_HALF;
  float e = (float)((int32_t)bits >> 23) - (tiny ? 23.0f : 0.0f);
  float f = mg_float((bits & 0x7fffff) + MG_SQRT_HALF) - 1;
  float y = mg_log_parts(e, f);
  y = x > 0 ? y : x == 0 ? -INFINITY : NAN;
  return x < INFINITY ? y : x;  // inf and NaN
}

/// log(1 + x): what rounding lost in u = 1 + x is added to u's mantissa.
MG_INLINE float mg_log1pf(float x) {
  float u = 1 + x, lost = x - (u - 1);
  uint32_t bits = mg_bits(u) - MG_SQRT_HALF;
  int32_t e = (int32_t)bits >> 23;
  float f = mg_float((bits & 0x7fffff) + MG_SQRT_HALF) - 1;
  int32_t small = e < 64 ? e : 64;  // beyond, `lost` counts nothing
  f = mg_fma(lost, mg_float((uint32_t)(127 - small) << 23), f);
  float y = mg_log_parts((float)e, f);
  y = u > 0 ? y : u == 0 ? -INFINITY : NAN;
  y = x == 0 ? x : y;           // keeps −0
  return x < INFINITY ? y : x;  // inf and NaN
}

// MARK: hyperbolic tangent and the logistic family

/// (e^2|x| − 1) / (e^2|x| + 1), with x's sign; 1 from 9.02 on.
MG_INLINE float mg_tanhf(float x) {
  float a = mg_absf(x);
  float e = mg_expm1_near(2 * (a > 9.02f ? 9.02f : a));
  return __builtin_copysignf(e / (e + 2), x);
}

/// 1 / (1 + e^−x), with e = e^−|x|: 1/(1 + e), or on the negative side e/(1 + e) = e − e·e/(1 + e), which rounds
/// better and is scaled last, so that denormal results keep their digits.
MG_INLINE float mg_sigmoidf(float x) {
  mg_scaled e = mg_exp_scaled(-mg_absf(x));
  float whole = e.value * e.scale, q = (x < 0 ? whole : 1) / (1 + whole);
  return x < 0 ? mg_fma(-e.value, q, e.value) * e.scale : q;
}

/// x·sigmoid(x).
MG_INLINE float mg_siluf(float x) {
  mg_scaled e = mg_exp_scaled(-mg_absf(x));
  float whole = e.value * e.scale, q = (x < 0 ? whole : x) / (1 + whole);
  float y = x < 0 ? x * mg_fma(-e.value, q, e.value) * e.scale : q;
  return x == -INFINITY ? -0.0f : y;
}

/// log(1 + e^−|x|), with log(1 + t) = 2·artanh(s), s = t/(2 + t), in the form t − (t²/2 − s·(t²/2 + R(s²))).
MG_INLINE float mg_softplus_tail(float x) {
  float t = mg_expf(-mg_absf(x)), s = t / (2 + t), z = s * s;
  float r = mg_fma(mg_fma(mg_fma(0x1.1eca06p-2f, z, 0x1.1ec042p-2f), z, 0x1.99d1ccp-2f), z, 0x1.555502p-1f);
  float half = 0.5f * t * t;
  return t - (half - s * mg_fma(z, r, half));
}

/// log(sigmoid(x)) = min(x, 0) − log(1 + e^−|x|).
MG_INLINE float mg_logsigmoidf(float x) { return (x > 0 ? 0 : x) - mg_softplus_tail(x); }

/// log(1 + e^x) = max(x, 0) + log(1 + e^−|x|); above 20 PyTorch returns x, which is the same number.
MG_INLINE float mg_softplusf(float x) { return (x < 0 ? 0 : x) + mg_softplus_tail(x); }

/// x·tanh(log(1 + e^x)) = x·w/(w + 2), w = e^x·(e^x + 2); from 20 on it is x.
MG_INLINE float mg_mishf(float x) {
  mg_scaled e = mg_exp_scaled(x > 20 ? 20 : x);
  float whole = e.value * e.scale, two = whole + 2;
  float y = x * (e.value * two / mg_fma(whole, two, 2)) * e.scale;
  return x > 20 ? x : x == -INFINITY ? -0.0f : y;
}

/// x·Φ(x), Φ the normal distribution. Φ(−a) = e^(−a²/2)·W(a) with W a quotient of polynomials, all of whose terms are
/// positive. What rounding lost in a² is passed to the exponential, so the far tail is as exact as the middle.
MG_INLINE float mg_geluf(float x) {
  float a = mg_absf(x);
  a = a > 16 ? 16 : a;  // where the tail is 0
  float square = a * a, lost = mg_fma(a, a, -square);
  mg_scaled e = mg_exp_sum(-0.5f * square, -0.5f * lost);
  float n = 0x1.0c3d5ep-7f, d = 0x1.502f4cp-6f;
  n = mg_fma(n, a, 0x1.4bb244p-4f);
  n = mg_fma(n, a, 0x1.767236p-2f);
  n = mg_fma(n, a, 0x1.c04d8ap-1f);
  n = mg_fma(n, a, 1.0f);
  d = mg_fma(d, a, 0x1.9fbf00p-3f);
  d = mg_fma(d, a, 0x1.dfa682p-1f);
  d = mg_fma(d, a, 0x1.336ea2p+1f);
  d = mg_fma(d, a, 0x1.ac68f4p+1f);
  d = mg_fma(d, a, 2.0f);
  float tail = a * n * e.value / d * e.scale;  // a·Φ(−a)
  return x > 0 ? x - tail : x == x ? -tail : x;
}

/// x·sigmoid(√(8/π)·(x + 0.044715·x³)), which is GELU's usual approximation by tanh. The argument is computed in
/// double, for its absolute error is the result's relative error.
MG_INLINE float mg_gelu_tanhf(float x) {
  double a = __builtin_fabs((double)x);
  a = a > 16 ? 16 : a;
  double argument = -a * (1.5957691216057308 + 0.07135481627159136 * a * a);
  float high = (float)argument;
  mg_scaled e = mg_exp_sum(high, (float)(argument - high));
  float whole = e.value * e.scale, q = (x < 0 ? whole : x) / (1 + whole);
  float y = x < 0 ? x * mg_fma(-e.value, q, e.value) * e.scale : q;
  return x == -INFINITY ? -0.0f : y;
}

#endif
