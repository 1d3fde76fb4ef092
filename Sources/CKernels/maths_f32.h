// float32 exponentials, logarithms and what is made of them: 16 lanes at a time, without branches.
//
// Every function takes any argument (denormal results, infinities, NaN); the tests sweep the whole range and state
// how many ulp it may be off. `fma` is written where it is meant, and nothing else is contracted, so all levels give
// the same bits. Polynomials are minimax fits with float coefficients. Part of a body, see levels.h.

#define F mg_f32x16
#define U mg_u32x16
#define FUNCTION static inline __attribute__((always_inline))
#define FMA(a, b, c) __builtin_elementwise_fma((F)(a), (F)(b), (F)(c))
#define ABS(x) __builtin_elementwise_abs(x)
#define BITS(x) ((U)(x))   // of equal size, so these reinterpret
#define FLOAT(u) ((F)(u))

// MARK: parts of a vector

/// The first n < 16 floats at x, then `rest`.
FUNCTION F LEVEL(load_few)(int64_t n, const float *x, float rest) {
#if MG_AVX512
  return __builtin_ia32_loadups512_mask(x, (F)rest, (unsigned short)((1u << n) - 1));
#else
  float few[16];
  for (int j = 0; j < 16; j++) few[j] = rest;
  MG_COPY_FEW(float, n, x, few);
  return MG_LOAD(F, few);
#endif
}

FUNCTION void LEVEL(store_few)(int64_t n, F v, float *y) {
#if MG_AVX512
  __builtin_ia32_storeups512_mask(y, v, (unsigned short)((1u << n) - 1));
#else
  float few[16];
  MG_STORE(F, v, few);
  MG_COPY_FEW(float, n, few, y);
#endif
}

// MARK: the exponential

/// v · 2^k for whole −252 ≤ k ≤ 254, rounded once where the result is denormal.
FUNCTION F LEVEL(scale)(F v, F k) {
#if MG_AVX512
  return __builtin_ia32_scalefps512_mask(v, k, v, (unsigned short)-1, 4 /* rounding as set */);
#else
  // Adding 1.5·2²³ to a whole number leaves it in the low bits. Two factors, for 2^k need not be a float.
  U biased = BITS(k + (12582912 + 254)), half = biased >> 1;
  return v * FLOAT(half << 23) * FLOAT((biased - half) << 23);
#endif
}

/// e^(x + low) = value · 2^k, with value near 1. Those who multiply by more do it before they scale, so that small
/// results keep their digits. For −170 ≤ x ≤ 89.
FUNCTION F LEVEL(exp_core)(F x, F low, F *k) {
  *k = FMA(x, 0x1.715476p+0f, 12582912) - 12582912;  // x / ln 2, rounded
  F r = FMA(*k, -0x1.62e430p-1f, x);
  r = FMA(*k, 0x1.05c610p-29f, r) + low;
  F q = 0x1.6a4154p-10f;
  q = FMA(q, r, 0x1.1239c6p-7f);
  q = FMA(q, r, 0x1.5558bcp-5f);
  q = FMA(q, r, 0x1.555492p-3f);
  q = FMA(q, r, 0x1.fffffcp-2f);
  return FMA(FMA(q, r, 1), r, 1);
}

/// The same for x ≤ 89, cut off at −120.
FUNCTION F LEVEL(exp_parts)(F x, F *k) { return LEVEL(exp_core)(x < -120 ? -120 : x, -0.0f, k); }

FUNCTION F LEVEL(exp)(F x) {
  F k, value = LEVEL(exp_parts)(x > 89 ? 89 : x, &k);
  return LEVEL(scale)(value, k);
}

/// e^x for x ≤ 0.
FUNCTION F LEVEL(exp_negative)(F x) {
  F k, value = LEVEL(exp_parts)(x, &k);
  return LEVEL(scale)(value, k);
}

/// e^x − 1 for |x| ≤ 80: 2^k·(e^r − 1) + (2^k − 1).
FUNCTION F LEVEL(expm1_near)(F x) {
  const float shift = 12582912 + 127;
  F t = FMA(x, 0x1.715476p+0f, shift), k = t - shift;
  F r = FMA(k, -0x1.62e430p-1f, x);
  r = FMA(k, 0x1.05c610p-29f, r);
  F q = 0x1.9e7cf0p-13f;
  q = FMA(q, r, 0x1.6d3a84p-10f);
  q = FMA(q, r, 0x1.1112d4p-7f);
  q = FMA(q, r, 0x1.5554f8p-5f);
  q = FMA(q, r, 0x1.555554p-3f);
  q = FMA(q, r, 0.5f);
  F p = FMA(q * r, r, r), power = FLOAT(BITS(t) << 23);
  return FMA(p, power, power - 1);
}

/// e^x − 1. The power that overflows first is split in two; below −30 the result is −1.
FUNCTION F LEVEL(expm1)(F x) {
  F a = x > 89 ? 89 : x < -30 ? -30 : x;
  F k = FMA(a, 0x1.715476p+0f, 12582912) - 12582912, most = k > 126 ? 126 : k;
  F r = FMA(k, -0x1.62e430p-1f, a);
  r = FMA(k, 0x1.05c610p-29f, r);
  F q = 0x1.9e7cf0p-13f;
  q = FMA(q, r, 0x1.6d3a84p-10f);
  q = FMA(q, r, 0x1.1112d4p-7f);
  q = FMA(q, r, 0x1.5554f8p-5f);
  q = FMA(q, r, 0x1.555554p-3f);
  q = FMA(q, r, 0.5f);
  F power = LEVEL(scale)(1, most), y = FMA(FMA(q * r, r, r), power, power - 1);
  return x == 0 ? x : LEVEL(scale)(y, k - most);
}

// MARK: the logarithm

/// log(2^e·(1 + f)) for √½ ≤ 1 + f < √2: f − f²/2 + f³·P(f) + e·ln 2, the small terms first.
FUNCTION F LEVEL(log_sum)(F e, F f) {
  F square = f * f, fourth = square * square;
  F p01 = FMA(-0x1.000006p-2f, f, 0x1.555548p-2f);
  F p23 = FMA(-0x1.555c42p-3f, f, 0x1.99a476p-3f);
  F p45 = FMA(-0x1.fc2924p-4f, f, 0x1.233b9cp-3f);
  F p67 = FMA(-0x1.de001cp-4f, f, 0x1.e6c110p-4f);
  F high = FMA(FMA(0x1.146e42p-4f, square, p67), square, p45);
  F p = FMA(high, fourth, FMA(p23, square, p01));
  F small = FMA(e, -0x1.bd0106p-13f, square * f * p);  // ln 2 = 0x1.63p−1 + this
  small = FMA(-0.5f, square, small);
  return FMA(e, 0x1.63p-1f, f + small);
}

/// The exponent e and f of x = 2^e·(1 + f), √½ ≤ 1 + f < √2.
FUNCTION F LEVEL(split)(F x, mg_i32x16 *e) {
  const uint32_t half = 0x3f3504f3;  // the bits of √½
  U bits = BITS(x) - half;
  *e = (mg_i32x16)bits >> 23;
  return FLOAT((bits & 0x7fffff) + half) - 1;
}

FUNCTION F LEVEL(log)(F x) {
  mg_i32x16 e, tiny = x < 0x1p-126f;
  F f = LEVEL(split)(tiny ? x * 0x1p23f : x, &e);
  F y = LEVEL(log_sum)(__builtin_convertvector(e, F) - (tiny ? (F)23 : (F)0), f);
  y = x > 0 ? y : x == 0 ? (F)-INFINITY : (F)NAN;
  return x < INFINITY ? y : x;  // inf and NaN
}

/// log(1 + x): what rounding lost in u = 1 + x is added to u's mantissa.
FUNCTION F LEVEL(log1p)(F x) {
  F u = 1 + x, lost = x - (u - 1);
  mg_i32x16 e;
  F f = LEVEL(split)(u, &e);
  mg_i32x16 small = e < 64 ? e : 64;  // beyond, `lost` counts nothing
  f = FMA(lost, FLOAT((U)(127 - small) << 23), f);
  F y = LEVEL(log_sum)(__builtin_convertvector(e, F), f);
  y = u > 0 ? y : u == 0 ? (F)-INFINITY : (F)NAN;
  y = x == 0 ? x : y;           // keeps −0
  return x < INFINITY ? y : x;  // inf and NaN
}

// MARK: hyperbolic tangent and the logistic family

/// (e^2|x| − 1) / (e^2|x| + 1), with x's sign; 1 from 9.02 on.
FUNCTION F LEVEL(tanh)(F x) {
  F a = ABS(x), e = LEVEL(expm1_near)(2 * (a > 9.02f ? 9.02f : a));
  return __builtin_elementwise_copysign(e / (e + 2), x);
}

/// x/(1 + e) for positive x, and e/(1 + e) for negative, e = value·2^k = e^−|x|. The latter as e − e·e/(1 + e), which
/// rounds better, times `factor`, scaled last.
FUNCTION F LEVEL(logistic)(F x, F numerator, F factor, F value, F k) {
  F e = LEVEL(scale)(value, k), q = (x < 0 ? e : numerator) / (1 + e);
  return x < 0 ? LEVEL(scale)(factor * FMA(-value, q, value), k) : q;
}

/// 1 / (1 + e^−x).
FUNCTION F LEVEL(sigmoid)(F x) {
  F k, value = LEVEL(exp_parts)(-ABS(x), &k);
  return LEVEL(logistic)(x, 1, 1, value, k);
}

/// x·sigmoid(x), 0 below −120, where the exponential is cut off.
FUNCTION F LEVEL(silu)(F x) {
  F k, value = LEVEL(exp_parts)(-ABS(x), &k);
  return LEVEL(logistic)(x, x, x < -120 ? -120 : x, value, k);
}

/// log(1 + e^−|x|), with log(1 + t) = 2·artanh(s), s = t/(2 + t), in the form t − (t²/2 − s·(t²/2 + R(s²))).
FUNCTION F LEVEL(softplus_tail)(F x) {
  F t = LEVEL(exp_negative)(-ABS(x)), s = t / (2 + t), z = s * s;
  F r = FMA(FMA(FMA(0x1.1eca06p-2f, z, 0x1.1ec042p-2f), z, 0x1.99d1ccp-2f), z, 0x1.555502p-1f);
  F half = 0.5f * t * t;
  return t - (half - s * FMA(z, r, half));
}

/// log(sigmoid(x)) = min(x, 0) − log(1 + e^−|x|).
FUNCTION F LEVEL(logsigmoid)(F x) { return (x > 0 ? 0 : x) - LEVEL(softplus_tail)(x); }

/// log(1 + e^x) = max(x, 0) + log(1 + e^−|x|); above 20 PyTorch returns x, which is the same number.
FUNCTION F LEVEL(softplus)(F x) { return (x < 0 ? 0 : x) + LEVEL(softplus_tail)(x); }

/// x·tanh(log(1 + e^x)) = x·w/(w + 2), w = e^x·(e^x + 2); from 20 on it is x.
FUNCTION F LEVEL(mish)(F x) {
  F k, value = LEVEL(exp_parts)(x > 20 ? 20 : x, &k);
  F e = LEVEL(scale)(value, k), two = e + 2;
  F y = LEVEL(scale)((x < -120 ? -120 : x) * (value * two / FMA(e, two, 2)), k);
  return x > 20 ? x : y;
}

/// The error function: x + x·P(x²) near 0, and 1 − e^(−a + a·Q(a)) for a = |x| beyond; 1 from 4 on.
FUNCTION F LEVEL(erf)(F x) {
  F a = ABS(x), s = x * x;
  a = a > 4 ? 4 : a;
  F q = 0x1.c20782p-13f;
  q = FMA(q, a, -0x1.a60b88p-9f);
  q = FMA(q, a, 0x1.774a98p-6f);
  q = FMA(q, a, -0x1.af4134p-4f);
  q = FMA(q, a, -0x1.457a64p-1f);
  q = FMA(q, a, -0x1.073578p-3f);
  F far = 1 - LEVEL(exp_negative)(FMA(q, a, -a));
  F p = 0x1.4f6760p-14f;
  p = FMA(p, s, -0x1.a60a2ep-11f);
  p = FMA(p, s, 0x1.544a1ap-8f);
  p = FMA(p, s, -0x1.b8011ap-6f);
  p = FMA(p, s, 0x1.ce2d64p-4f);
  p = FMA(p, s, -0x1.812740p-2f);
  p = FMA(p, s, 0x1.06eba8p-3f);
  return a > 0.92f ? __builtin_elementwise_copysign(far, x) : FMA(p, x, x);
}

/// Numerator and denominator of Φ(−a)·e^(a²/2) for 0 ≤ a ≤ 16, Φ the normal distribution: polynomials all of whose terms are
/// positive. Their quotient is off by 4·10⁻⁷ of it at most, and exact at 0; a term more in each would show in no digit that
/// matters, and costs a tenth of the time of gelu.
FUNCTION F LEVEL(tail_above)(F a) {
  F n = 0x1.16f634p-5f;
  n = FMA(n, a, 0x1.e989eep-3f);
  n = FMA(n, a, 0x1.72b54ep-1f);
  return FMA(n, a, 1);
}
FUNCTION F LEVEL(tail_below)(F a) {
  F d = 0x1.5daa82p-4f;
  d = FMA(d, a, 0x1.3291eep-1f);
  d = FMA(d, a, 0x1.e82d5ep+0f);
  d = FMA(d, a, 0x1.859becp+1f);
  return FMA(d, a, 2);
}

/// e^(−a²/2) = value·2^k for 0 ≤ a ≤ 16. The sum a² + 2k·ln 2 is rounded once (2k times ln 2's upper 12 bits is exact), so the far
/// tail is as exact as the middle; the polynomial is that of e^(−r/2), a degree shorter than the exponential's own.
FUNCTION F LEVEL(bell)(F a, F *k) {
  *k = FMA(-0x1.715476p-1f * a, a, 12582912) - 12582912;  // −a²/2 / ln 2, rounded
  F r = FMA(a, a, *k * 0x1.62ep+0f);
  r = FMA(*k, 0x1.0bfbe8p-14f, r);
  F q = -0x1.105a7cp-12f;
  q = FMA(q, r, 0x1.573c6ap-9f);
  q = FMA(q, r, -0x1.5557e2p-6f);
  q = FMA(q, r, 0x1.fffdd4p-4f);
  return FMA(FMA(q, r, -0.5f), r, 1);
}

/// x·Φ(x).
FUNCTION F LEVEL(gelu)(F x) {
  F a = ABS(x);
  a = a > 16 ? 16 : a;  // where the tail is 0
  F k, value = LEVEL(bell)(a, &k);
  F tail = LEVEL(scale)(a * LEVEL(tail_above)(a) * value / LEVEL(tail_below)(a), k);  // a·Φ(−a)
  return (x < 0 ? 0 : x) - tail;
}

/// g·(Φ(x) + x·φ(x)), φ the density; NaN where x is infinite, as of PyTorch's formula.
FUNCTION F LEVEL(gelu_gradient)(F g, F x) {
  F size = ABS(x), a = size > 16 ? 16 : size;
  F k, value = LEVEL(bell)(a, &k);
  F e = LEVEL(scale)(value, k), tail = e * LEVEL(tail_above)(a) / LEVEL(tail_below)(a);  // Φ(−a)
  F slope = FMA(0x1.988454p-2f * size, e, -tail);                                        // a·φ(a) − Φ(−a)
  return g * (x < 0 ? -slope : 1 + slope);
}

/// g·s·(1 + x·(1 − s)), s = 1/(1 + e^−x) the sigmoid.
FUNCTION F LEVEL(silu_gradient)(F g, F x) {
  F s = 1 / (1 + LEVEL(exp)(-x));
  return g * (s * FMA(x, 1 - s, 1));
}

/// x·sigmoid(√(8/π)·(x + 0.044715·x³)), which is GELU's usual approximation by tanh. The argument is computed in
/// double, for its absolute error is the result's relative error.
FUNCTION F LEVEL(gelu_tanh)(F x) {
  F cut = ABS(x);
  mg_f64x16 a = __builtin_convertvector(cut > 12 ? 12 : cut, mg_f64x16);  // where the tail is 0
  mg_f64x16 argument = -a * (1.5957691216057308 + 0.07135481627159136 * a * a);
  F high = __builtin_convertvector(argument, F);
  F low = __builtin_convertvector(argument - __builtin_convertvector(high, mg_f64x16), F);
  F k, value = LEVEL(exp_core)(high, low, &k);
  return LEVEL(logistic)(x, x, x < -12 ? -12 : x, value, k);
}
