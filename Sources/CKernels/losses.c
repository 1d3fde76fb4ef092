// Losses whose forward or backward pass is one fused loop (simple version).
#include "internal.h"

#define LOSSES(tag, T)                                                                                \
  static double squared_error_##tag(int64_t n, const T *x, const T *y) {                              \
    double s = 0;                                                                                     \
    for (int64_t i = 0; i < n; i++) s += ((double)x[i] - y[i]) * ((double)x[i] - y[i]);               \
    return s;                                                                                         \
  }                                                                                                   \
  MG_CLONES static void scaled_difference_##tag(int64_t n, T scale, const T *x, const T *y, T *dx) {  \
    MG_VECTORIZE                                                                                      \
    for (int64_t i = 0; i < n; i++) dx[i] = scale * (x[i] - y[i]);                                    \
  }                                                                                                   \
  static double cross_entropy_##tag(int64_t rows, int64_t n, const T *logp, const int64_t *target,    \
                                    int64_t ignore, const T *weight, double *total) {                 \
    double loss = 0, sum = 0;                                                                         \
    for (int64_t r = 0; r < rows; r++, logp += n) {                                                   \
      if (target[r] == ignore) continue;                                                              \
      double w = weight ? weight[target[r]] : 1;                                                      \
      loss -= w * logp[target[r]];                                                                    \
      sum += w;                                                                                       \
    }                                                                                                 \
    *total = sum;                                                                                     \
    return loss;                                                                                      \
  }                                                                                                   \
  static void cross_entropy_grad_##tag(int64_t rows, int64_t n, const T *logp, const int64_t *target, \
                                       int64_t ignore, const T *weight, double scale, T *dx) {        \
    for (int64_t r = 0; r < rows; r++, logp += n, dx += n) {                                          \
      if (target[r] == ignore) {                                                                      \
        memset(dx, 0, (size_t)n * sizeof(T));                                                         \
        continue;                                                                                     \
      }                                                                                               \
      T s = (T)(weight ? scale * weight[target[r]] : scale);                                          \
      for (int64_t i = 0; i < n; i++) dx[i] = s * ((T)exp(logp[i]) - (T)(i == target[r]));            \
    }                                                                                                 \
  }
MG_FLOATS(LOSSES)

double mg_squared_error(mg_dtype dtype, int64_t n, const void *x, const void *y) {
  return dtype == MG_F32 ? squared_error_f32(n, x, y) : squared_error_f64(n, x, y);
}
void mg_scaled_difference(mg_dtype dtype, int64_t n, double scale, const void *x, const void *y, void *dx) {
  if (dtype == MG_F32) scaled_difference_f32(n, (float)scale, x, y, dx);
  else scaled_difference_f64(n, scale, x, y, dx);
}
double mg_cross_entropy(mg_dtype dtype, int64_t rows, int64_t n, const void *x, const int64_t *target, int64_t ignore,
                        const void *weight, void *logp, double *total_weight) {
  mg_log_softmax(dtype, rows, n, x, logp);
  return dtype == MG_F32 ? cross_entropy_f32(rows, n, logp, target, ignore, weight, total_weight)
                         : cross_entropy_f64(rows, n, logp, target, ignore, weight, total_weight);
}
void mg_cross_entropy_grad(mg_dtype dtype, int64_t rows, int64_t n, const void *logp, const int64_t *target,
                           int64_t ignore, const void *weight, double scale, void *dx) {
  if (dtype == MG_F32) cross_entropy_grad_f32(rows, n, logp, target, ignore, weight, scale, dx);
  else cross_entropy_grad_f64(rows, n, logp, target, ignore, weight, scale, dx);
}
