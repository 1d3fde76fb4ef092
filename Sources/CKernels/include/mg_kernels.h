// The kernels: C loops over pointers. No policy (shapes, errors and promotion are decided in Tensors) and no
// allocation, but for a thread's packing scratch. Every function is total for the arguments it documents;
// sizes may be 0. Strides are in elements, not bytes. Tensors of dtype bool hold bytes 0 or 1.
#ifndef MG_KERNELS_H
#define MG_KERNELS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/// MG_WORD is whatever takes two bytes; it moves (convert to itself, where, fill), and no more.
typedef enum { MG_F32 = 0, MG_F64, MG_I64, MG_I32, MG_U8, MG_BOOL, MG_WORD, MG_DTYPE_COUNT } mg_dtype;

/// The largest rank of a tensor, and so of a loop nest.
#define MG_MAX_RANK 8

/// A loop nest over up to four operands. Operand 0 is the result and is walked contiguously in row-major order
/// unless a function says otherwise; `stride[k]` are operand k's strides. Callers have already merged
/// dimensions that can be merged, so `rank` is small; rank 0 means one element.
typedef struct {
  int32_t rank;
  int64_t size[MG_MAX_RANK];
  int64_t stride[4][MG_MAX_RANK];
} mg_loop;

// ---------------------------------------------------------------------------------------- kernels by name

enum { MG_OPERANDS = 5, MG_NUMBERS = 4 };

/// What a kernel of one operation's own is given. Each says where it is defined what it reads and writes.
typedef struct {
  mg_dtype dtype;
  void *operand[MG_OPERANDS];  // NULL for those that are left out
  int64_t count[MG_OPERANDS];  // their elements
  int64_t size[MG_NUMBERS];
  double number[MG_NUMBERS];
  double result[2];
} mg_call;

typedef struct mg_named {
  const char *name;
  void (*run)(mg_call *call);
  struct mg_named *next;
} mg_named;

/// The kernel that MG_KERNEL (internal.h) defines by that name; NULL where none does.
const mg_named *mg_kernel_named(const char *name);

// ---------------------------------------------------------------------------------------- elementwise maths

typedef enum {
  MG_NEG = 0, MG_ABS, MG_SIGN, MG_SQUARE, MG_RELU,                        // every numeric dtype
  MG_SQRT, MG_RSQRT, MG_RECIPROCAL,                                      // from here on: float32 and float64 only
  MG_EXP, MG_EXP2, MG_EXPM1, MG_LOG, MG_LOG2, MG_LOG10, MG_LOG1P,
  MG_SIN, MG_COS, MG_TAN, MG_ASIN, MG_ACOS, MG_ATAN,
  MG_SINH, MG_COSH, MG_TANH, MG_ASINH, MG_ACOSH, MG_ATANH,
  MG_ERF, MG_ERFC, MG_LGAMMA, MG_DIGAMMA,
  MG_FLOOR, MG_CEIL, MG_ROUND /* half to even */, MG_TRUNC, MG_FRAC,     // (floor…trunc are the identity on integers)
  MG_SIGMOID, MG_LOGSIGMOID, MG_SOFTPLUS /* beta 1, threshold 20 */, MG_SILU, MG_GELU /* exact, by erf */,
  MG_GELU_TANH, MG_SOFTSIGN, MG_MISH, MG_HARDTANH /* [-1, 1] */, MG_RELU6, MG_HARDSIGMOID, MG_HARDSWISH,
  MG_UNARY_COUNT
} mg_unary_op;

/// y[i] = op(x[i]) in x's own dtype; y contiguous, may be x when x is contiguous.
void mg_unary(mg_unary_op op, mg_dtype dtype, int64_t n, const void *x, int64_t x_stride, void *y);
/// The same over a loop nest (operand 1 is x); splits long loops over the pool.
void mg_unary_nd(mg_unary_op op, mg_dtype dtype, const mg_loop *loop, const void *x, void *y);
/// Whether `op` is defined for `dtype`.
bool mg_unary_has(mg_unary_op op, mg_dtype dtype);

typedef enum { MG_ISNAN = 0, MG_ISINF, MG_ISFINITE, MG_LOGICAL_NOT, MG_NONZERO, MG_SIGNBIT, MG_PREDICATE_COUNT } mg_predicate_op;
/// y[i] = predicate(x[i]) as bool, for every dtype.
void mg_predicate_nd(mg_predicate_op op, mg_dtype dtype, const mg_loop *loop, const void *x, void *y);

/// Elementwise maths with up to two numbers: clamp lo hi; leaky_relu slope; elu alpha; celu alpha; threshold t v;
/// softplus beta threshold; hardtanh lo hi; hardshrink l; softshrink l. float32 and float64; clamp for every dtype
/// (integers get `lo`/`hi` already rounded to values of the dtype; a NaN bound means none).
typedef enum {
  MG_CLAMP = 0, MG_LEAKY_RELU, MG_ELU, MG_CELU, MG_THRESHOLD, MG_SOFTPLUS2, MG_HARDSHRINK, MG_SOFTSHRINK, MG_UNARY2_COUNT
} mg_unary2_op;
void mg_unary2_nd(mg_unary2_op op, mg_dtype dtype, const mg_loop *loop, const void *x, double p, double q, void *y);

typedef enum {
  MG_ADD = 0, MG_SUB, MG_MUL, MG_MAXIMUM, MG_MINIMUM,     // every numeric dtype (NaN propagates); bool: add is or, mul is and
  MG_FLOOR_DIVIDE, MG_REMAINDER, MG_FMOD, MG_POW,         // numeric; floor_divide, remainder: Python's sign rule.
                                                          // Integer division by 0 gives 0: the caller has checked.
                                                          // Integer pow: negative exponents give 0, ±1 for bases ±1.
  MG_DIV, MG_ATAN2, MG_HYPOT, MG_COPYSIGN, MG_XLOGY,      // float32, float64
  MG_BIT_AND, MG_BIT_OR, MG_BIT_XOR,                      // integers and bool
  MG_SHIFT_LEFT, MG_SHIFT_RIGHT,                          // integers; shifts outside 0..<width give 0 (or the sign)
  // Backward of common activations in one pass: a is the gradient g, b what the forward saved.
  MG_RELU_GRAD,      // 0 where y ≤ 0, else g, for NaN too (b = y)
  MG_SIGMOID_GRAD,   // g · y · (1 − y)               (b = y)
  MG_TANH_GRAD,      // g · (1 − y²)                  (b = y)
  MG_SILU_GRAD,      // g · s · (1 + x · (1 − s)), s the sigmoid of x   (b = x, here and below)
  MG_GELU_GRAD,      // g · (Φ(x) + x · φ(x))
  MG_GELU_TANH_GRAD, // the same of the approximation by tanh
  MG_BINARY_COUNT
} mg_binary_op;

/// y[i] = op(a[i], b[i]); a, b, y of one dtype; y contiguous, may be a or b where that one is contiguous.
void mg_binary(mg_binary_op op, mg_dtype dtype, int64_t n, const void *a, int64_t a_stride, const void *b, int64_t b_stride,
               void *y);
/// The same over a loop nest (operands 1 and 2 are a and b).
void mg_binary_nd(mg_binary_op op, mg_dtype dtype, const mg_loop *loop, const void *a, const void *b, void *y);
bool mg_binary_has(mg_binary_op op, mg_dtype dtype);

typedef enum { MG_EQ = 0, MG_NE, MG_LT, MG_LE, MG_GT, MG_GE, MG_LOGICAL_AND, MG_LOGICAL_OR, MG_LOGICAL_XOR, MG_COMPARE_COUNT } mg_compare_op;
/// y[i] = a[i] op b[i] as bool, for every dtype.
void mg_compare_nd(mg_compare_op op, mg_dtype dtype, const mg_loop *loop, const void *a, const void *b, void *y);

/// y = c ? a : b with c of dtype bool; operands 1, 2, 3 are c, a, b. Any dtype.
void mg_where_nd(mg_dtype dtype, const mg_loop *loop, const void *c, const void *a, const void *b, void *y);
/// y[i] = x[i] + alpha · a[i] · b[i] (operands 1, 2, 3 are x, a, b) and y[i] = x[i] + alpha · a[i] / b[i]; floats.
void mg_addcmul_nd(mg_dtype dtype, const mg_loop *loop, const void *x, const void *a, const void *b, double alpha, void *y);
void mg_addcdiv_nd(mg_dtype dtype, const mg_loop *loop, const void *x, const void *a, const void *b, double alpha, void *y);
/// y[i] += alpha · x[i], contiguous; floats.
void mg_axpy(mg_dtype dtype, int64_t n, double alpha, const void *x, void *y);

// ---------------------------------------------------------------------------------------- moving and converting

/// y = (to) x over a loop nest where BOTH operands are strided (operand 0 is y, 1 is x). Float to integer truncates
/// toward zero and saturates (NaN gives 0); anything to bool is "not zero"; integers wrap. Equal dtypes just copy.
void mg_convert_nd(mg_dtype from, mg_dtype to, const mg_loop *loop, const void *x, void *y);
/// y[0..<n] = value, contiguous; `value` points to one element.
void mg_fill(mg_dtype dtype, int64_t n, const void *value, void *y);

// ---------------------------------------------------------------------------------------- reductions
// x is contiguous and read as [outer, n, inner]; y is contiguous [outer, inner]. n may be 0 where the operation has
// a neutral element (sum 0, prod 1, any 0, all 1, logsumexp −inf, norms 0).

typedef enum { MG_SUM = 0, MG_PROD, MG_MAX, MG_MIN, MG_REDUCE_COUNT } mg_reduce_op;
/// In x's dtype, wrapping for integers. Float sums are cascaded or pairwise (error grows with log n, not n) and do
/// not depend on the number of threads. max, min propagate NaN.
void mg_reduce(mg_reduce_op op, mg_dtype dtype, int64_t outer, int64_t n, int64_t inner, const void *x, void *y);
/// bool results of any dtype: is any / are all elements nonzero.
void mg_any(mg_dtype dtype, int64_t outer, int64_t n, int64_t inner, const void *x, void *y);
void mg_all(mg_dtype dtype, int64_t outer, int64_t n, int64_t inner, const void *x, void *y);
/// Index (0-based, int64) of the first largest / smallest; NaN counts as the extreme. `values` may be NULL.
void mg_argmax(mg_dtype dtype, int64_t outer, int64_t n, int64_t inner, const void *x, void *values, int64_t *indices);
void mg_argmin(mg_dtype dtype, int64_t outer, int64_t n, int64_t inner, const void *x, void *values, int64_t *indices);
/// Floats. Mean and the sum of squared deviations from it (two passes), for var and std. Either may be NULL.
void mg_moments(mg_dtype dtype, int64_t outer, int64_t n, int64_t inner, const void *x, void *mean, void *sum_squares);
void mg_logsumexp(mg_dtype dtype, int64_t outer, int64_t n, int64_t inner, const void *x, void *y);
/// (Σ|x|^p)^(1/p); p = 0 counts nonzeros, ±inf is max/min of |x|. Floats.
void mg_norm(mg_dtype dtype, int64_t outer, int64_t n, int64_t inner, const void *x, double p, void *y);
/// Running sum, product along n; y has x's shape. `reverse` runs from the end.
void mg_cumsum(mg_dtype dtype, int64_t outer, int64_t n, int64_t inner, bool reverse, const void *x, void *y);
void mg_cumprod(mg_dtype dtype, int64_t outer, int64_t n, int64_t inner, const void *x, void *y);

/// Rows of n, contiguous [rows, n]; floats; y may be x. Backward: dx from g and the forward's y.
void mg_softmax(mg_dtype dtype, int64_t rows, int64_t n, const void *x, void *y);
void mg_log_softmax(mg_dtype dtype, int64_t rows, int64_t n, const void *x, void *y);
void mg_softmax_grad(mg_dtype dtype, int64_t rows, int64_t n, const void *g, const void *y, void *dx);
void mg_log_softmax_grad(mg_dtype dtype, int64_t rows, int64_t n, const void *g, const void *y, void *dx);

/// Stable sort of rows of n < 2³²; NaN is largest; indices are 0-based and may be NULL. Rows go to as many threads as there
/// are lanes, and `scratch` holds 2 · n · lanes int64.
void mg_sort(mg_dtype dtype, int64_t rows, int64_t n, bool descending, const void *x, void *values, int64_t *indices,
             int64_t *scratch, int64_t lanes);

// ---------------------------------------------------------------------------------------- indexing
// Positions are int64 and count from `first`, 0 or 1; negative ones count from the end, and false comes back where one is neither
// in first ..< first + n nor in −n ..< 0, for which nothing is read or written; what else was written is unspecified then. `at`, where not NULL, is left the positions from 0.
// Element kinds are by size where values only move.

/// y[o, j, i] = x[o, index[j], i], x [outer, n, inner] contiguous, y [outer, count, inner].
bool mg_index_select(size_t element, int64_t outer, int64_t n, int64_t first, int64_t inner, int64_t count,
                     const int64_t *index, int64_t *at, const void *x, void *y);
/// y[o, index[j], i] += x[o, j, i], y [outer, n, inner], x [outer, count, inner]. Numeric dtypes.
bool mg_index_add(mg_dtype dtype, int64_t outer, int64_t n, int64_t first, int64_t inner, int64_t count,
                  const int64_t *index, int64_t *at, const void *x, void *y);
/// Elements by a position for each. Operand 0 of the nest is index (and at), adjacent along the last dimension; operand 1 the
/// table, with stride 0 along the dimension in which positions point, where its elements are `step` apart:
/// y = table[… index …], where y has operand 0's strides;  table[… index …] = x and += x, where x is operand 2.
/// Of several writes to one place the last in row-major order stays.
bool mg_gather(size_t element, const mg_loop *loop, int64_t n, int64_t first, int64_t step, const int64_t *index, int64_t *at,
               const void *table, void *y);
bool mg_scatter(size_t element, const mg_loop *loop, int64_t n, int64_t first, int64_t step, const int64_t *index, int64_t *at,
                const void *x, void *table);
bool mg_scatter_add(mg_dtype dtype, const mg_loop *loop, int64_t n, int64_t first, int64_t step, const int64_t *index, int64_t *at,
                    const void *x, void *table);
/// Only the check, and `at`; negative ones are out of range where they do not count from the end.
bool mg_positions(int64_t count, int64_t n, int64_t first, bool from_end, const int64_t *index, int64_t *at);

// ---------------------------------------------------------------------------------------- random numbers

/// The next 624 words of the Mersenne Twister from its state; and those that the state stands for.
void mg_twister_next(uint32_t *state, uint32_t *words);
void mg_twister_temper(const uint32_t *state, uint32_t *words);
/// Words that lie at y to numbers: low + width · (their lower 24 bits · 2⁻²⁴).
void mg_uniform_f32(int64_t n, float *y, float low, float width);
/// Blocks of 16 numbers in [0, 1) to normally distributed ones.
void mg_normal_f32(int64_t blocks, float *y, float mean, float std);

// ---------------------------------------------------------------------------------------- products

/// C = op(A) · op(B) (+ C when accumulate) for row-major matrices, op(A) m×k, op(B) k×n; ld* are row strides of the
/// stored matrices. `bias` (or NULL) holds n values added to every row of the result. Meant for small products: no
/// threads, no packing beyond a stack buffer.
void mg_gemm_small_f32(bool transpose_a, bool transpose_b, int64_t m, int64_t n, int64_t k, const float *a, int64_t lda,
                       const float *b, int64_t ldb, bool accumulate, const float *bias, float *c, int64_t ldc);
/// The same for any size: blocked, packed, and split over the pool when large. Small products go the way of the above.
void mg_gemm_f32(bool transpose_a, bool transpose_b, int64_t m, int64_t n, int64_t k, const float *a, int64_t lda,
                 const float *b, int64_t ldb, bool accumulate, const float *bias, float *c, int64_t ldc);
/// The same in double precision.
void mg_gemm_f64(bool transpose_a, bool transpose_b, int64_t m, int64_t n, int64_t k, const double *a, int64_t lda,
                 const double *b, int64_t ldb, bool accumulate, const double *bias, double *c, int64_t ldc);
/// C[i] = op(A[i]) · op(B[i]) for matrices that lie `a_stride` and `b_stride` elements apart, results one behind the other. The
/// threads share what they share best: the batch where products are small, else each product.
void mg_gemm_batch_f32(int64_t batches, bool transpose_a, bool transpose_b, int64_t m, int64_t n, int64_t k, const float *a,
                       int64_t lda, int64_t a_stride, const float *b, int64_t ldb, int64_t b_stride, float *c);
/// The same in double precision.
void mg_gemm_batch_f64(int64_t batches, bool transpose_a, bool transpose_b, int64_t m, int64_t n, int64_t k, const double *a,
                       int64_t lda, int64_t a_stride, const double *b, int64_t ldb, int64_t b_stride, double *c);
/// mg_gemm for int64, int32 and uint8 (wrapping); a plain loop.
void mg_gemm_int(mg_dtype dtype, bool transpose_a, bool transpose_b, int64_t m, int64_t n, int64_t k, const void *a,
                 int64_t lda, const void *b, int64_t ldb, void *c, int64_t ldc);
/// y[r, :] += bias for rows of n. Floats.
void mg_add_row(mg_dtype dtype, int64_t rows, int64_t n, const void *bias, void *y);

// ---------------------------------------------------------------------------------------- optimizers
/// One update in place, PyTorch's formulas. p, g, buffers: contiguous, n elements. Floats.
/// SGD: g += weight_decay·p; if momentum: buf = first ? g : momentum·buf + (1−dampening)·g; g = nesterov ? g +
/// momentum·buf : buf; p −= lr·g (p += when maximize, where g is negated first). `buf` may be NULL when momentum is 0.
void mg_sgd(mg_dtype dtype, int64_t n, void *p, const void *g, void *buf, double lr, double momentum, double dampening,
            double weight_decay, bool nesterov, bool maximize, bool first);
/// Adam / AdamW (decoupled), bias-corrected with PyTorch's order of operations for step ≥ 1:
/// m = lerp(m, g, 1−β1); v = β2·v + (1−β2)·g²; denom = sqrt(v)/sqrt(1−β2^t) + eps; p −= lr/(1−β1^t) · m/denom.
/// `vmax` is NULL unless amsgrad.
void mg_adam(mg_dtype dtype, int64_t n, void *p, const void *g, void *m, void *v, void *vmax, int64_t step, double lr,
             double beta1, double beta2, double eps, double weight_decay, bool decoupled, bool maximize);
/// RMSprop: v = α·v + (1−α)·g²; with `mean`, m = lerp(m, g, 1−α) and v − m² in v's place below; step = g/(√v + eps);
/// with `buf`, buf = momentum·buf + step; p −= lr · (buf or step). NULL where there is no mean or momentum.
void mg_rmsprop(mg_dtype dtype, int64_t n, void *p, const void *g, void *v, void *mean, void *buf, double lr, double alpha,
                double eps, double weight_decay, double momentum, bool maximize);
/// Adagrad: sum += g²; p −= lr · g/(√sum + eps). `lr` has decayed already.
void mg_adagrad(mg_dtype dtype, int64_t n, void *p, const void *g, void *sum, double lr, double eps, double weight_decay,
                bool maximize);
/// Adadelta: v = ρ·v + (1−ρ)·g²; δ = √(deltas + eps)/√(v + eps)·g; deltas = ρ·deltas + (1−ρ)·δ²; p −= lr·δ.
void mg_adadelta(mg_dtype dtype, int64_t n, void *p, const void *g, void *v, void *deltas, double lr, double rho, double eps,
                 double weight_decay, bool maximize);
/// Adamax: m = lerp(m, g, 1−β1); norm = max(β2·norm, |g| + eps); p −= lr/(1−β1^t) · m/norm, step t ≥ 1.
void mg_adamax(mg_dtype dtype, int64_t n, void *p, const void *g, void *m, void *norm, int64_t step, double lr, double beta1,
               double beta2, double eps, double weight_decay, bool maximize);
/// NAdam: m, v as Adam's; p = shrink·p; d = √(v/(1−β2^t)) + eps; p −= gradient_rate · g/d; p −= mean_rate · m/d. The rates
/// hold the momentum schedule; weight_decay is 0 where the decay is decoupled, and shrink 1 where it is not.
void mg_nadam(mg_dtype dtype, int64_t n, void *p, const void *g, void *m, void *v, int64_t step, double gradient_rate,
              double mean_rate, double beta1, double beta2, double eps, double weight_decay, double shrink, bool maximize);
/// RAdam: m, v as Adam's; p −= m/correction·lr, times trust·root/(√v + eps) where trust is not negative.
void mg_radam(mg_dtype dtype, int64_t n, void *p, const void *g, void *m, void *v, double lr, double correction, double root,
              double trust, double beta1, double beta2, double eps, double weight_decay, double shrink, bool maximize);
/// ASGD: p = shrink·p − lr·g; mean moves towards p by weight.
void mg_asgd(mg_dtype dtype, int64_t n, void *p, const void *g, void *mean, double lr, double weight_decay, double shrink,
             double weight, bool maximize);
/// Rprop: sizes grow by `longer` where g keeps its sign and shrink by `shorter` where it turns, which takes no step.
void mg_rprop(mg_dtype dtype, int64_t n, void *p, const void *g, void *previous, void *size, double shorter, double longer,
              double least, double most, bool maximize);

// ---------------------------------------------------------------------------------------- the pool

/// Threads used by long loops that this thread starts, including itself. 1 runs everything on the caller, 0 takes as
/// many as the machine has (or $MOONGRAD_NUM_THREADS says).
void mg_set_threads(int32_t count);
int32_t mg_threads(void);
/// Runs body(context, begin, end) over [0, n) in chunks of about `grain`. The caller takes chunks itself until none
/// is left and then waits only for chunks that a worker has begun, so a descheduled worker delays at most one chunk.
/// Chunks are cut by `grain` alone, never by the number of threads.
/// Where the thread heeds a flag and that is raised, chunks that nobody began are left out, and so is what is left of a long one.
/// Returns the flag that it heeded before, NULL for none.
const volatile int *mg_heed(const volatile int *flag);
void mg_parallel(int64_t n, int64_t grain, void (*body)(void *context, int64_t begin, int64_t end), void *context);

#endif
