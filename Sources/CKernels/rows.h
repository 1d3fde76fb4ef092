// Reductions of a contiguous row of floats in fixed lanes, inlined into the clones that use them.
#ifndef MG_ROWS_H
#define MG_ROWS_H

#include "lanes.h"

MG_NO_CONTRACTION

enum { MG_BLOCK = 1024 };  // elements of a row summed in float32 before the sum goes on in float64

/// Asks for what lies a few kilobytes behind a short row: rows that begin anywhere keep the processor from noticing that memory is
/// read from end to end (rows of 100 floats out of 40 MB: 0.9 ms, and 0.5 ms so).
MG_INLINE void mg_prefetch_row(const void *x, int64_t bytes) {
  if (bytes < 256 || bytes > 4096) return;
  for (int64_t i = 0; i < bytes; i += 64) __builtin_prefetch((const char *)x + 4096 + i);
}

// MAP(x[0]) … MAP(x[n − 1]) by STEP to one double. Four accumulators hide the latency of the steps. The end of a row is
// half a vector, if there is one, and single elements: masking what a whole one would count twice takes longer.
#define MG_ROW(name, T, V, LANES, LOAD, LOAD_HALF, MAP, NEUTRAL, STEP, FOLD)                          \
  MG_INLINE double mg_row_##name(int64_t n, const T *x) {                                             \
    if (n < LANES) {                                                                                  \
      double even = NEUTRAL, odd = NEUTRAL;                                                           \
      int64_t i = 0;                                                                                  \
      for (; i + 2 <= n; i += 2) {                                                                    \
        double u = x[i], w = x[i + 1];                                                                \
        even = STEP(even, MAP(u));                                                                    \
        odd = STEP(odd, MAP(w));                                                                      \
      }                                                                                               \
      if (i < n) {                                                                                    \
        double u = x[i];                                                                              \
        even = STEP(even, MAP(u));                                                                    \
      }                                                                                               \
      return STEP(even, odd);                                                                         \
    }                                                                                                 \
    V a = NEUTRAL, b = NEUTRAL, c = NEUTRAL, d = NEUTRAL, v;                                          \
    int64_t i = 0;                                                                                    \
    for (; i + 4 * LANES <= n; i += 4 * LANES) {                                                      \
      v = LOAD(x + i);                                                                                \
      a = STEP(a, MAP(v));                                                                            \
      v = LOAD(x + i + LANES);                                                                        \
      b = STEP(b, MAP(v));                                                                            \
      v = LOAD(x + i + 2 * LANES);                                                                    \
      c = STEP(c, MAP(v));                                                                            \
      v = LOAD(x + i + 3 * LANES);                                                                    \
      d = STEP(d, MAP(v));                                                                            \
    }                                                                                                 \
    for (; i + LANES <= n; i += LANES) {                                                              \
      v = LOAD(x + i);                                                                                \
      a = STEP(a, MAP(v));                                                                            \
    }                                                                                                 \
    if (i + LANES / 2 <= n) {                                                                         \
      __typeof__(v.lo) half = LOAD_HALF(x + i);                                                       \
      b.lo = STEP(b.lo, MAP(half));                                                                   \
      i += LANES / 2;                                                                                 \
    }                                                                                                 \
    a = STEP(a, b);                                                                                   \
    c = STEP(c, d);                                                                                   \
    a = STEP(a, c);                                                                                   \
    double total = FOLD(a);                                                                           \
    for (; i < n; i++) {                                                                              \
      double u = x[i];                                                                                \
      total = STEP(total, MAP(u));                                                                    \
    }                                                                                                 \
    return total;                                                                                     \
  }

#define MG_SAME(v) (v)
#define MG_ABS(v) __builtin_elementwise_abs(v)
#define MG_SQUARED(v) ((v) * (v))
#define MG_LOAD16(p) MG_LOAD(mg_f32x16, p)
#define MG_LOAD8(p) MG_LOAD(mg_f64x8, p)
#define MG_HALF16(p) MG_LOAD(mg_f32x8, p)
#define MG_HALF8(p) MG_LOAD(mg_f64x4, p)
#define MG_HALF8_WIDENED(p) __builtin_convertvector(MG_LOAD(mg_f32x4, p), mg_f64x4)
#define MG_LOAD8_WIDENED(p) __builtin_convertvector(MG_LOAD(mg_f32x8, p), mg_f64x8)

#define MG_FOLD_SUM16(v) MG_FOLD16(MG_STEP_SUM, __builtin_convertvector(v, mg_f64x16))
#define MG_FOLD_MAX16(v) MG_FOLD16_SINGLE(MG_GREATER, v)
#define MG_FOLD_MIN16(v) MG_FOLD16_SINGLE(MG_LESS, v)
#define MG_FOLD_SUM8(v) MG_FOLD8(MG_STEP_SUM, v)
#define MG_FOLD_PROD8(v) MG_FOLD8(MG_STEP_PROD, v)
#define MG_FOLD_MAX8(v) MG_FOLD8(MG_GREATER, v)
#define MG_FOLD_MIN8(v) MG_FOLD8(MG_LESS, v)

// Products of float32 run in float64: they leave its range long before they leave float64's.
MG_ROW(block_sum_f32, float, mg_f32x16, 16, MG_LOAD16, MG_HALF16, MG_SAME, 0, MG_STEP_SUM, MG_FOLD_SUM16)
MG_ROW(prod_f32, float, mg_f64x8, 8, MG_LOAD8_WIDENED, MG_HALF8_WIDENED, MG_SAME, 1, MG_STEP_PROD, MG_FOLD_PROD8)
MG_ROW(block_sum_f64, double, mg_f64x8, 8, MG_LOAD8, MG_HALF8, MG_SAME, 0, MG_STEP_SUM, MG_FOLD_SUM8)
MG_ROW(prod_f64, double, mg_f64x8, 8, MG_LOAD8, MG_HALF8, MG_SAME, 1, MG_STEP_PROD, MG_FOLD_PROD8)

#define MG_GREATER(a, b) ((b) > (a) ? (b) : (a))
#define MG_LESS(a, b) ((b) < (a) ? (b) : (a))

// Extremes: a vector that reaches back may count elements twice. The comparison passes over a NaN, in one instruction; that there
// was one is noted beside it, since steps that heed it are four instructions that wait for each other.
#define MG_ROW_EXTREME(name, T, V, M, LANES, NEUTRAL, BETTER, FOLD)                                   \
  MG_INLINE double mg_row_##name(int64_t n, const T *x) {                                             \
    if (n < LANES) {                                                                                  \
      T best = NEUTRAL;                                                                               \
      bool strange = false;                                                                           \
      for (int64_t i = 0; i < n; i++) {                                                               \
        best = x[i] BETTER best ? x[i] : best;                                                        \
        strange |= x[i] != x[i];                                                                      \
      }                                                                                               \
      return strange ? NAN : best;                                                                    \
    }                                                                                                 \
    V a = NEUTRAL, b = NEUTRAL, u, v;                                                                 \
    M strange = 0;                                                                                    \
    for (int64_t i = 0; i < n; i += 2 * LANES) {                                                      \
      u = MG_LOAD(V, x + mg_min64(i, n - LANES));                                                     \
      v = MG_LOAD(V, x + mg_min64(i + LANES, n - LANES));                                             \
      a = u BETTER a ? u : a;                                                                         \
      b = v BETTER b ? v : b;                                                                         \
      strange |= (u != u) | (v != v);                                                                 \
    }                                                                                                 \
    a = a BETTER b ? a : b;                                                                           \
    return __builtin_reduce_or(strange) ? NAN : FOLD(a);                                              \
  }
MG_ROW_EXTREME(max_f32, float, mg_f32x16, mg_i32x16, 16, -INFINITY, >, MG_FOLD_MAX16)
MG_ROW_EXTREME(min_f32, float, mg_f32x16, mg_i32x16, 16, INFINITY, <, MG_FOLD_MIN16)
MG_ROW_EXTREME(max_f64, double, mg_f64x8, mg_i64x8, 8, -INFINITY, >, MG_FOLD_MAX8)
MG_ROW_EXTREME(min_f64, double, mg_f64x8, mg_i64x8, 8, INFINITY, <, MG_FOLD_MIN8)

/// The sum of a row of any length. In float32 no lane adds up more than 16 elements before the sums of lanes go on in
/// float64; in float64 the sums of blocks are added without loss.
MG_INLINE double mg_row_sum_f32(int64_t n, const float *x) {
  if (n <= MG_BLOCK) return mg_row_block_sum_f32(n, x);
  mg_f64x16 total = 0;
  int64_t i = 0;
  for (; i + MG_BLOCK <= n; i += MG_BLOCK) {
    mg_f32x16 a = 0, b = 0, c = 0, d = 0;
    for (const float *p = x + i; p < x + i + MG_BLOCK; p += 64) {
      a += MG_LOAD16(p);
      b += MG_LOAD16(p + 16);
      c += MG_LOAD16(p + 32);
      d += MG_LOAD16(p + 48);
    }
    total += __builtin_convertvector((a + b) + (c + d), mg_f64x16);
  }
  return MG_FOLD16(MG_STEP_SUM, total) + mg_row_block_sum_f32(n - i, x + i);
}

MG_INLINE double mg_row_sum_f64(int64_t n, const double *x) {
  if (n <= MG_BLOCK) return mg_row_block_sum_f64(n, x);
  mg_exact total = {0, 0};
  for (int64_t i = 0; i < n; i += MG_BLOCK)
    mg_exact_add(&total, mg_row_block_sum_f64(mg_min64(MG_BLOCK, n - i), x + i));
  return mg_exact_value(total);
}

#endif
