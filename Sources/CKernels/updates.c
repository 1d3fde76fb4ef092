// Updates of RAdam, ASGD and Rprop: one pass over the parameters, in PyTorch's order of operations.
#include "internal.h"

MG_NO_CONTRACTION

typedef struct {
  mg_dtype dtype;
  bool maximize;
  void *p, *a, *b;  // the parameter, and the moments in the order of the functions' arguments
  const void *g;
  double rate, correction, root, trust, beta1, beta2, epsilon, decay, shrink, weight, least, most;
} update;

#define UPDATES(tag, T)                                                                                              \
  MG_CLONES static void radam_##tag(const update *u, int64_t begin, int64_t end) {                                   \
    T *p = u->p, *m = u->a, *v = u->b;                                                                               \
    const T *gradient = u->g;                                                                                        \
    T rate = (T)u->rate, weight = (T)(1 - u->beta1), beta2 = (T)u->beta2, rest = (T)(1 - u->beta2);                  \
    T correction = (T)u->correction, root = (T)u->root, trust = (T)u->trust, epsilon = (T)u->epsilon;                \
    T decay = (T)u->decay, shrink = (T)u->shrink;                                                                    \
    bool maximize = u->maximize;                                                                                     \
    MG_VECTORIZE                                                                                                     \
    for (int64_t i = begin; i < end; i++) {                                                                          \
      T w = p[i] * shrink, g = maximize ? -gradient[i] : gradient[i];                                                \
      if (decay != 0) g += decay * w;                                                                                \
      T mi = weight < (T)0.5 ? m[i] + weight * (g - m[i]) : g - (g - m[i]) * (1 - weight);                           \
      T vi = v[i] * beta2 + rest * g * g;                                                                            \
      m[i] = mi;                                                                                                     \
      v[i] = vi;                                                                                                     \
      T step = mi / correction * rate;                                                                               \
      if (trust >= 0) step = step * (root / (__builtin_elementwise_sqrt(vi) + epsilon)) * trust;                     \
      p[i] = w - step;                                                                                               \
    }                                                                                                                \
  }                                                                                                                  \
  MG_CLONES static void asgd_##tag(const update *u, int64_t begin, int64_t end) {                                    \
    T *p = u->p, *mean = u->a;                                                                                       \
    const T *gradient = u->g;                                                                                        \
    T rate = (T)u->rate, decay = (T)u->decay, shrink = (T)u->shrink, weight = (T)u->weight;                          \
    bool maximize = u->maximize, copies = u->weight == 1;                                                            \
    MG_VECTORIZE                                                                                                     \
    for (int64_t i = begin; i < end; i++) {                                                                          \
      T w = p[i], g = maximize ? -gradient[i] : gradient[i];                                                         \
      if (decay != 0) g += decay * w;                                                                                \
      w = w * shrink - rate * g;                                                                                     \
      mean[i] = copies ? w : mean[i] + (w - mean[i]) * weight;                                                       \
      p[i] = w;                                                                                                      \
    }                                                                                                                \
  }                                                                                                                  \
  MG_CLONES static void rprop_##tag(const update *u, int64_t begin, int64_t end) {                                   \
    T *p = u->p, *previous = u->a, *size = u->b;                                                                     \
    const T *gradient = u->g;                                                                                        \
    T shorter = (T)u->beta1, longer = (T)u->beta2, least = (T)u->least, most = (T)u->most;                           \
    bool maximize = u->maximize;                                                                                     \
    for (int64_t i = begin; i < end; i++) {                                                                          \
      T g = maximize ? -gradient[i] : gradient[i], turn = g * previous[i], s = size[i];                              \
      s *= turn > 0 ? longer : turn < 0 ? shorter : turn == 0 ? 1 : turn;                                            \
      s = s < least ? least : s > most ? most : s;                                                                   \
      if (turn < 0) g = 0;                                                                                           \
      size[i] = s;                                                                                                   \
      p[i] -= ((T)(g > 0) - (T)(g < 0) + (g != g ? g : 0)) * s;                                                      \
      previous[i] = g;                                                                                               \
    }                                                                                                                \
  }
MG_FLOATS(UPDATES)

#define BODY(name)                                                         \
  static void name##_body(void *context, int64_t begin, int64_t end) {     \
    const update *u = context;                                             \
    if (u->dtype == MG_F32) name##_f32(u, begin, end);                     \
    else name##_f64(u, begin, end);                                        \
  }
BODY(radam)
BODY(asgd)
BODY(rprop)

static void run(int64_t n, void (*body)(void *, int64_t, int64_t), update *u) {
  if (n < 2 * MG_GRAIN) body(u, 0, n);
  else mg_share(n, MG_GRAIN, body, u);
}

void mg_radam(mg_dtype dtype, int64_t n, void *p, const void *g, void *m, void *v, double lr, double correction, double root,
              double trust, double beta1, double beta2, double eps, double weight_decay, double shrink, bool maximize) {
  update u = {.dtype = dtype, .p = p, .g = g, .a = m, .b = v, .rate = lr, .correction = correction, .root = root,
              .trust = trust, .beta1 = beta1, .beta2 = beta2, .epsilon = eps, .decay = weight_decay, .shrink = shrink,
              .maximize = maximize};
  run(n, radam_body, &u);
}

void mg_asgd(mg_dtype dtype, int64_t n, void *p, const void *g, void *mean, double lr, double weight_decay, double shrink,
             double weight, bool maximize) {
  update u = {.dtype = dtype, .p = p, .g = g, .a = mean, .rate = lr, .decay = weight_decay, .shrink = shrink,
              .weight = weight, .maximize = maximize};
  run(n, asgd_body, &u);
}

void mg_rprop(mg_dtype dtype, int64_t n, void *p, const void *g, void *previous, void *size, double shorter, double longer,
              double least, double most, bool maximize) {
  update u = {.dtype = dtype, .p = p, .g = g, .a = previous, .b = size, .beta1 = shorter, .beta2 = longer, .least = least,
              .most = most, .maximize = maximize};
  run(n, rprop_body, &u);
}
