// Softmax and log-softmax over rows, and their gradients (simple version).
#include "internal.h"

#define SOFTMAX(tag, T)                                                                               \
  static void softmax_##tag(bool logarithm, int64_t rows, int64_t n, const T *x, T *y) {              \
    for (int64_t r = 0; r < rows; r++, x += n, y += n) {                                              \
      double m = -INFINITY, s = 0;                                                                    \
      for (int64_t i = 0; i < n; i++) m = x[i] > m || x[i] != x[i] ? x[i] : m;                        \
      for (int64_t i = 0; i < n; i++) s += exp(x[i] - m);                                             \
      double l = log(s);                                                                              \
      for (int64_t i = 0; i < n; i++) y[i] = (T)(logarithm ? x[i] - m - l : exp(x[i] - m) / s);       \
    }                                                                                                 \
  }                                                                                                   \
  static void softmax_grad_##tag(bool logarithm, int64_t rows, int64_t n, const T *g, const T *y, T *dx) { \
    for (int64_t r = 0; r < rows; r++, g += n, y += n, dx += n) {                                     \
      double s = 0;                                                                                   \
      for (int64_t i = 0; i < n; i++) s += logarithm ? g[i] : (double)g[i] * y[i];                    \
      for (int64_t i = 0; i < n; i++) dx[i] = (T)(logarithm ? g[i] - exp(y[i]) * s : y[i] * (g[i] - s)); \
    }                                                                                                 \
  }
MG_FLOATS(SOFTMAX)

void mg_softmax(mg_dtype dtype, int64_t rows, int64_t n, const void *x, void *y) {
  if (dtype == MG_F32) softmax_f32(false, rows, n, x, y);
  else softmax_f64(false, rows, n, x, y);
}
void mg_log_softmax(mg_dtype dtype, int64_t rows, int64_t n, const void *x, void *y) {
  if (dtype == MG_F32) softmax_f32(true, rows, n, x, y);
  else softmax_f64(true, rows, n, x, y);
}
void mg_softmax_grad(mg_dtype dtype, int64_t rows, int64_t n, const void *g, const void *y, void *dx) {
  if (dtype == MG_F32) softmax_grad_f32(false, rows, n, g, y, dx);
  else softmax_grad_f64(false, rows, n, g, y, dx);
}
void mg_log_softmax_grad(mg_dtype dtype, int64_t rows, int64_t n, const void *g, const void *y, void *dx) {
  if (dtype == MG_F32) softmax_grad_f32(true, rows, n, g, y, dx);
  else softmax_grad_f64(true, rows, n, g, y, dx);
}
