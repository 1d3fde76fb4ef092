// Sweeps along a dimension, for one operation each.
#include "internal.h"

// MARK: running extremes

// [outer, n, inner] in `size`. Of equal elements the last counts, and NaN stays from the first one on.
#define RUNNING(name, tag, T, OP, IS_NAN)                                                                       \
  static void name##_##tag(mg_call *call) {                                                                     \
    int64_t outer = call->size[0], n = call->size[1], inner = call->size[2];                                    \
    const T *x = call->operand[0];                                                                              \
    T *y = call->operand[1];                                                                                    \
    int64_t *at = call->operand[2];                                                                             \
    int64_t done = 0;                                                                                           \
    for (int64_t o = 0; o < outer; o++)                                                                         \
      for (int64_t i = 0; i < inner && !mg_is_over(&done, n); i++) {                                            \
        int64_t place = 0, first = o * n * inner + i;                                                           \
        MG_IN_PIECES(k, n) {                                                                                    \
          int64_t here = first + k * inner, best = first + place * inner;                                       \
          if (IS_NAN(x[here]) || (!IS_NAN(x[best]) && x[here] OP x[best])) place = k;                           \
          y[here] = x[first + place * inner];                                                                   \
          at[here] = place;                                                                                     \
        }                                                                                                       \
      }                                                                                                         \
  }
#define NEVER(x) false
#define FLOAT_NAN(x) ((x) != (x))
#define RUNNINGS(name, OP)               \
  RUNNING(name, f32, float, OP, FLOAT_NAN) \
  RUNNING(name, f64, double, OP, FLOAT_NAN) \
  RUNNING(name, i64, int64_t, OP, NEVER)   \
  RUNNING(name, i32, int32_t, OP, NEVER)   \
  RUNNING(name, u8, uint8_t, OP, NEVER)    \
  static void name(mg_call *call) {        \
    switch (call->dtype) {                 \
      case MG_F32: name##_f32(call); break; \
      case MG_F64: name##_f64(call); break; \
      case MG_I64: name##_i64(call); break; \
      case MG_I32: name##_i32(call); break; \
      default: name##_u8(call); break;      \
    }                                      \
  }
RUNNINGS(largest, >=)
RUNNINGS(smallest, <=)

/// The largest and the smallest element so far. Operands x, y, positions (int64); sizes outer, n, inner. Every dtype.
MG_KERNEL(cummax) { largest(call); }
MG_KERNEL(cummin) { smallest(call); }

// MARK: logarithms of running sums

// The sum so far as e^top · rest, so that nothing overflows and what is small beside the rest is not lost early.
#define LOG_SUMS(tag, T)                                                         \
  static void log_sums_##tag(mg_call *call) {                                    \
    int64_t outer = call->size[0], n = call->size[1], inner = call->size[2];     \
    const T *x = call->operand[0];                                               \
    T *y = call->operand[1];                                                     \
    int64_t done = 0;                                                            \
    for (int64_t o = 0; o < outer; o++)                                          \
      for (int64_t i = 0; i < inner && !mg_is_over(&done, n); i++) {             \
        double top = -INFINITY, rest = 0;                                        \
        MG_IN_PIECES(k, n) {                                                     \
          int64_t here = (o * n + k) * inner + i;                                \
          double v = x[here];                                                    \
          if (v > top) {                                                         \
            rest = (top == -INFINITY ? 0 : rest * exp(top - v)) + 1;             \
            top = v;                                                             \
          } else if (v != -INFINITY) {                                           \
            rest += v == top ? 1 : exp(v - top);                                 \
          }                                                                      \
          y[here] = (T)(rest == 0 ? -INFINITY : top + log(rest));                \
        }                                                                        \
      }                                                                          \
  }
LOG_SUMS(f32, float)
LOG_SUMS(f64, double)

/// ln Σ e^x so far. Operands x, y; sizes outer, n, inner. Floats.
MG_KERNEL(logcumsumexp) {
  if (call->dtype == MG_F32) log_sums_f32(call);
  else log_sums_f64(call);
}

// r[i] = g[i] + e^(y[i] − y[i+1]) · r[i+1] from the end on, and dx = e^(x − y) · r.
#define LOG_SUMS_BACK(tag, T)                                                                 \
  static void log_sums_back_##tag(mg_call *call) {                                            \
    int64_t outer = call->size[0], n = call->size[1], inner = call->size[2];                  \
    const T *x = call->operand[0], *y = call->operand[1], *g = call->operand[2];              \
    T *dx = call->operand[3];                                                                 \
    int64_t done = 0;                                                                         \
    for (int64_t o = 0; o < outer; o++)                                                       \
      for (int64_t i = 0; i < inner && !mg_is_over(&done, n); i++) {                          \
        double rest = 0;                                                                      \
        MG_IN_PIECES(from_end, n) {                                                           \
          int64_t k = n - 1 - from_end;                                                       \
          int64_t here = (o * n + k) * inner + i;                                             \
          rest = g[here] + (k == n - 1 ? 0 : exp((double)y[here] - y[here + inner]) * rest);  \
          dx[here] = (T)(exp((double)x[here] - y[here]) * rest);                              \
        }                                                                                     \
      }                                                                                       \
  }
LOG_SUMS_BACK(f32, float)
LOG_SUMS_BACK(f64, double)

/// The gradient of the above. Operands x, y, g, dx; sizes outer, n, inner. Floats.
MG_KERNEL(logcumsumexp_gradient) {
  if (call->dtype == MG_F32) log_sums_back_f32(call);
  else log_sums_back_f64(call);
}
