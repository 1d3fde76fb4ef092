// Gathering and scattering by index. Values that only move are told apart by their size.
#include "internal.h"

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
MOVE(2, uint16_t)
MOVE(4, uint32_t)
MOVE(8, uint64_t)

typedef struct {
  size_t row;  // in bytes
  int64_t n, count;
  const int64_t *index;
  const char *x;
  char *y;
} selection;

static void select_rows(void *context, int64_t begin, int64_t end) {
  const selection *s = context;
  for (int64_t task = begin; task < end;) {
    int64_t o = task / s->count, j = task % s->count, stop = mg_min64(s->count, j + end - task);
    const char *x = s->x + (size_t)(o * s->n) * s->row;
    char *y = s->y + (size_t)task * s->row;
    task += stop - j;
    switch (s->row) {
      case 1: take_1(stop - j, s->index + j, (const uint8_t *)x, (uint8_t *)y); break;
      case 2: take_2(stop - j, s->index + j, (const uint16_t *)x, (uint16_t *)y); break;
      case 4: take_4(stop - j, s->index + j, (const uint32_t *)x, (uint32_t *)y); break;
      case 8: take_8(stop - j, s->index + j, (const uint64_t *)x, (uint64_t *)y); break;
      default:
        for (; j < stop; j++, y += s->row) memcpy(y, x + (size_t)s->index[j] * s->row, s->row);
    }
  }
}

void mg_index_select(size_t element, int64_t outer, int64_t n, int64_t inner, int64_t count, const int64_t *index,
                     const void *x, void *y) {
  selection s = {.row = (size_t)inner * element, .n = n, .count = count, .index = index, .x = x, .y = y};
  int64_t tasks = outer * count, cost = inner + 8;  // a row is not free
  if (tasks <= 0 || inner <= 0) return;
  if (tasks * cost < 2 * MG_GRAIN) select_rows(&s, 0, tasks);
  else mg_share(tasks, MG_GRAIN / cost + 1, select_rows, &s);
}

void mg_take(size_t element, int64_t count, const int64_t *at, const void *x, void *y) {
  switch (element) {
    case 1: take_1(count, at, x, y); break;
    case 2: take_2(count, at, x, y); break;
    case 4: take_4(count, at, x, y); break;
    default: take_8(count, at, x, y); break;
  }
}

void mg_put(size_t element, int64_t count, const int64_t *at, const void *x, int64_t x_stride, void *y) {
  switch (element) {
    case 1: put_1(count, at, x, x_stride, y); break;
    case 2: put_2(count, at, x, x_stride, y); break;
    case 4: put_4(count, at, x, x_stride, y); break;
    default: put_8(count, at, x, x_stride, y); break;
  }
}

#define REDUCE(tag, T, U)                                                                                 \
  static void put_reduce_##tag(int64_t count, const int64_t *at, const T *x, T *y, int64_t op) {          \
    for (int64_t j = 0; j < count; j++) {                                                                 \
      T *place = y + at[j], value = x[j];                                                                 \
      if (op == 0) *place = (T)((U)*place * (U)value);                                                    \
      else if (value != value || (op == 1 ? value > *place : value < *place)) *place = value;             \
    }                                                                                                     \
  }
REDUCE(f32, float, float)
REDUCE(f64, double, double)
REDUCE(i64, int64_t, uint64_t)
REDUCE(i32, int32_t, uint32_t)
REDUCE(u8, uint8_t, uint32_t)

/// Multiplies elements into y at places (size 0: 0), or keeps the larger (1) or the smaller (2), NaN where there is one. Operands
/// places, int64; x; y.
MG_KERNEL(put_reduce) {
  switch (call->dtype) {
#define CASE(tag, type) \
  case MG_TAG_##tag: put_reduce_##tag(call->count[0], call->operand[0], call->operand[1], call->operand[2], call->size[0]); break;
    MG_NUMBERS(CASE)
#undef CASE
    default: break;
  }
}
