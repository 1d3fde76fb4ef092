// Transcendental functions of one number, by libm in double precision: for machines without SLEEF's vectors, for what
// SLEEF has not, and for arguments it is not made for.
#define _DEFAULT_SOURCE  // for lgamma_r: lgamma writes a global
#include "maths.h"

MG_NO_CONTRACTION

static double digamma(double x) {
  if (x == 0) return copysign(INFINITY, -x);
  double result = 0;
  if (x < 0) {
    if (x == trunc(x)) return NAN;
    // ψ(1 − x) − ψ(x) = π / tan(πx); the remainder keeps tan's argument exact.
    result = -M_PI / tan(M_PI * fmod(x, 1));
    x = 1 - x;
  }
  for (; x < 10; x += 1) result -= 1 / x;
  if (x == INFINITY) return x;
  double z = 1 / (x * x);
  double series = z * (1.0 / 12 - z * (1.0 / 120 - z * (1.0 / 252 - z * (1.0 / 240 - z * (1.0 / 132 - z * (691.0 / 32760 - z / 12))))));
  return result + log(x) - 0.5 / x - series;
}

static double sigmoid(double v) {
  double e = exp(-fabs(v));
  return (v < 0 ? e : 1) / (1 + e);
}

double mg_libm(mg_unary_op op, double v) {
  switch (op) {
    case MG_EXP: return exp(v);
    case MG_EXP2: return exp2(v);
    case MG_EXPM1: return expm1(v);
    case MG_LOG: return log(v);
    case MG_LOG2: return log2(v);
    case MG_LOG10: return log10(v);
    case MG_LOG1P: return log1p(v);
    case MG_SIN: return sin(v);
    case MG_COS: return cos(v);
    case MG_TAN: return tan(v);
    case MG_ASIN: return asin(v);
    case MG_ACOS: return acos(v);
    case MG_ATAN: return atan(v);
    case MG_SINH: return sinh(v);
    case MG_COSH: return cosh(v);
    case MG_TANH: return tanh(v);
    case MG_ASINH: return asinh(v);
    case MG_ACOSH: return acosh(v);
    case MG_ATANH: return atanh(v);
    case MG_ERF: return erf(v);
    case MG_ERFC: return erfc(v);
    case MG_LGAMMA: {
      int sign;
      return lgamma_r(v, &sign);
    }
    case MG_DIGAMMA: return digamma(v);
    case MG_SIGMOID: return sigmoid(v);
    case MG_LOGSIGMOID: return (v < 0 ? v : v == v ? 0 : v) - log1p(exp(-fabs(v)));
    case MG_SOFTPLUS: return v > 20 ? v : log1p(exp(v));
    case MG_SILU: return v == -INFINITY ? 0 : v * sigmoid(v);
    case MG_GELU: return v == -INFINITY ? 0 : 0.5 * v * erfc(-v * M_SQRT1_2);
    case MG_GELU_TANH: return v == -INFINITY ? 0 : v * sigmoid(v * (1.5957691216057308 + 0.07135481627159136 * v * v));
    case MG_MISH: {
      double e = exp(v < 40 ? v : 40), w = e * (e + 2);
      return v == -INFINITY ? 0 : v != v ? v : v * (w / (w + 2));
    }
    default: return v;
  }
}

double mg_libm2(mg_binary_op op, double a, double b) {
  switch (op) {
    case MG_POW: return pow(a, b);
    case MG_ATAN2: return atan2(a, b);
    default: return hypot(a, b);
  }
}
