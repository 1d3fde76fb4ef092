// Random numbers in bulk: blocks of the Mersenne Twister, and what words become (see Generator.swift and
// Distributions.swift, which draw them). The arithmetic is that of PyTorch's kernels, its fused multiply-adds included, so
// products and sums are fused where `fma` is written and nowhere else.
#include "internal.h"

MG_NO_CONTRACTION

enum { WORDS = 624, SHIFT = 397, BLOCK = 16 };

// MARK: words

MG_INLINE uint32_t twist(uint32_t word, uint32_t next) {
  return ((word & 0x80000000u) | (next & 0x7fffffffu)) >> 1 ^ ((0u - (next & 1)) & 0x9908b0dfu);
}

MG_CLONES void mg_twister_temper(const uint32_t *state, uint32_t *words) {
  for (int k = 0; k < WORDS; k++) {
    uint32_t word = state[k];
    word ^= word >> 11;
    word ^= word << 7 & 0x9d2c5680u;
    word ^= word << 15 & 0xefc60000u;
    words[k] = word ^ word >> 18;
  }
}

// Each loop reads at most what lies a whole number of vectors behind: 227 words, so that it vectorises in strips of those.
MG_CLONES void mg_twister_next(uint32_t *state, uint32_t *words) {
  enum { STRIP = 16 };
  int k = 0;
  for (; k + STRIP <= WORDS - SHIFT; k += STRIP) {
    uint32_t next[STRIP];
    for (int j = 0; j < STRIP; j++) next[j] = state[k + j + SHIFT] ^ twist(state[k + j], state[k + j + 1]);
    memcpy(state + k, next, sizeof next);
  }
  for (; k < WORDS - SHIFT; k++) state[k] = state[k + SHIFT] ^ twist(state[k], state[k + 1]);
  for (; k + STRIP < WORDS; k += STRIP) {
    uint32_t next[STRIP];
    for (int j = 0; j < STRIP; j++) next[j] = state[k + j + SHIFT - WORDS] ^ twist(state[k + j], state[k + j + 1]);
    memcpy(state + k, next, sizeof next);
  }
  for (; k < WORDS - 1; k++) state[k] = state[k + SHIFT - WORDS] ^ twist(state[k], state[k + 1]);
  state[WORDS - 1] = state[SHIFT - 1] ^ twist(state[WORDS - 1], state[0]);
  mg_twister_temper(state, words);
}

// MARK: uniform

// What the parts of a loop over the pool are given.
typedef struct {
  float *y, a, b;
} numbers;

MG_CLONES static void units(int64_t n, float *y, float width, float low) {
  MG_VECTORIZE
  for (int64_t i = 0; i < n; i++) {
    uint32_t word;
    memcpy(&word, y + i, sizeof word);
    y[i] = __builtin_elementwise_fma((float)(int32_t)(word & 0xffffff) * 0x1p-24f, width, low);
  }
}

static void units_part(void *context, int64_t begin, int64_t end) {
  const numbers *u = context;
  units(end - begin, u->y + begin, u->a, u->b);
}

void mg_uniform_f32(int64_t n, float *y, float low, float width) {
  numbers u = {y, width, low};
  if (n < 2 * MG_GRAIN) units_part(&u, 0, n);
  else mg_share(n, MG_GRAIN, units_part, &u);
}

// MARK: normal

// PyTorch's float32 normals use the polynomials of S. Moshier's Cephes library in J. Pommier's arrangement
// (avx_mathfun.h), compiled with fused multiply-adds. The same operations in the same order give the same bits.

#define FMA(x, y, z) __builtin_elementwise_fma((float)(x), (float)(y), (float)(z))

/// The natural logarithm of x in (0, 1].
MG_INLINE float logarithm(float x) {
  uint32_t bits, rest;
  memcpy(&bits, &x, sizeof bits);
  // x = mantissa · 2^exponent with the mantissa in [√½, √2), of which 1 is subtracted.
  float exponent = (float)((int32_t)(bits >> 23) - 126), m;
  rest = (bits & 0x007fffff) | 0x3f000000;
  memcpy(&m, &rest, sizeof m);
  float small = m < 0.707106781186547524f ? 1 : 0;
  exponent -= small;
  m = m - 1 + (small != 0 ? m : 0);
  float square = m * m, y = 7.0376836292e-2f;
  y = FMA(y, m, -1.1514610310e-1f);
  y = FMA(y, m, 1.1676998740e-1f);
  y = FMA(y, m, -1.2420140846e-1f);
  y = FMA(y, m, 1.4249322787e-1f);
  y = FMA(y, m, -1.6668057665e-1f);
  y = FMA(y, m, 2.0000714765e-1f);
  y = FMA(y, m, -2.4999993993e-1f);
  y = FMA(y, m, 3.3333331174e-1f);
  y = FMA(y * m, square, exponent * -2.12194440e-4f);
  y = FMA(square, -0.5f, y);
  return FMA(exponent, 0.693359375f, m + y);
}

/// The sine and cosine of x in [0, 2π].
MG_INLINE void sine_and_cosine(float x, float *sine, float *cosine) {
  // The octant, rounded up to an even one: its number is read from the last bits of a float near 2²³.
  float scaled = x * 1.27323954473516f, nearest = scaled + 0x1p23f - 0x1p23f;
  float whole = (nearest > scaled ? nearest - 1 : nearest) + 0x1p23f;
  uint32_t octant;
  memcpy(&octant, &whole, sizeof octant);
  octant = ((octant & 0xff) + 1) & ~1u;
  float turns = (float)(int32_t)octant;

  // The remainder, within ±π/4, by subtracting π/4 in three parts.
  float r = FMA(turns, -0.78515625f, x);
  r = FMA(turns, -2.4187564849853515625e-4f, r);
  r = FMA(turns, -3.77489497744594108e-8f, r);
  float square = r * r;

  float c = 2.443315711809948e-5f;
  c = FMA(c, square, -1.388731625493765e-3f);
  c = FMA(c, square, 4.166664568298827e-2f);
  c = FMA(c * square, square, square * -0.5f) + 1;

  float s = -1.9515295891e-4f;
  s = FMA(s, square, 8.3321608736e-3f);
  s = FMA(s, square, -1.6666654611e-1f);
  s = FMA(s * square, r, r);

  uint32_t first, second;
  float a = octant & 2 ? c : s, b = octant & 2 ? s : c;
  memcpy(&first, &a, sizeof first);
  memcpy(&second, &b, sizeof second);
  first ^= octant << 29 & 0x80000000u;
  second ^= ~(octant - 2) << 29 & 0x80000000u;
  memcpy(sine, &first, sizeof first);
  memcpy(cosine, &second, sizeof second);
}

/// Turns blocks of 16 uniform numbers into normal ones by Box and Muller's transform: j and j + 8 of a block are a pair.
MG_CLONES static void normal_blocks(int64_t blocks, float *y, float std, float mean) {
  for (int64_t block = 0; block < blocks; block++, y += BLOCK) {
    float *pair = y + BLOCK / 2;
    MG_VECTORIZE
    for (int j = 0; j < BLOCK / 2; j++) {
      float sine, cosine, radius = __builtin_elementwise_sqrt(-2 * logarithm(1 - y[j]));
      sine_and_cosine((float)(2 * M_PI) * pair[j], &sine, &cosine);
      y[j] = FMA(radius * cosine, std, mean);
      pair[j] = FMA(radius * sine, std, mean);
    }
  }
}

static void normal_part(void *context, int64_t begin, int64_t end) {
  const numbers *u = context;
  normal_blocks(end - begin, u->y + begin * BLOCK, u->a, u->b);
}

void mg_normal_f32(int64_t blocks, float *y, float mean, float std) {
  numbers u = {y, std, mean};
  if (blocks < 2 * MG_GRAIN_MATH / BLOCK) normal_part(&u, 0, blocks);
  else mg_share(blocks, MG_GRAIN_MATH / BLOCK, normal_part, &u);
}
