// Losses whose forward or backward pass is one fused loop.
#include "maths.h"
#include "rows.h"

MG_NO_CONTRACTION

enum { PIECES = 64 };  // partial sums kept by a reduction that is split over the pool

// MARK: mean-squared error

#define SQUARES(tag, T, V, LANES, FOLD)                                                                 \
  /* Σ(x − y)² of at most MG_BLOCK elements. */                                                         \
  MG_INLINE double squares_block_##tag(int64_t n, const T *x, const T *y) {                             \
    V a = 0, b = 0;                                                                                     \
    int64_t i = 0;                                                                                      \
    for (; i + 2 * LANES <= n; i += 2 * LANES) {                                                        \
      V d = MG_LOAD(V, x + i) - MG_LOAD(V, y + i);                                                      \
      V e = MG_LOAD(V, x + i + LANES) - MG_LOAD(V, y + i + LANES);                                      \
      a += d * d;                                                                                       \
      b += e * e;                                                                                       \
    }                                                                                                   \
    double rest = 0;                                                                                    \
    for (; i < n; i++) rest += ((double)x[i] - y[i]) * ((double)x[i] - y[i]);                           \
    return FOLD(a + b) + rest;                                                                          \
  }                                                                                                     \
  MG_CLONES static double squares_##tag(int64_t n, const T *x, const T *y) {                            \
    mg_exact total = {0, 0};                                                                            \
    for (int64_t i = 0; i < n; i += MG_BLOCK)                                                           \
      mg_exact_add(&total, squares_block_##tag(mg_min64(MG_BLOCK, n - i), x + i, y + i));               \
    return mg_exact_value(total);                                                                       \
  }                                                                                                     \
  MG_CLONES static void difference_##tag(int64_t n, T scale, const T *x, const T *y, T *dx) {           \
    MG_VECTORIZE                                                                                        \
    for (int64_t i = 0; i < n; i++) dx[i] = scale * (x[i] - y[i]);                                      \
  }
SQUARES(f32, float, mg_f32x16, 16, MG_FOLD_SUM16)
SQUARES(f64, double, mg_f64x8, 8, MG_FOLD_SUM8)

typedef struct {
  mg_dtype dtype;
  const char *x, *y;
  char *dx;
  double scale;
  int64_t n, piece;
  double *sums;
} pair;

static void squares_body(void *context, int64_t begin, int64_t end) {
  const pair *p = context;
  for (int64_t k = begin; k < end; k++) {
    int64_t first = k * p->piece, n = mg_min64(p->piece, p->n - first), offset = first * (int64_t)mg_size(p->dtype);
    const void *x = p->x + offset, *y = p->y + offset;
    p->sums[k] = p->dtype == MG_F32 ? squares_f32(n, x, y) : squares_f64(n, x, y);
  }
}

static double squared_error(mg_dtype dtype, int64_t n, const void *x, const void *y) {
  if (n < 2 * MG_GRAIN) return dtype == MG_F32 ? squares_f32(n, x, y) : squares_f64(n, x, y);
  double sums[PIECES], total = 0;
  pair p = {.dtype = dtype, .x = x, .y = y, .n = n, .piece = mg_max64(MG_GRAIN, (n + PIECES - 1) / PIECES), .sums = sums};
  int64_t pieces = (n + p.piece - 1) / p.piece;
  mg_share(pieces, 1, squares_body, &p);
  for (int64_t k = 0; k < pieces; k++) total += sums[k];
  return total;
}

/// Σ(x − y)², cascaded, of operands x, y.
MG_KERNEL(squared_error) {
  call->result[0] = squared_error(call->dtype, call->count[0], call->operand[0], call->operand[1]);
}

static void difference_body(void *context, int64_t begin, int64_t end) {
  const pair *p = context;
  int64_t n = end - begin, offset = begin * (int64_t)mg_size(p->dtype);
  const void *x = p->x + offset, *y = p->y + offset;
  void *dx = p->dx + offset;
  if (p->dtype == MG_F32) difference_f32(n, (float)p->scale, x, y, dx);
  else difference_f64(n, p->scale, x, y, dx);
}

/// dx[i] = scale · (x[i] − y[i]), the gradient of squared errors. Operands x, y, dx; number scale.
MG_KERNEL(scaled_difference) {
  int64_t n = call->count[0];
  pair p = {
      .dtype = call->dtype, .x = call->operand[0], .y = call->operand[1], .dx = call->operand[2], .scale = call->number[0]};
  if (n < 2 * MG_GRAIN) difference_body(&p, 0, n);
  else mg_share(n, MG_GRAIN, difference_body, &p);
}

// MARK: cross-entropy

/// Cross-entropy of logits [rows, n] with 0-based targets (checked; `ignore` marks rows that count nothing): writes
/// log-probabilities, which are wanted backward, and gives Σ −w[t]·logp[t] and Σ w[t].
/// Operands logits, targets (int64), weight or NULL (all 1), logp; sizes rows, n, ignore.
MG_KERNEL(cross_entropy) {
  mg_dtype dtype = call->dtype;
  int64_t rows = call->size[0], n = call->size[1], ignore = call->size[2];
  const int64_t *target = call->operand[1];
  const void *weight = call->operand[2];
  void *logp = call->operand[3];
  mg_log_softmax(dtype, rows, n, call->operand[0], logp);
  double loss = 0, total = 0;
  for (int64_t r = 0; r < rows; r++) {
    int64_t t = target[r];
    if (t == ignore) continue;
    double w = 1, l;
    if (dtype == MG_F32) {
      if (weight) w = ((const float *)weight)[t];
      l = ((const float *)logp)[r * n + t];
    } else {
      if (weight) w = ((const double *)weight)[t];
      l = ((const double *)logp)[r * n + t];
    }
    loss -= w * l;
    total += w;
  }
  call->result[0] = loss;
  call->result[1] = total;
}

typedef struct {
  mg_dtype dtype;
  int64_t n, ignore;
  const void *logp, *weight;
  const int64_t *target;
  double scale;
  void *dx;
} gradient;

static void gradient_f32(const gradient *c, int64_t begin, int64_t end) {
  int64_t n = c->n;
  for (int64_t r = begin; r < end; r++) {
    const float *weight = c->weight;
    float *dx = (float *)c->dx + r * n;
    int64_t t = c->target[r];
    if (t == c->ignore) memset(dx, 0, (size_t)n * sizeof(float));
    else mg_cross_entropy_grad_row(n, (const float *)c->logp + r * n, t, (float)(weight ? c->scale * weight[t] : c->scale), dx);
  }
}

MG_CLONES static void scale_f64(int64_t n, double scale, double *dx) {
  MG_VECTORIZE
  for (int64_t i = 0; i < n; i++) dx[i] *= scale;
}

static void gradient_f64(const gradient *c, int64_t begin, int64_t end) {
  int64_t n = c->n;
  for (int64_t r = begin; r < end; r++) {
    const double *logp = (const double *)c->logp + r * n, *weight = c->weight;
    double *dx = (double *)c->dx + r * n;
    int64_t t = c->target[r];
    if (t == c->ignore) {
      memset(dx, 0, (size_t)n * sizeof(double));
      continue;
    }
    mg_math_f64(MG_EXP, n, logp, dx);
    dx[t] -= 1;
    scale_f64(n, weight ? c->scale * weight[t] : c->scale, dx);
  }
}

static void gradient_body(void *context, int64_t begin, int64_t end) {
  const gradient *c = context;
  if (c->dtype == MG_F32) gradient_f32(c, begin, end);
  else gradient_f64(c, begin, end);
}

/// dx = scale · w[t] · (exp(logp) − onehot), 0 for ignored rows.
/// Operands logp, targets (int64), weight or NULL, dx; sizes rows, n, ignore; number scale.
MG_KERNEL(cross_entropy_gradient) {
  int64_t rows = call->size[0], n = call->size[1];
  gradient c = {.dtype = call->dtype, .n = n, .ignore = call->size[2], .logp = call->operand[0],
                .target = call->operand[1], .weight = call->operand[2], .dx = call->operand[3], .scale = call->number[0]};
  if (rows * n < 2 * MG_GRAIN_MATH) gradient_body(&c, 0, rows);
  else mg_share(rows, MG_GRAIN_MATH / n + 1, gradient_body, &c);
}
