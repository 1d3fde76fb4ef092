// Transcendental functions over contiguous arrays.
#ifndef MG_MATHS_H
#define MG_MATHS_H

#include "internal.h"

/// y[i] = op(x[i]) for the operations that are not in unary.c. y may be x.
void mg_math_f32(mg_unary_op op, int64_t n, const float *x, float *y);
/// The float32 operations that have vectorised code of their own; false for the others.
bool mg_fast_f32(mg_unary_op op, int64_t n, const float *x, float *y);
void mg_math_f64(mg_unary_op op, int64_t n, const double *x, double *y);

/// y[i] = op(a[i · as], b[i · bs]) for pow, atan2, hypot; strides 0 or 1. y may be a or b.
void mg_math2_f32(mg_binary_op op, int64_t n, const float *a, int64_t as, const float *b, int64_t bs, float *y);
void mg_math2_f64(mg_binary_op op, int64_t n, const double *a, int64_t as, const double *b, int64_t bs, double *y);

double mg_digamma(double x);

#endif
