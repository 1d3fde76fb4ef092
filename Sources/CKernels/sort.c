// Stable sorting of rows, and the first few or the k-th of what sorting would give.
//
// An element becomes an unsigned key in the wanted order: −0 as +0, every NaN largest, all bits flipped to descend.
// Keys of up to 32 bits are sorted together with the index in one word, which makes all words different and every
// sort stable: by insertion when few, by digits when many. Keys of 64 bits are sorted by the 32 that tell most, and where
// these are equal by the rest.
#include "lanes.h"

enum {
  FEW = 48,      // sorted by insertion
  RUN = 12,      // the runs that merging begins with
  MANY = 64,     // sorted by digits
  LONG = 4000,   // from here on by long digits: fewer passes, but more buckets to clear and to sum up
  DIGIT = 11,    // bits of a long one
  BUCKETS = 1 << DIGIT,
  SAMPLE = 32,   // of a row, which tells where to look for the k-th
  CACHED = 1 << 18,  // elements of such a row at most
};

typedef bool bool_x16 __attribute__((ext_vector_type(16)));

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

// Sorts by the key in the upper half, digit by digit from the lowest; returns the array that holds the result.
#define BY_DIGITS(name, BITS, PASSES)                                                                      \
  static uint64_t *name(int64_t n, uint64_t *a, uint64_t *b) {                                             \
    enum { MASK = (1 << BITS) - 1 };                                                                       \
    uint32_t count[PASSES][MASK + 1];                                                                      \
    memset(count, 0, sizeof count);                                                                        \
    MG_IN_PIECES(i, n)                                                                                     \
      for (int p = 0; p < PASSES; p++) count[p][a[i] >> (32 + p * BITS) & MASK]++;                         \
    for (int p = 0; p < PASSES && !mg_was_left(n); p++) {                                                  \
      uint32_t *c = count[p], sum = 0;                                                                     \
      int shift = 32 + p * BITS;                                                                           \
      if (c[a[0] >> shift & MASK] == n) continue; /* the same digit everywhere */                          \
      for (int k = 0; k <= MASK; k++) {                                                                    \
        uint32_t here = c[k];                                                                              \
        c[k] = sum;                                                                                        \
        sum += here;                                                                                       \
      }                                                                                                    \
      MG_IN_PIECES(i, n) b[c[a[i] >> shift & MASK]++] = a[i];                                              \
      uint64_t *t = a;                                                                                     \
      a = b;                                                                                               \
      b = t;                                                                                               \
    }                                                                                                      \
    return a;                                                                                              \
  }
BY_DIGITS(sort_by_digits, 8, 4)
BY_DIGITS(sort_by_long_digits, DIGIT, 3)

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
  if (n >= LONG) return sort_by_long_digits(n, a, b);
  if (n >= MANY) return sort_by_digits(n, a, b);
  for (int64_t i = 0; i < n; i += RUN) insert_words(mg_min64(RUN, n - i), a + i);
  return merge_words(n, RUN, a, b);
}

// MARK: rows

// Words in the order that is wanted; the scratch is 2n.
#define ORDER(tag, T)                                                                                      \
  static const uint64_t *order_##tag(int64_t n, bool descending, const T *x, uint64_t *a) {                \
    uint32_t flip = descending ? UINT32_MAX : 0;                                                           \
    MG_IN_PIECES(i, n) a[i] = (uint64_t)(key_##tag(x[i]) ^ flip) << 32 | (uint64_t)i;                      \
    return sort_words(n, a, a + n);                                                                        \
  }
ORDER(f32, float)
ORDER(i32, int32_t)
ORDER(u8, uint8_t)
ORDER(b8, uint8_t)

// Wide keys less the least of them: `rest` is how many of their bits do not fit into a word.
#define WIDE(tag, T)                                                                                       \
  MG_CLONES static int fit_##tag(int64_t n, uint64_t flip, const T *x, uint64_t *least) {                  \
    uint64_t low = UINT64_MAX, high = 0;                                                                   \
    MG_IN_PIECES(i, n) {                                                                                   \
      uint64_t k = key_##tag(x[i]) ^ flip;                                                                 \
      low = k < low ? k : low;                                                                             \
      high = k > high ? k : high;                                                                          \
    }                                                                                                      \
    *least = low;                                                                                          \
    return high - low > UINT32_MAX ? 32 - __builtin_clzll(high - low) : 0;                                 \
  }                                                                                                        \
  MG_INLINE uint64_t upper_##tag(T x, uint64_t flip, uint64_t least, int rest, int64_t i) {                \
    return ((key_##tag(x) ^ flip) - least) >> rest << 32 | (uint64_t)i;                                    \
  }                                                                                                        \
  MG_INLINE uint64_t lower_##tag(T x, uint64_t flip, uint64_t least, int rest, int64_t i) {                \
    return (((key_##tag(x) ^ flip) - least) & UINT64_MAX >> (64 - rest)) << 32 | (uint64_t)i;              \
  }                                                                                                        \
  static const uint64_t *order_##tag(int64_t n, bool descending, const T *x, uint64_t *a) {                \
    uint64_t flip = descending ? UINT64_MAX : 0, least, *b = a + n;                                        \
    int rest = fit_##tag(n, flip, x, &least);                                                              \
    MG_IN_PIECES(i, n) a[i] = upper_##tag(x[i], flip, least, rest, i);                                     \
    uint64_t *sorted = sort_words(n, a, b);                                                                \
    b = sorted == a ? b : a;                                                                               \
    a = sorted;                                                                                            \
    int64_t done = 0;                                                                                      \
    if (mg_was_left(n)) return a;                                                                          \
    for (int64_t i = 0, end; rest > 0 && i < n && !mg_is_over(&done, 1); i = end) {                  \
      for (end = i + 1; end < n && a[end] >> 32 == a[i] >> 32; end++) {}                                   \
      if (end == i + 1) continue;                                                                          \
      for (int64_t j = i; j < end; j++) a[j] = lower_##tag(x[(uint32_t)a[j]], flip, least, rest, (uint32_t)a[j]); \
      sorted = sort_words(end - i, a + i, b + i);                                                          \
      if (sorted != a + i) memcpy(a + i, sorted, (size_t)(end - i) * sizeof *a);                           \
    }                                                                                                      \
    return a;                                                                                              \
  }
WIDE(f64, double)
WIDE(i64, int64_t)

/// Rows by lanes, each of which has scratch of its own.
typedef struct row_work row_work;
struct row_work {
  void (*row)(const row_work *w, const void *x, void *values, int64_t *indices, uint64_t *scratch);
  mg_dtype dtype;
  int64_t rows, n, k, count, lanes;  // count: what a row gives
  bool descending, nan;
  const char *x;
  char *values;
  int64_t *indices;
  uint64_t *scratch;
};

static void run_lanes(void *context, int64_t begin, int64_t end) {
  const row_work *w = context;
  int64_t size = (int64_t)mg_size(w->dtype);
  for (int64_t lane = begin; lane < end; lane++)
    for (int64_t r = w->rows * lane / w->lanes; r < w->rows * (lane + 1) / w->lanes; r++)
      w->row(w, w->x + r * w->n * size, w->values ? w->values + r * w->count * size : NULL,
             w->indices ? w->indices + r * w->count : NULL, w->scratch + lane * 2 * w->n);
}

static void run_rows(row_work *w) {
  if (w->n <= 0 || w->rows <= 0) return;
  w->lanes = mg_min64(w->lanes, w->rows);
  mg_parallel(w->lanes, 1, run_lanes, w);
}

#define GIVE(tag, T)                                                                                       \
  static void give_##tag(int64_t n, int64_t count, const uint64_t *a, const T *x, T *values, int64_t *indices) { \
    if (mg_was_left(n)) return;                                                                            \
    if (values) MG_IN_PIECES(i, count) values[i] = x[(uint32_t)a[i]];                                      \
    if (indices) MG_IN_PIECES(i, count) indices[i] = (uint32_t)a[i];                                       \
  }                                                                                                        \
  static void sort_##tag(const row_work *w, const void *x, void *values, int64_t *indices, uint64_t *scratch) { \
    give_##tag(w->n, w->count, order_##tag(w->n, w->descending, x, scratch), x, values, indices);                \
  }
MG_TYPES(GIVE)

void mg_sort(mg_dtype dtype, int64_t rows, int64_t n, bool descending, const void *x, void *values, int64_t *indices,
             int64_t *scratch, int64_t lanes) {
  row_work w = {.dtype = dtype, .rows = rows, .n = n, .count = n, .lanes = lanes, .descending = descending, .x = x,
                .values = values, .indices = indices, .scratch = (uint64_t *)scratch};
  switch (dtype) {
#define CASE(tag, T) case MG_TAG_##tag: w.row = sort_##tag; break;
    MG_TYPES(CASE)
#undef CASE
    default: return;
  }
  run_rows(&w);
}

// MARK: selecting

/// The words before the k-th: `low` at `lower`, in no order, and those from `from` to `kth`, which is the k-th.
typedef struct {
  uint64_t *from, *kth, *lower;
  int64_t low;
} selected;

/// Word k (from 0) among n at `a` that are in the order of their indices: digit by digit from the highest one, the words that
/// have the digit of word k are kept, and those before it put to the `low` that are at `lower` already, where
/// it is not NULL.
static selected select_words(int64_t n, int64_t k, uint64_t *a, uint64_t *lower, int64_t low) {
  static const int shifts[] = {53, 42, 32};
  for (int level = 0; level < 3 && n > FEW; level++) {
    int shift = shifts[level];
    uint32_t count[BUCKETS] = {0};
    uint64_t mask = level < 2 ? BUCKETS - 1 : BUCKETS / 2 - 1, digit = 0;
    MG_IN_PIECES(i, n) count[a[i] >> shift & mask]++;
    if (mg_was_left(n)) return (selected){a, a, lower, 0};
    for (; k >= count[digit]; digit++) k -= count[digit];
    if (count[digit] == n) continue;
    int64_t kept = 0;
    MG_IN_PIECES(i, n) {
      uint64_t word = a[i], here = word >> shift & mask;
      a[kept] = word;
      kept += here == digit;
      if (!lower) continue;
      lower[low] = word;
      low += here < digit;
    }
    if (mg_was_left(n)) return (selected){a, a, lower, 0};
    n = kept;
  }
  if (n <= FEW) insert_words(n, a);  // else all keys are equal
  return (selected){a, a + k, lower, low};
}

// A row that stays in the cache: a sample of it, in order, tells between which two of its keys the k-th is, once it is counted how many
// of the row are less than some of them, in vectors. What lies between is few, whatever the values are.

/// The keys of a sample, in order: each goes to where so many are less, or equal and before it.
MG_CLONES static void take_sample(int64_t n, const uint32_t *keys, uint32_t *sorted) {
  uint32_t sample[SAMPLE], place[SAMPLE];
  for (int i = 0; i < SAMPLE; i++) sample[i] = keys[i * n / SAMPLE];
  for (uint32_t i = 0; i < SAMPLE; i++) {
    uint32_t before = 0;
    for (uint32_t j = 0; j < SAMPLE; j++) before += sample[j] < sample[i] || (sample[j] == sample[i] && j < i);
    place[i] = before;
  }
  for (int i = 0; i < SAMPLE; i++) sorted[place[i]] = sample[i];
}

MG_CLONES static int64_t count_less(int64_t n, const uint32_t *keys, uint32_t limit) {
  uint32_t count = 0;
  for (int64_t i = 0; i < n; i++) count += keys[i] < limit;
  return count;
}

/// The words of the keys from `low` to `high`; returns how many.
MG_CLONES static int64_t keep_between(int64_t n, const uint32_t *keys, uint32_t low, uint32_t high, uint64_t *a) {
  int64_t kept = 0, i = 0;
  for (; i + 16 <= n; i += 16) {
    bool_x16 inside = __builtin_convertvector(MG_LOAD(mg_u32x16, keys + i) - low <= high - low, bool_x16);
    uint16_t bits;
    memcpy(&bits, &inside, sizeof bits);
    for (; bits; bits &= bits - 1) {
      int64_t at = i + __builtin_ctz(bits);
      a[kept++] = (uint64_t)keys[at] << 32 | (uint64_t)at;
    }
  }
  for (; i < n; i++) {
    a[kept] = (uint64_t)keys[i] << 32 | (uint64_t)i;
    kept += keys[i] - low <= high - low;
  }
  return kept;
}

static int64_t kth_of_keys(int64_t n, int64_t k, const uint32_t *keys, uint64_t *a) {
  uint32_t sample[SAMPLE];
  take_sample(n, keys, sample);
  int below = -1, above = SAMPLE;  // no more than k are less than the one, more than k less than the other
  int64_t less = 0;
  while (above - below > 1) {
    int middle = (below + above) / 2;
    int64_t count = count_less(n, keys, sample[middle]);
    if (count > k) {
      above = middle;
    } else {
      below = middle;
      less = count;
    }
  }
  uint32_t low = below < 0 ? 0 : sample[below], high = above == SAMPLE ? UINT32_MAX : sample[above] - 1;
  k -= less;
  int64_t kept = keep_between(n, keys, low, high, a);
  if (kept > FEW && below >= 0) {  // most of them may be equal to the key from the sample
    int64_t equal = low == UINT32_MAX ? kept : count_less(n, keys, low + 1) - less;
    if (k < equal) {
      keep_between(n, keys, low, low, a);
      return (uint32_t)a[k];
    }
  }
  return (uint32_t)*select_words(kept, k, a, NULL, 0).kth;
}

// The first digit is taken from keys without indices, which are made in vectors, so that most elements never become words.
// They lie in the last quarter of the scratch; of the words before the k-th, where these are wanted, there are at most n / 4.
#define SELECT(tag, T)                                                                                     \
  MG_CLONES static void keys_##tag(int64_t n, uint32_t flip, const T *x, uint32_t *keys) {                 \
    MG_IN_PIECES(i, n) keys[i] = key_##tag(x[i]) ^ flip;                                                   \
  }                                                                                                        \
  static selected select_##tag(int64_t n, int64_t k, bool descending, bool all, const T *x, uint64_t *a) { \
    uint32_t count[BUCKETS] = {0}, digit = 0, *keys = (uint32_t *)(a + n) + n;                             \
    uint64_t *lower = a + n;                                                                               \
    int64_t kept = 0, low = 0;                                                                             \
    keys_##tag(n, descending ? UINT32_MAX : 0, x, keys);                                                   \
    MG_IN_PIECES(i, n) count[keys[i] >> (32 - DIGIT)]++;                                                   \
    if (mg_was_left(n)) return (selected){a, a, lower, 0};                                                 \
    for (; k >= count[digit]; digit++) k -= count[digit];                                                  \
    MG_IN_PIECES(i, n) {                                                                                   \
      a[kept] = (uint64_t)keys[i] << 32 | (uint64_t)i;                                                     \
      kept += keys[i] >> (32 - DIGIT) == digit;                                                            \
    }                                                                                                      \
    if (all) MG_IN_PIECES(i, n) {                                                                          \
      lower[low] = (uint64_t)keys[i] << 32 | (uint64_t)i;                                                  \
      low += keys[i] >> (32 - DIGIT) < digit;                                                              \
    }                                                                                                      \
    if (mg_was_left(n)) return (selected){a, a, lower, 0};                                                 \
    return select_words(kept, k, a, all ? lower : NULL, low);                                              \
  }                                                                                                        \
  static int64_t kth_##tag(int64_t n, int64_t k, const T *x, uint64_t *a) {                                \
    if (n > CACHED) {                                                                                      \
      selected s = select_##tag(n, k, false, false, x, a);                                                 \
      return mg_was_left(n) ? 0 : (uint32_t)*s.kth;                                                        \
    }                                                                                                      \
    if (n <= RUN) return (uint32_t)order_##tag(n, false, x, a)[k];                                         \
    uint32_t *keys = (uint32_t *)(a + n) + n;                                                              \
    keys_##tag(n, 0, x, keys);                                                                             \
    return kth_of_keys(n, k, keys, a);                                                                     \
  }                                                                                                        \
  static const uint64_t *first_##tag(int64_t n, int64_t k, bool descending, const T *x, uint64_t *a) {     \
    if (n < MANY || k > n / 4) return order_##tag(n, descending, x, a);                                    \
    selected s = select_##tag(n, k - 1, descending, true, x, a);                                                 \
    if (mg_was_left(n)) return a;                                                                          \
    for (uint64_t *p = s.from; p <= s.kth; p++) s.lower[s.low++] = *p;                                     \
    return sort_words(k, s.lower, a);                                                                      \
  }
SELECT(f32, float)
SELECT(i32, int32_t)
SELECT(u8, uint8_t)
SELECT(b8, uint8_t)

#define SELECT_WIDE(tag, T)                                                                                \
  static int64_t kth_##tag(int64_t n, int64_t k, const T *x, uint64_t *a) {                                \
    uint64_t least;                                                                                        \
    int rest = fit_##tag(n, 0, x, &least);                                                                 \
    MG_IN_PIECES(i, n) a[i] = upper_##tag(x[i], 0, least, rest, i);                                        \
    if (mg_was_left(n)) return 0;                                                                          \
    uint64_t kth = *select_words(n, k, a, NULL, 0).kth, upper = kth >> 32;                                \
    if (rest == 0) return (uint32_t)kth;                                                                   \
    int64_t equal = 0;                                                                                     \
    if (mg_was_left(n)) return 0;                                                                          \
    for (int64_t i = 0; i < n; i++) {                                                                      \
      uint64_t here = upper_##tag(x[i], 0, least, rest, i) >> 32;                                          \
      a[equal] = lower_##tag(x[i], 0, least, rest, i);                                                     \
      equal += here == upper;                                                                              \
      k -= here < upper;                                                                                   \
    }                                                                                                      \
    kth = *select_words(equal, k, a, NULL, 0).kth;                                                         \
    return mg_was_left(n) ? 0 : (uint32_t)kth;                                                             \
  }                                                                                                        \
  static const uint64_t *first_##tag(int64_t n, int64_t k, bool descending, const T *x, uint64_t *a) {     \
    (void)k;                                                                                               \
    return order_##tag(n, descending, x, a);                                                               \
  }
SELECT_WIDE(f64, double)
SELECT_WIDE(i64, int64_t)

enum {
  BEST = 64,   // as many as are kept in order while a row streams by
  STRIP = 32,  // elements that are passed over together where none is among the best so far
};

// The first k of a row whose elements mostly are not among them: these cost a comparison each, in vectors. Gives up where too
// many are (a row that is nearly in the opposite order), for which the other ways are faster.
#define STREAM(tag, T, K)                                                                                  \
  MG_CLONES static bool stream_##tag(int64_t n, int64_t k, bool descending, const T *x, T *values, int64_t *indices) { \
    K best[BEST], flip = descending ? (K)-1 : 0;                                                           \
    int64_t at[BEST], found = 0, budget = n / 8 + 8 * k;                                                   \
    for (int64_t strip = 0; strip < n; strip += STRIP) {                                                   \
      int64_t end = mg_min64(n, strip + STRIP);                                                            \
      if (found == k && end - strip == STRIP) {                                                            \
        K limit = best[k - 1], any = 0;                                                                    \
        for (int i = 0; i < STRIP; i++) any |= (K)((K)(key_##tag(x[strip + i]) ^ flip) < limit);           \
        if (!any) continue;                                                                                \
      }                                                                                                    \
      for (int64_t i = strip; i < end; i++) {                                                              \
        K key = key_##tag(x[i]) ^ flip;                                                                    \
        if (found == k && key >= best[k - 1]) continue;                                                    \
        if (--budget < 0) return false;                                                                    \
        int64_t j = found < k ? found++ : k - 1;                                                           \
        for (; j > 0 && best[j - 1] > key; j--) {                                                          \
          best[j] = best[j - 1];                                                                           \
          at[j] = at[j - 1];                                                                               \
        }                                                                                                  \
        best[j] = key;                                                                                     \
        at[j] = i;                                                                                         \
      }                                                                                                    \
    }                                                                                                      \
    for (int64_t i = 0; i < k; i++) {                                                                      \
      values[i] = x[at[i]];                                                                                \
      indices[i] = at[i];                                                                                  \
    }                                                                                                      \
    return true;                                                                                           \
  }
STREAM(f32, float, uint32_t)
STREAM(f64, double, uint64_t)
STREAM(i64, int64_t, uint64_t)
STREAM(i32, int32_t, uint32_t)
STREAM(u8, uint8_t, uint32_t)
STREAM(b8, uint8_t, uint32_t)

#define SELECTING(tag, T)                                                                                  \
  static void topk_##tag(const row_work *w, const void *x, void *values, int64_t *indices, uint64_t *scratch) { \
    int64_t n = w->n, k = w->count;                                                                        \
    if (k <= BEST && k <= n / 4 && stream_##tag(n, k, w->descending, x, values, indices)) return;          \
    give_##tag(n, k, first_##tag(n, k, w->descending, x, scratch), x, values, indices);                       \
  }                                                                                                        \
  MG_CLONES static bool has_nan_##tag(int64_t n, const T *x) {                                             \
    int any = 0;                                                                                           \
    for (int64_t i = 0; i < n; i++) any |= x[i] != x[i];                                                   \
    return any;                                                                                            \
  }                                                                                                        \
  static void pick_##tag(const row_work *w, const void *row, void *values, int64_t *indices, uint64_t *scratch) { \
    const T *x = row;                                                                                      \
    if (w->nan && has_nan_##tag(w->n, x)) {                                                                \
      for (*indices = 0; x[*indices] == x[*indices]; ++*indices) {}                                        \
    } else {                                                                                               \
      *indices = kth_##tag(w->n, w->k, x, scratch);                                                        \
    }                                                                                                      \
    *(T *)values = x[*indices];                                                                            \
  }
MG_TYPES(SELECTING)

/// The first k of each row in the order of mg_sort: x [rows, n] (operand 0), values and indices [rows, k] (1 and 2), scratch of
/// 2 · n · lanes int64 (3). Sizes: n, k, lanes, whether it is the order from the largest.
MG_KERNEL(topk) {
  int64_t n = call->size[0], k = call->size[1];
  if (n <= 0 || k <= 0) return;
  row_work w = {.dtype = call->dtype, .rows = call->count[0] / n, .n = n, .count = k, .lanes = call->size[2],
                .descending = call->size[3], .x = call->operand[0], .values = call->operand[1], .indices = call->operand[2],
                .scratch = call->operand[3]};
  switch (call->dtype) {
#define CASE(tag, T) case MG_TAG_##tag: w.row = topk_##tag; break;
    MG_TYPES(CASE)
#undef CASE
    default: return;
  }
  run_rows(&w);
}

/// Element k (from 0) of each row in the order of mg_sort, with operands as for topk, but one value and index for each row.
/// Sizes: n, k, lanes, whether a row with NaN gives its first NaN instead.
MG_KERNEL(kth) {
  int64_t n = call->size[0];
  if (n <= 0) return;
  row_work w = {.dtype = call->dtype, .rows = call->count[0] / n, .n = n, .count = 1, .k = call->size[1],
                .lanes = call->size[2], .nan = call->size[3], .x = call->operand[0], .values = call->operand[1],
                .indices = call->operand[2], .scratch = call->operand[3]};
  switch (call->dtype) {
#define CASE(tag, T) case MG_TAG_##tag: w.row = pick_##tag; break;
    MG_TYPES(CASE)
#undef CASE
    default: return;
  }
  run_rows(&w);
}
