// float32 rows of softmax.c for one level of the CPU: a body, see levels.h.

#include "maths_f32.h"

/// The largest element, not counting NaN, which comes back in through the exponentials.
FUNCTION float LEVEL(max_row)(int64_t n, const float *x) {
  F a = -INFINITY, b = a, c = a, d = a, v;
  int64_t i = 0;
  for (; i + 64 <= n; i += 64) {
    v = MG_LOAD(F, x + i);
    a = v > a ? v : a;
    v = MG_LOAD(F, x + i + 16);
    b = v > b ? v : b;
    v = MG_LOAD(F, x + i + 32);
    c = v > c ? v : c;
    v = MG_LOAD(F, x + i + 48);
    d = v > d ? v : d;
  }
  for (; i + 16 <= n; i += 16) {
    v = MG_LOAD(F, x + i);
    a = v > a ? v : a;
  }
  if (i < n) {
    v = LEVEL(load_few)(n - i, x + i, -INFINITY);
    b = v > b ? v : b;
  }
  a = a > b ? a : b;
  c = c > d ? c : d;
  return MG_LARGEST16(a > c ? a : c);
}

/// y = e^(x − max) if `keep`, returning the sum. y may be x.
FUNCTION double LEVEL(exp_row)(int64_t n, const float *x, float max, bool keep, float *y) {
  int64_t whole = n & ~(int64_t)15;
  F a = 0, b = 0, v, w;
  double total = 0;
  for (int64_t begin = 0; begin < whole; begin += MG_BLOCK) {  // after a block the sum goes on in double
    int64_t end = mg_min64(whole, begin + MG_BLOCK), i = begin;
    if (mg_was_left(begin)) return total;
    for (; i + 32 <= end; i += 32) {
      v = LEVEL(exp_negative)(MG_LOAD(F, x + i) - max);
      w = LEVEL(exp_negative)(MG_LOAD(F, x + i + 16) - max);
      if (keep) {
        MG_STORE(F, v, y + i);
        MG_STORE(F, w, y + i + 16);
      }
      a += v;
      b += w;
    }
    if (i < end) {
      v = LEVEL(exp_negative)(MG_LOAD(F, x + i) - max);
      if (keep) MG_STORE(F, v, y + i);
      a += v;
    }
    if (end < whole) {
      total += MG_FOLD_SUM16(a + b);
      a = b = 0;
    }
  }
  if (whole < n) {  // −∞, unlike a difference with it, has the exponential 0 even where `max` is infinite
    v = LEVEL(load_few)(n - whole, x + whole, max) - max;
    for (int j = 0; j < 16; j++) v[j] = j < n - whole ? v[j] : -INFINITY;
    v = LEVEL(exp_negative)(v);
    if (keep) LEVEL(store_few)(n - whole, v, y + whole);
    b += v;
  }
  return total + MG_FOLD_SUM16(a + b);
}

/// The next row's maximum is looked for between a row's sum and its use, so that neither result is waited for.
static void LEVEL(softmax)(int64_t rows, int64_t n, const float *x, float *y) {
  float max = rows > 0 ? LEVEL(max_row)(n, x) : 0;
  for (int64_t r = 0; r < rows; r++, x += n, y += n) {
    double sum = LEVEL(exp_row)(n, x, max, true, y);
    if (mg_was_left(n)) return;
    if (r + 1 < rows) max = LEVEL(max_row)(n, x + n);
    float scale = (float)(1 / sum);
    int64_t i = 0;
    for (; i + 16 <= n; i += 16) MG_STORE(F, MG_LOAD(F, y + i) * scale, y + i);
    if (i < n) LEVEL(store_few)(n - i, LEVEL(load_few)(n - i, y + i, 0) * scale, y + i);
  }
}

/// The logarithms of 16 sums, as exact as a float can say: what rounding took off a sum is added to its logarithm.
FUNCTION F LEVEL(log_sums)(const double *sums) {
  mg_f64x16 exact = MG_LOAD(mg_f64x16, sums);
  F near = __builtin_convertvector(exact, F);
  F lost = __builtin_convertvector(exact - __builtin_convertvector(near, mg_f64x16), F);
  return LEVEL(log)(near) + lost / near;
}

/// Rows that are looked at together, so that 16 logarithms take the time of one; rows of some length are faster one by one.
FUNCTION int64_t LEVEL(together)(int64_t rows, int64_t n) { return n > 256 ? 1 : mg_min64(rows, 16); }

static void LEVEL(log_softmax)(int64_t rows, int64_t n, const float *x, float *y) {
  double sums[16] = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1};
  float largest[16];
  for (int64_t count; rows > 0; rows -= count) {
    count = LEVEL(together)(rows, n);
    for (int64_t r = 0; r < count; r++) {
      largest[r] = LEVEL(max_row)(n, x + r * n);
      sums[r] = LEVEL(exp_row)(n, x + r * n, largest[r], false, NULL);
    }
    if (mg_was_left(n)) return;
    F shifts = LEVEL(log_sums)(sums);
    for (int64_t r = 0; r < count; r++, x += n, y += n) {
      float max = largest[r], shift = shifts[r];
      int64_t i = 0;
      for (; i + 16 <= n; i += 16) MG_STORE(F, MG_LOAD(F, x + i) - max - shift, y + i);
      if (i < n) LEVEL(store_few)(n - i, LEVEL(load_few)(n - i, x + i, 0) - max - shift, y + i);
    }
  }
}

static void LEVEL(logsumexp)(int64_t rows, int64_t n, const float *x, float *y) {
  double sums[16] = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1};
  float largest[16];
  for (int64_t count; rows > 0; rows -= count, x += count * n, y += count) {
    count = LEVEL(together)(rows, n);
    for (int64_t r = 0; r < count; r++) {
      largest[r] = LEVEL(max_row)(n, x + r * n);
      sums[r] = __builtin_isinf(largest[r]) ? 1 : LEVEL(exp_row)(n, x + r * n, largest[r], false, NULL);
    }
    F logs = LEVEL(log_sums)(sums);
    for (int64_t r = 0; r < count; r++) {
      // An infinite (or no) maximum is the result, unless there is a NaN; subtracting it would give NaN.
      y[r] = __builtin_isinf(largest[r]) ? (float)mg_row_max_f32(n, x + r * n) : (float)((double)largest[r] + logs[r]);
    }
  }
}

/// Σ g·y.
FUNCTION double LEVEL(dot_row)(int64_t n, const float *g, const float *y) {
  double total = 0;
  for (int64_t begin = 0; begin < n; begin += MG_BLOCK) {
    int64_t end = mg_min64(n, begin + MG_BLOCK), i = begin;
    if (mg_was_left(begin)) return total;
    F a = 0, b = 0;
    for (; i + 32 <= end; i += 32) {
      a += MG_LOAD(F, g + i) * MG_LOAD(F, y + i);
      b += MG_LOAD(F, g + i + 16) * MG_LOAD(F, y + i + 16);
    }
    if (i + 16 <= end) {
      a += MG_LOAD(F, g + i) * MG_LOAD(F, y + i);
      i += 16;
    }
    if (i < end) b += LEVEL(load_few)(end - i, g + i, 0) * LEVEL(load_few)(end - i, y + i, 0);
    total += MG_FOLD_SUM16(a + b);
  }
  return total;
}

static void LEVEL(softmax_grad)(int64_t rows, int64_t n, const float *g, const float *y, float *dx) {
  for (int64_t r = 0; r < rows; r++, g += n, y += n, dx += n) {
    float sum = (float)LEVEL(dot_row)(n, g, y);
    int64_t i = 0;
    for (; i + 16 <= n; i += 16) MG_STORE(F, MG_LOAD(F, y + i) * (MG_LOAD(F, g + i) - sum), dx + i);
    if (i < n) {
      F v = LEVEL(load_few)(n - i, y + i, 0) * (LEVEL(load_few)(n - i, g + i, 0) - sum);
      LEVEL(store_few)(n - i, v, dx + i);
    }
  }
}

static void LEVEL(log_softmax_grad)(int64_t rows, int64_t n, const float *g, const float *y, float *dx) {
  for (int64_t r = 0; r < rows; r++, g += n, y += n, dx += n) {
    float sum = (float)mg_row_sum_f32(n, g);
    int64_t i = 0;
    for (; i + 16 <= n; i += 16) MG_STORE(F, MG_LOAD(F, g + i) - LEVEL(exp)(MG_LOAD(F, y + i)) * sum, dx + i);
    if (i < n) {
      F v = LEVEL(load_few)(n - i, g + i, 0) - LEVEL(exp)(LEVEL(load_few)(n - i, y + i, 0)) * sum;
      LEVEL(store_few)(n - i, v, dx + i);
    }
  }
}

/// dx = scale · (e^logp − onehot).
static void LEVEL(cross_entropy_grad)(int64_t n, const float *logp, int64_t target, float scale, float *dx) {
  float one = logp[target];
  int64_t i = 0;
  for (; i + 16 <= n; i += 16) MG_STORE(F, LEVEL(exp)(MG_LOAD(F, logp + i)) * scale, dx + i);
  if (i < n) LEVEL(store_few)(n - i, LEVEL(exp)(LEVEL(load_few)(n - i, logp + i, 0)) * scale, dx + i);
  F e = LEVEL(exp)((F)one);
  dx[target] = scale * (e[0] - 1);
}

static const softmax_table LEVEL(table) = {
  LEVEL(softmax), LEVEL(log_softmax), LEVEL(logsumexp), LEVEL(softmax_grad), LEVEL(log_softmax_grad),
  LEVEL(cross_entropy_grad),
};

#include "maths_f32_end.h"
