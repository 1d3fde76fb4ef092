// Decompositions of matrices, by LAPACK. The library is loaded when one is first asked for: with the BLAS that it stands on it
// would add half to the time that a program takes to start. A batch is a sequence of matrices, row after row each; pivots,
// factors and vectors follow one another in the same way.
#include "internal.h"

#include <dlfcn.h>
#include <lapacke.h>
#include <pthread.h>
#include <stdlib.h>

/// Every routine that is called, in both precisions.
#define ROUTINES(X) X(getrf) X(gesv) X(potrf) X(geqrf) X(orgqr) X(gesdd) X(trtrs) X(syevd)

static struct {
#define MEMBER(name) typeof(&LAPACKE_s##name) s##name; typeof(&LAPACKE_d##name) d##name;
  ROUTINES(MEMBER)
#undef MEMBER
  bool is_there;
} lapack;

static void load(void) {
  void *library = dlopen("liblapacke.so.3", RTLD_NOW | RTLD_LOCAL);
  if (!library) return;
  bool found = true;
#define FIND(name)                                                              \
  found = (lapack.s##name = dlsym(library, "LAPACKE_s" #name)) != NULL && found; \
  found = (lapack.d##name = dlsym(library, "LAPACKE_d" #name)) != NULL && found;
  ROUTINES(FIND)
#undef FIND
  // NaN is a number like others here: what comes of it is seen in the results.
  void (*check_numbers)(int) = (void (*)(int))dlsym(library, "LAPACKE_set_nancheck");
  if (check_numbers) check_numbers(0);
  lapack.is_there = found;
}

static bool is_loaded(void) {
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  pthread_once(&once, load);
  return lapack.is_there;
}

/// What a kernel returns as result[0] where it did not do its work, beside LAPACK's own numbers.
enum { NOT_THERE = -100000, NO_MEMORY = -100001 };

/// Notes the first matrix of a batch for which a routine had something to say: result[0] what, result[1] which, from 0.
static bool note(mg_call *call, int64_t matrix, lapack_int info) {
  if (info == LAPACK_WORK_MEMORY_ERROR || info == LAPACK_TRANSPOSE_MEMORY_ERROR) info = NO_MEMORY;
  if (info != 0 && call->result[0] == 0) {
    call->result[0] = info;
    call->result[1] = (double)matrix;
  }
  return info >= 0;
}

/// Calls `float_body` or `double_body` for the matrices 0, 1, … of a batch until one fails.
#define FOR_EACH(call, batch, float_body, double_body)                   \
  do {                                                                   \
    call->result[0] = call->result[1] = 0;                               \
    if (!is_loaded()) {                                                  \
      call->result[0] = NOT_THERE;                                       \
      return;                                                            \
    }                                                                    \
    for (int64_t i = 0; i < (batch); i++)                                \
      if (!note(call, i, call->dtype == MG_F32 ? float_body(call, i) : double_body(call, i))) return; \
  } while (0)

static int min_size(int64_t a, int64_t b) { return (int)(a < b ? a : b); }

// X(type, letter) for both precisions.
#define PRECISIONS(X) X(float, s) X(double, d)

// MARK: LU

#define LU(type, letter)                                                                              \
  static lapack_int lu_##letter(mg_call *call, int64_t i) {                                           \
    int m = (int)call->size[0], n = (int)call->size[1], k = min_size(m, n);                           \
    int64_t *rows = (int64_t *)call->operand[1] + i * m;                                              \
    type *sign = (type *)call->operand[2] + i;                                                        \
    lapack_int *pivots = malloc(sizeof *pivots * (size_t)(k + 1));                                    \
    if (!pivots) return LAPACK_WORK_MEMORY_ERROR;                                                     \
    lapack_int info =                                                                                 \
        lapack.letter##getrf(LAPACK_ROW_MAJOR, m, n, (type *)call->operand[0] + i * m * n, n, pivots); \
    for (int r = 0; r < m; r++) rows[r] = r;                                                          \
    *sign = 1;                                                                                        \
    for (int r = 0; info >= 0 && r < k; r++) {                                                        \
      int other = pivots[r] - 1;                                                                      \
      if (other == r) continue;                                                                       \
      int64_t moved = rows[r];                                                                        \
      rows[r] = rows[other];                                                                          \
      rows[other] = moved;                                                                            \
      *sign = -*sign;                                                                                 \
    }                                                                                                 \
    free(pivots);                                                                                     \
    return info;                                                                                      \
  }
PRECISIONS(LU)

/// P·A = L·U of matrices (size 0 × size 1), size 2 of them: operand 0 becomes both factors, operand 1 (int64) the rows of A in
/// their new order, operand 2 the sign of that order.
MG_KERNEL(lapack_lu) { FOR_EACH(call, call->size[2], lu_s, lu_d); }

#define SOLVE(type, letter)                                                                                              \
  static lapack_int solve_##letter(mg_call *call, int64_t i) {                                                           \
    int n = (int)call->size[0], columns = (int)call->size[1];                                                            \
    lapack_int *pivots = malloc(sizeof *pivots * (size_t)(n + 1));                                                       \
    if (!pivots) return LAPACK_WORK_MEMORY_ERROR;                                                                        \
    lapack_int info = lapack.letter##gesv(LAPACK_ROW_MAJOR, n, columns, (type *)call->operand[0] + (int64_t)i * n * n, n, \
                                          pivots, (type *)call->operand[1] + (int64_t)i * n * columns, columns);         \
    free(pivots);                                                                                                        \
    return info;                                                                                                         \
  }
PRECISIONS(SOLVE)

/// A·X = B of size 2 systems, with matrices of size 0 and size 1 right sides: operand 0, A, is spoilt, and operand 1, B, becomes
/// X. result[0] is the number, from 1, of the first pivot that is zero.
MG_KERNEL(lapack_solve) { FOR_EACH(call, call->size[2], solve_s, solve_d); }

// Where an element of the diagonal is zero LAPACK declines; divided by zero it is, as in PyTorch.
#define TRIANGULAR(type, letter)                                                                         \
  static lapack_int triangular_##letter(mg_call *call, int64_t i) {                                      \
    int n = (int)call->size[0], columns = (int)call->size[1];                                            \
    bool upper = call->number[0] != 0, unit = call->number[1] != 0;                                      \
    const type *a = (const type *)call->operand[0] + (int64_t)i * n * n;                                 \
    type *b = (type *)call->operand[1] + (int64_t)i * n * columns;                                       \
    lapack_int info = lapack.letter##trtrs(LAPACK_ROW_MAJOR, upper ? 'U' : 'L', 'N', unit ? 'U' : 'N', n, \
                                           columns, a, n, b, columns);                                   \
    if (info <= 0) return info;                                                                          \
    for (int step = 0; step < n; step++) {                                                               \
      int row = upper ? n - 1 - step : step;                                                             \
      for (int column = 0; column < columns; column++) {                                                 \
        type x = b[(int64_t)row * columns + column];                                                     \
        for (int other = upper ? row + 1 : 0; other < (upper ? n : row); other++)                        \
          x -= a[(int64_t)row * n + other] * b[(int64_t)other * columns + column];                       \
        b[(int64_t)row * columns + column] = unit ? x : x / a[(int64_t)row * n + row];                   \
      }                                                                                                  \
    }                                                                                                    \
    return 0;                                                                                            \
  }
PRECISIONS(TRIANGULAR)

/// The same with triangular matrices, which stay: the upper one where number 0 says so, with ones on the diagonal where number 1
/// does.
MG_KERNEL(lapack_triangular) { FOR_EACH(call, call->size[2], triangular_s, triangular_d); }

// MARK: symmetric matrices

#define CHOLESKY(type, letter)                                                                               \
  static lapack_int cholesky_##letter(mg_call *call, int64_t i) {                                            \
    int n = (int)call->size[0];                                                                              \
    type *a = (type *)call->operand[0] + (int64_t)i * n * n;                                                 \
    lapack_int info = lapack.letter##potrf(LAPACK_ROW_MAJOR, 'L', n, a, n);                                  \
    for (int row = 0; row < n; row++)                                                                        \
      for (int column = row + 1; column < n; column++) a[(int64_t)row * n + column] = 0;                     \
    return info;                                                                                             \
  }
PRECISIONS(CHOLESKY)

/// A = L·Lᵀ of size 1 matrices of size 0, of which the lower triangles are read: operand 0 becomes L. result[0] is the order of the
/// first leading minor that is not positive.
MG_KERNEL(lapack_cholesky) { FOR_EACH(call, call->size[1], cholesky_s, cholesky_d); }

#define EIGEN(type, letter)                                                                                       \
  static lapack_int eigen_##letter(mg_call *call, int64_t i) {                                                    \
    int n = (int)call->size[0];                                                                                   \
    return lapack.letter##syevd(LAPACK_ROW_MAJOR, 'V', call->number[0] != 0 ? 'U' : 'L', n,                       \
                                (type *)call->operand[0] + (int64_t)i * n * n, n, (type *)call->operand[1] + i * n); \
  }
PRECISIONS(EIGEN)

/// A = V·diag(λ)·Vᵀ of size 1 symmetric matrices of size 0, of which the lower triangles are read, or the upper where number 0 says
/// so: operand 0 becomes V, operand 1 λ in rising order.
MG_KERNEL(lapack_eigen) { FOR_EACH(call, call->size[1], eigen_s, eigen_d); }

// MARK: orthogonal factors

#define QR(type, letter)                                                                                                   \
  static lapack_int qr_##letter(mg_call *call, int64_t i) {                                                                \
    int m = (int)call->size[0], n = (int)call->size[1], columns = (int)call->size[2], k = min_size(m, n);                  \
    type *a = (type *)call->operand[0] + (int64_t)i * m * n, *q = (type *)call->operand[1] + (int64_t)i * m * columns;     \
    type *factors = malloc(sizeof *factors * (size_t)(k + 1));                                                             \
    if (!factors) return LAPACK_WORK_MEMORY_ERROR;                                                                         \
    lapack_int info = lapack.letter##geqrf(LAPACK_ROW_MAJOR, m, n, a, n, factors);                                         \
    for (int row = 0; row < m; row++)                                                                                      \
      for (int column = 0; column < columns; column++)                                                                     \
        q[(int64_t)row * columns + column] = column < n ? a[(int64_t)row * n + column] : 0;                                \
    if (info == 0 && columns > 0) info = lapack.letter##orgqr(LAPACK_ROW_MAJOR, m, columns, k, q, columns, factors);       \
    free(factors);                                                                                                         \
    return info;                                                                                                           \
  }
PRECISIONS(QR)

/// A = Q·R of size 3 matrices (size 0 × size 1), with the first size 2 columns of Q: operand 0 becomes R, over what is to be
/// ignored below its diagonal, operand 1 Q.
MG_KERNEL(lapack_qr) { FOR_EACH(call, call->size[3], qr_s, qr_d); }

#define SVD(type, letter)                                                                                              \
  static lapack_int svd_##letter(mg_call *call, int64_t i) {                                                           \
    int m = (int)call->size[0], n = (int)call->size[1], k = min_size(m, n);                                            \
    bool full = call->size[2] != 0;                                                                                    \
    int left = full ? m : k, right = full ? n : k;                                                                     \
    return lapack.letter##gesdd(LAPACK_ROW_MAJOR, full ? 'A' : 'S', m, n, (type *)call->operand[0] + (int64_t)i * m * n, n, \
                                (type *)call->operand[1] + i * k, (type *)call->operand[2] + (int64_t)i * m * left, left,  \
                                (type *)call->operand[3] + (int64_t)i * right * n, n);                                 \
  }
PRECISIONS(SVD)

/// A = U·diag(s)·Vᵀ of size 3 matrices (size 0 × size 1), with all of U and V where size 2 is not 0: operand 0, A, is spoilt,
/// operand 1 becomes s in falling order, operand 2 U and operand 3 Vᵀ.
MG_KERNEL(lapack_svd) { FOR_EACH(call, call->size[3], svd_s, svd_d); }
