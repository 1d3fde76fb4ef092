// Eigenvalues of tridiagonal and singular values of bidiagonal matrices, with vectors, by implicit QL and QR iterations: Golub and
// Van Loan, "Matrix computations", 8.3 and 8.6; Demmel and Kahan, "Accurate singular values of bidiagonal matrices" (1990).
//
// LAPACK spends three quarters of the time that a small matrix takes here, turning columns number by number. Here the turns of a
// sweep are found first, in double precision, and columns are turned in vectors: of 32 × 32 numbers, 10 µs instead of 40.
#include "spectra.h"

#include <float.h>

/// Turns of neighbouring columns: i and i + 1 become c·(i) + s·(i + 1) and c·(i + 1) − s·(i).
typedef struct {
  int64_t first, count;
  double c[MG_SMALL_SPECTRUM], s[MG_SMALL_SPECTRUM];
} turns;

#define TURN(tag, T)                                                                                          \
  MG_CLONES static void turn_##tag(const turns *t, bool down, int64_t n, T *z) {                              \
    for (int64_t k = 0; k < t->count; k++) {                                                                  \
      int64_t i = down ? t->count - 1 - k : k;                                                                \
      T c = (T)t->c[i], s = (T)t->s[i], *x = z + (t->first + i) * n, *y = x + n;                              \
      MG_VECTORIZE                                                                                            \
      for (int64_t j = 0; j < n; j++) {                                                                       \
        T a = x[j], b = y[j];                                                                                 \
        x[j] = c * a + s * b;                                                                                 \
        y[j] = c * b - s * a;                                                                                 \
      }                                                                                                       \
    }                                                                                                         \
  }                                                                                                           \
  static void exchange_##tag(int64_t n, T *x, T *y) {                                                         \
    for (int64_t j = 0; j < n; j++) {                                                                         \
      T a = x[j];                                                                                             \
      x[j] = y[j];                                                                                            \
      y[j] = a;                                                                                               \
    }                                                                                                         \
  }
MG_FLOATS(TURN)

/// A power of two that brings the largest of the numbers near 1, so that squares neither overflow nor vanish.
static double scale_of(int64_t n, const double *d, const double *e) {
  double largest = 0;
  for (int64_t i = 0; i < n; i++) largest = fmax(largest, fmax(fabs(d[i]), i < n - 1 ? fabs(e[i]) : 0));
  if (largest == 0) return 1;
  int exponent;
  frexp(largest, &exponent);
  return ldexp(1, exponent < -1000 ? 1000 : exponent > 1000 ? -1000 : -exponent);
}

// MARK: tridiagonal

/// One sweep of QL with Wilkinson's shift over l…m; the turns go from its end to its beginning.
static void ql_sweep(double *d, double *e, int64_t l, int64_t m, turns *t) {
  double half = (d[l + 1] - d[l]) / (2 * e[l]), root = sqrt(half * half + 1);
  double g = d[m] - d[l] + e[l] / (half + copysign(root, half)), s = 1, c = 1, p = 0;
  t->first = l;
  t->count = m - l;
  for (int64_t i = m - 1; i >= l; i--) {
    double f = s * e[i], b = c * e[i], r = sqrt(f * f + g * g);
    e[i + 1] = r;
    if (r == 0) {  // the matrix falls apart here
      d[i + 1] -= p;
      e[m] = 0;
      t->first = i + 1;
      t->count = m - 1 - i;
      for (int64_t k = 0; k < t->count; k++) t->c[k] = t->c[k + i + 1 - l], t->s[k] = t->s[k + i + 1 - l];
      return;
    }
    s = f / r;
    c = g / r;
    t->c[i - l] = c;
    t->s[i - l] = -s;
    g = d[i + 1] - p;
    r = (d[i] - g) * s + 2 * c * b;
    p = s * r;
    d[i + 1] = g + p;
    g = c * r - b;
  }
  d[l] -= p;
  e[l] = g;
  e[m] = 0;
}

#define TRIDIAGONAL(tag, T, EPSILON)                                                                          \
  bool mg_tridiagonal_##tag(int64_t n, T *values, T *beside, T *z) {                                          \
    double d[MG_SMALL_SPECTRUM], e[MG_SMALL_SPECTRUM];                                                        \
    turns t;                                                                                                  \
    for (int64_t i = 0; i < n; i++) d[i] = values[i], e[i] = i < n - 1 ? beside[i] : 0;                       \
    double scale = scale_of(n, d, e);                                                                         \
    for (int64_t i = 0; i < n; i++) d[i] *= scale, e[i] *= scale;                                             \
    int64_t sweeps = 50 * n;                                                                                  \
    for (int64_t l = 0; l < n;) {                                                                             \
      int64_t m = l;                                                                                          \
      while (m < n - 1 && fabs(e[m]) > EPSILON / 2 * (fabs(d[m]) + fabs(d[m + 1])) && fabs(e[m]) > DBL_MIN) m++; \
      if (m == l) {                                                                                           \
        l++;                                                                                                  \
        continue;                                                                                             \
      }                                                                                                       \
      if (sweeps-- == 0) return false;                                                                        \
      ql_sweep(d, e, l, m, &t);                                                                               \
      turn_##tag(&t, true, n, z);                                                                             \
    }                                                                                                         \
    for (int64_t i = 0; i < n; i++) {                                                                         \
      int64_t least = i;                                                                                      \
      for (int64_t j = i + 1; j < n; j++) if (d[j] < d[least]) least = j;                                     \
      if (least != i) exchange_##tag(n, z + i * n, z + least * n);                                            \
      double value = d[least];                                                                                \
      d[least] = d[i];                                                                                        \
      values[i] = (T)(value / scale);                                                                         \
    }                                                                                                         \
    return true;                                                                                              \
  }
TRIDIAGONAL(f32, float, FLT_EPSILON)
TRIDIAGONAL(f64, double, DBL_EPSILON)

// MARK: bidiagonal

/// c and s with c·f + s·g = r and c·g − s·f = 0; returns r.
static inline double turning(double f, double g, double *c, double *s) {
  double r = sqrt(f * f + g * g);
  *c = r == 0 ? 1 : f / r;
  *s = r == 0 ? 0 : g / r;
  return r;
}

/// The smaller singular value of the triangle f g / 0 h.
static double smaller_value(double f, double g, double h) {
  f = fabs(f), g = fabs(g), h = fabs(h);
  double low = fmin(f, h), high = fmax(f, h);
  if (low == 0) return 0;
  double sum = 1 + low / high, difference = (high - low) / high, u = g / high;
  return low * 2 / (sqrt(sum * sum + u * u) + sqrt(difference * difference + u * u));
}

/// One sweep of QR over l…m, from top to bottom: without a shift where that would lose what is small beside it.
static void qr_sweep(double *d, double *e, int64_t l, int64_t m, turns *left, turns *right) {
  double least = INFINITY, largest = 0, shift = smaller_value(d[m - 1], e[m - 1], d[m]);
  for (int64_t i = l; i <= m; i++) least = fmin(least, fabs(d[i])), largest = fmax(largest, fabs(d[i]));
  left->first = right->first = l;
  left->count = right->count = m - l;
  if (least <= DBL_EPSILON * largest || shift * shift < DBL_EPSILON * d[l] * d[l]) {
    double c = 1, c2 = 1, s, s2 = 0;
    for (int64_t i = l; i < m; i++) {
      double r = turning(d[i] * c, e[i], &c, &s);
      if (i > l) e[i - 1] = s2 * r;
      right->c[i - l] = c, right->s[i - l] = s;
      d[i] = turning(c2 * r, d[i + 1] * s, &c2, &s2);
      left->c[i - l] = c2, left->s[i - l] = s2;
    }
    double h = d[m] * c;
    d[m] = h * c2;
    e[m - 1] = h * s2;
    return;
  }
  double f = (fabs(d[l]) - shift) * (copysign(1, d[l]) + shift / d[l]), g = e[l];
  for (int64_t i = l; i < m; i++) {
    double c, s, r = turning(f, g, &c, &s);
    if (i > l) e[i - 1] = r;
    right->c[i - l] = c, right->s[i - l] = s;
    f = c * d[i] + s * e[i];
    e[i] = c * e[i] - s * d[i];
    g = s * d[i + 1];
    d[i + 1] *= c;
    d[i] = turning(f, g, &c, &s);
    left->c[i - l] = c, left->s[i - l] = s;
    f = c * e[i] + s * d[i + 1];
    d[i + 1] = c * d[i + 1] - s * e[i];
    if (i < m - 1) {
      g = s * e[i + 1];
      e[i + 1] *= c;
    }
  }
  e[m - 1] = f;
}

/// Turns a lower bidiagonal matrix to an upper one, from the left.
static void raise(int64_t n, double *d, double *e, turns *left) {
  left->first = 0;
  left->count = n - 1;
  for (int64_t i = 0; i < n - 1; i++) {
    double c, s;
    d[i] = turning(d[i], e[i], &c, &s);
    e[i] = s * d[i + 1];
    d[i + 1] *= c;
    left->c[i] = c, left->s[i] = s;
  }
}

#define BIDIAGONAL(tag, T, EPSILON)                                                                           \
  bool mg_bidiagonal_##tag(int64_t n, bool lower, T *values, T *beside, int64_t rows, T *u, int64_t columns, T *v) { \
    double d[MG_SMALL_SPECTRUM], e[MG_SMALL_SPECTRUM];                                                        \
    turns left, right;                                                                                        \
    for (int64_t i = 0; i < n; i++) d[i] = values[i], e[i] = i < n - 1 ? beside[i] : 0;                       \
    double scale = scale_of(n, d, e);                                                                         \
    for (int64_t i = 0; i < n; i++) d[i] *= scale, e[i] *= scale;                                             \
    if (lower) {                                                                                              \
      raise(n, d, e, &left);                                                                                  \
      turn_##tag(&left, false, rows, u);                                                                      \
    }                                                                                                         \
    int64_t sweeps = 50 * n;                                                                                  \
    for (int64_t m = n - 1; m > 0;) {                                                                         \
      int64_t l = m;                                                                                          \
      while (l > 0 && fabs(e[l - 1]) > EPSILON / 2) l--; /* the largest number is near 1 */                   \
      if (l == m) {                                                                                           \
        m--;                                                                                                  \
        continue;                                                                                             \
      }                                                                                                       \
      if (sweeps-- == 0) return false;                                                                        \
      qr_sweep(d, e, l, m, &left, &right);                                                                    \
      turn_##tag(&left, false, rows, u);                                                                      \
      turn_##tag(&right, false, columns, v);                                                                  \
    }                                                                                                         \
    for (int64_t i = 0; i < n; i++)                                                                           \
      if (signbit(d[i])) {                                                                                    \
        d[i] = -d[i];                                                                                         \
        for (int64_t j = 0; j < columns; j++) v[i * columns + j] = -v[i * columns + j];                       \
      }                                                                                                       \
    for (int64_t i = 0; i < n; i++) {                                                                         \
      int64_t largest = i;                                                                                    \
      for (int64_t j = i + 1; j < n; j++) if (d[j] > d[largest]) largest = j;                                 \
      if (largest != i) {                                                                                     \
        exchange_##tag(rows, u + i * rows, u + largest * rows);                                               \
        exchange_##tag(columns, v + i * columns, v + largest * columns);                                      \
      }                                                                                                       \
      double value = d[largest];                                                                              \
      d[largest] = d[i];                                                                                      \
      values[i] = (T)(value / scale);                                                                         \
    }                                                                                                         \
    return true;                                                                                              \
  }
BIDIAGONAL(f32, float, FLT_EPSILON)
BIDIAGONAL(f64, double, DBL_EPSILON)
