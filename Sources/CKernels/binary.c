// Elementwise arithmetic of two operands.
#include "internal.h"
#include "maths.h"

MG_NO_CONTRACTION

// The three shapes of a contiguous loop: two arrays, a number and an array, an array and a number.
#define LOOPS(PRAGMA, EXPRESSION)                                                             \
  {                                                                                           \
    if (scalars == 0) {                                                                       \
      PRAGMA for (int64_t i = 0; i < n; i++) { T a = x1[i], b = x2[i]; y[i] = (EXPRESSION); } \
    } else if (scalars == 1) {                                                                \
      T a = x1[0];                                                                            \
      PRAGMA for (int64_t i = 0; i < n; i++) { T b = x2[i]; y[i] = (EXPRESSION); }            \
    } else {                                                                                  \
      T b = x2[0];                                                                            \
      PRAGMA for (int64_t i = 0; i < n; i++) { T a = x1[i]; y[i] = (EXPRESSION); }            \
    }                                                                                         \
    return;                                                                                   \
  }
#define NONE
#define EACH(EXPRESSION) LOOPS(MG_VECTORIZE, EXPRESSION)
#define EACH_CALL(EXPRESSION) LOOPS(NONE, EXPRESSION)

// MARK: floats

// The remainder of a by b with a's sign is a − q·b, exactly, where q = trunc(a / b) is small enough to be exact; the
// rounded quotient may have reached the next integer, which shows in the remainder's sign. What is left goes to libm.
// From it Python's remainder, with b's sign, and the quotient rounded toward −∞ follow, corrected as PyTorch does.
#define FLOAT_DIVISION(tag, T, suffix, LIMIT)                                                               \
  MG_CLONES static void divide_##tag(mg_binary_op op, int64_t n, const T *x1, const T *x2, unsigned scalars, T *y) { \
    enum { BLOCK = 64 };                                                                                    \
    T a[BLOCK], b[BLOCK], r[BLOCK];                                                                         \
    for (int i = 0; i < BLOCK; i++) a[i] = x1[0], b[i] = x2[0];                                             \
    for (int64_t begin = 0; begin < n; begin += BLOCK) {                                                    \
      int64_t count = mg_min64(BLOCK, n - begin);                                                           \
      if (!(scalars & 1)) memcpy(a, x1 + begin, (size_t)count * sizeof(T));                                 \
      if (!(scalars & 2)) memcpy(b, x2 + begin, (size_t)count * sizeof(T));                                 \
      int hard = 0;                                                                                         \
      for (int i = 0; i < BLOCK; i++) {                                                                     \
        T quotient = a[i] / b[i], size = __builtin_elementwise_abs(b[i]);                                   \
        hard |= !(__builtin_elementwise_abs(quotient) < LIMIT) | !(size < INFINITY);                        \
        T rest = __builtin_fma##suffix(-__builtin_elementwise_trunc(quotient), b[i], a[i]);                 \
        rest = (a[i] < 0 ? rest > 0 : rest < 0) ? size - __builtin_elementwise_abs(rest) : rest;            \
        r[i] = __builtin_copysign##suffix(rest, a[i]);                                                      \
      }                                                                                                     \
      if (hard) for (int64_t i = 0; i < count; i++) r[i] = fmod##suffix(a[i], b[i]);                        \
      if (op == MG_REMAINDER) {                                                                             \
        for (int i = 0; i < BLOCK; i++) r[i] = r[i] != 0 && (r[i] < 0) != (b[i] < 0) ? r[i] + b[i] : r[i];  \
      } else if (op == MG_FLOOR_DIVIDE) {                                                                   \
        for (int i = 0; i < BLOCK; i++) {                                                                   \
          T quotient = (a[i] - r[i]) / b[i];                                                                \
          quotient = r[i] != 0 && (r[i] < 0) != (b[i] < 0) ? quotient - 1 : quotient;                       \
          T whole = __builtin_elementwise_floor(quotient);                                                  \
          whole = quotient - whole > (T)0.5 ? whole + 1 : whole;                                            \
          whole = quotient == 0 ? __builtin_copysign##suffix(0, a[i] / b[i]) : whole;                       \
          r[i] = b[i] == 0 ? a[i] / b[i] : whole;                                                           \
        }                                                                                                   \
      }                                                                                                     \
      memcpy(y + begin, r, (size_t)count * sizeof(T));                                                      \
    }                                                                                                       \
  }
FLOAT_DIVISION(f32, float, f, 0x1p22f)
FLOAT_DIVISION(f64, double, , 0x1p51)

// a·log b, and 0 where a is 0 unless b is NaN.
#define XLOGY(tag, T)                                                                                       \
  MG_CLONES static void multiply_log_##tag(int64_t n, const T *x1, const T *logs, const T *x2, unsigned scalars, T *y) { \
    for (int64_t i = 0; i < n; i++) {                                                                       \
      T a = x1[scalars & 1 ? 0 : i], b = x2[scalars & 2 ? 0 : i];                                           \
      y[i] = b != b ? b : a == 0 ? (T)0 : a * logs[scalars & 2 ? 0 : i];                                    \
    }                                                                                                       \
  }                                                                                                         \
  static void xlogy_##tag(int64_t n, const T *x1, const T *x2, unsigned scalars, T *y) {                    \
    T logs[256];                                                                                            \
    for (int64_t i = 0; i < n; i += 256) {                                                                  \
      int64_t count = mg_min64(256, n - i);                                                                 \
      const T *a = scalars & 1 ? x1 : x1 + i, *b = scalars & 2 ? x2 : x2 + i;                               \
      mg_math_##tag(MG_LOG, scalars & 2 ? 1 : count, b, logs);                                              \
      multiply_log_##tag(count, a, logs, b, scalars, y + i);                                                \
    }                                                                                                       \
  }
MG_FLOATS(XLOGY)

// Gradients of activations, block by block with the transcendental part in a buffer: one pass over memory where the formula
// made of operations takes seven or more. (Those of silu and gelu in float32 have loops of their own, which share what is computed.)
#define ACTIVATION_GRADIENTS(tag, T)                                                                        \
  MG_CLONES static void arguments_##tag(mg_binary_op op, int64_t n, const T *x, T *u, T *v) {               \
    if (op == MG_GELU_TANH_GRAD) {                                                                          \
      MG_VECTORIZE                                                                                          \
      for (int64_t i = 0; i < n; i++) u[i] = (x[i] + x[i] * x[i] * x[i] * (T)0.044715) * (T)ROOT_2_PI;      \
    } else {                                                                                                \
      MG_VECTORIZE                                                                                          \
      for (int64_t i = 0; i < n; i++) u[i] = x[i] * (T)M_SQRT1_2, v[i] = x[i] * x[i] * (T)-0.5;             \
    }                                                                                                       \
  }                                                                                                         \
  MG_CLONES static void slopes_##tag(mg_binary_op op, int64_t n, const T *g, const T *x, const T *u, const T *v, \
                                     bool one, T *y) {                                                      \
    if (op == MG_SILU_GRAD) { /* u = sigmoid(x) */                                                          \
      MG_VECTORIZE                                                                                          \
      for (int64_t i = 0; i < n; i++) y[i] = g[one ? 0 : i] * (u[i] * (x[i] * (1 - u[i]) + 1));             \
    } else if (op == MG_GELU_GRAD) { /* u = erf(x/√2), v = e^(−x²/2) */                                     \
      MG_VECTORIZE                                                                                          \
      for (int64_t i = 0; i < n; i++)                                                                       \
        y[i] = g[one ? 0 : i] * (u[i] * (T)0.5 + (T)0.5 + x[i] * (v[i] * (T)(0.5 * ROOT_2_PI)));            \
    } else { /* u = tanh(…) */                                                                              \
      MG_VECTORIZE                                                                                          \
      for (int64_t i = 0; i < n; i++) {                                                                     \
        T inner = (x[i] * x[i] * (T)(3 * 0.044715) + 1) * (T)ROOT_2_PI;                                     \
        y[i] = g[one ? 0 : i] * ((u[i] + 1) * (T)0.5 + x[i] * (T)0.5 * (1 - u[i] * u[i]) * inner);          \
      }                                                                                                     \
    }                                                                                                       \
  }                                                                                                         \
  static void activation_##tag(mg_binary_op op, int64_t n, const T *g, const T *x, unsigned scalars, T *y) { \
    T block[256], u[256], v[256];                                                                           \
    for (int64_t i = 0; i < n; i += 256) {                                                                  \
      int64_t count = mg_min64(256, n - i);                                                                 \
      const T *a = scalars & 1 ? g : g + i, *b = x + i;                                                     \
      if (scalars & 2) {                                                                                    \
        for (int64_t j = 0; j < count; j++) block[j] = *x;                                                  \
        b = block;                                                                                          \
      }                                                                                                     \
      if (MG_TAG_##tag == MG_F32 && op != MG_GELU_TANH_GRAD) {                                              \
        mg_math2_f32(op, count, (const float *)a, !(scalars & 1), (const float *)b, 1, (float *)y + i);     \
        continue;                                                                                           \
      }                                                                                                     \
      if (op == MG_SILU_GRAD) {                                                                             \
        mg_math_##tag(MG_SIGMOID, count, b, u);                                                             \
      } else {                                                                                              \
        arguments_##tag(op, count, b, u, v);                                                                \
        mg_math_##tag(op == MG_GELU_GRAD ? MG_ERF : MG_TANH, count, u, u);                                  \
        if (op == MG_GELU_GRAD) mg_math_##tag(MG_EXP, count, v, v);                                         \
      }                                                                                                     \
      slopes_##tag(op, count, a, b, u, v, scalars & 1, y + i);                                              \
    }                                                                                                       \
  }
#define ROOT_2_PI 0.79788456080286535588  // √(2/π)
MG_FLOATS(ACTIVATION_GRADIENTS)

// Powers whose exponent is a number with a simpler formula; false for the others.
#define FLOAT_POWERS(tag, type)                                                                             \
  MG_CLONES static bool simple_power_##tag(int64_t n, const type *x, type exponent, type *y) {              \
    typedef type T;                                                                                         \
    if (exponent == 2) {                                                                                    \
      MG_VECTORIZE for (int64_t i = 0; i < n; i++) y[i] = x[i] * x[i];                                      \
    } else if (exponent == 3) {                                                                             \
      MG_VECTORIZE for (int64_t i = 0; i < n; i++) y[i] = x[i] * x[i] * x[i];                               \
    } else if (exponent == -1) {                                                                            \
      MG_VECTORIZE for (int64_t i = 0; i < n; i++) y[i] = 1 / x[i];                                         \
    } else if (exponent == (T)0.5) {                                                                        \
      MG_VECTORIZE for (int64_t i = 0; i < n; i++) {                                                        \
        T v = x[i];                                                                                         \
        y[i] = v == -INFINITY ? (T)INFINITY : __builtin_elementwise_sqrt(v) + 0; /* −0 gives +0 */          \
      }                                                                                                     \
    } else {                                                                                                \
      return false;                                                                                         \
    }                                                                                                       \
    return true;                                                                                            \
  }
MG_FLOATS(FLOAT_POWERS)

#define FLOAT_BINARY(tag, type, suffix)                                                                     \
  MG_CLONES static void binary_##tag(mg_binary_op op, int64_t n, const type *x1, const type *x2,            \
                                     unsigned scalars, type *y) {                                           \
    typedef type T;                                                                                         \
    switch (op) {                                                                                           \
      case MG_ADD: EACH(a + b)                                                                              \
      case MG_SUB: EACH(a - b)                                                                              \
      case MG_MUL: EACH(a * b)                                                                              \
      case MG_DIV: EACH(a / b)                                                                              \
      case MG_MAXIMUM: EACH(a > b || a != a ? a : b)                                                        \
      case MG_MINIMUM: EACH(a < b || a != a ? a : b)                                                        \
      case MG_COPYSIGN: EACH(__builtin_copysign##suffix(a, b))                                              \
      case MG_RELU_GRAD: EACH(b <= 0 ? (T)0 : a)                                                            \
      case MG_SIGMOID_GRAD: EACH(a * (1 - b) * b)                                                           \
      case MG_TANH_GRAD: EACH(a * (1 - b * b))                                                              \
      case MG_FMOD:                                                                                         \
      case MG_REMAINDER:                                                                                    \
      case MG_FLOOR_DIVIDE:                                                                                 \
        if (n > 0) divide_##tag(op, n, x1, x2, scalars, y);                                                 \
        return;                                                                                             \
      case MG_XLOGY: xlogy_##tag(n, x1, x2, scalars, y); return;                                            \
      case MG_SILU_GRAD:                                                                                    \
      case MG_GELU_GRAD:                                                                                    \
      case MG_GELU_TANH_GRAD: activation_##tag(op, n, x1, x2, scalars, y); return;                          \
      case MG_POW:                                                                                          \
        if (scalars == 2 && n > 0 && simple_power_##tag(n, x1, x2[0], y)) return;                           \
        __attribute__((fallthrough));                                                                       \
      case MG_ATAN2:                                                                                        \
      case MG_HYPOT: mg_math2_##tag(op, n, x1, !(scalars & 1), x2, !(scalars & 2), y); return;              \
      default: return;                                                                                      \
    }                                                                                                       \
  }
FLOAT_BINARY(f32, float, f)
FLOAT_BINARY(f64, double, )

// MARK: integers

// Division by 0 gives 0; the most negative number by −1 wraps to itself.
#define INTEGER_DIVISION(tag, T, U)                                                                         \
  MG_INLINE T fmod_##tag(T a, T b) { return b == 0 || ((T)-1 < 0 && b == (T)-1) ? 0 : (T)(a % b); }         \
  MG_INLINE T remainder_##tag(T a, T b) {                                                                   \
    T r = fmod_##tag(a, b);                                                                                 \
    return r != 0 && (r < 0) != (b < 0) ? (T)(r + b) : r;                                                   \
  }                                                                                                         \
  MG_INLINE T floor_divide_##tag(T a, T b) {                                                                \
    if (b == 0) return 0;                                                                                   \
    if ((T)-1 < 0 && b == (T)-1) return (T)((U)0 - (U)a);                                                   \
    T quotient = (T)(a / b);                                                                                \
    return a % b != 0 && (a < 0) != (b < 0) ? (T)(quotient - 1) : quotient;                                 \
  }
INTEGER_DIVISION(i64, int64_t, uint64_t)
INTEGER_DIVISION(u8, uint8_t, uint32_t)

// For int32 the quotient in double is never rounded to an integer it is not, and division by it vectorises.
MG_INLINE int32_t quotient_i32(int32_t a, int32_t b, bool down) {
  double q = (double)a / (double)(b == 0 ? 1 : b);
  q = down ? __builtin_elementwise_floor(q) : __builtin_elementwise_trunc(q);
  return (int32_t)(uint32_t)(int64_t)q;
}
MG_INLINE int32_t floor_divide_i32(int32_t a, int32_t b) { return b == 0 ? 0 : quotient_i32(a, b, true); }
MG_INLINE int32_t remainder_i32(int32_t a, int32_t b) {
  return b == 0 ? 0 : (int32_t)((uint32_t)a - (uint32_t)quotient_i32(a, b, true) * (uint32_t)b);
}
MG_INLINE int32_t fmod_i32(int32_t a, int32_t b) {
  return b == 0 ? 0 : (int32_t)((uint32_t)a - (uint32_t)quotient_i32(a, b, false) * (uint32_t)b);
}

#define INTEGER_DIVIDE(tag, type)                                                                           \
  MG_CLONES static void divide_##tag(mg_binary_op op, int64_t n, const type *x1, const type *x2,            \
                                     unsigned scalars, type *y) {                                           \
    typedef type T;                                                                                         \
    switch (op) {                                                                                           \
      case MG_FMOD: EACH_CALL(fmod_##tag(a, b))                                                             \
      case MG_REMAINDER: EACH_CALL(remainder_##tag(a, b))                                                   \
      default: EACH_CALL(floor_divide_##tag(a, b))                                                          \
    }                                                                                                       \
  }
INTEGER_DIVIDE(i32, int32_t)
INTEGER_DIVIDE(u8, uint8_t)

// Whole numbers between −2⁵¹ and 2⁵¹ are exact in double, where they lie in the last bits of what is added to 1.5 · 2⁵², and so
// are their quotients once they are rounded down or towards zero: a quotient is nearer than an ulp to the next whole number only
// if it is it. So int64 is divided in vectors, block by block; a block with a number beyond that, one by one: 10,000 quotients
// take 2 µs instead of 28.
MG_INLINE double widened(int64_t v) {
  double d;
  v += 0x4338000000000000;
  memcpy(&d, &v, sizeof d);
  return d - 0x1.8p52;
}
MG_INLINE int64_t narrowed(double d) {
  int64_t v;
  d += 0x1.8p52;
  memcpy(&v, &d, sizeof v);
  return v - 0x4338000000000000;
}

enum { DIVISIONS = 128 };

MG_CLONES static bool are_narrow(int64_t n, const int64_t *x) {
  int64_t bits = 0;
  for (int64_t i = 0; i < n; i++) bits |= x[i] ^ x[i] >> 63;
  return bits >> 51 == 0;
}

MG_CLONES static void divide_narrow(mg_binary_op op, int64_t n, const int64_t *x1, const int64_t *x2, int64_t *y) {
  bool down = op != MG_FMOD, rest = op != MG_FLOOR_DIVIDE;
  MG_VECTORIZE
  for (int64_t i = 0; i < n; i++) {
    int64_t a = x1[i], b = x2[i];
    double q = widened(a) / widened(b == 0 ? 1 : b);
    int64_t quotient = narrowed(down ? __builtin_elementwise_floor(q) : __builtin_elementwise_trunc(q));
    int64_t result = rest ? a - quotient * b : quotient;
    y[i] = b == 0 ? 0 : result;
  }
}

static void divide_i64(mg_binary_op op, int64_t n, const int64_t *x1, const int64_t *x2, unsigned scalars, int64_t *y) {
  int64_t one[DIVISIONS];
  if (n > 0 && scalars != 0)
    for (int i = 0; i < DIVISIONS; i++) one[i] = scalars == 1 ? *x1 : *x2;
  for (int64_t i = 0; i < n; i += DIVISIONS) {
    int64_t count = mg_min64(DIVISIONS, n - i);
    const int64_t *a = scalars == 1 ? one : x1 + i, *b = scalars == 2 ? one : x2 + i;
    if (are_narrow(count, a) && are_narrow(count, b)) {
      divide_narrow(op, count, a, b, y + i);
      continue;
    }
    for (int64_t j = 0; j < count; j++)
      y[i + j] = op == MG_FLOOR_DIVIDE ? floor_divide_i64(a[j], b[j])
                 : op == MG_REMAINDER  ? remainder_i64(a[j], b[j])
                                       : fmod_i64(a[j], b[j]);
  }
}

#define INTEGER_POWER(tag, T, U)                                                                            \
  static T pow_##tag(T base, T exponent) {                                                                  \
    if (exponent < 0) {                                                                                     \
      if (base == 1) return 1;                                                                              \
      if (base == (T)-1) return exponent & 1 ? base : 1;                                                    \
      return 0;                                                                                             \
    }                                                                                                       \
    U result = 1, square = (U)base;                                                                         \
    for (U e = (U)exponent; e != 0; e >>= 1, square *= square)                                              \
      if (e & 1) result *= square;                                                                          \
    return (T)result;                                                                                       \
  }
INTEGER_POWER(i64, int64_t, uint64_t)
INTEGER_POWER(i32, int32_t, uint32_t)
INTEGER_POWER(u8, uint8_t, uint32_t)

#define INTEGER_BINARY(tag, type, unsigned_type)                                                            \
  MG_CLONES static void binary_##tag(mg_binary_op op, int64_t n, const type *x1, const type *x2,            \
                                     unsigned scalars, type *y) {                                           \
    typedef type T;                                                                                         \
    typedef unsigned_type U;                                                                                \
    enum { BITS = sizeof(T) * 8 };                                                                          \
    switch (op) {                                                                                           \
      case MG_ADD: EACH((T)((U)a + (U)b))                                                                   \
      case MG_SUB: EACH((T)((U)a - (U)b))                                                                   \
      case MG_MUL: EACH((T)((U)a * (U)b))                                                                   \
      case MG_MAXIMUM: EACH(a > b ? a : b)                                                                  \
      case MG_MINIMUM: EACH(a < b ? a : b)                                                                  \
      case MG_BIT_AND: EACH(a & b)                                                                          \
      case MG_BIT_OR: EACH(a | b)                                                                           \
      case MG_BIT_XOR: EACH(a ^ b)                                                                          \
      case MG_SHIFT_LEFT: EACH(b < 0 || b >= (T)BITS ? (T)0 : (T)((U)a << (b & (BITS - 1))))                \
      case MG_SHIFT_RIGHT: EACH((T)(a >> (b < 0 || b >= (T)BITS ? BITS - 1 : b)) & ((T)-1 < 0 || b < BITS ? (T)-1 : (T)0)) \
      case MG_RELU_GRAD: EACH(b <= 0 ? (T)0 : a)                                                            \
      case MG_FMOD:                                                                                         \
      case MG_REMAINDER:                                                                                    \
      case MG_FLOOR_DIVIDE: divide_##tag(op, n, x1, x2, scalars, y); return;                                \
      case MG_POW: EACH_CALL(pow_##tag(a, b))                                                               \
      default: return;                                                                                      \
    }                                                                                                       \
  }
INTEGER_BINARY(i64, int64_t, uint64_t)
INTEGER_BINARY(i32, int32_t, uint32_t)
INTEGER_BINARY(u8, uint8_t, uint32_t)

MG_CLONES static void binary_b8(mg_binary_op op, int64_t n, const uint8_t *x1, const uint8_t *x2, unsigned scalars,
                                uint8_t *y) {
  typedef uint8_t T;
  switch (op) {
    case MG_ADD:
    case MG_MAXIMUM:
    case MG_BIT_OR: EACH(a | b)
    case MG_MUL:
    case MG_MINIMUM:
    case MG_BIT_AND: EACH(a & b)
    case MG_BIT_XOR: EACH(a ^ b)
    default: return;
  }
}

// MARK: entry points

static void contiguous(mg_binary_op op, mg_dtype dtype, int64_t n, const void *a, const void *b, unsigned scalars,
                       void *y) {
  switch (dtype) {
#define CASE(tag, type) case MG_TAG_##tag: binary_##tag(op, n, a, b, scalars, y); break;
    MG_TYPES(CASE)
#undef CASE
    default: break;
  }
}

static void kernel(const mg_job *job, int64_t n, void *y, const void *const x[3], unsigned scalars) {
  contiguous((mg_binary_op)job->op, job->dtype, n, x[0], x[1], scalars, y);
}

static bool is_cheap(mg_binary_op op) {
  return op <= MG_MINIMUM || op == MG_DIV || op == MG_COPYSIGN || (op >= MG_BIT_AND && op <= MG_TANH_GRAD);
}

/// Short simple loops go straight to the kernel.
static inline bool is_short(int64_t n, int64_t as, int64_t bs) {
  return n < 2 * MG_GRAIN_MATH && (uint64_t)as <= 1 && (uint64_t)bs <= 1 && (as | bs);
}
static inline unsigned scalars_of(int64_t as, int64_t bs) { return (unsigned)(!as | !bs << 1); }

void mg_binary_nd(mg_binary_op op, mg_dtype dtype, const mg_loop *loop, const void *a, const void *b, void *y) {
  if (loop->rank == 0) {
    contiguous(op, dtype, 1, a, b, 0, y);
    return;
  }
  int64_t n = loop->size[0], as = loop->stride[1][0], bs = loop->stride[2][0];
  if (loop->rank == 1 && is_short(n, as, bs)) {
    contiguous(op, dtype, n, a, b, scalars_of(as, bs), y);
    return;
  }
  uint8_t size = (uint8_t)mg_size(dtype);
  mg_job job = {.kernel = kernel, .op = op, .dtype = dtype, .inputs = 2, .y_size = size, .x_size = {size, size},
                .modes = 7, .grain = is_cheap(op) ? MG_GRAIN : MG_GRAIN_MATH};
  mg_drive(&job, loop, y, (const void *const[3]){a, b});
}

void mg_binary(mg_binary_op op, mg_dtype dtype, int64_t n, const void *a, int64_t a_stride, const void *b,
               int64_t b_stride, void *y) {
  if (is_short(n, a_stride, b_stride)) {
    contiguous(op, dtype, n, a, b, scalars_of(a_stride, b_stride), y);
    return;
  }
  mg_loop loop = {.rank = 1, .size = {n}, .stride = {{1}, {a_stride}, {b_stride}}};
  mg_binary_nd(op, dtype, &loop, a, b, y);
}

bool mg_binary_has(mg_binary_op op, mg_dtype dtype) {
  bool bitwise = op >= MG_BIT_AND && op <= MG_BIT_XOR;
  switch (dtype) {
    case MG_F32:
    case MG_F64: return op < MG_BIT_AND || (op >= MG_RELU_GRAD && op < MG_BINARY_COUNT);
    case MG_I64:
    case MG_I32:
    case MG_U8: return op <= MG_POW || (op >= MG_BIT_AND && op <= MG_RELU_GRAD);
    case MG_BOOL: return (op <= MG_MINIMUM && op != MG_SUB) || bitwise;
    default: return false;
  }
}

typedef struct {
  mg_dtype dtype;
  void *y;
  const void *x;
  double factor;
} addition;

#define ADD_SCALED(tag, T)                                                                                  \
  MG_CLONES static void add_scaled_##tag(int64_t n, const T *x, T factor, T *y) {                           \
    MG_VECTORIZE                                                                                            \
    for (int64_t i = 0; i < n; i++) y[i] += x[i] * factor;                                                  \
  }
MG_FLOATS(ADD_SCALED)

static void add_scaled(void *context, int64_t begin, int64_t end) {
  const addition *a = context;
  if (a->dtype == MG_F32) add_scaled_f32(end - begin, (const float *)a->x + begin, (float)a->factor, (float *)a->y + begin);
  else add_scaled_f64(end - begin, (const double *)a->x + begin, a->factor, (double *)a->y + begin);
}

/// y += number 0 · x, rounded as a product and a sum: operands y and x, floats.
MG_KERNEL(add_scaled) {
  addition a = {.dtype = call->dtype, .y = call->operand[0], .x = call->operand[1], .factor = call->number[0]};
  if (call->count[0] < 2 * MG_GRAIN) add_scaled(&a, 0, call->count[0]);
  else mg_share(call->count[0], MG_GRAIN, add_scaled, &a);
}
