// Factors of matrices, and systems of linear equations by them: LU with row pivoting, Cholesky, substitution, QR. They are
// loops of one step, the update of rows by STEP others at a time, in memory order. Reference LAPACK works down columns and has rows
// copied to columns first: for 64 × 64 that took 2 to 4 times as long as this.
#include "internal.h"

#include <stdlib.h>

enum { STEP = 8 };  // rows that an update takes away at once: as many products are made of an element while it is in a register

// c −= Σ l[k] · r[k] for `count` rows r, ldr apart, over n columns.
#define ROW_LESS(T)                                                                                          \
  switch (count) {                                                                                           \
    case STEP: {                                                                                             \
      T l0 = l[0], l1 = l[1], l2 = l[2], l3 = l[3], l4 = l[4], l5 = l[5], l6 = l[6], l7 = l[7];              \
      const T *r1 = r + ldr, *r2 = r1 + ldr, *r3 = r2 + ldr, *r4 = r3 + ldr, *r5 = r4 + ldr, *r6 = r5 + ldr, \
              *r7 = r6 + ldr;                                                                                \
      MG_VECTORIZE                                                                                           \
      for (int64_t i = 0; i < columns; i++)                                                                  \
        c[i] -= ((l0 * r[i] + l1 * r1[i]) + (l2 * r2[i] + l3 * r3[i])) +                                     \
                ((l4 * r4[i] + l5 * r5[i]) + (l6 * r6[i] + l7 * r7[i]));                                     \
      break;                                                                                                 \
    }                                                                                                        \
    default:                                                                                                 \
      for (int64_t k = 0; k < count; k++) {                                                                  \
        T lk = l[k];                                                                                         \
        MG_VECTORIZE                                                                                         \
        for (int64_t i = 0; i < columns; i++) c[i] -= lk * r[k * ldr + i];                                   \
      }                                                                                                      \
  }

#define FACTORS(tag, T)                                                                                      \
  typedef struct {                                                                                           \
    int64_t count, n, ldl, ldr, ldc;                                                                         \
    const T *l, *r;                                                                                          \
    T *c;                                                                                                    \
    bool triangular; /* row i has i + 1 columns */                                                           \
  } less_##tag;                                                                                              \
                                                                                                             \
  MG_CLONES static void less_rows_##tag(void *context, int64_t begin, int64_t end) {                         \
    const less_##tag *s = context;                                                                           \
    int64_t count = s->count, ldr = s->ldr;                                                                  \
    const T *r = s->r;                                                                                       \
    for (int64_t row = begin; row < end; row++) {                                                            \
      const T *l = s->l + row * s->ldl;                                                                      \
      T *c = s->c + row * s->ldc;                                                                            \
      int64_t columns = s->triangular ? row + 1 : s->n;                                                      \
      ROW_LESS(T)                                                                                            \
    }                                                                                                        \
  }                                                                                                          \
                                                                                                             \
  /* C −= L·R, where L has `count` columns and C `rows` rows of n; of C the lower triangle alone where that is asked for. */ \
  static void subtract_##tag(int64_t count, int64_t rows, int64_t n, const T *l, int64_t ldl, const T *r, int64_t ldr, \
                             T *c, int64_t ldc, bool triangular) {                                           \
    if (rows <= 0 || n <= 0) return;                                                                         \
    less_##tag s = {count, n, ldl, ldr, ldc, l, r, c, triangular};                                           \
    if (rows * n < 2 * MG_GRAIN) less_rows_##tag(&s, 0, rows);                                               \
    else mg_share(rows, MG_GRAIN / 2 / n + 1, less_rows_##tag, &s);                                          \
  }                                                                                                          \
                                                                                                             \
  static void exchange_rows_##tag(int64_t n, T *a, T *b) {                                                   \
    for (int64_t i = 0; i < n; i++) {                                                                        \
      T moved = a[i];                                                                                        \
      a[i] = b[i];                                                                                           \
      b[i] = moved;                                                                                          \
    }                                                                                                        \
  }                                                                                                          \
                                                                                                             \
  /* P·A = L·U in place; pivots[j] is the row that row j was exchanged with. The number of the first pivot that is 0, or 0. */ \
  static int64_t lu_##tag(int64_t m, int64_t n, T *a, int64_t *pivots) {                                     \
    int64_t smaller = mg_min64(m, n), zero = 0;                                                              \
    for (int64_t j = 0; j < smaller; j++) pivots[j] = j; /* also where this ends early */                    \
    for (int64_t p = 0; p < smaller && !mg_is_stopped(); p += STEP) {                                        \
      int64_t end = mg_min64(p + STEP, smaller), width = end - p;                                            \
      for (int64_t j = p; j < end; j++) {                                                                    \
        int64_t best = j;                                                                                    \
        T most = __builtin_elementwise_abs(a[j * n + j]);                                                    \
        for (int64_t i = j + 1; i < m; i++) {                                                                \
          T size = __builtin_elementwise_abs(a[i * n + j]);                                                  \
          if (size > most) most = size, best = i;                                                            \
        }                                                                                                    \
        pivots[j] = best;                                                                                    \
        if (best != j) exchange_rows_##tag(n, a + j * n, a + best * n);                                      \
        const T *pivot = a + j * n;                                                                          \
        if (pivot[j] == 0) {                                                                                 \
          if (zero == 0) zero = j + 1;                                                                       \
          continue;                                                                                          \
        }                                                                                                    \
        for (int64_t i = j + 1; i < m; i++) {                                                                \
          T *row = a + i * n, l = row[j] = row[j] / pivot[j];                                                \
          for (int64_t c = j + 1; c < end; c++) row[c] -= l * pivot[c];                                      \
        }                                                                                                    \
      }                                                                                                      \
      T *right = a + p * n + end;                                                                            \
      for (int64_t j = 1; j < width; j++)                                                                    \
        subtract_##tag(j, 1, n - end, a + (p + j) * n + p, n, right, n, right + j * n, n, false);            \
      subtract_##tag(width, m - end, n - end, a + end * n + p, n, right, n, a + end * n + end, n, false);    \
    }                                                                                                        \
    return zero;                                                                                             \
  }                                                                                                          \
                                                                                                             \
  static void divide_row_##tag(int64_t n, T *x, T by) {                                                      \
    MG_VECTORIZE                                                                                             \
    for (int64_t i = 0; i < n; i++) x[i] = x[i] / by;                                                        \
  }                                                                                                          \
                                                                                                             \
  /* B = L⁻¹·B for the lower triangle of A, with ones on its diagonal where that is asked for. */            \
  static void substitute_down_##tag(int64_t n, int64_t columns, const T *a, T *b, bool unit) {               \
    for (int64_t p = 0; p < n && !mg_is_stopped(); p += STEP) {                                                                  \
      int64_t end = mg_min64(p + STEP, n);                                                                   \
      for (int64_t j = p; j < end; j++) {                                                                    \
        subtract_##tag(j - p, 1, columns, a + j * n + p, n, b + p * columns, columns, b + j * columns, columns, false); \
        if (!unit) divide_row_##tag(columns, b + j * columns, a[j * n + j]);                                 \
      }                                                                                                      \
      subtract_##tag(end - p, n - end, columns, a + end * n + p, n, b + p * columns, columns, b + end * columns, columns, \
                     false);                                                                                 \
    }                                                                                                        \
  }                                                                                                          \
                                                                                                             \
  /* The same with the upper one. */                                                                         \
  static void substitute_up_##tag(int64_t n, int64_t columns, const T *a, T *b, bool unit) {                 \
    for (int64_t end = n; end > 0 && !mg_is_stopped(); end -= (end - 1) % STEP + 1) {                                            \
      int64_t p = end - 1 - (end - 1) % STEP;                                                                \
      for (int64_t j = end - 1; j >= p; j--) {                                                               \
        subtract_##tag(end - 1 - j, 1, columns, a + j * n + j + 1, n, b + (j + 1) * columns, columns, b + j * columns, \
                       columns, false);                                                                      \
        if (!unit) divide_row_##tag(columns, b + j * columns, a[j * n + j]);                                 \
      }                                                                                                      \
      subtract_##tag(end - p, p, columns, a + p, n, b + p * columns, columns, b, columns, false);            \
    }                                                                                                        \
  }                                                                                                          \
                                                                                                             \
  /* A = L·Lᵀ in place; `rows` has room for STEP rows. The order of the first leading minor that is not positive, or 0. */ \
  static int64_t cholesky_##tag(int64_t n, T *a, T *rows) {                                                  \
    for (int64_t p = 0; p < n && !mg_is_stopped(); p += STEP) {                                                                  \
      int64_t end = mg_min64(p + STEP, n);                                                                   \
      for (int64_t j = p; j < end; j++) {                                                                    \
        T rest = a[j * n + j];                                                                               \
        for (int64_t k = p; k < j; k++) rest -= a[j * n + k] * a[j * n + k];                                 \
        if (!(rest > 0)) return j + 1;                                                                       \
        T root = a[j * n + j] = __builtin_elementwise_sqrt(rest);                                            \
        for (int64_t i = j + 1; i < n; i++) {                                                                \
          T *row = a + i * n, v = row[j];                                                                    \
          for (int64_t k = p; k < j; k++) v -= row[k] * a[j * n + k];                                        \
          row[j] = v / root;                                                                                 \
        }                                                                                                    \
      }                                                                                                      \
      for (int64_t i = end; i < n; i++)                                                                      \
        for (int64_t k = p; k < end; k++) rows[(k - p) * n + i - end] = a[i * n + k];                        \
      subtract_##tag(end - p, n - end, n - end, a + end * n + p, n, rows, n, a + end * n + end, n, true);    \
    }                                                                                                        \
    return 0;                                                                                                \
  }
MG_FLOATS(FACTORS)

// Householder's reflections H = 1 − τ·v·vᵀ, v[0] = 1, with LAPACK's signs.
#define REFLECTIONS(tag, T)                                                                                  \
  /* A = H·A for `rows` rows of n, lda apart. `work` has room for n, `scaled` for `rows`. */                 \
  static void reflect_##tag(int64_t rows, int64_t n, T *a, int64_t lda, const T *v, T factor, T *scaled, T *work) { \
    for (int64_t i = 0; i < n; i++) work[i] = 0;                                                             \
    for (int64_t i = 0; i < rows; i += STEP)                                                                 \
      subtract_##tag(mg_min64(STEP, rows - i), 1, n, v + i, 0, a + i * lda, lda, work, 0, false);            \
    for (int64_t i = 0; i < rows; i++) scaled[i] = -factor * v[i];                                           \
    subtract_##tag(1, rows, n, scaled, 1, work, 0, a, lda, false);                                           \
  }                                                                                                          \
                                                                                                             \
  /* R in A's upper triangle, and the first `columns` columns of Q. `scratch`: see QR_SCRATCH. */            \
  static void qr_##tag(int64_t m, int64_t n, int64_t columns, T *a, T *q, T *scratch) {                      \
    int64_t smaller = mg_min64(m, n);                                                                        \
    T *factors = scratch, *v = factors + smaller, *scaled = v + m, *work = scaled + m;                       \
    for (int64_t j = 0; j < smaller && !mg_is_stopped(); j++) {                                                                  \
      T most = 0, head = a[j * n + j];                                                                       \
      for (int64_t i = j + 1; i < m; i++) {                                                                  \
        T size = __builtin_elementwise_abs(v[i - j] = a[i * n + j]);                                         \
        if (size > most || size != size) most = size;                                                        \
      }                                                                                                      \
      factors[j] = 0;                                                                                        \
      if (most == 0) continue;                                                                               \
      if (__builtin_elementwise_abs(head) > most) most = __builtin_elementwise_abs(head);                    \
      double sum = (double)(head / most) * (double)(head / most);                                            \
      for (int64_t i = j + 1; i < m; i++) sum += (double)(v[i - j] / most) * (double)(v[i - j] / most);      \
      T norm = most * (T)sqrt(sum), diagonal = head >= 0 ? -norm : norm, rest = head - diagonal;              \
      factors[j] = -rest / diagonal;                                                                         \
      v[0] = 1;                                                                                              \
      for (int64_t i = j + 1; i < m; i++) a[i * n + j] = v[i - j] = v[i - j] / rest;                         \
      a[j * n + j] = diagonal;                                                                               \
      reflect_##tag(m - j, n - j - 1, a + j * n + j + 1, n, v, factors[j], scaled, work);                    \
    }                                                                                                        \
    for (int64_t i = 0; i < m; i++)                                                                          \
      for (int64_t c = 0; c < columns; c++) q[i * columns + c] = i == c;                                     \
    for (int64_t j = mg_min64(smaller, columns) - 1; j >= 0 && !mg_is_stopped(); j--) {                                          \
      if (factors[j] == 0) continue;                                                                         \
      v[0] = 1;                                                                                              \
      for (int64_t i = j + 1; i < m; i++) v[i - j] = a[i * n + j];                                           \
      reflect_##tag(m - j, columns - j, q + j * columns + j, columns, v, factors[j], scaled, work);          \
    }                                                                                                        \
  }
MG_FLOATS(REFLECTIONS)
#define QR_SCRATCH(m, n, columns) (mg_min64(m, n) + 2 * (m) + mg_max64(n, columns))

/// What a kernel returns as result[0] where there was no memory for it, as those of lapack.c do.
enum { NO_MEMORY = -100001 };

/// Runs BODY, which gives what there is to say of a matrix, for the matrices 0, 1, … of a batch in the call's dtype T. Notes the
/// first of which there was something to say: result[0] what, result[1] which, from 0. `scratch` has room for that many bytes.
#define FOR_EACH(call, batch, room, BODY)                                \
  do {                                                                   \
    call->result[0] = call->result[1] = 0;                               \
    void *scratch = malloc((size_t)(room) + 1);                          \
    if (!scratch) {                                                      \
      call->result[0] = NO_MEMORY;                                       \
      return;                                                            \
    }                                                                    \
    for (int64_t matrix = 0; matrix < (batch) && !mg_is_stopped(); matrix++) {               \
      int64_t said;                                                      \
      if (call->dtype == MG_F32) {                                       \
        typedef float T;                                                 \
        BODY(f32)                                                        \
      } else {                                                           \
        typedef double T;                                                \
        BODY(f64)                                                        \
      }                                                                  \
      if (said != 0 && call->result[0] == 0) {                           \
        call->result[0] = (double)said;                                  \
        call->result[1] = (double)matrix;                                \
      }                                                                  \
    }                                                                    \
    free(scratch);                                                       \
  } while (0)

/// P·A = L·U of matrices (size 0 × size 1), size 2 of them: operand 0 becomes both factors, operand 1 (int64) the rows of A in
/// their new order, operand 2 the sign of that order.
MG_KERNEL(factors_lu) {
  int64_t m = call->size[0], n = call->size[1], smaller = mg_min64(m, n);
#define BODY(tag)                                                        \
  int64_t *pivots = scratch, *order = (int64_t *)call->operand[1] + matrix * m; \
  T *sign = (T *)call->operand[2] + matrix;                              \
  said = lu_##tag(m, n, (T *)call->operand[0] + matrix * m * n, pivots); \
  for (int64_t r = 0; r < m; r++) order[r] = r;                          \
  *sign = 1;                                                             \
  for (int64_t r = 0; r < smaller; r++) {                                \
    int64_t other = pivots[r], moved = order[r];                         \
    if (other == r) continue;                                            \
    order[r] = order[other];                                             \
    order[other] = moved;                                                \
    *sign = -*sign;                                                      \
  }
  FOR_EACH(call, call->size[2], smaller * 8, BODY);
#undef BODY
}

/// A·X = B of size 2 systems, with matrices of size 0 and size 1 right sides: operand 0, A, is spoilt, and operand 1, B, becomes
/// X. result[0] is the number, from 1, of the first pivot that is zero.
MG_KERNEL(factors_solve) {
  int64_t n = call->size[0], columns = call->size[1];
#define BODY(tag)                                                                                            \
  int64_t *pivots = scratch;                                                                                 \
  T *a = (T *)call->operand[0] + matrix * n * n, *b = (T *)call->operand[1] + matrix * n * columns;          \
  said = lu_##tag(n, n, a, pivots);                                                                          \
  if (said == 0) {                                                                                           \
    for (int64_t r = 0; r < n; r++)                                                                          \
      if (pivots[r] != r) exchange_rows_##tag(columns, b + r * columns, b + pivots[r] * columns);            \
    substitute_down_##tag(n, columns, a, b, true);                                                           \
    substitute_up_##tag(n, columns, a, b, false);                                                            \
  }
  FOR_EACH(call, call->size[2], n * 8, BODY);
#undef BODY
}

/// The same with triangular matrices, which stay: the upper one where number 0 says so, with ones on the diagonal where number 1
/// does. A zero on the diagonal is divided by, as in PyTorch.
MG_KERNEL(factors_triangular) {
  int64_t n = call->size[0], columns = call->size[1];
  bool upper = call->number[0] != 0, unit = call->number[1] != 0;
#define BODY(tag)                                                                                            \
  const T *a = (const T *)call->operand[0] + matrix * n * n;                                                 \
  T *b = (T *)call->operand[1] + matrix * n * columns;                                                       \
  if (upper) substitute_up_##tag(n, columns, a, b, unit);                                                    \
  else substitute_down_##tag(n, columns, a, b, unit);                                                        \
  said = 0;
  FOR_EACH(call, call->size[2], 0, BODY);
#undef BODY
}

/// A = L·Lᵀ of size 1 matrices of size 0, of which the lower triangles are read: operand 0 becomes L. result[0] is the order of the
/// first leading minor that is not positive.
MG_KERNEL(factors_cholesky) {
  int64_t n = call->size[0];
#define BODY(tag)                                                                                            \
  T *a = (T *)call->operand[0] + matrix * n * n;                                                             \
  said = cholesky_##tag(n, a, scratch);                                                                      \
  for (int64_t row = 0; row < n; row++)                                                                      \
    for (int64_t column = row + 1; column < n; column++) a[row * n + column] = 0;
  FOR_EACH(call, call->size[1], STEP * n * 8, BODY);
#undef BODY
}

/// A = Q·R of size 3 matrices (size 0 × size 1), with the first size 2 columns of Q: operand 0 becomes R, over what is to be
/// ignored below its diagonal, operand 1 Q.
MG_KERNEL(factors_qr) {
  int64_t m = call->size[0], n = call->size[1], columns = call->size[2];
#define BODY(tag)                                                                                            \
  qr_##tag(m, n, columns, (T *)call->operand[0] + matrix * m * n, (T *)call->operand[1] + matrix * m * columns, scratch); \
  said = 0;
  FOR_EACH(call, call->size[3], QR_SCRATCH(m, n, columns) * 8, BODY);
#undef BODY
}
