// Eigenvectors and singular values of matrices, by LAPACK; other factors are in factors.c. The library is loaded when one is first asked for: with the BLAS that it stands on it
// would add half to the time that a program takes to start. A batch is a sequence of matrices, row after row each; pivots,
// factors and vectors follow one another in the same way.
#include "internal.h"

#include <dlfcn.h>
#include <lapacke.h>
#include <pthread.h>
#include <stdlib.h>

/// Every routine that is called, in both precisions.
#define ROUTINES(X) X(gesdd) X(syevd)

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

// MARK: symmetric matrices

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

// MARK: singular values

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
