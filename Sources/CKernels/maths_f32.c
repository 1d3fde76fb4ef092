// Loops over the float32 functions of maths_f32.h.
#include "maths_f32.h"
#include "maths.h"

enum { BLOCK = 16 };

/// Copies n < BLOCK elements, without the call that memcpy would be.
MG_INLINE void copy_few(int64_t n, const float *x, float *y) {
  if (n & 8) {
    memcpy(y, x, 32);
    x += 8, y += 8;
  }
  if (n & 4) {
    memcpy(y, x, 16);
    x += 4, y += 4;
  }
  if (n & 2) {
    memcpy(y, x, 8);
    x += 2, y += 2;
  }
  if (n & 1) *y = *x;
}

// Whole blocks, then the last block again where n is no multiple, from a copy made before y (which may be x) is
// written. A scalar loop over the rest would cost as much as 200 elements.
#define BLOCKS _Pragma("clang loop vectorize(assume_safety) vectorize_width(16) interleave_count(1)")
#define LOOP(name)                                                                                      \
  MG_CLONES static void loop_##name(int64_t n, const float *x, float *y) {                              \
    int64_t whole = n & ~(int64_t)(BLOCK - 1);                                                          \
    float last[BLOCK] = {0};                                                                            \
    if (whole) memcpy(last, x + n - BLOCK, sizeof last);                                                \
    else copy_few(n, x, last);                                                                          \
    BLOCKS for (int64_t i = 0; i < whole; i++) y[i] = mg_##name##f(x[i]);                               \
    if (whole == n) return;                                                                             \
    BLOCKS for (int i = 0; i < BLOCK; i++) last[i] = mg_##name##f(last[i]);                             \
    if (whole) memcpy(y + n - BLOCK, last, sizeof last);                                                \
    else copy_few(n, last, y);                                                                          \
  }
LOOP(exp)
LOOP(log)
LOOP(log1p)
LOOP(tanh)
LOOP(sigmoid)
LOOP(logsigmoid)
LOOP(softplus)
LOOP(silu)
LOOP(mish)
LOOP(gelu)
LOOP(gelu_tanh)

bool mg_fast_f32(mg_unary_op op, int64_t n, const float *x, float *y) {
  switch (op) {
    case MG_EXP: loop_exp(n, x, y); return true;
    case MG_LOG: loop_log(n, x, y); return true;
    case MG_LOG1P: loop_log1p(n, x, y); return true;
    case MG_TANH: loop_tanh(n, x, y); return true;
    case MG_SIGMOID: loop_sigmoid(n, x, y); return true;
    case MG_LOGSIGMOID: loop_logsigmoid(n, x, y); return true;
    case MG_SOFTPLUS: loop_softplus(n, x, y); return true;
    case MG_SILU: loop_silu(n, x, y); return true;
    case MG_MISH: loop_mish(n, x, y); return true;
    case MG_GELU: loop_gelu(n, x, y); return true;
    case MG_GELU_TANH: loop_gelu_tanh(n, x, y); return true;
    default: return false;
  }
}
