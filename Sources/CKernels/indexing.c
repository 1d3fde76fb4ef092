// Gathering and scattering by index. Values that only move are told apart by their size.
#include "internal.h"

void mg_index_select(size_t element, int64_t outer, int64_t n, int64_t inner, int64_t count, const int64_t *index,
                     const void *x, void *y) {
  const char *source = x;
  char *target = y;
  size_t row = (size_t)inner * element;
  for (int64_t o = 0; o < outer; o++, source += (size_t)n * row)
    for (int64_t j = 0; j < count; j++, target += row) memcpy(target, source + (size_t)index[j] * row, row);
}

#define INDEX_ADD(tag, T, U)                                                                              \
  MG_CLONES static void index_add_##tag(int64_t outer, int64_t n, int64_t inner, int64_t count,           \
                                        const int64_t *index, const T *x, T *y) {                         \
    for (int64_t o = 0; o < outer; o++, y += n * inner)                                                   \
      for (int64_t j = 0; j < count; j++, x += inner) {                                                   \
        T *row = y + index[j] * inner;                                                                    \
        MG_VECTORIZE                                                                                      \
        for (int64_t i = 0; i < inner; i++) row[i] = (T)((U)row[i] + (U)x[i]);                            \
      }                                                                                                   \
  }                                                                                                       \
  static void put_add_##tag(int64_t count, const int64_t *at, const T *x, T *y) {                         \
    for (int64_t j = 0; j < count; j++) y[at[j]] = (T)((U)y[at[j]] + (U)x[j]);                            \
  }
INDEX_ADD(f32, float, float)
INDEX_ADD(f64, double, double)
INDEX_ADD(i64, int64_t, uint64_t)
INDEX_ADD(i32, int32_t, uint32_t)
INDEX_ADD(u8, uint8_t, uint32_t)

void mg_index_add(mg_dtype dtype, int64_t outer, int64_t n, int64_t inner, int64_t count, const int64_t *index,
                  const void *x, void *y) {
  switch (dtype) {
#define CASE(tag, type) case MG_TAG_##tag: index_add_##tag(outer, n, inner, count, index, x, y); break;
    MG_NUMBERS(CASE)
#undef CASE
    default: break;
  }
}

void mg_put_add(mg_dtype dtype, int64_t count, const int64_t *at, const void *x, void *y) {
  switch (dtype) {
#define CASE(tag, type) case MG_TAG_##tag: put_add_##tag(count, at, x, y); break;
    MG_NUMBERS(CASE)
#undef CASE
    default: break;
  }
}

#define MOVE(size, T)                                                                                     \
  static void take_##size(int64_t count, const int64_t *at, const T *x, T *y) {                           \
    for (int64_t j = 0; j < count; j++) y[j] = x[at[j]];                                                  \
  }                                                                                                       \
  static void put_##size(int64_t count, const int64_t *at, const T *x, int64_t stride, T *y) {            \
    for (int64_t j = 0; j < count; j++) y[at[j]] = x[j * stride];                                         \
  }
MOVE(1, uint8_t)
MOVE(4, uint32_t)
MOVE(8, uint64_t)

void mg_take(size_t element, int64_t count, const int64_t *at, const void *x, void *y) {
  switch (element) {
    case 1: take_1(count, at, x, y); break;
    case 4: take_4(count, at, x, y); break;
    default: take_8(count, at, x, y); break;
  }
}

void mg_put(size_t element, int64_t count, const int64_t *at, const void *x, int64_t x_stride, void *y) {
  switch (element) {
    case 1: put_1(count, at, x, x_stride, y); break;
    case 4: put_4(count, at, x, x_stride, y); break;
    default: put_8(count, at, x, x_stride, y); break;
  }
}
