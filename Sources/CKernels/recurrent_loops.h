// The loops of recurrent.c for one level of the CPU: a body, see levels.h.

#include "maths_f32.h"

/// Some lanes of a row: all of them but at its end.
FUNCTION F LEVEL(some)(int64_t n, const float *x) { return n >= 16 ? MG_LOAD(F, x) : LEVEL(load_few)(n, x, 0); }
FUNCTION void LEVEL(put)(int64_t n, F v, float *y) {
  if (n >= 16) {
    MG_STORE(F, v, y);
  } else {
    LEVEL(store_few)(n, v, y);
  }
}

static void LEVEL(lstm_forward)(int64_t rows, int64_t hidden, float *gates, const float *added, const float *before, float *after,
                                float *state) {
  for (int64_t row = 0; row < rows; row++) {
    for (int64_t j = 0; j < hidden; j += 16) {
      int64_t n = hidden - j;
      F g[4];
      for (int k = 0; k < 4; k++) g[k] = LEVEL(some)(n, gates + k * hidden + j) + LEVEL(some)(n, added + k * hidden + j);
      for (int k = 0; k < 4; k++) {
        g[k] = k == 2 ? LEVEL(tanh)(g[k]) : LEVEL(sigmoid)(g[k]);
        LEVEL(put)(n, g[k], gates + k * hidden + j);
      }
      F c = g[1] * LEVEL(some)(n, before + j) + g[0] * g[2];
      LEVEL(put)(n, c, after + j);
      LEVEL(put)(n, g[3] * LEVEL(tanh)(c), state + j);
    }
    gates += 4 * hidden;
    added += 4 * hidden;
    before += hidden;
    after += hidden;
    state += hidden;
  }
}

static void LEVEL(lstm_backward)(int64_t rows, int64_t hidden, const float *gates, const float *before, const float *dh, float *dc,
                                 float *dgates) {
  for (int64_t row = 0; row < rows; row++) {
    for (int64_t j = 0; j < hidden; j += 16) {
      int64_t n = hidden - j;
      F i = LEVEL(some)(n, gates + j), f = LEVEL(some)(n, gates + hidden + j);
      F g = LEVEL(some)(n, gates + 2 * hidden + j), o = LEVEL(some)(n, gates + 3 * hidden + j);
      F c = LEVEL(some)(n, before + j), h = LEVEL(some)(n, dh + j);
      F t = LEVEL(tanh)(f * c + i * g);
      F d = LEVEL(some)(n, dc + j) + h * o * (1 - t * t);
      LEVEL(put)(n, d * g * (i * (1 - i)), dgates + j);
      LEVEL(put)(n, d * c * (f * (1 - f)), dgates + hidden + j);
      LEVEL(put)(n, d * i * (1 - g * g), dgates + 2 * hidden + j);
      LEVEL(put)(n, h * t * (o * (1 - o)), dgates + 3 * hidden + j);
      LEVEL(put)(n, d * f, dc + j);
    }
    gates += 4 * hidden;
    before += hidden;
    dh += hidden;
    dc += hidden;
    dgates += 4 * hidden;
  }
}
