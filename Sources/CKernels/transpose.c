// Moving a matrix to its transpose, by blocks that are shuffled in registers.
#include "internal.h"

typedef uint32_t u32x4 __attribute__((ext_vector_type(4)));

/// y[r · ys + c] = x[c · xs + r] for a block of 4 × 4.
MG_INLINE void block_4(const uint32_t *x, int64_t xs, uint32_t *y, int64_t ys) {
  u32x4 a, b, c, d;
  memcpy(&a, x, 16);
  memcpy(&b, x + xs, 16);
  memcpy(&c, x + 2 * xs, 16);
  memcpy(&d, x + 3 * xs, 16);
  u32x4 ac = __builtin_shufflevector(a, c, 0, 4, 1, 5), bd = __builtin_shufflevector(b, d, 0, 4, 1, 5);
  u32x4 ca = __builtin_shufflevector(a, c, 2, 6, 3, 7), db = __builtin_shufflevector(b, d, 2, 6, 3, 7);
  a = __builtin_shufflevector(ac, bd, 0, 4, 1, 5);
  b = __builtin_shufflevector(ac, bd, 2, 6, 3, 7);
  c = __builtin_shufflevector(ca, db, 0, 4, 1, 5);
  d = __builtin_shufflevector(ca, db, 2, 6, 3, 7);
  memcpy(y, &a, 16);
  memcpy(y + ys, &b, 16);
  memcpy(y + 2 * ys, &c, 16);
  memcpy(y + 3 * ys, &d, 16);
}

/// The same for 2 × 2.
MG_INLINE void block_8(const uint64_t *x, int64_t xs, uint64_t *y, int64_t ys) {
  uint64_t a = x[0], b = x[1], c = x[xs], d = x[xs + 1];
  y[0] = a;
  y[1] = c;
  y[ys] = b;
  y[ys + 1] = d;
}

MG_INLINE void block_2(const uint16_t *x, int64_t xs, uint16_t *y, int64_t ys) {
  (void)xs, (void)ys;
  *y = *x;
}

/// The same for 1 × 1.
MG_INLINE void block_1(const uint8_t *x, int64_t xs, uint8_t *y, int64_t ys) {
  (void)xs, (void)ys;
  *y = *x;
}

#define TRANSPOSE(size, T, SIDE)                                                                      \
  static void transpose_##size(int64_t rows, int64_t columns, const T *x, int64_t xs, T *y, int64_t ys) { \
    int64_t r = 0;                                                                                    \
    for (; r + SIDE <= rows; r += SIDE) {                                                             \
      int64_t c = 0;                                                                                  \
      for (; c + SIDE <= columns; c += SIDE) block_##size(x + c * xs + r, xs, y + r * ys + c, ys);    \
      for (; c < columns; c++)                                                                        \
        for (int k = 0; k < SIDE; k++) y[(r + k) * ys + c] = x[c * xs + r + k];                       \
    }                                                                                                 \
    for (; r < rows; r++)                                                                             \
      for (int64_t c = 0; c < columns; c++) y[r * ys + c] = x[c * xs + r];                            \
  }
TRANSPOSE(1, uint8_t, 1)
TRANSPOSE(2, uint16_t, 1)
TRANSPOSE(4, uint32_t, 4)
TRANSPOSE(8, uint64_t, 2)

void mg_transpose(size_t size, int64_t rows, int64_t columns, const void *x, int64_t xs, void *y, int64_t ys) {
  switch (size) {
    case 1: transpose_1(rows, columns, x, xs, y, ys); break;
    case 2: transpose_2(rows, columns, x, xs, y, ys); break;
    case 4: transpose_4(rows, columns, x, xs, y, ys); break;
    default: transpose_8(rows, columns, x, xs, y, ys); break;
  }
}
