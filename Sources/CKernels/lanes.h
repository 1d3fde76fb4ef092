// Vectors of a fixed number of lanes, for reductions: the number of lanes fixes the order of summation, so it must be
// the same on every CPU and cannot be left to the vectoriser. The compiler splits a vector where registers are
// narrower. Vectors are never passed to functions (that would change the ABI between clones); helpers are macros.
#ifndef MG_LANES_H
#define MG_LANES_H

#include "internal.h"

typedef float mg_f32x16 __attribute__((ext_vector_type(16)));
typedef int32_t mg_i32x16 __attribute__((ext_vector_type(16)));
typedef uint32_t mg_u32x16 __attribute__((ext_vector_type(16)));
typedef float mg_f32x8 __attribute__((ext_vector_type(8)));
typedef float mg_f32x4 __attribute__((ext_vector_type(4)));
typedef float mg_f32x2 __attribute__((ext_vector_type(2)));
typedef double mg_f64x16 __attribute__((ext_vector_type(16)));
typedef int64_t mg_i64x8 __attribute__((ext_vector_type(8)));
typedef double mg_f64x8 __attribute__((ext_vector_type(8)));
typedef double mg_f64x4 __attribute__((ext_vector_type(4)));
typedef double mg_f64x2 __attribute__((ext_vector_type(2)));

/// The V at p, which need not be aligned.
#define MG_LOAD(V, p)                \
  ({                                 \
    V loaded;                        \
    memcpy(&loaded, (p), sizeof(V)); \
    loaded;                          \
  })
#define MG_STORE(V, value, p)        \
  do {                               \
    V stored = (value);              \
    memcpy((p), &stored, sizeof(V)); \
  } while (0)

/// Folds the 8 or 16 lanes of a vector of doubles into one by STEP, halves onto halves.
#define MG_FOLD8(STEP, value)                                       \
  ({                                                                \
    mg_f64x8 eight = (value);                                       \
    mg_f64x4 low4 = eight.lo, high4 = eight.hi;                     \
    mg_f64x4 four = STEP(low4, high4);                              \
    mg_f64x2 low2 = four.lo, high2 = four.hi;                       \
    mg_f64x2 two = STEP(low2, high2);                               \
    double low1 = two.x, high1 = two.y;                             \
    STEP(low1, high1);                                              \
  })
#define MG_FOLD16(STEP, value)                                      \
  ({                                                                \
    mg_f64x16 sixteen = (value);                                    \
    mg_f64x8 low8 = sixteen.lo, high8 = sixteen.hi;                 \
    MG_FOLD8(STEP, STEP(low8, high8));                              \
  })

/// The same in single precision, for steps that do not round.
#define MG_FOLD16_SINGLE(STEP, value)                               \
  ({                                                                \
    mg_f32x16 sixteen = (value);                                    \
    mg_f32x8 low8 = sixteen.lo, high8 = sixteen.hi;                 \
    mg_f32x8 eight = STEP(low8, high8);                             \
    mg_f32x4 low4 = eight.lo, high4 = eight.hi;                     \
    mg_f32x4 four = STEP(low4, high4);                              \
    mg_f32x2 low2 = four.lo, high2 = four.hi;                       \
    mg_f32x2 two = STEP(low2, high2);                               \
    float low1 = two.x, high1 = two.y;                              \
    STEP(low1, high1);                                              \
  })

/// The largest of 16 floats, none of them NaN.
#define MG_LARGEST16(value)                                         \
  ({                                                                \
    mg_f32x16 sixteen = (value);                                    \
    mg_f32x8 eight = sixteen.lo > sixteen.hi ? sixteen.lo : sixteen.hi; \
    mg_f32x4 four = eight.lo > eight.hi ? eight.lo : eight.hi;      \
    mg_f32x2 two = four.lo > four.hi ? four.lo : four.hi;           \
    two.x > two.y ? two.x : two.y;                                  \
  })

// The steps, for vectors and numbers. A NaN in either operand wins.
#define MG_STEP_SUM(a, v) ((a) + (v))
#define MG_STEP_PROD(a, v) ((a) * (v))
#define MG_STEP_MAX(a, v) ((((v) > (a)) | ((v) != (v))) ? (v) : (a))
#define MG_STEP_MIN(a, v) ((((v) < (a)) | ((v) != (v))) ? (v) : (a))

/// Copies n < 16 elements without the call that memcpy would be.
#define MG_COPY_FEW(T, n, x, y)                                     \
  do {                                                              \
    const T *from = (x);                                            \
    T *to = (y);                                                    \
    if ((n) & 8) {                                                  \
      memcpy(to, from, 8 * sizeof(T));                              \
      from += 8, to += 8;                                           \
    }                                                               \
    if ((n) & 4) {                                                  \
      memcpy(to, from, 4 * sizeof(T));                              \
      from += 4, to += 4;                                           \
    }                                                               \
    if ((n) & 2) {                                                  \
      memcpy(to, from, 2 * sizeof(T));                              \
      from += 2, to += 2;                                           \
    }                                                               \
    if ((n) & 1) *to = *from;                                       \
  } while (0)

/// A sum that remembers what rounding lost (Neumaier). Infinities and NaN pass through.
typedef struct {
  double sum, lost;
} mg_exact;

MG_INLINE void mg_exact_add(mg_exact *e, double v) {
  double t = e->sum + v;
  e->lost += __builtin_fabs(e->sum) >= __builtin_fabs(v) ? (e->sum - t) + v : (v - t) + e->sum;
  e->sum = t;
}
MG_INLINE double mg_exact_value(mg_exact e) { return __builtin_isfinite(e.sum) ? e.sum + e.lost : e.sum; }

#endif
