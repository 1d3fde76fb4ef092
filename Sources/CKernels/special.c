// Functions of single elements that one operation each has a use for.
#include "internal.h"

typedef struct {
  mg_call *call;
  void (*part)(mg_call *call, int64_t begin, int64_t end);
} pass;

static void body(void *context, int64_t begin, int64_t end) {
  const pass *p = context;
  p->part(p->call, begin, end);
}

// Runs a part over all elements, split over the pool.
static void over(mg_call *call, void (*part)(mg_call *call, int64_t begin, int64_t end)) {
  pass p = {call, part};
  if (call->count[0] < MG_GRAIN_MATH) part(call, 0, call->count[0]);
  else mg_share(call->count[0], MG_GRAIN_MATH, body, &p);
}

// MARK: whole numbers

static uint64_t magnitude(int64_t x) { return x < 0 ? 0 - (uint64_t)x : (uint64_t)x; }

static uint64_t divisor(uint64_t a, uint64_t b) {
  while (b) {
    uint64_t rest = a % b;
    a = b;
    b = rest;
  }
  return a;
}

static void gcds(mg_call *call, int64_t begin, int64_t end) {
  const int64_t *a = call->operand[0], *b = call->operand[1];
  int64_t *y = call->operand[2];
  for (int64_t i = begin; i < end; i++) y[i] = (int64_t)divisor(magnitude(a[i]), magnitude(b[i]));
}

static void lcms(mg_call *call, int64_t begin, int64_t end) {
  const int64_t *a = call->operand[0], *b = call->operand[1];
  int64_t *y = call->operand[2];
  for (int64_t i = begin; i < end; i++) {
    uint64_t p = magnitude(a[i]), q = magnitude(b[i]), d = divisor(p, q);
    y[i] = d ? (int64_t)(p / d * q) : 0;
  }
}

/// The greatest common divisors of int64 operands a and b, and their least common multiples, which wrap around.
MG_KERNEL(gcd) { over(call, gcds); }
MG_KERNEL(lcm) { over(call, lcms); }

// MARK: the inverse error function

// Giles' single-precision approximation (2010) and two steps of Newton's method, which double its digits each.
static double erfinv(double x) {
  if (!(fabs(x) < 1)) return fabs(x) == 1 ? copysign(INFINITY, x) : NAN;
  double w = -log1p(-x * x), y;
  if (w < 5) {
    w -= 2.5;
    y = 2.81022636e-08;
    y = 3.43273939e-07 + y * w;
    y = -3.5233877e-06 + y * w;
    y = -4.39150654e-06 + y * w;
    y = 0.00021858087 + y * w;
    y = -0.00125372503 + y * w;
    y = -0.00417768164 + y * w;
    y = 0.246640727 + y * w;
    y = 1.50140941 + y * w;
  } else {
    w = sqrt(w) - 3;
    y = -0.000200214257;
    y = 0.000100950558 + y * w;
    y = 0.00134934322 + y * w;
    y = -0.00367342844 + y * w;
    y = 0.00573950773 + y * w;
    y = -0.0076224613 + y * w;
    y = 0.00943887047 + y * w;
    y = 1.00167406 + y * w;
    y = 2.83297682 + y * w;
  }
  y *= x;
  for (int step = 0; step < 2; step++) {
    // Far out the error is that of erfc, which keeps its digits there.
    double error = fabs(x) < 0.5 ? erf(y) - x : copysign(1, x) * ((1 - fabs(x)) - erfc(fabs(y)));
    y -= error * 0.88622692545275801365 * exp(y * y);
  }
  return y;
}

static void erfinvs(mg_call *call, int64_t begin, int64_t end) {
  if (call->dtype == MG_F32) {
    const float *x = call->operand[0];
    float *y = call->operand[1];
    for (int64_t i = begin; i < end; i++) y[i] = (float)erfinv(x[i]);
  } else {
    const double *x = call->operand[0];
    double *y = call->operand[1];
    for (int64_t i = begin; i < end; i++) y[i] = erfinv(x[i]);
  }
}

/// y = erf⁻¹(x). Operands x, y; floats.
MG_KERNEL(erfinv) { over(call, erfinvs); }
