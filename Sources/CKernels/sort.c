// Stable sort of rows: a merge sort of indices.
#include "internal.h"

#define SORT(tag, T)                                                                                       \
  static bool before_##tag(T a, T b) { return a < b || (a == a && b != b); }                               \
  static void sort_##tag(int64_t rows, int64_t n, bool descending, const T *x, T *values, int64_t *indices, \
                         int64_t *scratch) {                                                               \
    for (int64_t r = 0; r < rows; r++, x += n) {                                                           \
      int64_t *a = scratch, *b = scratch + n;                                                              \
      for (int64_t i = 0; i < n; i++) a[i] = i;                                                            \
      for (int64_t width = 1; width < n; width *= 2) {                                                     \
        for (int64_t lo = 0; lo < n; lo += 2 * width) {                                                    \
          int64_t mid = mg_min64(lo + width, n), hi = mg_min64(mid + width, n), i = lo, j = mid;           \
          for (int64_t k = lo; k < hi; k++) {                                                              \
            bool right = i == mid || (j < hi && (descending ? before_##tag(x[a[i]], x[a[j]])               \
                                                            : before_##tag(x[a[j]], x[a[i]])));            \
            b[k] = right ? a[j++] : a[i++];                                                                \
          }                                                                                                \
        }                                                                                                  \
        int64_t *t = a;                                                                                    \
        a = b;                                                                                             \
        b = t;                                                                                             \
      }                                                                                                    \
      if (values) for (int64_t i = 0; i < n; i++) values[r * n + i] = x[a[i]];                             \
      if (indices) memcpy(indices + r * n, a, (size_t)n * sizeof(int64_t));                                \
    }                                                                                                      \
  }
MG_TYPES(SORT)

void mg_sort(mg_dtype dtype, int64_t rows, int64_t n, bool descending, const void *x, void *values, int64_t *indices,
             int64_t *scratch) {
  switch (dtype) {
#define CASE(tag, type) case MG_TAG_##tag: sort_##tag(rows, n, descending, x, values, indices, scratch); break;
    MG_TYPES(CASE)
#undef CASE
    default: break;
  }
}
