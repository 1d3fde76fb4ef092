// Elementwise questions, answered with bool, and the choice between two values.
#include "internal.h"

#define LOOP(EXPRESSION)                                                      \
  {                                                                           \
    MG_VECTORIZE                                                              \
    for (int64_t i = 0; i < n; i++) y[i] = (EXPRESSION);                      \
    return;                                                                   \
  }

// MARK: predicates

#define FLOAT_PREDICATE(tag, type)                                                                      \
  MG_CLONES static void predicate_##tag(mg_predicate_op op, int64_t n, const type *x, uint8_t *y) {     \
    switch (op) {                                                                                       \
      case MG_ISNAN: LOOP(x[i] != x[i])                                                                 \
      case MG_ISINF: LOOP(__builtin_elementwise_abs(x[i]) == (type)INFINITY)                            \
      case MG_ISFINITE: LOOP(__builtin_elementwise_abs(x[i]) < (type)INFINITY)                          \
      case MG_LOGICAL_NOT: LOOP(x[i] == 0)                                                              \
      case MG_NONZERO: LOOP(x[i] != 0)                                                                  \
      case MG_SIGNBIT: LOOP(signbit(x[i]) != 0)                                                         \
      default: return;                                                                                  \
    }                                                                                                   \
  }
MG_FLOATS(FLOAT_PREDICATE)

#define INTEGER_PREDICATE(tag, type)                                                                    \
  MG_CLONES static void predicate_##tag(mg_predicate_op op, int64_t n, const type *x, uint8_t *y) {     \
    switch (op) {                                                                                       \
      case MG_ISNAN:                                                                                    \
      case MG_ISINF: memset(y, 0, (size_t)n); return;                                                   \
      case MG_ISFINITE: memset(y, 1, (size_t)n); return;                                                \
      case MG_LOGICAL_NOT: LOOP(x[i] == 0)                                                              \
      case MG_NONZERO: LOOP(x[i] != 0)                                                                  \
      case MG_SIGNBIT: LOOP(x[i] < 0)                                                                   \
      default: return;                                                                                  \
    }                                                                                                   \
  }
MG_INTEGERS(INTEGER_PREDICATE)
INTEGER_PREDICATE(b8, uint8_t)

static void predicate_kernel(const mg_job *job, int64_t n, void *y, const void *const x[3], unsigned scalars) {
  (void)scalars;
  mg_predicate_op op = (mg_predicate_op)job->op;
  switch (job->dtype) {
#define CASE(tag, type) case MG_TAG_##tag: predicate_##tag(op, n, x[0], y); break;
    MG_TYPES(CASE)
#undef CASE
    default: break;
  }
}

void mg_predicate_nd(mg_predicate_op op, mg_dtype dtype, const mg_loop *loop, const void *x, void *y) {
  mg_job job = {.kernel = predicate_kernel, .op = op, .dtype = dtype, .inputs = 1, .y_size = 1,
                .x_size = {(uint8_t)mg_size(dtype)}, .modes = 1, .grain = MG_GRAIN};
  mg_drive(&job, loop, y, (const void *const[3]){x});
}

// MARK: comparisons

#define PAIRS(EXPRESSION)                                                     \
  {                                                                           \
    if (scalars == 0) {                                                       \
      MG_VECTORIZE                                                            \
      for (int64_t i = 0; i < n; i++) { T a = x1[i], b = x2[i]; y[i] = (EXPRESSION); } \
    } else if (scalars == 1) {                                                \
      T a = x1[0];                                                            \
      MG_VECTORIZE                                                            \
      for (int64_t i = 0; i < n; i++) { T b = x2[i]; y[i] = (EXPRESSION); }   \
    } else {                                                                  \
      T b = x2[0];                                                            \
      MG_VECTORIZE                                                            \
      for (int64_t i = 0; i < n; i++) { T a = x1[i]; y[i] = (EXPRESSION); }   \
    }                                                                         \
    return;                                                                   \
  }

#define COMPARE(tag, type)                                                                              \
  MG_CLONES static void compare_##tag(mg_compare_op op, int64_t n, const type *x1, const type *x2,      \
                                      unsigned scalars, uint8_t *y) {                                   \
    typedef type T;                                                                                     \
    switch (op) {                                                                                       \
      case MG_EQ: PAIRS(a == b)                                                                         \
      case MG_NE: PAIRS(a != b)                                                                         \
      case MG_LT: PAIRS(a < b)                                                                          \
      case MG_LE: PAIRS(a <= b)                                                                         \
      case MG_GT: PAIRS(a > b)                                                                          \
      case MG_GE: PAIRS(a >= b)                                                                         \
      case MG_LOGICAL_AND: PAIRS((a != 0) & (b != 0))                                                   \
      case MG_LOGICAL_OR: PAIRS((a != 0) | (b != 0))                                                    \
      case MG_LOGICAL_XOR: PAIRS((a != 0) ^ (b != 0))                                                   \
      default: return;                                                                                  \
    }                                                                                                   \
  }
MG_TYPES(COMPARE)

static void compare_kernel(const mg_job *job, int64_t n, void *y, const void *const x[3], unsigned scalars) {
  mg_compare_op op = (mg_compare_op)job->op;
  switch (job->dtype) {
#define CASE(tag, type) case MG_TAG_##tag: compare_##tag(op, n, x[0], x[1], scalars, y); break;
    MG_TYPES(CASE)
#undef CASE
    default: break;
  }
}

void mg_compare_nd(mg_compare_op op, mg_dtype dtype, const mg_loop *loop, const void *a, const void *b, void *y) {
  uint8_t size = (uint8_t)mg_size(dtype);
  mg_job job = {.kernel = compare_kernel, .op = op, .dtype = dtype, .inputs = 2, .y_size = 1, .x_size = {size, size},
                .modes = 7, .grain = MG_GRAIN};
  mg_drive(&job, loop, y, (const void *const[3]){a, b});
}

// MARK: where

// Values only move, so they are told apart by size. Both are read before one is chosen: of a choice between two places compilers
// make a gather, which takes five times as long.
#define WHERE(size, type)                                                                               \
  MG_CLONES static void where_##size(int64_t n, const uint8_t *c, const type *a, const type *b,         \
                                     unsigned scalars, type *y) {                                       \
    type a0 = a[0], b0 = b[0];                                                                          \
    switch (scalars) {                                                                                  \
      case 0: LOOP(({ type if_true = a[i], if_not = b[i]; c[i] ? if_true : if_not; }))                  \
      case 2: LOOP(c[i] ? a0 : b[i])                                                                    \
      case 4: LOOP(c[i] ? a[i] : b0)                                                                    \
      default: LOOP(c[i] ? a0 : b0)                                                                     \
    }                                                                                                   \
  }
WHERE(1, uint8_t)
WHERE(2, uint16_t)
WHERE(4, uint32_t)
WHERE(8, uint64_t)

static void where_kernel(const mg_job *job, int64_t n, void *y, const void *const x[3], unsigned scalars) {
  switch (job->y_size) {
    case 1: where_1(n, x[0], x[1], x[2], scalars, y); break;
    case 2: where_2(n, x[0], x[1], x[2], scalars, y); break;
    case 4: where_4(n, x[0], x[1], x[2], scalars, y); break;
    default: where_8(n, x[0], x[1], x[2], scalars, y); break;
  }
}

void mg_where_nd(mg_dtype dtype, const mg_loop *loop, const void *c, const void *a, const void *b, void *y) {
  uint8_t size = (uint8_t)mg_size(dtype);
  mg_job job = {.kernel = where_kernel, .dtype = dtype, .inputs = 3, .y_size = size, .x_size = {1, size, size},
                .modes = 1 << 0 | 1 << 2 | 1 << 4 | 1 << 6, .grain = MG_GRAIN};
  mg_drive(&job, loop, y, (const void *const[3]){c, a, b});
}
