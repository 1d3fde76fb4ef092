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

// Division that rounds toward −∞, as in Python: the quotient is corrected by the remainder's sign.
#define FLOAT_DIVISION(tag, type, suffix)                                       \
  static type remainder_##tag(type a, type b) {                                 \
    type r = fmod##suffix(a, b);                                                \
    return r != 0 && (r < 0) != (b < 0) ? r + b : r;                            \
  }                                                                             \
  static type floor_divide_##tag(type a, type b) {                              \
    if (b == 0) return a / b;                                                   \
    type r = fmod##suffix(a, b), quotient = (a - r) / b;                        \
    if (r != 0 && (r < 0) != (b < 0)) quotient -= 1;                            \
    if (quotient == 0) return copysign##suffix(0, a / b);                       \
    type whole = floor##suffix(quotient);                                       \
    return quotient - whole > (type)0.5 ? whole + 1 : whole;                    \
  }
FLOAT_DIVISION(f32, float, f)
FLOAT_DIVISION(f64, double, )

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
      case MG_RELU_GRAD: EACH(b > 0 ? a : (T)0)                                                             \
      case MG_SIGMOID_GRAD: EACH(a * (1 - b) * b)                                                           \
      case MG_TANH_GRAD: EACH(a * (1 - b * b))                                                              \
      case MG_FMOD: EACH_CALL(fmod##suffix(a, b))                                                           \
      case MG_REMAINDER: EACH_CALL(remainder_##tag(a, b))                                                   \
      case MG_FLOOR_DIVIDE: EACH_CALL(floor_divide_##tag(a, b))                                             \
      case MG_XLOGY: EACH_CALL(b != b ? b : a == 0 ? (T)0 : a * log##suffix(b))                             \
      case MG_POW:                                                                                          \
      case MG_ATAN2:                                                                                        \
      case MG_HYPOT: mg_math2_##tag(op, n, x1, !(scalars & 1), x2, !(scalars & 2), y); return;              \
      default: return;                                                                                      \
    }                                                                                                       \
  }
FLOAT_BINARY(f32, float, f)
FLOAT_BINARY(f64, double, )

// MARK: integers

// Division by 0 gives 0; the most negative number by −1 wraps to itself.
#define INTEGER_DIVISION(tag, T, U)                                                       \
  static T fmod_##tag(T a, T b) { return b == 0 || b == (T)-1 ? (b == 0 || (T)-1 < 0 ? 0 : a % b) : a % b; } \
  static T remainder_##tag(T a, T b) {                                                    \
    T r = fmod_##tag(a, b);                                                               \
    return r != 0 && (r < 0) != (b < 0) ? (T)(r + b) : r;                                 \
  }                                                                                       \
  static T floor_divide_##tag(T a, T b) {                                                 \
    if (b == 0) return 0;                                                                 \
    if ((T)-1 < 0 && b == (T)-1) return (T)((U)0 - (U)a);                                 \
    T quotient = (T)(a / b);                                                              \
    return a % b != 0 && (a < 0) != (b < 0) ? (T)(quotient - 1) : quotient;               \
  }                                                                                       \
  static T pow_##tag(T base, T exponent) {                                                \
    if (exponent < 0) {                                                                   \
      if (base == 1) return 1;                                                            \
      if (base == (T)-1) return exponent & 1 ? base : 1;                                  \
      return 0;                                                                           \
    }                                                                                     \
    U result = 1, square = (U)base;                                                       \
    for (U e = (U)exponent; e != 0; e >>= 1, square *= square)                            \
      if (e & 1) result *= square;                                                        \
    return (T)result;                                                                     \
  }
INTEGER_DIVISION(i64, int64_t, uint64_t)
INTEGER_DIVISION(i32, int32_t, uint32_t)
INTEGER_DIVISION(u8, uint8_t, uint32_t)

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
      case MG_RELU_GRAD: EACH(b > 0 ? a : (T)0)                                                             \
      case MG_FMOD: EACH_CALL(fmod_##tag(a, b))                                                             \
      case MG_REMAINDER: EACH_CALL(remainder_##tag(a, b))                                                   \
      case MG_FLOOR_DIVIDE: EACH_CALL(floor_divide_##tag(a, b))                                             \
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
  return op <= MG_MINIMUM || op == MG_DIV || op == MG_COPYSIGN || op >= MG_BIT_AND;
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
