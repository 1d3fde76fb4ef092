// Eigenvectors and singular values of matrices, by LAPACK; other factors are in factors.c. The library is loaded when one is first
// asked for: with the BLAS that it stands on it would add half to the time that a program takes to start. A batch is a sequence of
// matrices, row after row each; pivots, factors and vectors follow one another in the same way.
//
// LAPACK reads columns, and so the transposes of our matrices; what is asked of it is what the transpose has. (LAPACKE's way for
// rows copies each matrix there and back, element by element, which is a tenth of the time at 32 × 32.)
#include "internal.h"
#include "spectra.h"

#include <dlfcn.h>
#include <lapacke.h>
#include <pthread.h>
#include <stdlib.h>

/// Every routine that is called, in both precisions.
#define ROUTINES(X) X(gesdd_work) X(syevd_work) X(sytrd_work) X(orgtr_work) X(gebrd_work) X(orgbr_work)

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
  if (info != 0 && call->result[0] == 0) {
    call->result[0] = info;
    call->result[1] = (double)matrix;
  }
  return info >= 0;
}

static int min_size(int64_t a, int64_t b) { return (int)(a < b ? a : b); }

/// As many numbers as a routine says that it works best with. It says so in its own precision, which may have rounded them down.
static lapack_int room(double asked) { return (lapack_int)(asked * (1 + 0x1p-23)) + 1; }

// X(type, letter, tag) for both precisions.
#define PRECISIONS(X) X(float, s, f32) X(double, d, f64)

/// Calls the body of a kernel for the call's precision.
#define RUN(call, body)                          \
  do {                                           \
    (call)->result[0] = (call)->result[1] = 0;   \
    if (!is_loaded()) (call)->result[0] = NOT_THERE; \
    else if ((call)->dtype == MG_F32) body##_s(call); \
    else body##_d(call);                         \
  } while (0)

/// Whether it takes tens of milliseconds, after which somebody may want it to stop.
static bool is_long(int64_t m, int64_t n, int64_t batch) { return (double)m * (double)n * (double)mg_min64(m, n) * (double)batch > 8e6; }

/// Numbers of work space with which routines work on blocks of small matrices.
enum { SMALL_WORK = 64 * MG_SMALL_SPECTRUM };

// MARK: symmetric matrices

// The transpose of a symmetric matrix is itself with its triangles exchanged. Eigenvectors are columns there, here rows.
#define EIGEN(type, letter, tag)                                                                                  \
  static void turn_##letter(int64_t n, type *a) {                                                                 \
    for (int64_t i = 0; i < n; i++)                                                                               \
      for (int64_t j = 0; j < i; j++) {                                                                           \
        type v = a[i * n + j];                                                                                    \
        a[i * n + j] = a[j * n + i];                                                                              \
        a[j * n + i] = v;                                                                                         \
      }                                                                                                           \
  }                                                                                                               \
  static lapack_int small_eigen_##letter(int n, char triangle, type *a, type *values, type *work) {               \
    type beside[MG_SMALL_SPECTRUM], tau[MG_SMALL_SPECTRUM];                                                       \
    lapack_int info = lapack.letter##sytrd_work(LAPACK_COL_MAJOR, triangle, n, a, n, values, beside, tau, work, SMALL_WORK); \
    if (info == 0) info = lapack.letter##orgtr_work(LAPACK_COL_MAJOR, triangle, n, a, n, tau, work, SMALL_WORK);  \
    return info != 0 ? info : mg_tridiagonal_##tag(n, values, beside, a) ? 0 : 1;                                 \
  }                                                                                                               \
  static void eigen_##letter(mg_call *call) {                                                                     \
    int n = (int)call->size[0];                                                                                   \
    char triangle = call->number[0] != 0 ? 'L' : 'U';                                                             \
    type *a = call->operand[0], *values = call->operand[1], asked = SMALL_WORK;                                   \
    lapack_int places = 0, info;                                                                                  \
    bool small = n <= MG_SMALL_SPECTRUM;                                                                          \
    if (!small) {                                                                                                 \
      info = lapack.letter##syevd_work(LAPACK_COL_MAJOR, 'V', triangle, n, a, n, values, &asked, -1, &places, -1); \
      if (!note(call, 0, info)) return;                                                                           \
    }                                                                                                             \
    lapack_int numbers = room((double)asked);                                                                     \
    type *work = malloc((size_t)numbers * sizeof(type) + (size_t)places * sizeof(lapack_int));                    \
    if (!work) {                                                                                                  \
      call->result[0] = NO_MEMORY;                                                                                \
      return;                                                                                                     \
    }                                                                                                             \
    for (int64_t i = 0; i < call->size[1]; i++, a += (int64_t)n * n, values += n) {                               \
      if (small) info = small_eigen_##letter(n, triangle, a, values, work);                                       \
      else info = lapack.letter##syevd_work(LAPACK_COL_MAJOR, 'V', triangle, n, a, n, values, work, numbers,      \
                                            (lapack_int *)(work + numbers), places);                              \
      if (!note(call, i, info)) break;                                                                            \
      turn_##letter(n, a);                                                                                        \
    }                                                                                                             \
    free(work);                                                                                                   \
  }
PRECISIONS(EIGEN)

/// A = V·diag(λ)·Vᵀ of size 1 symmetric matrices of size 0, of which the lower triangles are read, or the upper where number 0 says
/// so: operand 0 becomes V, operand 1 λ in rising order.
static void eigen(mg_call *call) { RUN(call, eigen); }
MG_KERNEL(lapack_eigen) {
  if (is_long(call->size[0], call->size[0], call->size[1])) mg_call_apart(call, eigen);
  else eigen(call);
}

// MARK: singular values

// Aᵀ = V·diag(s)·Uᵀ, so U and Vᵀ are each other's there, and lie as they should here. (Of small matrices, U is turned so that its
// columns lie so for a while.)
#define SVD(type, letter, tag)                                                                                         \
  static lapack_int small_svd_##letter(int m, int n, int left, int right, type *a, type *s, type *u, type *vt, type *work) { \
    type beside[MG_SMALL_SPECTRUM], tau_q[MG_SMALL_SPECTRUM], tau_p[MG_SMALL_SPECTRUM], *columns = work + SMALL_WORK;  \
    int k = min_size(m, n);                                                                                            \
    lapack_int info = lapack.letter##gebrd_work(LAPACK_COL_MAJOR, n, m, a, n, s, beside, tau_q, tau_p, work, SMALL_WORK); \
    if (info != 0) return info;                                                                                        \
    memcpy(vt, a, (size_t)n * (size_t)k * sizeof(type));                                                               \
    for (int j = 0; j < m; j++) memcpy(u + j * left, a + j * n, (size_t)k * sizeof(type));                             \
    info = lapack.letter##orgbr_work(LAPACK_COL_MAJOR, 'Q', n, right, m, vt, n, tau_q, work, SMALL_WORK);              \
    if (info == 0) info = lapack.letter##orgbr_work(LAPACK_COL_MAJOR, 'P', left, m, n, u, left, tau_p, work, SMALL_WORK); \
    if (info != 0) return info;                                                                                        \
    mg_transpose(sizeof(type), left, m, u, left, columns, m);                                                          \
    if (!mg_bidiagonal_##tag(k, n < m, s, beside, n, vt, m, columns)) return 1;                                        \
    mg_transpose(sizeof(type), m, left, columns, m, u, left);                                                          \
    return 0;                                                                                                          \
  }                                                                                                                    \
  static void svd_##letter(mg_call *call) {                                                                            \
    int m = (int)call->size[0], n = (int)call->size[1], k = min_size(m, n);                                            \
    bool full = call->size[2] != 0, small = m <= MG_SMALL_SPECTRUM && n <= MG_SMALL_SPECTRUM;                          \
    int left = full ? m : k, right = full ? n : k;                                                                     \
    char job = full ? 'A' : 'S';                                                                                       \
    type *a = call->operand[0], *s = call->operand[1], *u = call->operand[2], *vt = call->operand[3];                  \
    type asked = (type)(SMALL_WORK + m * left);                                                                        \
    lapack_int none = 0, info;                                                                                         \
    if (!small) {                                                                                                      \
      info = lapack.letter##gesdd_work(LAPACK_COL_MAJOR, job, n, m, a, n, s, vt, n, u, left, &asked, -1, &none);       \
      if (!note(call, 0, info)) return;                                                                                \
    }                                                                                                                  \
    lapack_int numbers = room((double)asked);                                                                          \
    type *work = malloc((size_t)numbers * sizeof(type) + 8 * (size_t)k * sizeof(lapack_int));                          \
    if (!work) {                                                                                                       \
      call->result[0] = NO_MEMORY;                                                                                     \
      return;                                                                                                          \
    }                                                                                                                  \
    for (int64_t i = 0; i < call->size[3]; i++) {                                                                      \
      type *ai = a + i * m * n, *si = s + i * k, *ui = u + i * m * left, *vi = vt + i * right * n;                     \
      if (small) info = small_svd_##letter(m, n, left, right, ai, si, ui, vi, work);                                   \
      else info = lapack.letter##gesdd_work(LAPACK_COL_MAJOR, job, n, m, ai, n, si, vi, n, ui, left, work, numbers,    \
                                            (lapack_int *)(work + numbers));                                           \
      if (!note(call, i, info)) break;                                                                                 \
    }                                                                                                                  \
    free(work);                                                                                                        \
  }
PRECISIONS(SVD)

/// A = U·diag(s)·Vᵀ of size 3 matrices (size 0 × size 1), with all of U and V where size 2 is not 0: operand 0, A, is spoilt,
/// operand 1 becomes s in falling order, operand 2 U and operand 3 Vᵀ.
static void svd(mg_call *call) { RUN(call, svd); }
MG_KERNEL(lapack_svd) {
  if (is_long(call->size[0], call->size[1], call->size[3])) mg_call_apart(call, svd);
  else svd(call);
}
