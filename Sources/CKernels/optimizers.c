// Optimizers: one pass over the parameters per update, in PyTorch's order of operations.
#include "internal.h"

MG_NO_CONTRACTION

typedef struct {
  mg_dtype dtype;
  void *p, *buffer, *m, *v, *vmax;
  const void *g;
  double rate, momentum, dampening, decay, beta1, beta2, epsilon, correction2;
  bool nesterov, maximize, first, decoupled;
} update;

#define UPDATES(tag, T)                                                                                     \
  MG_CLONES static void sgd_##tag(const update *u, int64_t begin, int64_t end) {                            \
    T *p = u->p, *buffer = u->buffer;                                                                       \
    const T *gradient = u->g;                                                                               \
    T rate = (T)u->rate, momentum = (T)u->momentum, keep = (T)(1 - u->dampening), decay = (T)u->decay;      \
    bool nesterov = u->nesterov, maximize = u->maximize, first = u->first;                                  \
    if (!buffer || momentum == 0) {                                                                         \
      MG_VECTORIZE                                                                                          \
      for (int64_t i = begin; i < end; i++) {                                                               \
        T g = maximize ? -gradient[i] : gradient[i];                                                        \
        if (decay != 0) g += decay * p[i];                                                                  \
        p[i] -= rate * g;                                                                                   \
      }                                                                                                     \
    } else {                                                                                                \
      MG_VECTORIZE                                                                                          \
      for (int64_t i = begin; i < end; i++) {                                                               \
        T g = maximize ? -gradient[i] : gradient[i];                                                        \
        if (decay != 0) g += decay * p[i];                                                                  \
        T b = first ? g : momentum * buffer[i] + keep * g;                                                  \
        buffer[i] = b;                                                                                      \
        p[i] -= rate * (nesterov ? g + momentum * b : b);                                                   \
      }                                                                                                     \
    }                                                                                                       \
  }                                                                                                         \
  MG_CLONES static void adam_##tag(const update *u, int64_t begin, int64_t end) {                           \
    T *p = u->p, *m = u->m, *v = u->v, *vmax = u->vmax;                                                     \
    const T *gradient = u->g;                                                                               \
    T rate = (T)u->rate, beta1 = (T)(1 - u->beta1), beta2 = (T)u->beta2, rest2 = (T)(1 - u->beta2);         \
    T epsilon = (T)u->epsilon, root = (T)u->correction2, decay = (T)u->decay;                               \
    bool maximize = u->maximize, decoupled = u->decoupled, near_end = u->beta1 <= 0.5;                      \
    MG_VECTORIZE                                                                                            \
    for (int64_t i = begin; i < end; i++) {                                                                 \
      T g = maximize ? -gradient[i] : gradient[i], w = p[i];                                                \
      if (decoupled) w *= decay;                                                                            \
      else if (decay != 0) g += decay * w;                                                                  \
      T mi = m[i];                                                                                          \
      mi = near_end ? g - (g - mi) * (1 - beta1) : mi + beta1 * (g - mi);                                   \
      T vi = v[i] * beta2 + rest2 * g * g;                                                                  \
      m[i] = mi;                                                                                            \
      v[i] = vi;                                                                                            \
      if (vmax) vmax[i] = vi = vmax[i] > vi || vmax[i] != vmax[i] ? vmax[i] : vi;                           \
      p[i] = w - rate * mi / (__builtin_elementwise_sqrt(vi) / root + epsilon);                             \
    }                                                                                                       \
  }
MG_FLOATS(UPDATES)

static void sgd_body(void *context, int64_t begin, int64_t end) {
  const update *u = context;
  if (u->dtype == MG_F32) sgd_f32(u, begin, end);
  else sgd_f64(u, begin, end);
}

static void adam_body(void *context, int64_t begin, int64_t end) {
  const update *u = context;
  if (u->dtype == MG_F32) adam_f32(u, begin, end);
  else adam_f64(u, begin, end);
}

static void run(int64_t n, void (*body)(void *, int64_t, int64_t), update *u) {
  if (n < 2 * MG_GRAIN) body(u, 0, n);
  else mg_share(n, MG_GRAIN, body, u);
}

void mg_sgd(mg_dtype dtype, int64_t n, void *p, const void *g, void *buf, double lr, double momentum, double dampening,
            double weight_decay, bool nesterov, bool maximize, bool first) {
  update u = {.dtype = dtype, .p = p, .g = g, .buffer = buf, .rate = lr, .momentum = momentum, .dampening = dampening,
              .decay = weight_decay, .nesterov = nesterov, .maximize = maximize, .first = first};
  run(n, sgd_body, &u);
}

void mg_adam(mg_dtype dtype, int64_t n, void *p, const void *g, void *m, void *v, void *vmax, int64_t step, double lr,
             double beta1, double beta2, double eps, double weight_decay, bool decoupled, bool maximize) {
  update u = {.dtype = dtype, .p = p, .g = g, .m = m, .v = v, .vmax = vmax, .beta1 = beta1, .beta2 = beta2,
              .rate = lr / (1 - pow(beta1, (double)step)), .correction2 = sqrt(1 - pow(beta2, (double)step)),
              .epsilon = eps, .decay = decoupled ? 1 - lr * weight_decay : weight_decay, .maximize = maximize,
              .decoupled = decoupled && weight_decay != 0};
  run(n, adam_body, &u);
}
