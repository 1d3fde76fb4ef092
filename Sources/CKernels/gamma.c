// The incomplete gamma functions, polygammas and Bessel functions, in double precision whatever the elements are; and floats
// taken apart.
#include "internal.h"

static double lgamma_of(double x) {
  int sign;
  return lgamma_r(x, &sign);
}

// MARK: modified Bessel functions

static double bessel(double x, int order) {
  double a = fabs(x), y;
  if (isinf(a)) return order ? x : a;
  if (a <= 25) {
    // Σ (a²/4)^k / (k! (k + order)!), whose terms are all positive.
    double term = order ? a / 2 : 1;
    y = term;
    for (int k = 1; term > y * 1e-17; k++) {
      term *= a * a / 4 / ((double)k * (k + order));
      y += term;
    }
  } else {
    // Hankel's expansion, of which terms as far as they shrink are exact at such distances.
    double term = 1;
    y = 1;
    for (int k = 1; k < 40; k++) {
      term *= ((2 * k - 1.0) * (2 * k - 1.0) - 4 * order) / (8 * a * k);
      y += term;
      if (!(fabs(term) > 1e-17)) break;
    }
    // In two halves, lest the exponential is infinite where the result is not.
    double half = exp(a / 2);
    y = y * half / sqrt(2 * M_PI * a) * half;
  }
  return order && x < 0 ? -y : y;
}

static double bessel_i0(double x, double unused) {
  (void)unused;
  return bessel(x, 0);
}

static double bessel_i1(double x, double unused) {
  (void)unused;
  return bessel(x, 1);
}

// MARK: polygammas

// Σ (q + k)^−s over k ≥ 0, for a whole s > 1.
static double zeta(int s, double q) {
  if (isnan(q)) return q;
  if (q == INFINITY) return 0;
  if (q <= 0) {
    if (q == floor(q)) return INFINITY;
    // The sum over all whole k has the period 1, and what it has too much is a sum from 1 − q on.
    double part = q - floor(q);
    return zeta(s, part) + (s % 2 ? -1 : 1) * (zeta(s, 1 - part) - zeta(s, 1 - q));
  }
  // Euler's and Maclaurin's summation from the tenth term on.
  static const double factors[] = {  // (2j)! / B(2j)
      12, -720, 30240, -1209600, 47900160, -1.8924375803183791606e9, 7.47242496e10, -2.950130727918164224e12, 1.1646782814350067249e14,
      -4.5979787224074726105e15, 1.8152105401943546773e17, -7.1661652561756670113e18};
  double sum = 0;
  int k = 0;
  for (; k < 10; k++) sum += pow(q + k, -s);
  double at = q + k, power = pow(at, -s);
  sum += power * at / (s - 1) + power / 2;
  double factor = s;
  power /= at;
  for (int j = 0; j < 12; j++) {
    double term = factor * power / factors[j];
    sum += term;
    if (fabs(term) < fabs(sum) * 1e-17) break;
    factor *= (s + 2.0 * j + 1) * (s + 2.0 * j + 2);
    power /= at * at;
  }
  return sum;
}

static double polygamma(double x, double n) { return (fmod(n, 2) ? 1 : -1) * tgamma(n + 1) * zeta((int)n + 1, x); }

// MARK: incomplete gamma functions

// m − ln(1 + m).
static double distance(double m) {
  if (fabs(m) >= 0.1) return m - log1p(m);
  double power = m * m, y = 0;
  for (int k = 2; k < 40 && fabs(power) > 1e-19 * fabs(y); k++, power *= -m) y += power / k;
  return y;
}

// x^a e^−x / Γ(a + 1).
static double density(double a, double x) {
  if (a < 20) return exp(a * log(x) - x - lgamma_of(a + 1));
  // By Stirling's series; the exponent is that of the distance from a, where it would be a difference of large numbers.
  double r = 1 / (a * a), rest = (1.0 / 12 - r * (1.0 / 360 - r * (1.0 / 1260 - r * (1.0 / 1680 - r / 1188)))) / a;
  return exp(-a * distance((x - a) / a) - rest) / sqrt(2 * M_PI * a);
}

// Temme's uniform expansion (1979), of which for so large an a the first term is enough.
static double uniform(double a, double x, bool upper) {
  double m = (x - a) / a;
  if (!(fabs(m) < 0.2)) return (x > a) == upper ? 0 : 1;
  double d = distance(m), eta = copysign(sqrt(2 * d), m);
  double c = -1.0 / 3 + eta * (1.0 / 12 + eta * (-2.0 / 135 + eta * (1.0 / 864 + eta * (1.0 / 2835 - eta * 139 / 777600))));
  double rest = exp(-a * d) / sqrt(2 * M_PI * a) * c;
  return upper ? erfc(eta * sqrt(a / 2)) / 2 + rest : erfc(-eta * sqrt(a / 2)) / 2 - rest;
}

static double lower_series(double a, double x) {
  double term = 1, sum = 1;
  for (double n = a + 1; term > sum * 1e-17; n++) {
    term *= x / n;
    sum += term;
  }
  return density(a, x) * sum;
}

// ln Γ(1 + a), with its digits for small a.
static double lgamma_after(double a) {
  if (a > 0.2) return lgamma_of(1 + a);
  double y = -0.57721566490153286061 * a, power = a * a;
  for (int k = 2; fabs(power) > 1e-18 * a; k++, power *= -a) y += zeta(k, 1) / k * power;
  return y;
}

// The upper part for small x and a, where 1 minus the lower one would have no digits left.
static double upper_series(double a, double x) {
  double factor = 1, sum = 0, term;
  int n = 1;
  do {
    factor *= -x / n;
    term = factor / (a + n);
    sum += term;
  } while (fabs(term) > fabs(sum) * 1e-17 && n++ < 2000);
  return -expm1(a * log(x) - lgamma_after(a)) - exp(a * log(x) - lgamma_of(a)) * sum;
}

// Legendre's continued fraction, by Lentz' method.
static double upper_fraction(double a, double x) {
  double b = x + 1 - a, c = 1e300, d = 1 / b, y = d;
  for (int n = 1; n < 1000000; n++) {
    double p = -n * (n - a);
    b += 2;
    d = 1 / (p * d + b);
    c = b + p / c;
    y *= c * d;
    if (fabs(c * d - 1) < 1e-16) break;
  }
  return density(a, x) * a * y;
}

static double incomplete(double a, double x, bool upper) {
  double none = upper ? 1 : 0;
  if (isnan(a) || isnan(x) || a < 0 || x < 0) return NAN;
  if (a == 0) return x > 0 ? 1 - none : NAN;
  if (x == 0) return none;
  if (isinf(a)) return isinf(x) ? NAN : none;
  if (isinf(x)) return 1 - none;
  if (a > 1e6) return uniform(a, x, upper);
  if (x > 1.1 && x > a) {
    double y = upper_fraction(a, x);
    return upper ? y : 1 - y;
  }
  if (upper && (x <= 0.5 ? a < -0.4 / log(x) : x <= 1.1 && a < 1.1 * x)) return upper_series(a, x);
  double y = lower_series(a, x);
  return upper ? 1 - y : y;
}

static double igamma(double a, double x) { return incomplete(a, x, false); }
static double igammac(double a, double x) { return incomplete(a, x, true); }

// MARK: passes

typedef struct {
  mg_call *call;
  double (*f)(double, double);
  bool pairs;
} pass;

static void body(void *context, int64_t begin, int64_t end) {
  const pass *p = context;
  const mg_call *call = p->call;
#define PASS(T)                                                                                       \
  {                                                                                                   \
    const T *a = call->operand[0], *b = call->operand[1];                                             \
    T *y = call->operand[p->pairs ? 2 : 1];                                                           \
    for (int64_t i = begin; i < end; i++) y[i] = (T)p->f(a[i], p->pairs ? b[i] : call->number[0]);    \
  }
  if (call->dtype == MG_F32) PASS(float) else PASS(double)
}

static void run(mg_call *call, double (*f)(double, double), bool pairs) {
  pass p = {call, f, pairs};
  if (call->count[0] < MG_GRAIN_MATH) body(&p, 0, call->count[0]);
  else mg_share(call->count[0], MG_GRAIN_MATH, body, &p);
}

/// y = I₀(x), I₁(x). Operands x, y; floats.
MG_KERNEL(bessel_i0) { run(call, bessel_i0, false); }
MG_KERNEL(bessel_i1) { run(call, bessel_i1, false); }

/// y = ψ⁽ⁿ⁾(x), n ≥ 1. Operands x, y; floats; number n.
MG_KERNEL(polygamma) { run(call, polygamma, false); }

/// y = P(a, x), Q(a, x). Operands a, x, y; floats.
MG_KERNEL(igamma) { run(call, igamma, true); }
MG_KERNEL(igammac) { run(call, igammac, true); }

/// The float after a in the direction of b. Operands a, b, y; floats.
MG_KERNEL(nextafter) {
  for (int64_t i = 0; i < call->count[0]; i++) {
    if (call->dtype == MG_F32) {
      const float *a = call->operand[0], *b = call->operand[1];
      ((float *)call->operand[2])[i] = nextafterf(a[i], b[i]);
    } else {
      const double *a = call->operand[0], *b = call->operand[1];
      ((double *)call->operand[2])[i] = nextafter(a[i], b[i]);
    }
  }
}

/// x = mantissa · 2^exponent with the mantissa in ±[½, 1). Operands x, mantissa; floats; exponent, int32.
MG_KERNEL(frexp) {
  int32_t *exponent = call->operand[2];
  for (int64_t i = 0; i < call->count[0]; i++) {
    int e = 0;
    double x = call->dtype == MG_F32 ? ((const float *)call->operand[0])[i] : ((const double *)call->operand[0])[i];
    double mantissa = isfinite(x) ? frexp(x, &e) : x;
    if (call->dtype == MG_F32) ((float *)call->operand[1])[i] = (float)mantissa;
    else ((double *)call->operand[1])[i] = mantissa;
    exponent[i] = e;
  }
}
