// float64's exponential and what is nearest to it: 8 lanes at a time, without branches. SLEEF has both, but a call for each vector
// costs more than they do. Part of a body, see levels.h.
//
// Polynomials are Chebyshev fits; `fma` is written where it is meant, so all levels give the same bits.

#define D mg_f64x8
#define FMA64(a, b, c) __builtin_elementwise_fma((D)(a), (D)(b), (D)(c))
#define MAGIC64 0x1.8p52  // added to a whole number it leaves that in the low bits

/// x = k·ln 2 + r, and e^r − 1 − r = r²·(this). The bits of *t end in those of k.
FUNCTION D LEVEL(exp_rest64)(D x, D *t, D *r) {
  *t = FMA64(x, 0x1.71547652b82fep+0, MAGIC64);
  D k = *t - MAGIC64;
  *r = FMA64(k, -0x1.abc9e3b39803fp-56, FMA64(k, -0x1.62e42fefa39efp-1, x));
  D q = 0x1.af4dea43cc39ep-26;
  q = FMA64(q, *r, 0x1.2891861bf46efp-22);
  q = FMA64(q, *r, 0x1.71de02312a642p-19);
  q = FMA64(q, *r, 0x1.a019b90c7771cp-16);
  q = FMA64(q, *r, 0x1.a01a01abe824dp-13);
  q = FMA64(q, *r, 0x1.6c16c1788c0eep-10);
  q = FMA64(q, *r, 0x1.11111111100dbp-7);
  q = FMA64(q, *r, 0x1.5555555553d62p-5);
  q = FMA64(q, *r, 0x1.5555555555557p-3);
  return FMA64(q, *r, 0x1.0000000000001p-1);
}

/// 2^k for −1022 ≤ k ≤ 1023, the whole number at the end of the bits of t.
FUNCTION D LEVEL(power64)(mg_i64x8 t) { return (D)((t + 1023) << 52); }

/// e^x. Two factors, for neither 2^1024 nor what makes a denormal is a number of its own.
FUNCTION D LEVEL(exp64)(D x) {
  D t, r, q = LEVEL(exp_rest64)(x > 710 ? 710 : x < -746 ? -746 : x, &t, &r);
  D value = FMA64(FMA64(q, r, 1), r, 1);
  mg_i64x8 k = (mg_i64x8)t - (mg_i64x8)(D)MAGIC64, half = k >> 1;
  return value * LEVEL(power64)(half) * LEVEL(power64)(k - half);
}

/// (e^2a − 1) / (e^2a + 1), from 20 on 1.
FUNCTION D LEVEL(tanh64)(D x) {
  D a = ABS(x), t, r, q = LEVEL(exp_rest64)(2 * (a > 20 ? 20 : a), &t, &r);
  D power = LEVEL(power64)((mg_i64x8)t), e = FMA64(FMA64(q * r, r, r), power, power - 1);
  return __builtin_elementwise_copysign(e / (e + 2), x);
}

#define LOOP_8(name)                                                                                    \
  static void LEVEL(name##_f64)(int64_t n, const double *x, double *y) {                                \
    int64_t i = 0;                                                                                      \
    for (; i + 8 <= n; i += 8) MG_STORE(D, LEVEL(name##64)(MG_LOAD(D, x + i)), y + i);                  \
    if (i == n) return;                                                                                 \
    double few[8] = {0};                                                                                \
    MG_COPY_FEW(double, n - i, x + i, few);                                                             \
    MG_STORE(D, LEVEL(name##64)(MG_LOAD(D, few)), few);                                                 \
    MG_COPY_FEW(double, n - i, few, y + i);                                                             \
  }
LOOP_8(exp)
LOOP_8(tanh)

#undef LOOP_8
#undef D
#undef FMA64
#undef MAGIC64
