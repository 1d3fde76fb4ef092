// Where the largest and smallest elements are, and whether any or all elements are nonzero.
#include "rows.h"

enum { TILE = 64, LOOK = 64 };  // columns of one task; elements searched between branches

typedef struct {
  bool least, all;
  mg_dtype dtype;
  int64_t n, inner;
  const void *x;
  void *values;
  int64_t *indices;
  uint8_t *y;
} extremes;

// MARK: largest and smallest

// A row is read twice, for its extreme and for the first place of it: both vectorise, one pass would not.
// (A NaN is the extreme, and differs from itself.)
#define FIND(tag, T)                                                                                  \
  MG_INLINE int64_t find_##tag(int64_t n, const T *x, T value) {                                      \
    int64_t i = 0;                                                                                    \
    for (; i + LOOK <= n; i += LOOK) {                                                                \
      int found = 0;                                                                                  \
      if (value == value) for (int j = 0; j < LOOK; j++) found |= x[i + j] == value;                  \
      else for (int j = 0; j < LOOK; j++) found |= x[i + j] != x[i + j];                              \
      if (found) break;                                                                               \
    }                                                                                                 \
    while (i < n - 1 && !(x[i] == value || (value != value && x[i] != x[i]))) i++;                    \
    return i;                                                                                         \
  }
MG_TYPES(FIND)

#define INTEGER_EXTREME(tag, T)                                                                       \
  MG_INLINE T max_##tag(int64_t n, const T *x) {                                                      \
    T m = x[0];                                                                                       \
    for (int64_t i = 1; i < n; i++) m = x[i] > m ? x[i] : m;                                          \
    return m;                                                                                         \
  }                                                                                                   \
  MG_INLINE T min_##tag(int64_t n, const T *x) {                                                      \
    T m = x[0];                                                                                       \
    for (int64_t i = 1; i < n; i++) m = x[i] < m ? x[i] : m;                                          \
    return m;                                                                                         \
  }
MG_INTEGERS(INTEGER_EXTREME)
INTEGER_EXTREME(b8, uint8_t)
#define max_f32 (float)mg_row_max_f32
#define min_f32 (float)mg_row_min_f32
#define max_f64 mg_row_max_f64
#define min_f64 mg_row_min_f64

#define EXTREMES(tag, T)                                                                              \
  MG_CLONES static void rows_##tag(const extremes *e, int64_t begin, int64_t end) {                   \
    for (int64_t o = begin; o < end; o++) {                                                           \
      const T *x = (const T *)e->x + o * e->n;                                                        \
      T value = e->least ? min_##tag(e->n, x) : max_##tag(e->n, x);                                   \
      if (e->values) ((T *)e->values)[o] = value;                                                     \
      e->indices[o] = find_##tag(e->n, x, value);                                                     \
    }                                                                                                 \
  }                                                                                                   \
  MG_CLONES static void columns_##tag(const extremes *e, int64_t begin, int64_t end) {                \
    int64_t n = e->n, inner = e->inner;                                                               \
    bool least = e->least;                                                                            \
    for (int64_t o = begin; o < end; o++)                                                             \
      for (int64_t first = 0; first < inner; first += TILE) {                                         \
        int64_t width = mg_min64(TILE, inner - first), at[TILE];                                      \
        const T *x = (const T *)e->x + o * n * inner + first;                                         \
        T best[TILE];                                                                                 \
        for (int64_t i = 0; i < width; i++) best[i] = x[i], at[i] = 0;                                \
        for (int64_t j = 1; j < n; j++) {                                                             \
          x += inner;                                                                                 \
          MG_VECTORIZE                                                                                \
          for (int64_t i = 0; i < width; i++) {                                                       \
            bool further = least ? x[i] < best[i] : x[i] > best[i];                                   \
            bool take = (further | (x[i] != x[i])) & (best[i] == best[i]);                            \
            best[i] = take ? x[i] : best[i];                                                          \
            at[i] = take ? j : at[i];                                                                 \
          }                                                                                           \
        }                                                                                             \
        if (e->values) memcpy((T *)e->values + o * inner + first, best, (size_t)width * sizeof(T));   \
        memcpy(e->indices + o * inner + first, at, (size_t)width * sizeof(int64_t));                  \
      }                                                                                               \
  }
MG_TYPES(EXTREMES)

static void extremes_body(void *context, int64_t begin, int64_t end) {
  const extremes *e = context;
  switch (e->dtype) {
#define CASE(tag, T)                                \
  case MG_TAG_##tag:                                \
    if (e->inner == 1) rows_##tag(e, begin, end);   \
    else columns_##tag(e, begin, end);              \
    break;
    MG_TYPES(CASE)
#undef CASE
    default: break;
  }
}

static void run(extremes *e, int64_t outer, void (*body)(void *, int64_t, int64_t)) {
  int64_t slice = mg_max64(e->n * e->inner, 1);
  if (outer * slice < 2 * MG_GRAIN) body(e, 0, outer);
  else mg_share(outer, MG_GRAIN / slice + 1, body, e);
}

void mg_argmax(mg_dtype dtype, int64_t outer, int64_t n, int64_t inner, const void *x, void *values, int64_t *indices) {
  extremes e = {.dtype = dtype, .n = n, .inner = inner, .x = x, .values = values, .indices = indices};
  if (n > 0) run(&e, outer, extremes_body);
}

void mg_argmin(mg_dtype dtype, int64_t outer, int64_t n, int64_t inner, const void *x, void *values, int64_t *indices) {
  extremes e = {.least = true, .dtype = dtype, .n = n, .inner = inner, .x = x, .values = values, .indices = indices};
  if (n > 0) run(&e, outer, extremes_body);
}

// MARK: any and all

// `all` asks whether any element is zero, and answers the opposite. A long row is left at the first hit.
#define ANY(tag, T)                                                                                   \
  MG_CLONES static void any_##tag(const extremes *e, int64_t begin, int64_t end) {                    \
    int64_t n = e->n, inner = e->inner;                                                               \
    uint8_t all = e->all;                                                                             \
    for (int64_t o = begin; o < end; o++) {                                                           \
      const T *x = (const T *)e->x + o * n * inner;                                                   \
      uint8_t *y = e->y + o * inner;                                                                  \
      if (inner == 1) {                                                                               \
        int hit = 0;                                                                                  \
        for (int64_t i = 0; i < n && !hit; i += 1024) {                                               \
          int64_t stop = mg_min64(n, i + 1024);                                                       \
          for (int64_t j = i; j < stop; j++) hit |= (x[j] != 0) != all;                               \
        }                                                                                             \
        y[0] = (uint8_t)(hit ^ all);                                                                  \
        continue;                                                                                     \
      }                                                                                               \
      memset(y, all, (size_t)inner);                                                                  \
      for (int64_t j = 0; j < n; j++, x += inner) {                                                   \
        if (all) {                                                                                    \
          MG_VECTORIZE                                                                                \
          for (int64_t i = 0; i < inner; i++) y[i] &= x[i] != 0;                                      \
        } else {                                                                                      \
          MG_VECTORIZE                                                                                \
          for (int64_t i = 0; i < inner; i++) y[i] |= x[i] != 0;                                      \
        }                                                                                             \
      }                                                                                               \
    }                                                                                                 \
  }
MG_TYPES(ANY)

static void any_body(void *context, int64_t begin, int64_t end) {
  const extremes *e = context;
  switch (e->dtype) {
#define CASE(tag, T) case MG_TAG_##tag: any_##tag(e, begin, end); break;
    MG_TYPES(CASE)
#undef CASE
    default: break;
  }
}

/// One long row, in parts of which each has an answer of its own.
static void any_part(void *context, int64_t begin, int64_t end) {
  const extremes *whole = context;
  extremes e = *whole;
  uint8_t answer;
  e.n = end - begin;
  e.x = (const char *)whole->x + (size_t)begin * mg_size(e.dtype);
  e.y = &answer;
  any_body(&e, 0, 1);
  if (answer != e.all) __atomic_store_n(whole->y, answer, __ATOMIC_RELAXED);
}

static void any_or_all(extremes *e, int64_t outer) {
  if (outer != 1 || e->inner != 1 || e->n < 2 * MG_GRAIN) {
    run(e, outer, any_body);
    return;
  }
  *e->y = e->all;
  mg_share(e->n, MG_GRAIN, any_part, e);
}

void mg_any(mg_dtype dtype, int64_t outer, int64_t n, int64_t inner, const void *x, void *y) {
  extremes e = {.dtype = dtype, .n = n, .inner = inner, .x = x, .y = y};
  any_or_all(&e, outer);
}

void mg_all(mg_dtype dtype, int64_t outer, int64_t n, int64_t inner, const void *x, void *y) {
  extremes e = {.all = true, .dtype = dtype, .n = n, .inner = inner, .x = x, .y = y};
  any_or_all(&e, outer);
}
