// Softmax, log-softmax and log-sum-exp of rows, and softmax's gradients. Rows are independent and split over the pool.
#include "maths.h"
#include "maths_f32.h"
#include "rows.h"

MG_NO_CONTRACTION

typedef struct {
  bool logarithm;
  mg_dtype dtype;
  int64_t n;
  const void *x, *g;
  void *y;
} rows_context;

/// Runs body over rows of n, about MG_GRAIN_MATH elements at a time.
static void over_rows(int64_t rows, rows_context *c, void (*body)(void *, int64_t, int64_t)) {
  if (rows <= 0 || c->n <= 0) return;
  if (rows * c->n < 2 * MG_GRAIN_MATH) body(c, 0, rows);
  else mg_share(rows, MG_GRAIN_MATH / c->n + 1, body, c);
}

// MARK: float32

#define BLOCKS _Pragma("clang loop vectorize(assume_safety) vectorize_width(16) interleave_count(1)")

/// The largest element, not counting NaN, which comes back in through the exponentials.
MG_INLINE float max_row(int64_t n, const float *x) {
  float max = -INFINITY;
  if (n >= 16) {
    mg_f32x16 a = max, b = max, c = max, d = MG_LOAD(mg_f32x16, x + n - 16), v;  // the end, overlapping
    int64_t i = 0;
    for (; i + 64 <= n; i += 64) {
      v = MG_LOAD(mg_f32x16, x + i);
      a = v > a ? v : a;
      v = MG_LOAD(mg_f32x16, x + i + 16);
      b = v > b ? v : b;
      v = MG_LOAD(mg_f32x16, x + i + 32);
      c = v > c ? v : c;
      v = MG_LOAD(mg_f32x16, x + i + 48);
      d = v > d ? v : d;
    }
    for (; i + 16 <= n; i += 16) {
      v = MG_LOAD(mg_f32x16, x + i);
      a = v > a ? v : a;
    }
    a = a > b ? a : b;
    c = c > d ? c : d;
    a = a > c ? a : c;
    return MG_LARGEST16(a);
  }
  for (int64_t i = 0; i < n; i++) max = x[i] > max ? x[i] : max;
  return max;
}

/// The 16 values e^(x − max) of x[0..<16].
#define EXP_BLOCK(x)                                                                            \
  ({                                                                                            \
    const float *from = (x);                                                                    \
    float block[16];                                                                            \
    BLOCKS for (int j = 0; j < 16; j++) {                                                       \
      mg_scaled e = mg_exp_scaled(from[j] - max);                                               \
      block[j] = e.value * e.scale;                                                             \
    }                                                                                           \
    MG_LOAD(mg_f32x16, block);                                                                  \
  })

/// y = e^(x − max) if `keep`, returning the sum. y may be x. The end of a row is a block that reaches back: computed
/// before y is written, counted without what the other blocks count, and stored last.
MG_INLINE double exp_row(int64_t n, const float *x, float max, bool keep, float *y) {
  double total = 0;
  int64_t whole = n & ~(int64_t)15;
  mg_f32x16 a = 0, b = 0, v, w, tail = 0;
  if (n < 16) {
    float few[16];
    for (int j = 0; j < 16; j++) few[j] = -INFINITY;
    MG_COPY_FEW(float, n, x, few);
    a = EXP_BLOCK(few);
    MG_STORE(mg_f32x16, a, few);
    if (keep) MG_COPY_FEW(float, n, few, y);
  } else if (whole < n) {
    tail = EXP_BLOCK(x + n - 16);
    for (int j = 0; j < 16; j++) a[j] = j >= 16 - (n - whole) ? tail[j] : 0;
  }
  for (int64_t begin = 0; begin < whole; begin += MG_BLOCK) {  // after a block the sum goes on in double
    int64_t end = mg_min64(whole, begin + MG_BLOCK), i = begin;
    for (; i + 32 <= end; i += 32) {
      v = EXP_BLOCK(x + i);
      w = EXP_BLOCK(x + i + 16);
      if (keep) {
        MG_STORE(mg_f32x16, v, y + i);
        MG_STORE(mg_f32x16, w, y + i + 16);
      }
      a += v;
      b += w;
    }
    if (i < end) {
      v = EXP_BLOCK(x + i);
      if (keep) MG_STORE(mg_f32x16, v, y + i);
      a += v;
    }
    if (end < whole) {
      total += MG_FOLD_SUM16(a + b);
      a = b = 0;
    }
  }
  if (keep && whole && whole < n) MG_STORE(mg_f32x16, tail, y + n - 16);
  return total + MG_FOLD_SUM16(a + b);
}

MG_CLONES static void softmax_f32(int64_t rows, int64_t n, const float *x, float *y) {
  for (int64_t r = 0; r < rows; r++, x += n, y += n) {
    float max = max_row(n, x), scale = (float)(1 / exp_row(n, x, max, true, y));
    MG_VECTORIZE
    for (int64_t i = 0; i < n; i++) y[i] *= scale;
  }
}

MG_CLONES static void log_softmax_f32(int64_t rows, int64_t n, const float *x, float *y) {
  for (int64_t r = 0; r < rows; r++, x += n, y += n) {
    float max = max_row(n, x), shift = (float)log(exp_row(n, x, max, false, NULL));
    MG_VECTORIZE
    for (int64_t i = 0; i < n; i++) y[i] = x[i] - max - shift;
  }
}

MG_CLONES static void logsumexp_f32(int64_t rows, int64_t n, const float *x, float *y) {
  for (int64_t r = 0; r < rows; r++, x += n) {
    float max = (float)mg_row_max_f32(n, x);
    // An infinite (or no) maximum is the result; subtracting it would give NaN.
    y[r] = __builtin_isinf(max) ? max : (float)(max + log(exp_row(n, x, max, false, NULL)));
  }
}

/// Σ g·y in lanes.
MG_INLINE double dot_row(int64_t n, const float *g, const float *y) {
  double total = 0;
  for (int64_t begin = 0; begin < n; begin += MG_BLOCK) {
    int64_t end = mg_min64(n, begin + MG_BLOCK), i = begin;
    mg_f32x16 a = 0, b = 0;
    for (; i + 32 <= end; i += 32) {
      a += MG_LOAD(mg_f32x16, g + i) * MG_LOAD(mg_f32x16, y + i);
      b += MG_LOAD(mg_f32x16, g + i + 16) * MG_LOAD(mg_f32x16, y + i + 16);
    }
    double rest = 0;
    for (; i < end; i++) rest += (double)g[i] * y[i];
    total += MG_FOLD_SUM16(a + b) + rest;
  }
  return total;
}

MG_CLONES static void softmax_grad_f32(int64_t rows, int64_t n, const float *g, const float *y, float *dx) {
  for (int64_t r = 0; r < rows; r++, g += n, y += n, dx += n) {
    float sum = (float)dot_row(n, g, y);
    MG_VECTORIZE
    for (int64_t i = 0; i < n; i++) dx[i] = y[i] * (g[i] - sum);
  }
}

MG_CLONES static void log_softmax_grad_f32(int64_t rows, int64_t n, const float *g, const float *y, float *dx) {
  for (int64_t r = 0; r < rows; r++, g += n, y += n, dx += n) {
    float sum = (float)mg_row_sum_f32(n, g);
    MG_VECTORIZE
    for (int64_t i = 0; i < n; i++) dx[i] = g[i] - mg_expf(y[i]) * sum;
  }
}

// MARK: float64

// The exponentials are a call of their own, into y, or into a buffer piece by piece where there is no y.

MG_CLONES static double max_f64(int64_t n, const double *x) { return mg_row_max_f64(n, x); }
MG_CLONES static double sum_f64(int64_t n, const double *x) { return mg_row_sum_f64(n, x); }
MG_CLONES static void shift_f64(int64_t n, const double *x, double shift, double *y) {
  MG_VECTORIZE
  for (int64_t i = 0; i < n; i++) y[i] = x[i] - shift;
}
MG_CLONES static void scale_f64(int64_t n, double scale, double *y) {
  MG_VECTORIZE
  for (int64_t i = 0; i < n; i++) y[i] *= scale;
}

static double exp_sum_f64(int64_t n, const double *x, double max) {
  double buffer[512], total = 0;
  for (int64_t i = 0; i < n; i += 512) {
    int64_t count = mg_min64(512, n - i);
    shift_f64(count, x + i, max, buffer);
    mg_math_f64(MG_EXP, count, buffer, buffer);
    total += sum_f64(count, buffer);
  }
  return total;
}

static void softmax_f64(int64_t rows, int64_t n, const double *x, double *y) {
  for (int64_t r = 0; r < rows; r++, x += n, y += n) {
    shift_f64(n, x, max_f64(n, x), y);
    mg_math_f64(MG_EXP, n, y, y);
    scale_f64(n, 1 / sum_f64(n, y), y);
  }
}

static void log_softmax_f64(int64_t rows, int64_t n, const double *x, double *y) {
  for (int64_t r = 0; r < rows; r++, x += n, y += n) {
    double max = max_f64(n, x), shift = log(exp_sum_f64(n, x, max));
    shift_f64(n, x, max, y);
    shift_f64(n, y, shift, y);
  }
}

static void logsumexp_f64(int64_t rows, int64_t n, const double *x, double *y) {
  for (int64_t r = 0; r < rows; r++, x += n) {
    double max = max_f64(n, x);
    y[r] = isinf(max) ? max : max + log(exp_sum_f64(n, x, max));
  }
}

MG_CLONES static void softmax_grad_f64(int64_t rows, int64_t n, const double *g, const double *y, double *dx) {
  for (int64_t r = 0; r < rows; r++, g += n, y += n, dx += n) {
    MG_VECTORIZE
    for (int64_t i = 0; i < n; i++) dx[i] = g[i] * y[i];
    double sum = mg_row_sum_f64(n, dx);
    MG_VECTORIZE
    for (int64_t i = 0; i < n; i++) dx[i] = y[i] * (g[i] - sum);
  }
}

MG_CLONES static void subtract_f64(int64_t n, const double *g, double sum, double *dx) {
  MG_VECTORIZE
  for (int64_t i = 0; i < n; i++) dx[i] = g[i] - dx[i] * sum;
}

static void log_softmax_grad_f64(int64_t rows, int64_t n, const double *g, const double *y, double *dx) {
  for (int64_t r = 0; r < rows; r++, g += n, y += n, dx += n) {
    mg_math_f64(MG_EXP, n, y, dx);
    subtract_f64(n, g, sum_f64(n, g), dx);
  }
}

// MARK: columns

// A column is packed piece by piece.
#define COLUMN(tag, T)                                                                          \
  static T logsumexp_column_##tag(int64_t n, int64_t stride, const T *x) {                      \
    T buffer[512];                                                                              \
    double max = -INFINITY, total = 0;                                                          \
    for (int64_t j = 0; j < n; j++) {                                                           \
      double v = x[j * stride];                                                                 \
      max = v > max || v != v ? v : max;                                                        \
    }                                                                                           \
    if (isinf(max)) return (T)max;                                                              \
    for (int64_t begin = 0; begin < n; begin += 512) {                                          \
      int64_t count = mg_min64(512, n - begin);                                                 \
      for (int64_t j = 0; j < count; j++) buffer[j] = x[(begin + j) * stride] - (T)max;         \
      mg_math_##tag(MG_EXP, count, buffer, buffer);                                             \
      for (int64_t j = 0; j < count; j++) total += buffer[j];                                   \
    }                                                                                           \
    return (T)(max + log(total));                                                               \
  }
MG_FLOATS(COLUMN)

// MARK: entry points

// A body for over_rows, out of two functions of rows.
#define BODY(name, ...)                                                                         \
  static void name##_body(void *context, int64_t begin, int64_t end) {                          \
    const rows_context *c = context;                                                            \
    int64_t n = c->n, rows = end - begin, offset = begin * n;                                   \
    const float *x = (const float *)c->x + offset, *g = (const float *)c->g + offset;           \
    float *y = (float *)c->y + offset;                                                          \
    const double *xd = (const double *)c->x + offset, *gd = (const double *)c->g + offset;      \
    double *yd = (double *)c->y + offset;                                                       \
    (void)g, (void)gd, (void)y, (void)yd;                                                       \
    __VA_ARGS__                                                                                 \
  }
BODY(softmax, {
  if (c->dtype == MG_F32) softmax_f32(rows, n, x, y);
  else softmax_f64(rows, n, xd, yd);
})
BODY(log_softmax, {
  if (c->dtype == MG_F32) log_softmax_f32(rows, n, x, y);
  else log_softmax_f64(rows, n, xd, yd);
})
BODY(softmax_grad, {
  if (c->dtype == MG_F32) softmax_grad_f32(rows, n, g, x, y);
  else softmax_grad_f64(rows, n, gd, xd, yd);
})
BODY(log_softmax_grad, {
  if (c->dtype == MG_F32) log_softmax_grad_f32(rows, n, g, x, y);
  else log_softmax_grad_f64(rows, n, gd, xd, yd);
})
BODY(logsumexp, {
  if (c->dtype == MG_F32) logsumexp_f32(rows, n, x, (float *)c->y + begin);
  else logsumexp_f64(rows, n, xd, (double *)c->y + begin);
})

void mg_softmax(mg_dtype dtype, int64_t rows, int64_t n, const void *x, void *y) {
  rows_context c = {.dtype = dtype, .n = n, .x = x, .y = y};
  over_rows(rows, &c, softmax_body);
}
void mg_log_softmax(mg_dtype dtype, int64_t rows, int64_t n, const void *x, void *y) {
  rows_context c = {.dtype = dtype, .n = n, .x = x, .y = y};
  over_rows(rows, &c, log_softmax_body);
}
void mg_softmax_grad(mg_dtype dtype, int64_t rows, int64_t n, const void *g, const void *y, void *dx) {
  rows_context c = {.dtype = dtype, .n = n, .x = y, .g = g, .y = dx};
  over_rows(rows, &c, softmax_grad_body);
}
void mg_log_softmax_grad(mg_dtype dtype, int64_t rows, int64_t n, const void *g, const void *y, void *dx) {
  rows_context c = {.dtype = dtype, .n = n, .x = y, .g = g, .y = dx};
  over_rows(rows, &c, log_softmax_grad_body);
}
void mg_logsumexp(mg_dtype dtype, int64_t outer, int64_t n, int64_t inner, const void *x, void *y) {
  if (inner == 1 && n > 0) {
    rows_context c = {.dtype = dtype, .n = n, .x = x, .y = y};
    over_rows(outer, &c, logsumexp_body);
    return;
  }
  for (int64_t o = 0; o < outer; o++)
    for (int64_t i = 0; i < inner; i++) {
      if (dtype == MG_F32) ((float *)y)[o * inner + i] = logsumexp_column_f32(n, inner, (const float *)x + o * n * inner + i);
      else ((double *)y)[o * inner + i] = logsumexp_column_f64(n, inner, (const double *)x + o * n * inner + i);
    }
}
