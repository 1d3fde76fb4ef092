// The adaptive optimizers beside Adam: one pass over the parameters per update, in PyTorch's order of operations.
#include "internal.h"

MG_NO_CONTRACTION

typedef struct {
  mg_dtype dtype;
  bool maximize;
  void *p, *a, *b, *c;  // the parameter, and the moments in the order of the functions' arguments
  const void *g;
  double rate, rate2, beta1, beta2, epsilon, decay, shrink, momentum, correction2;
} update;

// The gradient of element i with its sign and weight decay; `decay` is 0 where the decay is decoupled.
#define GRADIENT(T)                                      \
  T g = maximize ? -gradient[i] : gradient[i], w = p[i]; \
  if (decay != 0) g += decay * w

// Both of lerp's forms, so that the nearer end is exact.
#define LERP(from, to, weight) \
  ((weight) < (real)0.5 ? (from) + (weight) * ((to) - (from)) : (to) - ((to) - (from)) * (1 - (weight)))

#define UPDATES(tag, T)                                                                                              \
  MG_CLONES static void rmsprop_##tag(const update *u, int64_t begin, int64_t end) {                                 \
    typedef T real;                                                                                                  \
    T *p = u->p, *v = u->a, *mean = u->b, *buffer = u->c;                                                            \
    const T *gradient = u->g;                                                                                        \
    T rate = (T)u->rate, alpha = (T)u->beta2, rest = (T)(1 - u->beta2), epsilon = (T)u->epsilon;                     \
    T decay = (T)u->decay, momentum = (T)u->momentum;                                                                \
    bool maximize = u->maximize;                                                                                     \
    MG_VECTORIZE                                                                                                     \
    for (int64_t i = begin; i < end; i++) {                                                                          \
      GRADIENT(T);                                                                                                   \
      T square = v[i] * alpha + rest * g * g;                                                                        \
      v[i] = square;                                                                                                 \
      if (mean) {                                                                                                    \
        T m = LERP(mean[i], g, rest);                                                                                \
        mean[i] = m;                                                                                                 \
        square -= m * m;                                                                                             \
      }                                                                                                              \
      T scale = __builtin_elementwise_sqrt(square) + epsilon;                                                        \
      if (buffer) {                                                                                                  \
        T step = buffer[i] * momentum + g / scale;                                                                   \
        buffer[i] = step;                                                                                            \
        p[i] = w - rate * step;                                                                                      \
      } else {                                                                                                       \
        p[i] = w - rate * g / scale;                                                                                 \
      }                                                                                                              \
    }                                                                                                                \
  }                                                                                                                  \
  MG_CLONES static void adagrad_##tag(const update *u, int64_t begin, int64_t end) {                                 \
    T *p = u->p, *sum = u->a;                                                                                        \
    const T *gradient = u->g;                                                                                        \
    T rate = (T)u->rate, epsilon = (T)u->epsilon, decay = (T)u->decay;                                               \
    bool maximize = u->maximize;                                                                                     \
    MG_VECTORIZE                                                                                                     \
    for (int64_t i = begin; i < end; i++) {                                                                          \
      GRADIENT(T);                                                                                                   \
      sum[i] += g * g;                                                                                               \
      p[i] = w - rate * g / (__builtin_elementwise_sqrt(sum[i]) + epsilon);                                          \
    }                                                                                                                \
  }                                                                                                                  \
  MG_CLONES static void adadelta_##tag(const update *u, int64_t begin, int64_t end) {                                \
    T *p = u->p, *v = u->a, *deltas = u->b;                                                                          \
    const T *gradient = u->g;                                                                                        \
    T rate = (T)u->rate, rho = (T)u->beta2, rest = (T)(1 - u->beta2), epsilon = (T)u->epsilon, decay = (T)u->decay;  \
    bool maximize = u->maximize;                                                                                     \
    MG_VECTORIZE                                                                                                     \
    for (int64_t i = begin; i < end; i++) {                                                                          \
      GRADIENT(T);                                                                                                   \
      v[i] = v[i] * rho + rest * g * g;                                                                              \
      T delta = __builtin_elementwise_sqrt(deltas[i] + epsilon) / __builtin_elementwise_sqrt(v[i] + epsilon) * g;    \
      deltas[i] = deltas[i] * rho + rest * delta * delta;                                                            \
      p[i] = w - rate * delta;                                                                                       \
    }                                                                                                                \
  }                                                                                                                  \
  MG_CLONES static void adamax_##tag(const update *u, int64_t begin, int64_t end) {                                  \
    typedef T real;                                                                                                  \
    T *p = u->p, *m = u->a, *norm = u->b;                                                                            \
    const T *gradient = u->g;                                                                                        \
    T rate = (T)u->rate, weight = (T)(1 - u->beta1), beta2 = (T)u->beta2, epsilon = (T)u->epsilon;                   \
    T decay = (T)u->decay;                                                                                           \
    bool maximize = u->maximize;                                                                                     \
    MG_VECTORIZE                                                                                                     \
    for (int64_t i = begin; i < end; i++) {                                                                          \
      GRADIENT(T);                                                                                                   \
      m[i] = LERP(m[i], g, weight);                                                                                  \
      T old = norm[i] * beta2, new = __builtin_elementwise_abs(g) + epsilon;                                         \
      norm[i] = old > new || old != old ? old : new;                                                                 \
      p[i] = w - rate * m[i] / norm[i];                                                                              \
    }                                                                                                                \
  }                                                                                                                  \
  MG_CLONES static void nadam_##tag(const update *u, int64_t begin, int64_t end) {                                   \
    typedef T real;                                                                                                  \
    T *p = u->p, *m = u->a, *v = u->b;                                                                               \
    const T *gradient = u->g;                                                                                        \
    T rate = (T)u->rate, rate2 = (T)u->rate2, weight = (T)(1 - u->beta1), beta2 = (T)u->beta2;                       \
    T rest = (T)(1 - u->beta2), correction = (T)u->correction2, epsilon = (T)u->epsilon, decay = (T)u->decay;        \
    T shrink = (T)u->shrink;                                                                                         \
    bool maximize = u->maximize;                                                                                     \
    MG_VECTORIZE                                                                                                     \
    for (int64_t i = begin; i < end; i++) {                                                                          \
      GRADIENT(T);                                                                                                   \
      w *= shrink;                                                                                                   \
      m[i] = LERP(m[i], g, weight);                                                                                  \
      v[i] = v[i] * beta2 + rest * g * g;                                                                            \
      T scale = __builtin_elementwise_sqrt(v[i] / correction) + epsilon;                                             \
      w -= rate * g / scale;                                                                                         \
      p[i] = w - rate2 * m[i] / scale;                                                                               \
    }                                                                                                                \
  }
MG_FLOATS(UPDATES)

#define BODY(name)                                                         \
  static void name##_body(void *context, int64_t begin, int64_t end) {     \
    const update *u = context;                                             \
    if (u->dtype == MG_F32) name##_f32(u, begin, end);                     \
    else name##_f64(u, begin, end);                                        \
  }
BODY(rmsprop)
BODY(adagrad)
BODY(adadelta)
BODY(adamax)
BODY(nadam)

static void run(int64_t n, void (*body)(void *, int64_t, int64_t), update *u) {
  if (n < 2 * MG_GRAIN) body(u, 0, n);
  else mg_share(n, MG_GRAIN, body, u);
}

void mg_rmsprop(mg_dtype dtype, int64_t n, void *p, const void *g, void *v, void *mean, void *buf, double lr, double alpha,
                double eps, double weight_decay, double momentum, bool maximize) {
  update u = {.dtype = dtype, .p = p, .g = g, .a = v, .b = mean, .c = buf, .rate = lr, .beta2 = alpha, .epsilon = eps,
              .decay = weight_decay, .momentum = momentum, .maximize = maximize};
  run(n, rmsprop_body, &u);
}

void mg_adagrad(mg_dtype dtype, int64_t n, void *p, const void *g, void *sum, double lr, double eps, double weight_decay,
                bool maximize) {
  update u = {.dtype = dtype, .p = p, .g = g, .a = sum, .rate = lr, .epsilon = eps, .decay = weight_decay,
              .maximize = maximize};
  run(n, adagrad_body, &u);
}

void mg_adadelta(mg_dtype dtype, int64_t n, void *p, const void *g, void *v, void *deltas, double lr, double rho, double eps,
                 double weight_decay, bool maximize) {
  update u = {.dtype = dtype, .p = p, .g = g, .a = v, .b = deltas, .rate = lr, .beta2 = rho, .epsilon = eps,
              .decay = weight_decay, .maximize = maximize};
  run(n, adadelta_body, &u);
}

void mg_adamax(mg_dtype dtype, int64_t n, void *p, const void *g, void *m, void *norm, int64_t step, double lr, double beta1,
               double beta2, double eps, double weight_decay, bool maximize) {
  update u = {.dtype = dtype, .p = p, .g = g, .a = m, .b = norm, .rate = lr / (1 - pow(beta1, (double)step)),
              .beta1 = beta1, .beta2 = beta2, .epsilon = eps, .decay = weight_decay, .maximize = maximize};
  run(n, adamax_body, &u);
}

void mg_nadam(mg_dtype dtype, int64_t n, void *p, const void *g, void *m, void *v, int64_t step, double gradient_rate,
              double mean_rate, double beta1, double beta2, double eps, double weight_decay, double shrink, bool maximize) {
  update u = {.dtype = dtype, .p = p, .g = g, .a = m, .b = v, .rate = gradient_rate, .rate2 = mean_rate, .beta1 = beta1,
              .beta2 = beta2, .correction2 = 1 - pow(beta2, (double)step), .epsilon = eps, .decay = weight_decay,
              .shrink = shrink, .maximize = maximize};
  run(n, nadam_body, &u);
}
