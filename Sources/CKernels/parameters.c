// Elementwise functions that take numbers besides tensors: clamping and the parametric activations, x + α·a·b,
// x + α·a/b, y + α·x, and adding a row.
#include "maths.h"

MG_NO_CONTRACTION

#define EACH(EXPRESSION)                                                      \
  {                                                                           \
    MG_VECTORIZE                                                              \
    for (int64_t i = 0; i < n; i++) { T v = x[i]; y[i] = (EXPRESSION); }      \
    return;                                                                   \
  }
/// The same with f = op(ARGUMENT), computed for a chunk at a time.
#define CHUNKS(ARGUMENT, OP, EXPRESSION)                                      \
  {                                                                           \
    T values[256];                                                            \
    for (int64_t begin = 0; begin < n; begin += 256) {                        \
      int64_t count = mg_min64(256, n - begin);                               \
      for (int64_t i = 0; i < count; i++) {                                   \
        T v = x[begin + i];                                                   \
        values[i] = (ARGUMENT);                                               \
      }                                                                       \
      math(OP, count, values, values);                                        \
      MG_VECTORIZE                                                            \
      for (int64_t i = 0; i < count; i++) {                                   \
        T v = x[begin + i], f = values[i];                                    \
        y[begin + i] = (EXPRESSION);                                          \
      }                                                                       \
    }                                                                         \
    return;                                                                   \
  }

// A NaN bound fails every comparison and so bounds nothing; a NaN element passes. The upper bound wins when the
// bounds cross, as in PyTorch.
#define CLAMP EACH(hi < (v < lo ? lo : v) ? hi : v < lo ? lo : v)

#define FLOAT_UNARY2(tag, type)                                                                               \
  MG_CLONES static void unary2_##tag(mg_unary2_op op, int64_t n, const type *x, double p, double q, type *y) { \
    typedef type T;                                                                                           \
    T lo = (T)p, hi = (T)q, alpha = lo;                                                                       \
    void (*math)(mg_unary_op, int64_t, const T *, T *) = mg_math_##tag;                                       \
    switch (op) {                                                                                             \
      case MG_CLAMP: CLAMP                                                                                    \
      case MG_LEAKY_RELU: EACH(v > 0 ? v : v * alpha)                                                         \
      case MG_THRESHOLD: EACH(v <= alpha ? hi : v)                                                            \
      case MG_HARDSHRINK: EACH(v >= -alpha && v <= alpha ? (T)0 : v)                                          \
      case MG_SOFTSHRINK: EACH(v > alpha ? v - alpha : v < -alpha ? v + alpha : v * 0)                        \
      case MG_ELU: CHUNKS(v, MG_EXPM1, v > 0 ? v : alpha * f)                                                 \
      case MG_CELU: CHUNKS(v / alpha, MG_EXPM1, v > 0 ? v : alpha * f)                                        \
      case MG_SOFTPLUS2: CHUNKS(v * alpha, MG_SOFTPLUS, v * alpha > hi ? v : f / alpha)                       \
      default: return;                                                                                        \
    }                                                                                                         \
  }
MG_FLOATS(FLOAT_UNARY2)

/// The value of a bound in an integer type; NaN is no bound.
#define INTEGER_UNARY2(tag, type, least, greatest)                                                            \
  MG_CLONES static void clamp_##tag(int64_t n, const type *x, double p, double q, type *y) {                  \
    typedef type T;                                                                                           \
    T lo = !(p > (double)least) ? least : p >= (double)greatest ? greatest : (T)p;                            \
    T hi = !(q < (double)greatest) ? greatest : q <= (double)least ? least : (T)q;                            \
    CLAMP                                                                                                     \
  }
INTEGER_UNARY2(i64, int64_t, INT64_MIN, INT64_MAX)
INTEGER_UNARY2(i32, int32_t, INT32_MIN, INT32_MAX)
INTEGER_UNARY2(u8, uint8_t, 0, UINT8_MAX)

static void unary2_kernel(const mg_job *job, int64_t n, void *y, const void *const x[3], unsigned scalars) {
  (void)scalars;
  switch (job->dtype) {
    case MG_F32: unary2_f32((mg_unary2_op)job->op, n, x[0], job->p, job->q, y); break;
    case MG_F64: unary2_f64((mg_unary2_op)job->op, n, x[0], job->p, job->q, y); break;
    case MG_I64: clamp_i64(n, x[0], job->p, job->q, y); break;
    case MG_I32: clamp_i32(n, x[0], job->p, job->q, y); break;
    default: clamp_u8(n, x[0], job->p, job->q, y); break;
  }
}

void mg_unary2_nd(mg_unary2_op op, mg_dtype dtype, const mg_loop *loop, const void *x, double p, double q, void *y) {
  uint8_t size = (uint8_t)mg_size(dtype);
  bool cheap = op != MG_ELU && op != MG_CELU && op != MG_SOFTPLUS2;
  mg_job job = {.kernel = unary2_kernel, .op = op, .dtype = dtype, .p = p, .q = q, .inputs = 1, .y_size = size,
                .x_size = {size}, .modes = 1, .grain = cheap ? MG_GRAIN : MG_GRAIN_MATH};
  mg_drive(&job, loop, y, (const void *const[3]){x});
}

// MARK: x + α·a·b and x + α·a/b

#define ADDC(tag, type)                                                                                       \
  MG_CLONES static void addc_##tag(bool divide, int64_t n, const type *x, const type *a, const type *b,       \
                                   type alpha, type *y) {                                                     \
    if (divide) {                                                                                             \
      MG_VECTORIZE                                                                                            \
      for (int64_t i = 0; i < n; i++) y[i] = x[i] + alpha * a[i] / b[i];                                      \
    } else {                                                                                                  \
      MG_VECTORIZE                                                                                            \
      for (int64_t i = 0; i < n; i++) y[i] = x[i] + alpha * a[i] * b[i];                                      \
    }                                                                                                         \
  }
MG_FLOATS(ADDC)

static void addc_kernel(const mg_job *job, int64_t n, void *y, const void *const x[3], unsigned scalars) {
  (void)scalars;
  if (job->dtype == MG_F32) addc_f32(job->op, n, x[0], x[1], x[2], (float)job->p, y);
  else addc_f64(job->op, n, x[0], x[1], x[2], job->p, y);
}

static void addc(bool divide, mg_dtype dtype, const mg_loop *loop, const void *x, const void *a, const void *b,
                 double alpha, void *y) {
  uint8_t size = (uint8_t)mg_size(dtype);
  mg_job job = {.kernel = addc_kernel, .op = divide, .dtype = dtype, .p = alpha, .inputs = 3, .y_size = size,
                .x_size = {size, size, size}, .modes = 1, .grain = MG_GRAIN};
  mg_drive(&job, loop, y, (const void *const[3]){x, a, b});
}

void mg_addcmul_nd(mg_dtype dtype, const mg_loop *loop, const void *x, const void *a, const void *b, double alpha,
                   void *y) {
  addc(false, dtype, loop, x, a, b, alpha, y);
}

void mg_addcdiv_nd(mg_dtype dtype, const mg_loop *loop, const void *x, const void *a, const void *b, double alpha,
                   void *y) {
  addc(true, dtype, loop, x, a, b, alpha, y);
}

// MARK: y + α·x, and rows

#define AXPY(tag, type)                                                                                       \
  MG_CLONES static void axpy_##tag(int64_t n, type alpha, const type *x, type *y) {                           \
    MG_VECTORIZE                                                                                              \
    for (int64_t i = 0; i < n; i++) y[i] += alpha * x[i];                                                     \
  }                                                                                                           \
  MG_CLONES static void add_rows_##tag(int64_t rows, int64_t n, const type *bias, type *y) {                  \
    for (int64_t r = 0; r < rows; r++, y += n) {                                                              \
      MG_VECTORIZE                                                                                            \
      for (int64_t i = 0; i < n; i++) y[i] += bias[i];                                                        \
    }                                                                                                         \
  }
MG_FLOATS(AXPY)

typedef struct {
  mg_dtype dtype;
  int64_t n;
  double alpha;
  const char *x;
  char *y;
} row_context;

static void axpy_body(void *context, int64_t begin, int64_t end) {
  const row_context *c = context;
  int64_t offset = begin * (int64_t)mg_size(c->dtype);
  const void *x = c->x + offset;
  void *y = c->y + offset;
  if (c->dtype == MG_F32) axpy_f32(end - begin, (float)c->alpha, x, y);
  else axpy_f64(end - begin, c->alpha, x, y);
}

void mg_axpy(mg_dtype dtype, int64_t n, double alpha, const void *x, void *y) {
  row_context c = {.dtype = dtype, .alpha = alpha, .x = x, .y = y};
  if (n < 2 * MG_GRAIN) axpy_body(&c, 0, n);
  else mg_share(n, MG_GRAIN, axpy_body, &c);
}

static void add_row_body(void *context, int64_t begin, int64_t end) {
  const row_context *c = context;
  void *y = c->y + begin * c->n * (int64_t)mg_size(c->dtype);
  if (c->dtype == MG_F32) add_rows_f32(end - begin, c->n, (const float *)c->x, y);
  else add_rows_f64(end - begin, c->n, (const double *)c->x, y);
}

void mg_add_row(mg_dtype dtype, int64_t rows, int64_t n, const void *bias, void *y) {
  row_context c = {.dtype = dtype, .n = n, .x = bias, .y = y};
  if (rows * n < 2 * MG_GRAIN) add_row_body(&c, 0, rows);
  else mg_share(rows, MG_GRAIN / n + 1, add_row_body, &c);
}
