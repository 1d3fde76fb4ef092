// Searches in sorted rows.
//
// Many values in one row are found by counting: of every 256th element of the row, then of every 16th among 16 of those, then among 16
// of the row itself, how many stand before the value; each count is one comparison of vectors. A thousand are found among a thousand
// in 2.9 µs, and by halving in 3.9 (float32, one thread). The row must be in order and without NaN for that, which is looked at first.
//
// In other rows, and where values are few, a search halves the row. Its steps wait for each other's loads and comparisons, so a group
// of values goes down together, step by step: ten times faster than one after another.
#include "lanes.h"

enum {
  GROUP = 32,
  FEW = 6,      // values that are found sooner one by one
  FAN = 16,     // elements that are counted together
  LONG = 8192,  // the longest row that is counted in
};

typedef int64_t whole16 __attribute__((ext_vector_type(FAN)));
typedef bool mask16 __attribute__((ext_vector_type(FAN)));

// Counting.
#define COUNT(tag, T, V, LARGEST)                                                                         \
  MG_CLONES static bool is_sorted_##tag(int64_t n, const T *row) {                                        \
    int wrong = n > 0 && row[0] != row[0];                                                                \
    for (int64_t i = 1; i < n; i++) wrong |= !(row[i - 1] <= row[i]);                                     \
    return !wrong;                                                                                        \
  }                                                                                                       \
  MG_INLINE void counted_##tag(int64_t n, const T *row, int64_t count, const T *x, bool right, int64_t *y) { \
    /* Every 16th element, every 256th, …, the highest level in one block; what a block lacks are the largest values. */ \
    _Alignas(64) T above[LONG / FAN + LONG / FAN / FAN + 3 * FAN], last[FAN], *end = above;               \
    const T *level[4] = {row};                                                                            \
    int64_t size[4] = {n};                                                                                \
    int levels = 1;                                                                                       \
    for (; size[levels - 1] > FAN; levels++) {                                                            \
      const T *below = level[levels - 1];                                                                 \
      int64_t m = size[levels - 1] / FAN;                                                                 \
      level[levels] = end;                                                                                \
      size[levels] = m;                                                                                   \
      for (int64_t i = 0; i < m; i++) *end++ = below[FAN * i + FAN - 1];                                  \
      for (int64_t i = m; i % FAN > 0 || i == 0; i++) *end++ = LARGEST;                                   \
    }                                                                                                     \
    int64_t whole = n / FAN;                                                                              \
    for (int64_t i = 0; i < FAN; i++) last[i] = whole * FAN + i < n ? row[whole * FAN + i] : LARGEST;     \
    for (int64_t k = 0; k < count; k += GROUP) {                                                          \
      int many = (int)mg_min64(GROUP, count - k);                                                         \
      int64_t place[GROUP] = {0};                                                                         \
      for (int l = levels - 1; l >= 0; l--) {                                                             \
        const T *here = level[l];                                                                         \
        int64_t partial = l == 0 ? whole : -1, most = size[l];                                            \
        for (int j = 0; j < many; j++) {                                                                  \
          const T *block = place[j] == partial ? last : here + FAN * place[j];                            \
          V v;                                                                                            \
          memcpy(&v, block, sizeof v);                                                                    \
          mask16 after = __builtin_convertvector(right ? v > x[k + j] : v >= x[k + j], mask16);           \
          uint16_t bits;                                                                                  \
          memcpy(&bits, &after, sizeof bits);                                                             \
          int64_t next = FAN * place[j] + FAN - __builtin_popcount(bits);                                 \
          place[j] = __builtin_unpredictable(next < most) ? next : most;                                  \
        }                                                                                                 \
      }                                                                                                   \
      memcpy(y + k, place, (size_t)many * sizeof *y);                                                     \
    }                                                                                                     \
  }                                                                                                       \
  MG_CLONES static void count_##tag(int64_t n, const T *row, int64_t count, const T *x, bool right, int64_t *y) { \
    if (right) counted_##tag(n, row, count, x, true, y);                                                  \
    else counted_##tag(n, row, count, x, false, y);                                                       \
  }
COUNT(f32, float, mg_f32x16, INFINITY)
COUNT(f64, double, mg_f64x16, INFINITY)
COUNT(i64, int64_t, whole16, INT64_MAX)

// Halving, without a branch in a step: where the values come in no order, one is foretold wrongly at every other. All look at the places
// that a plain search between low and high looks at, for these decide what is found in a row that is not sorted or has NaN. What
// compares as false with NaN, and NaN itself, stands before everything, as in PyTorch: NaN goes to the end.
#define SEARCH(tag, T)                                                                                    \
  MG_CLONES static void find_group_##tag(int64_t n, const T *row, const T *x, bool right, int64_t *y) {   \
    int64_t low[GROUP], high[GROUP];                                                                      \
    for (int j = 0; j < GROUP; j++) low[j] = 0, high[j] = n;                                              \
    for (int64_t rest = n; rest > 0; rest /= 2) {                                                         \
      MG_VECTORIZE                                                                                        \
      for (int j = 0; j < GROUP; j++) {                                                                   \
        int64_t middle = low[j] + (high[j] - low[j]) / 2;                                                 \
        bool open = low[j] < high[j];                                                                     \
        T v = row[open ? middle : 0];                                                                     \
        bool before = right ? !(v > x[j]) : !(v >= x[j]);                                                 \
        low[j] = open && before ? middle + 1 : low[j];                                                    \
        high[j] = before ? high[j] : middle;                                                              \
      }                                                                                                   \
    }                                                                                                     \
    memcpy(y, low, sizeof low);                                                                           \
  }                                                                                                       \
  static int64_t find_##tag(int64_t n, const T *row, T x, bool right) {                                   \
    int64_t low = 0, high = n;                                                                            \
    while (low < high) {                                                                                  \
      int64_t middle = low + (high - low) / 2;                                                            \
      bool before = right ? !(row[middle] > x) : !(row[middle] >= x);                                     \
      int64_t mask = -(int64_t)before;                                                                    \
      low = ((middle + 1) & mask) | (low & ~mask);                                                        \
      high = (high & mask) | (middle & ~mask);                                                            \
    }                                                                                                     \
    return low;                                                                                           \
  }                                                                                                       \
  static void find_all_##tag(int64_t n, const T *row, int64_t count, const T *x, bool right, int64_t *y) { \
    if (n <= LONG && count >= FAN && count >= n / FAN && is_sorted_##tag(n, row)) {                         \
      count_##tag(n, row, count, x, right, y);                                                            \
      return;                                                                                             \
    }                                                                                                     \
    int64_t k = 0;                                                                                        \
    for (; k + GROUP <= count; k += GROUP) find_group_##tag(n, row, x + k, right, y + k);                 \
    int64_t few = count - k;                                                                              \
    if (few <= FEW) {                                                                                     \
      for (; k < count; k++) y[k] = find_##tag(n, row, x[k], right);                                      \
      return;                                                                                             \
    }                                                                                                     \
    T last[GROUP];                                                                                        \
    int64_t found[GROUP];                                                                                 \
    for (int64_t j = 0; j < GROUP; j++) last[j] = x[k + (j < few ? j : 0)];                               \
    find_group_##tag(n, row, last, right, found);                                                         \
    memcpy(y + k, found, (size_t)few * sizeof *y);                                                        \
  }                                                                                                       \
  static void search_##tag(void *context, int64_t begin, int64_t end) {                                   \
    const mg_call *call = context;                                                                        \
    int64_t n = call->size[0], width = call->count[0] <= n ? call->count[1] : call->size[1];              \
    const T *rows = call->operand[0], *x = call->operand[1];                                              \
    int64_t *y = call->operand[2];                                                                        \
    for (int64_t k = begin; k < end;) {                                                                   \
      int64_t count = mg_min64(width - k % width, end - k);                                               \
      find_all_##tag(n, rows + k / width * n, count, x + k, call->size[2] != 0, y + k);                   \
      k += count;                                                                                         \
    }                                                                                                     \
  }
SEARCH(f32, float)
SEARCH(f64, double)
SEARCH(i64, int64_t)

/// Where values stand in sorted rows. Operands rows (of n), values (width of them go with each row, or all with one), positions
/// (int64); sizes n, width, right. float32, float64 and int64.
MG_KERNEL(searchsorted) {
  void (*search)(void *, int64_t, int64_t) =
    call->dtype == MG_F32 ? search_f32 : call->dtype == MG_F64 ? search_f64 : search_i64;
  if (call->count[1] < MG_GRAIN_MATH) search(call, 0, call->count[1]);
  else mg_share(call->count[1], MG_GRAIN_MATH, search, call);
}
