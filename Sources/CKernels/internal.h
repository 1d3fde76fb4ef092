// What the kernels share: function clones for newer CPUs, the list of element types, and the driver that walks
// loop nests so that kernels themselves are plain contiguous loops.
#ifndef MG_INTERNAL_H
#define MG_INTERNAL_H

#include "mg_kernels.h"

#include <math.h>
#include <string.h>

#if defined(__linux__)
#include <features.h>  // for __GLIBC__
#endif
#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define MG_THREAD_SANITIZER 1
#endif
#endif

/// Compiles a function three times and picks one when the program is loaded. It needs glibc's ifuncs, whose
/// resolvers run before ThreadSanitizer's runtime is up and would crash there.
#if defined(__x86_64__) && defined(__GLIBC__) && !defined(MG_THREAD_SANITIZER)
#define MG_CLONES __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define MG_CLONES
#endif

#define MG_INLINE static inline __attribute__((always_inline))

/// Vectorises the loop that follows. In elementwise loops y may be an operand itself; element i depends on nothing
/// but elements i, so the check for overlap, which would send in-place calls to the scalar loop, is waived.
#define MG_VECTORIZE _Pragma("clang loop vectorize(assume_safety)")

/// Results must not depend on the clone: a product and a sum are fused only where `fma` is written.
#define MG_NO_CONTRACTION _Pragma("STDC FP_CONTRACT OFF")

/// Defines the kernel of one operation, which Tensors finds by its name (see Launch.swift):
/// `MG_KERNEL(hinge) { … call->operand[0] … }`.
#define MG_KERNEL(name)                                         \
  static void run_##name(mg_call *call);                        \
  __attribute__((constructor)) static void enter_##name(void) { \
    static mg_named kernel = {#name, run_##name, NULL};         \
    mg_enter(&kernel);                                          \
  }                                                             \
  static void run_##name(mg_call *call)
void mg_enter(mg_named *kernel);

/// X(tag, type) for each family of element types. bool is stored as uint8_t and has the tag b8.
#define MG_FLOATS(X) X(f32, float) X(f64, double)
#define MG_INTEGERS(X) X(i64, int64_t) X(i32, int32_t) X(u8, uint8_t)
#define MG_NUMBERS(X) MG_FLOATS(X) MG_INTEGERS(X)
#define MG_TYPES(X) MG_NUMBERS(X) X(b8, uint8_t)

/// case labels' dtype for a tag.
#define MG_TAG_f32 MG_F32
#define MG_TAG_f64 MG_F64
#define MG_TAG_i64 MG_I64
#define MG_TAG_i32 MG_I32
#define MG_TAG_u8 MG_U8
#define MG_TAG_b8 MG_BOOL

MG_INLINE size_t mg_size(mg_dtype dtype) {
  static const uint8_t sizes[MG_DTYPE_COUNT] = {4, 8, 8, 4, 1, 1, 2};
  return sizes[dtype];
}

/// Copies bytes between places that do not overlap, unless they are one.
///
/// A target that lies a little behind its source in the page (as after `roll`) is copied in vectors: there the processor's own
/// copying, to which memcpy leaves all that is long, goes a few bytes at a time on AMD's Zen (10⁶ floats: 585 µs, and 40 µs so).
MG_INLINE void mg_copy(void *target, const void *source, size_t bytes) {
  typedef uint64_t chunk __attribute__((vector_size(32), aligned(1), may_alias));
  char *y = target;
  const char *x = source;
  size_t behind = ((uintptr_t)y - (uintptr_t)x) % 4096;
  if (bytes < 1024 || behind == 0 || behind >= 64) {
    memmove(y, x, bytes);
    return;
  }
  size_t i = 0;
  for (; i + 64 <= bytes; i += 64) {
    chunk low = *(const chunk *)(x + i), high = *(const chunk *)(x + i + 32);
    *(chunk *)(y + i) = low;
    *(chunk *)(y + i + 32) = high;
  }
  memcpy(y + i, x + i, bytes - i);
}

MG_INLINE int64_t mg_min64(int64_t a, int64_t b) { return a < b ? a : b; }
MG_INLINE int64_t mg_max64(int64_t a, int64_t b) { return a > b ? a : b; }

/// Like mg_parallel for chunks of a few µs: sleeping threads are woken only if there are many of them.
void mg_share(int64_t n, int64_t grain, void (*body)(void *context, int64_t begin, int64_t end), void *context);

/// Whether the loop under way is to end: on its caller and on workers. What was computed is thrown away then, but must not be used
/// as if it were whole, as positions for instance. Once true it stays so until the kernel returns.
bool mg_is_stopped(void);

/// Whether this thread's loops can be stopped at all.
bool mg_is_heeding(void);
/// Runs `body`, whose operands are all of the call's dtype and of which the first alone is read, so that it can be left before its end.
void mg_call_apart(mg_call *call, void (*body)(mg_call *call));

/// Goes through [0, n) as `for` does, and is left early where the loop under way is to end; short ones never are. For loops that
/// may be long within one chunk.
enum { MG_PIECE = 1 << 18 };
#define MG_IN_PIECES(i, n)                                                                                    \
  for (int64_t i##_piece = 0; i##_piece < (n) && (i##_piece == 0 || !mg_is_stopped()); i##_piece += MG_PIECE) \
    for (int64_t i = i##_piece, i##_end = mg_min64(n, i##_piece + MG_PIECE); i < i##_end; i++)
/// Whether such a loop may have been left early, after it.
MG_INLINE bool mg_was_left(int64_t n) { return n > MG_PIECE && mg_is_stopped(); }
/// For rows of a loop: whether the loop under way is to end, asked once for every MG_PIECE of work. `done` is its account.
MG_INLINE bool mg_is_over(int64_t *done, int64_t work) {
  if ((*done += work) < MG_PIECE) return false;
  *done = 0;
  return mg_is_stopped();
}

/// Elements of cheap and of transcendental work worth a thread's while.
enum { MG_GRAIN = 32768, MG_GRAIN_MATH = 8192 };

/// A contiguous kernel as the driver sees it: y[i] = f(x[0][i], x[1][i], x[2][i]) for i < n. Bit k of `scalars`
/// says that x[k] points to a single value instead of n.
typedef struct mg_job mg_job;
struct mg_job {
  void (*kernel)(const mg_job *job, int64_t n, void *y, const void *const x[3], unsigned scalars);
  int32_t op;
  mg_dtype dtype;
  double p, q;
  int32_t inputs;
  uint8_t y_size, x_size[3];  // in bytes
  uint8_t modes;              // bit m is set where the kernel accepts scalars == m; mode 0 always
  int64_t grain;
};

/// Runs the job over a loop nest: operand 0 of the nest is y, contiguous; operands 1… are the inputs. Inputs that
/// are neither contiguous nor a single value are packed into a small buffer first. Long loops split over the pool.
void mg_drive(const mg_job *job, const mg_loop *loop, void *y, const void *const x[3]);

/// y[r · ys + c] = x[c · xs + r] for r < rows, c < columns; elements of `size` bytes. Fastest for tiles that stay in
/// the first cache.
void mg_transpose(size_t size, int64_t rows, int64_t columns, const void *x, int64_t xs, void *y, int64_t ys);

MG_INLINE int64_t mg_count(const mg_loop *loop) {
  int64_t n = 1;
  for (int32_t d = 0; d < loop->rank; d++) n *= loop->size[d];
  return n;
}

#endif
