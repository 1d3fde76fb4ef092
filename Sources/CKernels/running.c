// Sweeps along a dimension and searches in sorted rows, for one operation each.
#include "internal.h"

// MARK: running extremes

// [outer, n, inner] in `size`. Of equal elements the last counts, and NaN stays from the first one on.
#define RUNNING(name, tag, T, OP, IS_NAN)                                                                       \
  static void name##_##tag(mg_call *call) {                                                                     \
    int64_t outer = call->size[0], n = call->size[1], inner = call->size[2];                                    \
    const T *x = call->operand[0];                                                                              \
    T *y = call->operand[1];                                                                                    \
    int64_t *at = call->operand[2];                                                                             \
    for (int64_t o = 0; o < outer; o++)                                                                         \
      for (int64_t i = 0; i < inner; i++) {                                                                     \
        int64_t place = 0, first = o * n * inner + i;                                                           \
        for (int64_t k = 0; k < n; k++) {                                                                       \
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
    for (int64_t o = 0; o < outer; o++)                                          \
      for (int64_t i = 0; i < inner; i++) {                                      \
        double top = -INFINITY, rest = 0;                                        \
        for (int64_t k = 0; k < n; k++) {                                        \
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
    for (int64_t o = 0; o < outer; o++)                                                       \
      for (int64_t i = 0; i < inner; i++) {                                                   \
        double rest = 0;                                                                      \
        for (int64_t k = n; k-- > 0;) {                                                       \
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

// MARK: searches

// Without a branch in a step: where the values come in no order, one is foretold wrongly at every other. What compares as false
// with NaN, and NaN itself, stands before everything, as in PyTorch: NaN goes to the end.
#define SEARCH(tag, T)                                                                         \
  MG_INLINE int64_t place_##tag(const T *row, int64_t n, T x, bool right) {                    \
    int64_t low = 0, high = n;                                                                 \
    while (low < high) {                                                                       \
      int64_t middle = low + (high - low) / 2;                                                 \
      bool before = right ? !(row[middle] > x) : !(row[middle] >= x);                          \
      int64_t mask = -(int64_t)before;                                                         \
      low = ((middle + 1) & mask) | (low & ~mask);                                             \
      high = (high & mask) | (middle & ~mask);                                                 \
    }                                                                                          \
    return low;                                                                                \
  }                                                                                            \
  static void search_##tag(void *context, int64_t begin, int64_t end) {                        \
    const mg_call *call = context;                                                             \
    int64_t n = call->size[0], width = call->size[1];                                          \
    bool right = call->size[2] != 0, is_one = call->count[0] <= n;                             \
    const T *rows = call->operand[0], *x = call->operand[1];                                   \
    int64_t *y = call->operand[2];                                                             \
    for (int64_t k = begin; k < end; k++)                                                      \
      y[k] = place_##tag(is_one ? rows : rows + k / width * n, n, x[k], right);                \
  }
SEARCH(f64, double)
SEARCH(i64, int64_t)

/// Where values stand in sorted rows. Operands rows (of n), values (width of them go with each row, or all with one), positions
/// (int64); sizes n, width, right. float64 and int64.
MG_KERNEL(searchsorted) {
  void (*search)(void *, int64_t, int64_t) = call->dtype == MG_F64 ? search_f64 : search_i64;
  if (call->count[1] < MG_GRAIN_MATH) search(call, 0, call->count[1]);
  else mg_share(call->count[1], MG_GRAIN_MATH, search, call);
}
