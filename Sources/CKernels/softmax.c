// Softmax, log-softmax and log-sum-exp of rows, and softmax's gradients. Rows are independent and split over the pool.
#include "maths.h"
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

typedef struct {
  void (*softmax)(int64_t rows, int64_t n, const float *x, float *y);
  void (*log_softmax)(int64_t rows, int64_t n, const float *x, float *y);
  void (*logsumexp)(int64_t rows, int64_t n, const float *x, float *y);
  void (*softmax_grad)(int64_t rows, int64_t n, const float *g, const float *y, float *dx);
  void (*log_softmax_grad)(int64_t rows, int64_t n, const float *g, const float *y, float *dx);
  void (*cross_entropy_grad)(int64_t n, const float *logp, int64_t target, float scale, float *dx);
} softmax_table;

#define MG_BODY "softmax_rows.h"
#include "levels.h"

static const softmax_table *f32(void) { return MG_PICK(&table); }

void mg_cross_entropy_grad_row(int64_t n, const float *logp, int64_t target, float scale, float *dx) {
  f32()->cross_entropy_grad(n, logp, target, scale, dx);
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

enum {
  STRIPE = 32,            // columns at once
  HEIGHT = 16,            // rows whose exponentials are taken together
  WORTH_A_THREAD = 32768,  // elements of work that pay for waking a thread
};

typedef struct {
  mg_dtype dtype;
  int64_t n, inner, stripes;
  const void *x;
  void *y;
} columns_context;

// Stripes of columns, row by row, so that memory is read in its order.
#define STRIPES(tag, T)                                                                         \
  MG_CLONES static void maxima_##tag(int64_t n, int64_t stride, int64_t width, const T *x, T *max) { \
    for (int64_t j = 0; j < n; j++, x += stride) {                                              \
      MG_VECTORIZE                                                                              \
      for (int64_t i = 0; i < width; i++) max[i] = x[i] > max[i] || x[i] != x[i] ? x[i] : max[i]; \
    }                                                                                           \
  }                                                                                             \
  MG_CLONES static void below_##tag(int64_t n, int64_t stride, int64_t width, const T *x, const T *max, T *y) { \
    for (int64_t j = 0; j < n; j++, x += stride, y += width) {                                  \
      MG_VECTORIZE                                                                              \
      for (int64_t i = 0; i < width; i++) y[i] = x[i] - max[i];                                 \
    }                                                                                           \
  }                                                                                             \
  MG_CLONES static void add_rows_##tag(int64_t n, int64_t width, const T *x, double *total) {   \
    for (int64_t j = 0; j < n; j++, x += width) {                                               \
      MG_VECTORIZE                                                                              \
      for (int64_t i = 0; i < width; i++) total[i] += x[i];                                     \
    }                                                                                           \
  }                                                                                             \
  static void logsumexp_stripe_##tag(int64_t n, int64_t stride, int64_t width, const T *x, T *y) { \
    T max[STRIPE], shift[STRIPE], buffer[HEIGHT * STRIPE];                                      \
    double total[STRIPE] = {0};                                                                 \
    for (int64_t i = 0; i < width; i++) max[i] = -INFINITY;                                     \
    maxima_##tag(n, stride, width, x, max);                                                     \
    /* An infinite maximum is the result; subtracting it would give NaN. */                     \
    for (int64_t i = 0; i < width; i++) shift[i] = isinf(max[i]) ? 0 : max[i];                  \
    for (int64_t j = 0; j < n; j += HEIGHT) {                                                   \
      int64_t rows = mg_min64(HEIGHT, n - j);                                                   \
      below_##tag(rows, stride, width, x + j * stride, shift, buffer);                          \
      mg_math_##tag(MG_EXP, rows * width, buffer, buffer);                                      \
      add_rows_##tag(rows, width, buffer, total);                                               \
    }                                                                                           \
    for (int64_t i = 0; i < width; i++) y[i] = isinf(max[i]) ? max[i] : (T)(max[i] + log(total[i])); \
  }
MG_FLOATS(STRIPES)

static void logsumexp_stripes(void *context, int64_t begin, int64_t end) {
  const columns_context *c = context;
  for (int64_t task = begin; task < end; task++) {
    int64_t o = task / c->stripes, i = task % c->stripes * STRIPE, width = mg_min64(STRIPE, c->inner - i);
    int64_t from = o * c->n * c->inner + i, to = o * c->inner + i;
    if (c->dtype == MG_F32)
      logsumexp_stripe_f32(c->n, c->inner, width, (const float *)c->x + from, (float *)c->y + to);
    else logsumexp_stripe_f64(c->n, c->inner, width, (const double *)c->x + from, (double *)c->y + to);
  }
}

// MARK: entry points

// A body for over_rows: FLOAT or DOUBLE gives the rows from `begin` of a pointer.
#define FLOAT(p) ((float *)(p) + begin * n)
#define DOUBLE(p) ((double *)(p) + begin * n)
#define BODY(name, IN_FLOAT, IN_DOUBLE)                                   \
  static void name##_body(void *context, int64_t begin, int64_t end) {    \
    const rows_context *c = context;                                      \
    int64_t n = c->n, rows = end - begin;                                 \
    if (c->dtype == MG_F32) f32()->IN_FLOAT;                              \
    else IN_DOUBLE;                                                       \
  }
BODY(softmax, softmax(rows, n, FLOAT(c->x), FLOAT(c->y)), softmax_f64(rows, n, DOUBLE(c->x), DOUBLE(c->y)))
BODY(log_softmax, log_softmax(rows, n, FLOAT(c->x), FLOAT(c->y)), log_softmax_f64(rows, n, DOUBLE(c->x), DOUBLE(c->y)))
BODY(softmax_grad, softmax_grad(rows, n, FLOAT(c->g), FLOAT(c->x), FLOAT(c->y)),
     softmax_grad_f64(rows, n, DOUBLE(c->g), DOUBLE(c->x), DOUBLE(c->y)))
BODY(log_softmax_grad, log_softmax_grad(rows, n, FLOAT(c->g), FLOAT(c->x), FLOAT(c->y)),
     log_softmax_grad_f64(rows, n, DOUBLE(c->g), DOUBLE(c->x), DOUBLE(c->y)))
BODY(logsumexp, logsumexp(rows, n, FLOAT(c->x), (float *)c->y + begin),
     logsumexp_f64(rows, n, DOUBLE(c->x), (double *)c->y + begin))

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
  if (inner <= 0) return;
  columns_context c = {dtype, n, inner, (inner + STRIPE - 1) / STRIPE, x, y};
  int64_t tasks = outer * c.stripes, cost = mg_max64(n, 1) * STRIPE;
  if (tasks * cost < 2 * WORTH_A_THREAD) logsumexp_stripes(&c, 0, tasks);
  else mg_parallel(tasks, WORTH_A_THREAD / cost + 1, logsumexp_stripes, &c);
}
