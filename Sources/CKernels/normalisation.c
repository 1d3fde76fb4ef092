// Normalisation: rows or channels brought to mean 0 and variance 1, then scaled and moved; and its gradients, in one pass over the
// elements for each sum that they need.
//
// A channel of an image is a segment of `length` elements side by side; segments come image after image. What a segment is
// normalised by stands in vectors that repeat after `period` segments: those of channels of a batch are the same for all images.
#include "rows.h"

MG_NO_CONTRACTION

// MARK: Sums of a row

// Σ g·w, and Σ g·w·(x − mean), in lanes that go on in float64 after MG_BLOCK elements. Without w it is 1.
#define SUMS(tag, T, V, LANES, FOLD)                                                                                \
  MG_INLINE void sums_##tag(int64_t n, const T *g, const T *w, const T *x, T mean, double *first, double *second) { \
    double s = 0, t = 0;                                                                                            \
    int64_t i = 0;                                                                                                  \
    while (i + LANES <= n) {                                                                                        \
      int64_t end = mg_min64(n, i + MG_BLOCK);                                                                      \
      if (mg_was_left(i)) {                                                                                         \
        i = n;                                                                                                      \
        break;                                                                                                      \
      }                                                                                                             \
      V a = 0, b = 0, c = 0, d = 0;                                                                                 \
      for (; i + 2 * LANES <= end; i += 2 * LANES) {                                                                \
        V u = MG_LOAD(V, g + i), v = MG_LOAD(V, g + i + LANES);                                                     \
        if (w) {                                                                                                    \
          u *= MG_LOAD(V, w + i);                                                                                   \
          v *= MG_LOAD(V, w + i + LANES);                                                                           \
        }                                                                                                           \
        a += u;                                                                                                     \
        b += v;                                                                                                     \
        c += u * (MG_LOAD(V, x + i) - mean);                                                                        \
        d += v * (MG_LOAD(V, x + i + LANES) - mean);                                                                \
      }                                                                                                             \
      for (; i + LANES <= end; i += LANES) {                                                                        \
        V u = MG_LOAD(V, g + i);                                                                                    \
        if (w) u *= MG_LOAD(V, w + i);                                                                              \
        a += u;                                                                                                     \
        c += u * (MG_LOAD(V, x + i) - mean);                                                                        \
      }                                                                                                             \
      a += b;                                                                                                       \
      c += d;                                                                                                       \
      s += FOLD(a);                                                                                                 \
      t += FOLD(c);                                                                                                 \
      if (i + LANES > n) break;                                                                                     \
    }                                                                                                               \
    for (; i < n; i++) {                                                                                            \
      double u = w ? (double)g[i] * w[i] : g[i];                                                                    \
      s += u;                                                                                                       \
      t += u * ((double)x[i] - mean);                                                                               \
    }                                                                                                               \
    *first = s;                                                                                                     \
    *second = t;                                                                                                    \
  }                                                                                                                 \
  MG_INLINE double squares_##tag(int64_t n, const T *x, T mean) {                                                   \
    double t = 0;                                                                                                   \
    int64_t i = 0;                                                                                                  \
    while (i + LANES <= n) {                                                                                        \
      int64_t end = mg_min64(n, i + MG_BLOCK);                                                                      \
      if (mg_was_left(i)) {                                                                                         \
        i = n;                                                                                                      \
        break;                                                                                                      \
      }                                                                                                             \
      V c = 0, d = 0;                                                                                               \
      for (; i + 2 * LANES <= end; i += 2 * LANES) {                                                                \
        V u = MG_LOAD(V, x + i) - mean, v = MG_LOAD(V, x + i + LANES) - mean;                                       \
        c += u * u;                                                                                                 \
        d += v * v;                                                                                                 \
      }                                                                                                             \
      for (; i + LANES <= end; i += LANES) {                                                                        \
        V u = MG_LOAD(V, x + i) - mean;                                                                             \
        c += u * u;                                                                                                 \
      }                                                                                                             \
      c += d;                                                                                                       \
      t += FOLD(c);                                                                                                 \
      if (i + LANES > n) break;                                                                                     \
    }                                                                                                               \
    for (; i < n; i++) t += ((double)x[i] - mean) * ((double)x[i] - mean);                                          \
    return t;                                                                                                       \
  }
SUMS(f32, float, mg_f32x16, 16, MG_FOLD_SUM16)
SUMS(f64, double, mg_f64x8, 8, MG_FOLD_SUM8)

typedef struct {
  mg_dtype dtype;
  int64_t rows, n, period;
  const void *x, *g, *weight, *bias, *mean, *scale, *shift;
  void *y, *stats;
  double *partial;
  double eps;
  bool centred;
} work;

#define SPLIT(name)                                                   \
  static void name##_body(void *context, int64_t begin, int64_t end) { \
    const work *c = context;                                          \
    if (c->dtype == MG_F32) name##_f32(c, begin, end);                \
    else name##_f64(c, begin, end);                                   \
  }

static void over(const work *c, int64_t count, int64_t each, void (*body)(void *, int64_t, int64_t)) {
  if (count * each < 2 * MG_GRAIN) body((void *)c, 0, count);
  else mg_share(count, MG_GRAIN / 2 / (each + 1) + 1, body, (void *)c);
}

// MARK: Rows with a weight for each element

#define ROWS(tag, T)                                                                                 \
  MG_CLONES static void rows_##tag(const work *c, int64_t begin, int64_t end) {                      \
    int64_t n = c->n;                                                                                \
    const T *w = c->weight, *b = c->bias;                                                            \
    for (int64_t r = begin; r < end; r++) {                                                          \
      const T *x = (const T *)c->x + r * n;                                                          \
      T *y = (T *)c->y + r * n;                                                                      \
      T mean = c->centred ? (T)(mg_row_sum_##tag(n, x) / (double)n) : 0;                             \
      T rate = (T)(1 / sqrt(squares_##tag(n, x, mean) / (double)n + c->eps));                        \
      ((T *)c->stats)[r] = mean;                                                                     \
      if (mg_was_left(n)) return;                                                                    \
      ((T *)c->stats)[c->rows + r] = rate;                                                           \
      if (w && b) {                                                                                  \
        MG_VECTORIZE                                                                                 \
        for (int64_t i = 0; i < n; i++) y[i] = (x[i] - mean) * rate * w[i] + b[i];                   \
      } else if (w) {                                                                                \
        MG_VECTORIZE                                                                                 \
        for (int64_t i = 0; i < n; i++) y[i] = (x[i] - mean) * rate * w[i];                          \
      } else {                                                                                       \
        MG_VECTORIZE                                                                                 \
        for (int64_t i = 0; i < n; i++) y[i] = (x[i] - mean) * rate;                                 \
        if (b)                                                                                       \
          for (int64_t i = 0; i < n; i++) y[i] += b[i];                                              \
      }                                                                                              \
    }                                                                                                \
  }                                                                                                  \
  MG_CLONES static void slopes_##tag(const work *c, int64_t begin, int64_t end) {                    \
    int64_t n = c->n;                                                                                \
    const T *w = c->weight;                                                                          \
    for (int64_t r = begin; r < end; r++) {                                                          \
      const T *x = (const T *)c->x + r * n, *g = (const T *)c->g + r * n;                            \
      T *y = (T *)c->y + r * n;                                                                      \
      T mean = ((const T *)c->stats)[r], rate = ((const T *)c->stats)[c->rows + r];                  \
      double s, t;                                                                                   \
      sums_##tag(n, g, w, x, mean, &s, &t);                                                          \
      T moved = c->centred ? (T)(s / (double)n) : 0, turned = (T)(t * rate * rate / (double)n);      \
      if (w) {                                                                                       \
        MG_VECTORIZE                                                                                 \
        for (int64_t i = 0; i < n; i++) y[i] = rate * (g[i] * w[i] - moved - (x[i] - mean) * turned); \
      } else {                                                                                       \
        MG_VECTORIZE                                                                                 \
        for (int64_t i = 0; i < n; i++) y[i] = rate * (g[i] - moved - (x[i] - mean) * turned);       \
      }                                                                                              \
    }                                                                                                \
  }                                                                                                  \
  MG_CLONES static void columns_##tag(const work *c, int64_t begin, int64_t end) {                   \
    int64_t n = c->n, piece = c->period;                                                             \
    for (int64_t k = begin; k < end; k++) {                                                          \
      double *dw = c->partial + k * 2 * n, *db = dw + n;                                             \
      memset(dw, 0, (size_t)(2 * n) * sizeof(double));                                               \
      for (int64_t r = k * piece; r < mg_min64(c->rows, (k + 1) * piece); r++) {                     \
        const T *x = (const T *)c->x + r * n, *g = (const T *)c->g + r * n;                          \
        T mean = ((const T *)c->stats)[r], rate = ((const T *)c->stats)[c->rows + r];                \
        MG_VECTORIZE                                                                                 \
        for (int64_t i = 0; i < n; i++) {                                                            \
          dw[i] += (double)(g[i] * ((x[i] - mean) * rate));                                          \
          db[i] += (double)g[i];                                                                     \
        }                                                                                            \
      }                                                                                              \
    }                                                                                                \
  }                                                                                                  \
  static void added_##tag(int64_t pieces, int64_t n, const double *partial, T *y) {                  \
    for (int64_t i = 0; i < n; i++) {                                                                \
      double sum = 0;                                                                                \
      for (int64_t k = 0; k < pieces; k++) sum += partial[k * n + i];                                \
      y[i] = (T)sum;                                                                                 \
    }                                                                                                \
  }
MG_FLOATS(ROWS)
SPLIT(rows)
SPLIT(slopes)
SPLIT(columns)

/// Rows [rows, n] with mean 0 (unless number 1 is 0) and variance 1, times weight plus bias. Operands x, y, stats (the rows' means, then
/// their 1/√(variance + eps)), weight [n] or NULL, bias [n] or NULL; sizes rows, n; numbers eps, whether means are taken off.
MG_KERNEL(normalised_rows) {
  work c = {.dtype = call->dtype, .rows = call->size[0], .n = call->size[1], .x = call->operand[0], .y = call->operand[1],
            .stats = call->operand[2], .weight = call->operand[3], .bias = call->operand[4], .eps = call->number[0],
            .centred = call->number[1] != 0};
  if (c.rows > 0) over(&c, c.rows, c.n, rows_body);
}

/// The gradient of x. Operands g, x, stats, weight or NULL, dx; sizes rows, n; number 1 as above.
MG_KERNEL(normalised_rows_slopes) {
  work c = {.dtype = call->dtype, .rows = call->size[0], .n = call->size[1], .g = call->operand[0], .x = call->operand[1],
            .stats = call->operand[2], .weight = call->operand[3], .y = call->operand[4], .centred = call->number[1] != 0};
  if (c.rows > 0) over(&c, c.rows, c.n, slopes_body);
}

/// The gradients of weight and bias, [2, n]. Operands g, x, stats, result, room for sums of `pieces` (float64, [pieces, 2, n]);
/// sizes rows, n, pieces.
MG_KERNEL(normalised_rows_sums) {
  int64_t pieces = call->size[2];
  work c = {.dtype = call->dtype, .rows = call->size[0], .n = call->size[1], .period = (call->size[0] + pieces - 1) / pieces,
            .g = call->operand[0], .x = call->operand[1], .stats = call->operand[2], .partial = call->operand[4]};
  if (pieces == 1) columns_body(&c, 0, 1);
  else mg_share(pieces, 1, columns_body, &c);
  if (c.dtype == MG_F32) added_f32(pieces, 2 * c.n, c.partial, call->operand[3]);
  else added_f64(pieces, 2 * c.n, c.partial, call->operand[3]);
}

// MARK: Segments with a weight for each

#define SEGMENTS(tag, T)                                                                                   \
  MG_CLONES static void affine_##tag(const work *c, int64_t begin, int64_t end) {                          \
    int64_t n = c->n;                                                                                      \
    const T *mean = c->mean, *scale = c->scale, *shift = c->shift;                                         \
    if (n == 1) {                                                                                          \
      for (int64_t s = begin; s < end;) {                                                                  \
        int64_t p = s % c->period, count = mg_min64(end - s, c->period - p);                               \
        const T *x = (const T *)c->x + s, *m = mean + p, *a = scale + p, *b = shift + p;                   \
        T *y = (T *)c->y + s;                                                                              \
        MG_VECTORIZE                                                                                       \
        for (int64_t i = 0; i < count; i++) y[i] = (x[i] - m[i]) * a[i] + b[i];                            \
        s += count;                                                                                        \
      }                                                                                                    \
      return;                                                                                              \
    }                                                                                                      \
    for (int64_t s = begin; s < end; s++) {                                                                \
      const T *x = (const T *)c->x + s * n;                                                                \
      T *y = (T *)c->y + s * n, m = mean[s % c->period], a = scale[s % c->period], b = shift[s % c->period]; \
      MG_VECTORIZE                                                                                         \
      for (int64_t i = 0; i < n; i++) y[i] = (x[i] - m) * a + b;                                           \
    }                                                                                                      \
  }                                                                                                        \
  MG_CLONES static void pairs_##tag(const work *c, int64_t begin, int64_t end) {                           \
    int64_t n = c->n;                                                                                      \
    for (int64_t s = begin; s < end; s++)                                                                  \
      sums_##tag(n, (const T *)c->g + s * n, NULL, (const T *)c->x + s * n, ((const T *)c->mean)[s % c->period], \
                 c->partial + s, c->partial + c->rows + s);                                                \
  }                                                                                                        \
  MG_CLONES static void squared_##tag(const work *c, int64_t begin, int64_t end) {                         \
    for (int64_t s = begin; s < end; s++)                                                                  \
      c->partial[s] = squares_##tag(c->n, (const T *)c->x + s * c->n, ((const T *)c->mean)[s % c->period]); \
  }                                                                                                        \
  MG_CLONES static void pairs_across_##tag(const work *c, int64_t begin, int64_t end) {                    \
    int64_t width = c->period, images = c->rows / width;                                                   \
    double *first = c->partial, *second = c->partial + width;                                              \
    for (int64_t i = begin; i < end; i++) first[i] = second[i] = 0;                                        \
    for (int64_t k = 0; k < images; k++) {                                                                 \
      const T *g = (const T *)c->g + k * width, *x = (const T *)c->x + k * width, *m = c->mean;            \
      MG_VECTORIZE                                                                                         \
      for (int64_t i = begin; i < end; i++) {                                                              \
        first[i] += (double)g[i];                                                                          \
        second[i] += (double)(g[i] * (x[i] - m[i]));                                                       \
      }                                                                                                    \
    }                                                                                                      \
  }                                                                                                        \
  MG_CLONES static void combine_##tag(const work *c, int64_t begin, int64_t end) {                         \
    int64_t n = c->n;                                                                                      \
    const T *mean = c->mean, *scale = c->scale, *turn = c->scale, *shift = c->scale;                       \
    turn += c->period;                                                                                     \
    shift += 2 * c->period;                                                                                \
    if (n == 1) {                                                                                          \
      for (int64_t s = begin; s < end;) {                                                                  \
        int64_t p = s % c->period, count = mg_min64(end - s, c->period - p);                               \
        const T *x = (const T *)c->x + s, *g = (const T *)c->g + s, *m = mean + p, *u = scale + p, *v = turn + p, *w = shift + p; \
        T *y = (T *)c->y + s;                                                                              \
        MG_VECTORIZE                                                                                       \
        for (int64_t i = 0; i < count; i++) y[i] = g[i] * u[i] + (x[i] - m[i]) * v[i] + w[i];              \
        s += count;                                                                                        \
      }                                                                                                    \
      return;                                                                                              \
    }                                                                                                      \
    for (int64_t s = begin; s < end; s++) {                                                                \
      int64_t p = s % c->period;                                                                           \
      const T *x = (const T *)c->x + s * n, *g = (const T *)c->g + s * n;                                  \
      T *y = (T *)c->y + s * n, m = mean[p], u = scale[p], v = turn[p], w = shift[p];                      \
      MG_VECTORIZE                                                                                         \
      for (int64_t i = 0; i < n; i++) y[i] = g[i] * u + (x[i] - m) * v + w;                                \
    }                                                                                                      \
  }
MG_FLOATS(SEGMENTS)
SPLIT(affine)
SPLIT(pairs)
SPLIT(squared)
SPLIT(pairs_across)
SPLIT(combine)

/// y = (x − mean) · scale + shift by segments. Operands x, y, mean, scale, shift ([period] each); sizes segments, length, period.
MG_KERNEL(segments_scaled) {
  work c = {.dtype = call->dtype, .rows = call->size[0], .n = call->size[1], .period = call->size[2], .x = call->operand[0],
            .y = call->operand[1], .mean = call->operand[2], .scale = call->operand[3], .shift = call->operand[4]};
  if (c.rows > 0) over(&c, c.rows, c.n, affine_body);
}

/// Σ g and Σ g · (x − mean) of each segment, in float64, [2, segments]; of segments of one element those of each column, [2, period].
/// Operands g, x, mean, sums; sizes segments, length, period.
MG_KERNEL(segments_summed) {
  work c = {.dtype = call->dtype, .rows = call->size[0], .n = call->size[1], .period = call->size[2], .g = call->operand[0],
            .x = call->operand[1], .mean = call->operand[2], .partial = call->operand[3]};
  if (c.rows == 0) return;
  if (c.n == 1) over(&c, c.period, c.rows / c.period, pairs_across_body);
  else over(&c, c.rows, c.n, pairs_body);
}

/// Σ (x − mean)² of each segment, in float64. Operands x, mean [period], sums [segments]; sizes segments, length, period.
MG_KERNEL(segments_squared) {
  work c = {.dtype = call->dtype, .rows = call->size[0], .n = call->size[1], .period = call->size[2], .x = call->operand[0],
            .mean = call->operand[1], .partial = call->operand[2]};
  if (c.rows > 0) over(&c, c.rows, c.n, squared_body);
}

/// dx = g · scale + (x − mean) · turn + shift by segments. Operands g, x, mean [period], the three factors [3, period], dx; sizes
/// segments, length, period.
MG_KERNEL(segments_combined) {
  work c = {.dtype = call->dtype, .rows = call->size[0], .n = call->size[1], .period = call->size[2], .g = call->operand[0],
            .x = call->operand[1], .mean = call->operand[2], .scale = call->operand[3], .y = call->operand[4]};
  if (c.rows > 0) over(&c, c.rows, c.n, combine_body);
}
