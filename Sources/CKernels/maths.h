// Transcendental functions over contiguous arrays.
#ifndef MG_MATHS_H
#define MG_MATHS_H

#include "internal.h"

/// y[i] = op(x[i]) for the operations that are not in unary.c. y may be x.
void mg_math_f32(mg_unary_op op, int64_t n, const float *x, float *y);
void mg_math_f64(mg_unary_op op, int64_t n, const double *x, double *y);

/// y[i] = op(a[i · as], b[i · bs]) for pow, atan2, hypot; strides 0 or 1. y may be a or b. In float32 for the gradients of silu and
/// gelu too, with bs 1.
void mg_math2_f32(mg_binary_op op, int64_t n, const float *a, int64_t as, const float *b, int64_t bs, float *y);
void mg_math2_f64(mg_binary_op op, int64_t n, const double *a, int64_t as, const double *b, int64_t bs, double *y);

/// A row of the gradient of cross-entropy: dx = scale · (e^logp − onehot). dx may be logp.
void mg_cross_entropy_grad_row(int64_t n, const float *logp, int64_t target, float scale, float *dx);

/// One value, by libm in double precision.
double mg_libm(mg_unary_op op, double x);
double mg_libm2(mg_binary_op op, double a, double b);

#endif
