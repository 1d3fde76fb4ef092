// Any, all, argmax, moments, norms and scans (simple version).
#include "internal.h"
#include "maths.h"

// Calls body with x at column i of slice o (elements `inner` apart) and the result's position.
#define COLUMNS(T, ...)                                                      \
  for (int64_t o = 0; o < outer; o++)                                        \
    for (int64_t i = 0; i < inner; i++) {                                    \
      const T *v = (const T *)x + o * n * inner + i;                         \
      int64_t at = o * inner + i;                                            \
      __VA_ARGS__                                                            \
    }

#define ANY(tag, T)                                                                                    \
  static void any_##tag(bool all, int64_t outer, int64_t n, int64_t inner, const T *x, uint8_t *y) {   \
    COLUMNS(T, {                                                                                       \
      bool r = all;                                                                                    \
      for (int64_t j = 0; j < n; j++)                                                                  \
        if ((v[j * inner] != 0) != all) r = !all;                                                      \
      y[at] = r;                                                                                       \
    })                                                                                                 \
  }
MG_TYPES(ANY)

static void any(bool all, mg_dtype dtype, int64_t outer, int64_t n, int64_t inner, const void *x, void *y) {
  switch (dtype) {
#define CASE(tag, type) case MG_TAG_##tag: any_##tag(all, outer, n, inner, x, y); break;
    MG_TYPES(CASE)
#undef CASE
    default: break;
  }
}
void mg_any(mg_dtype dtype, int64_t outer, int64_t n, int64_t inner, const void *x, void *y) {
  any(false, dtype, outer, n, inner, x, y);
}
void mg_all(mg_dtype dtype, int64_t outer, int64_t n, int64_t inner, const void *x, void *y) {
  any(true, dtype, outer, n, inner, x, y);
}

#define ARGMAX(tag, T)                                                                                 \
  static void arg_##tag(bool least, int64_t outer, int64_t n, int64_t inner, const T *x, T *values, int64_t *indices) { \
    COLUMNS(T, {                                                                                       \
      T r = v[0];                                                                                      \
      int64_t best = 0;                                                                                \
      for (int64_t j = 1; j < n; j++) {                                                                \
        T e = v[j * inner];                                                                            \
        if (r == r && ((least ? e < r : e > r) || e != e)) r = e, best = j;                            \
      }                                                                                                \
      if (values) values[at] = r;                                                                      \
      indices[at] = best;                                                                              \
    })                                                                                                 \
  }
MG_TYPES(ARGMAX)

static void arg(bool least, mg_dtype dtype, int64_t outer, int64_t n, int64_t inner, const void *x, void *values,
                int64_t *indices) {
  if (n == 0) return;
  switch (dtype) {
#define CASE(tag, type) case MG_TAG_##tag: arg_##tag(least, outer, n, inner, x, values, indices); break;
    MG_TYPES(CASE)
#undef CASE
    default: break;
  }
}
void mg_argmax(mg_dtype dtype, int64_t outer, int64_t n, int64_t inner, const void *x, void *values, int64_t *indices) {
  arg(false, dtype, outer, n, inner, x, values, indices);
}
void mg_argmin(mg_dtype dtype, int64_t outer, int64_t n, int64_t inner, const void *x, void *values, int64_t *indices) {
  arg(true, dtype, outer, n, inner, x, values, indices);
}

#define STATISTICS(tag, T)                                                                             \
  static void moments_##tag(int64_t outer, int64_t n, int64_t inner, const T *x, T *mean, T *squares) { \
    COLUMNS(T, {                                                                                       \
      double m = 0, s = 0;                                                                             \
      for (int64_t j = 0; j < n; j++) m += v[j * inner];                                               \
      m /= (double)n;                                                                                  \
      for (int64_t j = 0; j < n; j++) s += (v[j * inner] - m) * (v[j * inner] - m);                    \
      if (mean) mean[at] = (T)m;                                                                       \
      if (squares) squares[at] = (T)s;                                                                 \
    })                                                                                                 \
  }                                                                                                    \
  static void norm_##tag(int64_t outer, int64_t n, int64_t inner, const T *x, double p, T *y) {        \
    COLUMNS(T, {                                                                                       \
      double s = p == -INFINITY && n ? INFINITY : 0;                                                   \
      for (int64_t j = 0; j < n; j++) {                                                                \
        double e = fabs((double)v[j * inner]);                                                         \
        if (p == INFINITY) s = e > s || e != e ? e : s;                                                \
        else if (p == -INFINITY) s = e < s || e != e ? e : s;                                          \
        else if (p == 0) s += e != 0;                                                                  \
        else s += p == 1 ? e : p == 2 ? e * e : pow(e, p);                                             \
      }                                                                                                \
      y[at] = (T)(isinf(p) || p == 0 || p == 1 ? s : p == 2 ? sqrt(s) : n == 0 ? 0 : pow(s, 1 / p));   \
    })                                                                                                 \
  }                                                                                                    \
  static void scan_##tag(bool product, bool reverse, int64_t outer, int64_t n, int64_t inner, const T *x, T *y) { \
    COLUMNS(T, {                                                                                       \
      double r = product;                                                                              \
      T *w = y + o * n * inner + i;                                                                    \
      for (int64_t k = 0; k < n; k++) {                                                                \
        int64_t j = (reverse ? n - 1 - k : k) * inner;                                                 \
        if (product) r *= v[j];                                                                        \
        else r += v[j];                                                                                \
        w[j] = (T)r;                                                                                   \
      }                                                                                                \
      (void)at;                                                                                        \
    })                                                                                                 \
  }
MG_FLOATS(STATISTICS)

#define INTEGER_SCAN(tag, T)                                                                           \
  static void scan_##tag(bool product, bool reverse, int64_t outer, int64_t n, int64_t inner, const T *x, T *y) { \
    COLUMNS(T, {                                                                                       \
      uint64_t r = product;                                                                            \
      T *w = y + o * n * inner + i;                                                                    \
      for (int64_t k = 0; k < n; k++) {                                                                \
        int64_t j = (reverse ? n - 1 - k : k) * inner;                                                 \
        if (product) r *= (uint64_t)v[j];                                                              \
        else r += (uint64_t)v[j];                                                                      \
        w[j] = (T)r;                                                                                   \
      }                                                                                                \
      (void)at;                                                                                        \
    })                                                                                                 \
  }
MG_INTEGERS(INTEGER_SCAN)
INTEGER_SCAN(b8, uint8_t)

void mg_moments(mg_dtype dtype, int64_t outer, int64_t n, int64_t inner, const void *x, void *mean, void *sum_squares) {
  if (dtype == MG_F32) moments_f32(outer, n, inner, x, mean, sum_squares);
  else moments_f64(outer, n, inner, x, mean, sum_squares);
}
void mg_norm(mg_dtype dtype, int64_t outer, int64_t n, int64_t inner, const void *x, double p, void *y) {
  if (dtype == MG_F32) norm_f32(outer, n, inner, x, p, y);
  else norm_f64(outer, n, inner, x, p, y);
}
static void scan(bool product, bool reverse, mg_dtype dtype, int64_t outer, int64_t n, int64_t inner, const void *x,
                 void *y) {
  switch (dtype) {
#define CASE(tag, type) case MG_TAG_##tag: scan_##tag(product, reverse, outer, n, inner, x, y); break;
    MG_TYPES(CASE)
#undef CASE
    default: break;
  }
}
void mg_cumsum(mg_dtype dtype, int64_t outer, int64_t n, int64_t inner, bool reverse, const void *x, void *y) {
  scan(false, reverse, dtype, outer, n, inner, x, y);
}
void mg_cumprod(mg_dtype dtype, int64_t outer, int64_t n, int64_t inner, const void *x, void *y) {
  scan(true, false, dtype, outer, n, inner, x, y);
}
