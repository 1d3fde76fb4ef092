// Elementwise functions of one operand: arithmetic, rounding and piecewise linear activations. What needs
// exponentials, logarithms or trigonometry is in math.c.
#include "internal.h"
#include "maths.h"

MG_NO_CONTRACTION

#define EACH(EXPRESSION)                   \
  {                                        \
    MG_VECTORIZE                           \
    for (int64_t i = 0; i < n; i++) {      \
      T v = x[i];                          \
      y[i] = (EXPRESSION);                 \
    }                                      \
    return true;                           \
  }

// MARK: floats

// NaN fails every comparison, so each formula is written to let it through (sign, as in PyTorch, gives 0).
#define FLOAT_CASES                                                                            \
  case MG_NEG: EACH(-v)                                                                        \
  case MG_ABS: EACH(__builtin_elementwise_abs(v))                                              \
  case MG_SIGN: EACH((T)(v > 0) - (T)(v < 0))                                                  \
  case MG_SQUARE: EACH(v * v)                                                                  \
  case MG_RELU: EACH(v < 0 ? (T)0 : v)                                                         \
  case MG_SQRT: EACH(__builtin_elementwise_sqrt(v))                                            \
  case MG_RSQRT: EACH((T)1 / __builtin_elementwise_sqrt(v))                                    \
  case MG_RECIPROCAL: EACH((T)1 / v)                                                           \
  case MG_FLOOR: EACH(__builtin_elementwise_floor(v))                                          \
  case MG_CEIL: EACH(__builtin_elementwise_ceil(v))                                            \
  case MG_ROUND: EACH(__builtin_elementwise_roundeven(v))                                      \
  case MG_TRUNC: EACH(__builtin_elementwise_trunc(v))                                          \
  case MG_FRAC: EACH(v - __builtin_elementwise_trunc(v))                                       \
  case MG_SOFTSIGN: EACH(v / (1 + __builtin_elementwise_abs(v)))                               \
  case MG_HARDTANH: EACH(v < -1 ? (T)-1 : v > 1 ? (T)1 : v)                                    \
  case MG_RELU6: EACH(v < 0 ? (T)0 : v > 6 ? (T)6 : v)                                         \
  case MG_HARDSIGMOID: EACH((v + 3 < 0 ? (T)0 : v + 3 > 6 ? (T)6 : v + 3) / 6)                 \
  case MG_HARDSWISH: EACH(v + 3 < 0 ? v * 0 : v > 3 ? v : v * (v + 3) / 6)      

#define FLOAT_UNARY(tag, type)                                                                 \
  MG_CLONES static bool simple_##tag(mg_unary_op op, int64_t n, const type *x, type *y) {      \
    typedef type T;                                                                            \
    switch (op) {                                                                              \
      FLOAT_CASES                                                                              \
      default: return false;                                                                   \
    }                                                                                          \
  }
MG_FLOATS(FLOAT_UNARY)

// MARK: integers

// Arithmetic is done unsigned, so that the most negative number wraps.
#define INTEGER_UNARY(tag, type, unsigned_type)                                                \
  MG_CLONES static bool simple_##tag(mg_unary_op op, int64_t n, const type *x, type *y) {      \
    typedef type T;                                                                            \
    typedef unsigned_type U;                                                                   \
    switch (op) {                                                                              \
      case MG_NEG: EACH((T)((U)0 - (U)v))                                                      \
      case MG_ABS: EACH(v < 0 ? (T)((U)0 - (U)v) : v)                                          \
      case MG_SIGN: EACH((T)((v > 0) - (v < 0)))                                               \
      case MG_SQUARE: EACH((T)((U)v * (U)v))                                                   \
      case MG_RELU: EACH(v < 0 ? (T)0 : v)                                                     \
      case MG_FLOOR:                                                                           \
      case MG_CEIL:                                                                            \
      case MG_ROUND:                                                                           \
      case MG_TRUNC:                                                                           \
        if (x != y) mg_copy(y, x, (size_t)n * sizeof(T));                                      \
        return true;                                                                           \
      default: return false;                                                                   \
    }                                                                                          \
  }
INTEGER_UNARY(i64, int64_t, uint64_t)
INTEGER_UNARY(i32, int32_t, uint32_t)
INTEGER_UNARY(u8, uint8_t, uint32_t)

// MARK: entry points

static void contiguous(mg_unary_op op, mg_dtype dtype, int64_t n, const void *x, void *y) {
  switch (dtype) {
    case MG_F32:
      if (!simple_f32(op, n, x, y)) mg_math_f32(op, n, x, y);
      break;
    case MG_F64:
      if (!simple_f64(op, n, x, y)) mg_math_f64(op, n, x, y);
      break;
    case MG_I64: simple_i64(op, n, x, y); break;
    case MG_I32: simple_i32(op, n, x, y); break;
    case MG_U8: simple_u8(op, n, x, y); break;
    case MG_BOOL:  // of the sign alone, which is the element
      if (x != y) mg_copy(y, x, (size_t)n);
      break;
    default: break;
  }
}

static void kernel(const mg_job *job, int64_t n, void *y, const void *const x[3], unsigned scalars) {
  (void)scalars;
  contiguous((mg_unary_op)job->op, job->dtype, n, x[0], y);
}

static bool is_cheap(mg_unary_op op) {
  return op <= MG_RECIPROCAL || (op >= MG_FLOOR && op <= MG_FRAC) || op == MG_SOFTSIGN || op >= MG_HARDTANH;
}

void mg_unary_nd(mg_unary_op op, mg_dtype dtype, const mg_loop *loop, const void *x, void *y) {
  // Short simple loops go straight to the kernel.
  if (loop->rank == 0 || (loop->rank == 1 && loop->stride[1][0] == 1 && loop->size[0] < 2 * MG_GRAIN_MATH)) {
    contiguous(op, dtype, loop->rank == 0 ? 1 : loop->size[0], x, y);
    return;
  }
  uint8_t size = (uint8_t)mg_size(dtype);
  mg_job job = {.kernel = kernel, .op = op, .dtype = dtype, .inputs = 1, .y_size = size, .x_size = {size}, .modes = 1,
                .grain = is_cheap(op) ? MG_GRAIN : MG_GRAIN_MATH};
  mg_drive(&job, loop, y, (const void *const[3]){x});
}

void mg_unary(mg_unary_op op, mg_dtype dtype, int64_t n, const void *x, int64_t x_stride, void *y) {
  if (x_stride == 1 && n < 2 * MG_GRAIN_MATH) {
    contiguous(op, dtype, n, x, y);
    return;
  }
  mg_loop loop = {.rank = 1, .size = {n}, .stride = {{1}, {x_stride}}};
  mg_unary_nd(op, dtype, &loop, x, y);
}

bool mg_unary_has(mg_unary_op op, mg_dtype dtype) {
  switch (dtype) {
    case MG_F32:
    case MG_F64: return op < MG_UNARY_COUNT;
    case MG_I64:
    case MG_I32:
    case MG_U8: return op <= MG_RELU || (op >= MG_FLOOR && op <= MG_TRUNC);
    case MG_BOOL: return op == MG_SIGN;
    default: return false;
  }
}
