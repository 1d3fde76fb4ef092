// Running sums and products along the middle of [outer, n, inner]. Floats accumulate in float64.
#include "lanes.h"

MG_NO_CONTRACTION

enum { TILE = 64 };  // columns of one task

typedef struct {
  bool product, reverse;
  mg_dtype dtype;
  int64_t n, inner, tiles;
  const void *x;
  void *y;
} scan;

// A row, 8 elements at a time: the chain of dependent steps is one step for 8 elements, and what comes before them is applied to all
// at once. `turned` is the row from its end; `neutral`, 0 or 1, is not a constant, since compilers shift zeros in by an instruction that
// takes three times as long. The order of operations is the same on every CPU, as in lanes.h.
#define ROW(name, T, V, STEP)                                                                         \
  MG_CLONES static void name(bool turned, double neutral, int64_t n, const T *x, T *y) {              \
    const mg_f64x8 before = (mg_f64x8)(neutral);                                                      \
    double total = neutral;                                                                           \
    int64_t whole = n / 8, done = 0;                                                                  \
    for (int64_t block = 0; block < whole && !mg_is_over(&done, 8); block++) {                        \
      int64_t at = turned ? n - 8 * (block + 1) : 8 * block;                                          \
      mg_f64x8 v = __builtin_convertvector(MG_LOAD(V, x + at), mg_f64x8);                             \
      if (turned) v = v.s76543210;                                                                    \
      v = STEP(v, __builtin_shufflevector(v, before, 8, 0, 1, 2, 3, 4, 5, 6));                        \
      v = STEP(v, __builtin_shufflevector(v, before, 8, 9, 0, 1, 2, 3, 4, 5));                        \
      v = STEP(v, __builtin_shufflevector(v, before, 8, 9, 10, 11, 0, 1, 2, 3));                      \
      mg_f64x8 sums = STEP(v, (mg_f64x8)(total));                                                     \
      total = STEP(total, v.s7);                                                                      \
      if (turned) sums = sums.s76543210;                                                              \
      MG_STORE(V, __builtin_convertvector(sums, V), y + at);                                          \
    }                                                                                                 \
    for (int64_t k = 8 * whole; k < n; k++) {                                                         \
      int64_t at = turned ? n - 1 - k : k;                                                            \
      total = STEP(total, (double)x[at]);                                                             \
      y[at] = (T)total;                                                                               \
    }                                                                                                 \
  }
ROW(sums_f32, float, mg_f32x8, MG_STEP_SUM)
ROW(sums_f64, double, mg_f64x8, MG_STEP_SUM)
ROW(products_f32, float, mg_f32x8, MG_STEP_PROD)
ROW(products_f64, double, mg_f64x8, MG_STEP_PROD)

// A tile of `width` columns, from the first row to the last or back. A single column is a
// chain of dependent steps.
#define SCAN(tag, T, A, ROWS)                                                                         \
  MG_CLONES static void tile_##tag(const scan *s, int64_t width, const T *x, T *y) {                  \
    if (s->inner == 1 && ROWS(tag)) return;                                                           \
    A total[TILE];                                                                                    \
    for (int i = 0; i < TILE; i++) total[i] = s->product;                                             \
    int64_t step = s->reverse ? -s->inner : s->inner;                                                 \
    if (s->reverse && s->n) x += (s->n - 1) * s->inner, y += (s->n - 1) * s->inner;                   \
    if (width == 1) {                                                                                 \
      A t = s->product;                                                                               \
      if (s->product) MG_IN_PIECES(j, s->n) y[j * step] = (T)(t *= (A)x[j * step]);                   \
      else MG_IN_PIECES(j, s->n) y[j * step] = (T)(t += (A)x[j * step]);                              \
      return;                                                                                         \
    }                                                                                                 \
    int64_t done = 0;                                                                                 \
    for (int64_t j = 0; j < s->n && !mg_is_over(&done, width); j++, x += step, y += step) {           \
      if (s->product) {                                                                               \
        MG_VECTORIZE                                                                                  \
        for (int64_t i = 0; i < width; i++) y[i] = (T)(total[i] *= (A)x[i]);                          \
      } else {                                                                                        \
        MG_VECTORIZE                                                                                  \
        for (int64_t i = 0; i < width; i++) y[i] = (T)(total[i] += (A)x[i]);                          \
      }                                                                                               \
    }                                                                                                 \
  }
#define IN_ROWS(tag) ((s->product ? products_##tag : sums_##tag)(s->reverse, s->product, s->n, x, y), true)
#define NOT_IN_ROWS(tag) false
SCAN(f32, float, double, IN_ROWS)
SCAN(f64, double, double, IN_ROWS)
SCAN(i64, int64_t, uint64_t, NOT_IN_ROWS)
SCAN(i32, int32_t, uint32_t, NOT_IN_ROWS)
SCAN(u8, uint8_t, uint32_t, NOT_IN_ROWS)

static void body(void *context, int64_t begin, int64_t end) {
  const scan *s = context;
  for (int64_t task = begin; task < end; task++) {
    int64_t o = task / s->tiles, i = task % s->tiles * TILE, width = mg_min64(TILE, s->inner - i);
    int64_t at = o * s->n * s->inner + i;
    switch (s->dtype) {
#define CASE(tag, T) case MG_TAG_##tag: tile_##tag(s, width, (const T *)s->x + at, (T *)s->y + at); break;
      MG_NUMBERS(CASE)
#undef CASE
      default: break;
    }
  }
}

static void run(scan *s, int64_t outer) {
  if (outer <= 0 || s->n <= 0 || s->inner <= 0) return;
  s->tiles = (s->inner + TILE - 1) / TILE;
  int64_t tasks = outer * s->tiles, work = s->n * mg_min64(s->inner, TILE);
  if (outer * s->n * s->inner < 2 * MG_GRAIN_MATH) body(s, 0, tasks);
  else mg_share(tasks, MG_GRAIN_MATH / work + 1, body, s);
}

void mg_cumsum(mg_dtype dtype, int64_t outer, int64_t n, int64_t inner, bool reverse, const void *x, void *y) {
  scan s = {.reverse = reverse, .dtype = dtype, .n = n, .inner = inner, .x = x, .y = y};
  run(&s, outer);
}

void mg_cumprod(mg_dtype dtype, int64_t outer, int64_t n, int64_t inner, const void *x, void *y) {
  scan s = {.product = true, .dtype = dtype, .n = n, .inner = inner, .x = x, .y = y};
  run(&s, outer);
}
