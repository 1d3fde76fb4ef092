// Stable sorting of rows.
//
// An element becomes an unsigned key in the wanted order: −0 as +0, every NaN largest, all bits flipped to descend.
// Keys of up to 32 bits are sorted together with the index in one word, which makes all words different and every
// sort stable: by insertion when few, by digits when many. 64-bit elements leave no room; there indices are merged.
#include "internal.h"

enum {
  FEW = 48,   // sorted by insertion
  RUN = 12,   // the runs that merging begins with
  MANY = 250,  // sorted by digits
  DIGIT = 11,  // bits
  BUCKETS = 1 << DIGIT,
};

// MARK: keys

MG_INLINE uint32_t key_f32(float x) {
  uint32_t u;
  x = x == 0 ? 0 : x;
  memcpy(&u, &x, sizeof u);
  return x != x ? UINT32_MAX : u ^ (u >> 31 ? UINT32_MAX : 0x80000000u);
}
MG_INLINE uint64_t key_f64(double x) {
  uint64_t u;
  x = x == 0 ? 0 : x;
  memcpy(&u, &x, sizeof u);
  return x != x ? UINT64_MAX : u ^ (u >> 63 ? UINT64_MAX : 0x8000000000000000u);
}
MG_INLINE uint32_t key_i32(int32_t x) { return (uint32_t)x ^ 0x80000000u; }
MG_INLINE uint64_t key_i64(int64_t x) { return (uint64_t)x ^ 0x8000000000000000u; }
MG_INLINE uint32_t key_u8(uint8_t x) { return x; }
MG_INLINE uint32_t key_b8(uint8_t x) { return x; }

// MARK: words of key and index

static void insert_words(int64_t n, uint64_t *a) {
  for (int64_t i = 1; i < n; i++) {
    uint64_t word = a[i];
    int64_t j = i;
    for (; j > 0 && a[j - 1] > word; j--) a[j] = a[j - 1];
    a[j] = word;
  }
}

/// Sorts by the key in the upper half, digit by digit from the lowest; returns the array that holds the result.
static uint64_t *sort_by_digits(int64_t n, uint64_t *a, uint64_t *b) {
  enum { PASSES = 3 };
  static const int shift[PASSES] = {32, 32 + DIGIT, 32 + 2 * DIGIT};
  uint32_t count[PASSES][BUCKETS];
  memset(count, 0, sizeof count);
  for (int64_t i = 0; i < n; i++)
    for (int p = 0; p < PASSES; p++) count[p][a[i] >> shift[p] & (BUCKETS - 1)]++;
  for (int p = 0; p < PASSES; p++) {
    uint32_t *c = count[p];
    if (c[a[0] >> shift[p] & (BUCKETS - 1)] == n) continue;  // the same digit everywhere
    uint32_t sum = 0;
    for (int k = 0; k < BUCKETS; k++) {
      uint32_t here = c[k];
      c[k] = sum;
      sum += here;
    }
    for (int64_t i = 0; i < n; i++) b[c[a[i] >> shift[p] & (BUCKETS - 1)]++] = a[i];
    uint64_t *t = a;
    a = b;
    b = t;
  }
  return a;
}

/// Merges neighbouring runs until there is one; `run` is what they begin with.
static uint64_t *merge_words(int64_t n, int64_t run, uint64_t *a, uint64_t *b) {
  for (; run < n; run *= 2) {
    for (int64_t low = 0; low < n; low += 2 * run) {
      int64_t middle = mg_min64(low + run, n), high = mg_min64(middle + run, n), i = low, j = middle, k = low;
      while (i < middle && j < high) {
        bool left = a[i] < a[j];
        b[k++] = left ? a[i] : a[j];
        i += left;
        j += !left;
      }
      memcpy(b + k, a + i, (size_t)(middle - i) * sizeof *a);
      memcpy(b + k + (middle - i), a + j, (size_t)(high - j) * sizeof *a);
    }
    uint64_t *t = a;
    a = b;
    b = t;
  }
  return a;
}

static uint64_t *sort_words(int64_t n, uint64_t *a, uint64_t *b) {
  if (n <= FEW) {
    insert_words(n, a);
    return a;
  }
  if (n >= MANY) return sort_by_digits(n, a, b);
  for (int64_t i = 0; i < n; i += RUN) insert_words(mg_min64(RUN, n - i), a + i);
  return merge_words(n, RUN, a, b);
}

// MARK: rows

#define SORT_IN_WORDS(tag, T)                                                                              \
  static void sort_##tag(int64_t n, bool descending, const T *x, T *values, int64_t *indices, int64_t *scratch) { \
    uint64_t *a = (uint64_t *)scratch;                                                                     \
    uint32_t flip = descending ? UINT32_MAX : 0;                                                           \
    for (int64_t i = 0; i < n; i++) a[i] = (uint64_t)(key_##tag(x[i]) ^ flip) << 32 | (uint64_t)i;         \
    a = sort_words(n, a, a + n);                                                                           \
    if (values) for (int64_t i = 0; i < n; i++) values[i] = x[(uint32_t)a[i]];                             \
    if (indices) for (int64_t i = 0; i < n; i++) indices[i] = (uint32_t)a[i];                              \
  }
SORT_IN_WORDS(f32, float)
SORT_IN_WORDS(i32, int32_t)
SORT_IN_WORDS(u8, uint8_t)
SORT_IN_WORDS(b8, uint8_t)

#define SORT_INDICES(name, T, key)                                                                         \
  static void name(int64_t n, bool descending, const T *x, T *values, int64_t *indices, int64_t *scratch) { \
    int64_t *a = scratch, *b = scratch + n;                                                                \
    uint64_t flip = descending ? UINT64_MAX : 0;                                                           \
    for (int64_t first = 0; first < n; first += RUN) {                                                     \
      int64_t end = mg_min64(first + RUN, n);                                                              \
      for (int64_t i = first; i < end; i++) {                                                              \
        uint64_t k = key(x[i]) ^ flip;                                                                     \
        int64_t j = i;                                                                                     \
        for (; j > first && ((uint64_t)key(x[a[j - 1]]) ^ flip) > k; j--) a[j] = a[j - 1];                 \
        a[j] = i;                                                                                          \
      }                                                                                                    \
    }                                                                                                      \
    for (int64_t run = RUN; run < n; run *= 2) {                                                           \
      for (int64_t low = 0; low < n; low += 2 * run) {                                                     \
        int64_t middle = mg_min64(low + run, n), high = mg_min64(middle + run, n), i = low, j = middle;    \
        for (int64_t k = low; k < high; k++) {                                                             \
          bool left = j == high || (i < middle && (key(x[a[i]]) ^ flip) <= (key(x[a[j]]) ^ flip));         \
          b[k] = left ? a[i++] : a[j++];                                                                   \
        }                                                                                                  \
      }                                                                                                    \
      int64_t *t = a;                                                                                      \
      a = b;                                                                                               \
      b = t;                                                                                               \
    }                                                                                                      \
    if (values) for (int64_t i = 0; i < n; i++) values[i] = x[a[i]];                                       \
    if (indices) memcpy(indices, a, (size_t)n * sizeof(int64_t));                                          \
  }
SORT_INDICES(sort_f64, double, key_f64)
SORT_INDICES(sort_i64, int64_t, key_i64)

void mg_sort(mg_dtype dtype, int64_t rows, int64_t n, bool descending, const void *x, void *values, int64_t *indices,
             int64_t *scratch) {
  if (n <= 0) return;
  for (int64_t r = 0; r < rows; r++) {
    int64_t *places = indices ? indices + r * n : NULL;
    switch (dtype) {
#define CASE(tag, T) \
  case MG_TAG_##tag: \
    sort_##tag(n, descending, (const T *)x + r * n, values ? (T *)values + r * n : NULL, places, scratch); break;
      MG_TYPES(CASE)
#undef CASE
      default: break;
    }
  }
}
