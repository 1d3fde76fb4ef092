// Eigenvalues of tridiagonal and singular values of bidiagonal matrices, with the vectors that belong to them, see spectra.c.
#ifndef MG_SPECTRA_H
#define MG_SPECTRA_H

#include "internal.h"

/// Matrices up to that size are done here sooner than by LAPACK.
enum { MG_SMALL_SPECTRUM = 128 };

/// The symmetric tridiagonal matrix with d on its diagonal and e beside it: d becomes the eigenvalues in rising order, and z, n columns
/// of n numbers, z·V. False where the iteration does not end.
bool mg_tridiagonal_f32(int64_t n, float *d, float *e, float *z);
bool mg_tridiagonal_f64(int64_t n, double *d, double *e, double *z);

/// The bidiagonal matrix with d on its diagonal and e above it, or with `lower` below: d becomes the singular values in falling order,
/// u, n columns of `rows` numbers, u·U, and v, n columns of `columns` numbers, v·V.
bool mg_bidiagonal_f32(int64_t n, bool lower, float *d, float *e, int64_t rows, float *u, int64_t columns, float *v);
bool mg_bidiagonal_f64(int64_t n, bool lower, double *d, double *e, int64_t rows, double *u, int64_t columns, double *v);

#endif
