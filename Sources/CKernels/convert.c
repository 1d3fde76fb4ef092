// Moving and converting between element types, with both sides strided; and filling.
#include "internal.h"

// MARK: one element

// Float to integer truncates and saturates; NaN gives 0. The bounds are powers of two, hence exact in every type.
#define FLOAT_TO(tag, to, below, above, least, greatest)                                              \
  MG_INLINE to f32_to_##tag(float v) {                                                                \
    return v > below && v < above ? (to)v : v >= above ? greatest : v <= below ? least : 0;           \
  }                                                                                                   \
  MG_INLINE to f64_to_##tag(double v) {                                                               \
    return v > below && v < above ? (to)v : v >= above ? greatest : v <= below ? least : 0;           \
  }
FLOAT_TO(i64, int64_t, -0x1p63f, 0x1p63f, INT64_MIN, INT64_MAX)
FLOAT_TO(u8, uint8_t, -1, 256, 0, UINT8_MAX)
MG_INLINE int32_t f64_to_i32(double v) {
  return v > -0x1p31 - 1 && v < 0x1p31 ? (int32_t)v : v >= 0x1p31 ? INT32_MAX : v < 0 ? INT32_MIN : 0;
}
MG_INLINE int32_t f32_to_i32(float v) {
  return v >= -0x1p31f && v < 0x1p31f ? (int32_t)v : v >= 0x1p31f ? INT32_MAX : v < 0 ? INT32_MIN : 0;
}

#define PLAIN(from, type, to, result) \
  MG_INLINE result from##_to_##to(type v) { return (result)v; }
#define TO_BOOL(from, type) \
  MG_INLINE uint8_t from##_to_b8(type v) { return v != 0; }
#define FROM_INTEGER(tag, type)     \
  PLAIN(tag, type, f32, float)      \
  PLAIN(tag, type, f64, double)     \
  PLAIN(tag, type, i64, int64_t)    \
  PLAIN(tag, type, i32, int32_t)    \
  PLAIN(tag, type, u8, uint8_t)
MG_INTEGERS(FROM_INTEGER)
FROM_INTEGER(b8, uint8_t)
MG_TYPES(TO_BOOL)
PLAIN(f32, float, f32, float)
PLAIN(f32, float, f64, double)
PLAIN(f64, double, f32, float)
PLAIN(f64, double, f64, double)

// MARK: rows

typedef void (*row_function)(int64_t n, const void *x, int64_t xs, void *y, int64_t ys);

#define ROW(from, ft, to, tt)                                                                         \
  MG_CLONES static void from##_row_##to(int64_t n, const void *source, int64_t xs, void *target, int64_t ys) { \
    const ft *x = source;                                                                             \
    tt *y = target;                                                                                   \
    if (xs == 1 && ys == 1) {                                                                         \
      MG_VECTORIZE                                                                                    \
      for (int64_t i = 0; i < n; i++) y[i] = from##_to_##to(x[i]);                                    \
    } else {                                                                                          \
      for (int64_t i = 0; i < n; i++) y[i * ys] = from##_to_##to(x[i * xs]);                          \
    }                                                                                                 \
  }
#define TO_ALL(from, ft)                                                                              \
  ROW(from, ft, f32, float)                                                                           \
  ROW(from, ft, f64, double)                                                                          \
  ROW(from, ft, i64, int64_t)                                                                         \
  ROW(from, ft, i32, int32_t)                                                                         \
  ROW(from, ft, u8, uint8_t)                                                                          \
  ROW(from, ft, b8, uint8_t)
MG_TYPES(TO_ALL)

#define COPY_ROW(size, type)                                                                          \
  static void copy_row_##size(int64_t n, const void *source, int64_t xs, void *target, int64_t ys) {  \
    const type *x = source;                                                                           \
    type *y = target;                                                                                 \
    if (xs == 1 && ys == 1) {                                                                         \
      memmove(y, x, (size_t)n * sizeof(type));                                                        \
    } else if (xs == 0 && ys == 1) {                                                                  \
      type v = *x;                                                                                    \
      for (int64_t i = 0; i < n; i++) y[i] = v;                                                       \
    } else {                                                                                          \
      for (int64_t i = 0; i < n; i++) y[i * ys] = x[i * xs];                                          \
    }                                                                                                 \
  }
COPY_ROW(1, uint8_t)
COPY_ROW(4, uint32_t)
COPY_ROW(8, uint64_t)

static row_function row_for(mg_dtype from, mg_dtype to) {
  if (from == to) return mg_size(from) == 1 ? copy_row_1 : mg_size(from) == 4 ? copy_row_4 : copy_row_8;
  switch (from * MG_DTYPE_COUNT + to) {
#define CASE(from, to) \
  case MG_TAG_##from * MG_DTYPE_COUNT + MG_TAG_##to: return from##_row_##to;
#define CASES(from, type) CASE(from, f32) CASE(from, f64) CASE(from, i64) CASE(from, i32) CASE(from, u8) CASE(from, b8)
    MG_TYPES(CASES)
    default: return NULL;
  }
}

// MARK: nests

static void walk(row_function row, const mg_loop *loop, int32_t d, size_t from, size_t to, const char *x, char *y) {
  if (d == loop->rank - 1) {
    row(loop->size[d], x, loop->stride[1][d], y, loop->stride[0][d]);
    return;
  }
  for (int64_t i = 0; i < loop->size[d]; i++) {
    walk(row, loop, d + 1, from, to, x, y);
    x += loop->stride[1][d] * (int64_t)from;
    y += loop->stride[0][d] * (int64_t)to;
  }
}

void mg_convert_nd(mg_dtype from, mg_dtype to, const mg_loop *loop, const void *x, void *y) {
  if (mg_count(loop) == 0) return;
  row_function row = row_for(from, to);
  if (loop->rank == 0) row(1, x, 1, y, 1);
  else walk(row, loop, 0, mg_size(from), mg_size(to), x, y);
}

#define FILL(size, type)                                                                              \
  MG_CLONES static void fill_##size(int64_t n, type v, type *y) {                                     \
    MG_VECTORIZE                                                                                      \
    for (int64_t i = 0; i < n; i++) y[i] = v;                                                         \
  }
FILL(4, uint32_t)
FILL(8, uint64_t)

void mg_fill(mg_dtype dtype, int64_t n, const void *value, void *y) {
  switch (mg_size(dtype)) {
    case 1: memset(y, *(const uint8_t *)value, (size_t)n); break;
    case 4: fill_4(n, *(const uint32_t *)value, y); break;
    default: fill_8(n, *(const uint64_t *)value, y); break;
  }
}
