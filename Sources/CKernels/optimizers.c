// Optimizers: one pass over the parameters per update, in PyTorch's order of operations.
//
// Options that hold for a whole update select a loop, or are folded into its factors, so that loops are branch-free.
#include "internal.h"

MG_NO_CONTRACTION

typedef struct {
  mg_dtype dtype;
  void *p, *buffer, *m, *v, *vmax;
  const void *g;
  double rate, momentum, keep, decay, shrink, beta1, beta2, epsilon, root;
  bool nesterov, first;
  double sign;  // −1 to maximize
} update;

// MARK: stochastic gradient descent

// `STEP` computes the step from the gradient g (weight decay included) at element i.
#define SGD_LOOP(STEP)                                                      \
  {                                                                         \
    MG_VECTORIZE                                                            \
    for (int64_t i = begin; i < end; i++) {                                 \
      T g = sign * gradient[i] + decay * p[i];                              \
      p[i] -= rate * (STEP);                                                \
    }                                                                       \
  }

#define SGD(tag, type)                                                                            \
  MG_CLONES static void sgd_##tag(const update *u, int64_t begin, int64_t end) {                  \
    typedef type T;                                                                               \
    T *p = u->p, *buffer = u->buffer;                                                             \
    const T *gradient = u->g;                                                                     \
    T rate = (T)u->rate, momentum = (T)u->momentum, keep = (T)u->keep, decay = (T)u->decay;       \
    T sign = (T)u->sign;                                                                          \
    if (!buffer || momentum == 0) {                                                               \
      if (decay == 0) { /* 0 · p would turn an infinite parameter into NaN */                     \
        rate *= sign;                                                                             \
        MG_VECTORIZE                                                                              \
        for (int64_t i = begin; i < end; i++) p[i] -= rate * gradient[i];                         \
      } else {                                                                                    \
        SGD_LOOP(g)                                                                               \
      }                                                                                           \
    } else if (u->first) {                                                                        \
      if (u->nesterov) SGD_LOOP((buffer[i] = g, g + momentum * g))                                \
      else SGD_LOOP((buffer[i] = g))                                                              \
    } else {                                                                                      \
      if (u->nesterov) SGD_LOOP(g + momentum * (buffer[i] = momentum * buffer[i] + keep * g))     \
      else SGD_LOOP((buffer[i] = momentum * buffer[i] + keep * g))                                \
    }                                                                                             \
  }
MG_FLOATS(SGD)

static void sgd_body(void *context, int64_t begin, int64_t end) {
  const update *u = context;
  if (u->dtype == MG_F32) sgd_f32(u, begin, end);
  else sgd_f64(u, begin, end);
}

// MARK: Adam

// `LARGEST` is v, or with amsgrad the largest v so far.
#define ADAM_LOOP(LARGEST)                                                  \
  {                                                                         \
    MG_VECTORIZE                                                            \
    for (int64_t i = begin; i < end; i++) {                                 \
      T w = p[i] * shrink, g = sign * gradient[i] + decay * w;              \
      T mi = m[i] + beta1 * (g - m[i]);                                     \
      T vi = v[i] * beta2 + rest2 * g * g;                                  \
      m[i] = mi;                                                            \
      v[i] = vi;                                                            \
      T largest = (LARGEST);                                                \
      p[i] = w - rate * mi / (__builtin_elementwise_sqrt(largest) / root + epsilon); \
    }                                                                       \
  }

#define ADAM(tag, type)                                                                           \
  MG_CLONES static void adam_##tag(const update *u, int64_t begin, int64_t end) {                 \
    typedef type T;                                                                               \
    T *p = u->p, *m = u->m, *v = u->v, *vmax = u->vmax;                                           \
    const T *gradient = u->g;                                                                     \
    T rate = (T)u->rate, beta1 = (T)(1 - u->beta1), beta2 = (T)u->beta2, rest2 = (T)(1 - u->beta2); \
    T epsilon = (T)u->epsilon, root = (T)u->root, sign = (T)u->sign;                              \
    T decay = (T)u->decay, shrink = (T)u->shrink;                                                 \
    if (vmax) ADAM_LOOP(vmax[i] = vi > vmax[i] || vi != vi ? vi : vmax[i])                        \
    else ADAM_LOOP(vi)                                                                            \
  }
MG_FLOATS(ADAM)

static void adam_body(void *context, int64_t begin, int64_t end) {
  const update *u = context;
  if (u->dtype == MG_F32) adam_f32(u, begin, end);
  else adam_f64(u, begin, end);
}

// MARK: entry points

static void run(int64_t n, void (*body)(void *, int64_t, int64_t), update *u) {
  if (n < 2 * MG_GRAIN_MATH) body(u, 0, n);
  else mg_share(n, MG_GRAIN_MATH, body, u);
}

void mg_sgd(mg_dtype dtype, int64_t n, void *p, const void *g, void *buf, double lr, double momentum, double dampening,
            double weight_decay, bool nesterov, bool maximize, bool first) {
  update u = {.dtype = dtype, .p = p, .g = g, .buffer = buf, .rate = lr, .momentum = momentum, .keep = 1 - dampening,
              .decay = weight_decay, .nesterov = nesterov, .sign = maximize ? -1 : 1, .first = first};
  run(n, sgd_body, &u);
}

void mg_adam(mg_dtype dtype, int64_t n, void *p, const void *g, void *m, void *v, void *vmax, int64_t step, double lr,
             double beta1, double beta2, double eps, double weight_decay, bool decoupled, bool maximize) {
  update u = {.dtype = dtype, .p = p, .g = g, .m = m, .v = v, .vmax = vmax, .beta1 = beta1, .beta2 = beta2,
              .rate = lr / (1 - pow(beta1, (double)step)), .root = sqrt(1 - pow(beta2, (double)step)), .epsilon = eps,
              .decay = decoupled ? 0 : weight_decay, .shrink = decoupled ? 1 - lr * weight_decay : 1,
              .sign = maximize ? -1 : 1};
  run(n, adam_body, &u);
}
