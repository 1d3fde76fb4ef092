// Windows of images reduced to one element each: the largest, with its place, or weighted sums along one dimension at a time.
#include "internal.h"

// MARK: The largest

/// Windows along three dimensions: that of place j begins at first[j] and has count[j] elements, `step` apart. Where the last
/// dimension's begin at −padding + j · stride and are cut at the ends only, whole rows are compared at a time.
typedef struct {
  mg_dtype dtype;
  int64_t size[3], places[3], step[3], stride, padding, taps;
  const int64_t *first[3], *count[3];
  const void *x;
  void *y;
  int64_t *at;
} maxima;

enum { PART = 128 };  // places of a row that are compared at a time

// A NaN is larger than anything, and the last of several is taken, as in PyTorch.
#define MAXIMA(tag, T, LOWEST)                                                                             \
  MG_CLONES static void compare_##tag(int64_t n, int64_t stride, int32_t at, const T *x, T *best, int32_t *places) { \
    if (stride == 1) {                                                                                     \
      MG_VECTORIZE                                                                                         \
      for (int64_t i = 0; i < n; i++) {                                                                    \
        T v = x[i];                                                                                        \
        bool takes = v > best[i] || v != v;                                                                \
        best[i] = takes ? v : best[i];                                                                     \
        places[i] = takes ? at + (int32_t)i : places[i];                                                   \
      }                                                                                                    \
    } else if (stride == 2) {                                                                              \
      MG_VECTORIZE                                                                                         \
      for (int64_t i = 0; i < n; i++) {                                                                    \
        T v = x[2 * i];                                                                                    \
        bool takes = v > best[i] || v != v;                                                                \
        best[i] = takes ? v : best[i];                                                                     \
        places[i] = takes ? at + 2 * (int32_t)i : places[i];                                               \
      }                                                                                                    \
    } else {                                                                                               \
      for (int64_t i = 0; i < n; i++) {                                                                    \
        T v = x[i * stride];                                                                               \
        bool takes = v > best[i] || v != v;                                                                \
        best[i] = takes ? v : best[i];                                                                     \
        places[i] = takes ? at + (int32_t)(i * stride) : places[i];                                        \
      }                                                                                                    \
    }                                                                                                      \
  }                                                                                                        \
  /* Windows of two by two that do not overlap, the commonest, without a round through memory for each tap. */\
  MG_CLONES static void squares_##tag(int64_t n, int64_t line, int32_t at, const T *x, T *y, int64_t *places) {\
    const T *below = x + line;                                                                             \
    MG_VECTORIZE                                                                                           \
    for (int64_t i = 0; i < n; i++) {                                                                      \
      T best = x[2 * i], v = x[2 * i + 1];                                                                 \
      int32_t place = at + 2 * (int32_t)i, other = place + 1;                                              \
      bool takes = v > best || v != v;                                                                     \
      best = takes ? v : best;                                                                             \
      place = takes ? other : place;                                                                       \
      v = below[2 * i];                                                                                    \
      other += (int32_t)line - 1;                                                                          \
      takes = v > best || v != v;                                                                          \
      best = takes ? v : best;                                                                             \
      place = takes ? other : place;                                                                       \
      v = below[2 * i + 1];                                                                                \
      takes = v > best || v != v;                                                                          \
      y[i] = takes ? v : best;                                                                             \
      places[i] = takes ? other + 1 : place;                                                               \
    }                                                                                                      \
  }                                                                                                        \
  static void rows_##tag(const maxima *m, int64_t begin, int64_t end) {                                    \
    int64_t width = m->places[2], inside = m->size[0] * m->size[1] * m->size[2];                           \
    T best[PART];                                                                                          \
    int32_t places[PART];                                                                                  \
    for (int64_t row = begin; row < end; row++) {                                                          \
      int64_t b = row % m->places[1], a = row / m->places[1] % m->places[0];                               \
      const T *x = (const T *)m->x + row / m->places[1] / m->places[0] * inside;                           \
      T *y = (T *)m->y + row * width;                                                                      \
      int64_t *at = m->at + row * width;                                                                   \
      if (m->stride == 2 && m->taps == 2 && m->step[2] == 1 && m->padding == 0 && m->count[0][a] == 1 && m->count[1][b] == 2 && \
          m->size[2] >= 2 * width) {                                                                       \
        int64_t first = (m->first[0][a] * m->size[1] + m->first[1][b]) * m->size[2];                       \
        squares_##tag(width, m->step[1] * m->size[2], (int32_t)first, x + first, y, at);                   \
        continue;                                                                                          \
      }                                                                                                    \
      for (int64_t part = 0; part < width; part += PART) {                                                 \
        int64_t n = mg_min64(PART, width - part);                                                          \
        for (int64_t i = 0; i < n; i++) {                                                                  \
          best[i] = LOWEST;                                                                                \
          places[i] = (int32_t)((m->first[0][a] * m->size[1] + m->first[1][b]) * m->size[2] + m->first[2][part + i]); \
        }                                                                                                  \
        for (int64_t p = 0; p < m->count[0][a]; p++)                                                       \
          for (int64_t q = 0; q < m->count[1][b]; q++) {                                                   \
            int64_t line = ((m->first[0][a] + p * m->step[0]) * m->size[1] + m->first[1][b] + q * m->step[1]) * m->size[2]; \
            if (m->stride > 0) {                                                                           \
              for (int64_t tap = 0; tap < m->taps; tap++) {                                                \
                int64_t shift = tap * m->step[2] - m->padding;                                             \
                int64_t low = shift >= 0 ? 0 : (-shift + m->stride - 1) / m->stride;                       \
                int64_t high = m->size[2] <= shift ? 0 : (m->size[2] - shift - 1) / m->stride + 1;         \
                low = mg_max64(low - part, 0);                                                             \
                high = mg_min64(high - part, n);                                                           \
                if (low >= high) continue;                                                                 \
                int64_t from = line + (part + low) * m->stride + shift;                                    \
                compare_##tag(high - low, m->stride, (int32_t)from, x + from, best + low, places + low);   \
              }                                                                                            \
            } else {                                                                                       \
              for (int64_t i = 0; i < n; i++)                                                              \
                for (int64_t tap = 0; tap < m->count[2][part + i]; tap++)                                  \
                  compare_##tag(1, 1, (int32_t)(line + m->first[2][part + i] + tap),                       \
                                x + line + m->first[2][part + i] + tap, best + i, places + i);             \
            }                                                                                              \
          }                                                                                                \
        for (int64_t i = 0; i < n; i++) {                                                                  \
          y[part + i] = best[i];                                                                           \
          at[part + i] = places[i];                                                                        \
        }                                                                                                  \
      }                                                                                                    \
    }                                                                                                      \
  }
MAXIMA(f32, float, -INFINITY)
MAXIMA(f64, double, -INFINITY)
MAXIMA(i64, int64_t, INT64_MIN)
MAXIMA(i32, int32_t, INT32_MIN)
MAXIMA(u8, uint8_t, 0)

static void maxima_body(void *context, int64_t begin, int64_t end) {
  const maxima *m = context;
  switch (m->dtype) {
    case MG_F32: rows_f32(m, begin, end); break;
    case MG_F64: rows_f64(m, begin, end); break;
    case MG_I64: rows_i64(m, begin, end); break;
    case MG_I32: rows_i32(m, begin, end); break;
    default: rows_u8(m, begin, end); break;
  }
}

/// The largest element of each window of planes x[plane, …] of fewer than 2³¹ elements, and where in its plane it lies.
/// Operands x, y, places (int64), windows: sizes[3], places[3], steps[3], the last dimension's stride (0 where its windows lie
/// irregularly), padding and taps, then for each dimension first[places] and count[places]. Size planes.
MG_KERNEL(window_maxima) {
  const int64_t *w = call->operand[3];
  maxima m = {.dtype = call->dtype, .stride = w[9], .padding = w[10], .taps = w[11], .x = call->operand[0],
              .y = call->operand[1], .at = call->operand[2]};
  memcpy(m.size, w, sizeof m.size);
  memcpy(m.places, w + 3, sizeof m.places);
  memcpy(m.step, w + 6, sizeof m.step);
  w += 12;
  int64_t taps = 1;
  for (int d = 0; d < 3; d++) {
    m.first[d] = w;
    m.count[d] = w + m.places[d];
    w += 2 * m.places[d];
    taps *= m.places[d] > 0 ? m.count[d][m.places[d] / 2] : 1;
  }
  int64_t rows = call->size[0] * m.places[0] * m.places[1];
  if (rows == 0 || m.places[2] == 0) return;
  mg_share(rows, MG_GRAIN / (m.places[2] * taps + 16) + 1, maxima_body, &m);
}

// MARK: Weighted sums

typedef struct {
  mg_dtype dtype;
  int64_t n, m, inner;
  const void *x;
  void *y;
  const int64_t *start, *position;
  const double *weight;
} sums;

#define SUMS(tag, T)                                                                                \
  MG_CLONES static void lines_##tag(const sums *s, int64_t begin, int64_t end) {                    \
    int64_t inner = s->inner;                                                                       \
    for (int64_t line = begin; line < end; line++) {                                                \
      int64_t j = line % s->m;                                                                      \
      const T *x = (const T *)s->x + line / s->m * s->n * inner;                                    \
      T *y = (T *)s->y + line * inner;                                                              \
      int64_t t = s->start[j], last = s->start[j + 1];                                              \
      if (t == last) memset(y, 0, (size_t)inner * sizeof(T));                                       \
      else if (last - t == 2) {                                                                     \
        const T *a = x + s->position[t] * inner, *b = x + s->position[t + 1] * inner;               \
        T u = (T)s->weight[t], v = (T)s->weight[t + 1];                                             \
        MG_VECTORIZE                                                                                \
        for (int64_t i = 0; i < inner; i++) y[i] = u * a[i] + v * b[i];                             \
      } else {                                                                                      \
        const T *a = x + s->position[t] * inner;                                                    \
        T u = (T)s->weight[t];                                                                      \
        MG_VECTORIZE                                                                                \
        for (int64_t i = 0; i < inner; i++) y[i] = u * a[i];                                        \
        for (t++; t < last; t++) {                                                                  \
          const T *b = x + s->position[t] * inner;                                                  \
          T v = (T)s->weight[t];                                                                    \
          MG_VECTORIZE                                                                              \
          for (int64_t i = 0; i < inner; i++) y[i] += v * b[i];                                     \
        }                                                                                           \
      }                                                                                             \
    }                                                                                               \
  }                                                                                                 \
  MG_CLONES static void within_##tag(const sums *s, int64_t begin, int64_t end) {                   \
    int64_t m = s->m;                                                                               \
    int64_t taps = m > 0 ? s->start[1] - s->start[0] : 0;                                           \
    for (int64_t j = 0; j < m; j++)                                                                 \
      if (s->start[j + 1] - s->start[j] != taps) taps = -1;                                         \
    for (int64_t row = begin; row < end; row++) {                                                   \
      const T *x = (const T *)s->x + row * s->n;                                                    \
      T *y = (T *)s->y + row * m;                                                                   \
      if (taps == 1) {                                                                              \
        for (int64_t j = 0; j < m; j++) y[j] = (T)s->weight[j] * x[s->position[j]];                 \
      } else if (taps == 2) {                                                                       \
        for (int64_t j = 0; j < m; j++)                                                             \
          y[j] = (T)s->weight[2 * j] * x[s->position[2 * j]] + (T)s->weight[2 * j + 1] * x[s->position[2 * j + 1]]; \
      } else {                                                                                      \
        for (int64_t j = 0; j < m; j++) {                                                           \
          T sum = 0;                                                                                \
          for (int64_t t = s->start[j]; t < s->start[j + 1]; t++) sum += (T)s->weight[t] * x[s->position[t]]; \
          y[j] = sum;                                                                               \
        }                                                                                           \
      }                                                                                             \
    }                                                                                               \
  }
MG_FLOATS(SUMS)

static void lines_body(void *context, int64_t begin, int64_t end) {
  const sums *s = context;
  if (s->dtype == MG_F32) lines_f32(s, begin, end);
  else lines_f64(s, begin, end);
}
static void within_body(void *context, int64_t begin, int64_t end) {
  const sums *s = context;
  if (s->dtype == MG_F32) within_f32(s, begin, end);
  else within_f64(s, begin, end);
}

/// y[o, j, i] = Σ weight[t] · x[o, position[t], i] over t from start[j] to start[j + 1], x [outer, n, inner], y [outer, m, inner].
/// Operands x, y, start (m + 1 int64), position (int64), weight (float64); sizes outer, n, m, inner.
MG_KERNEL(weighted_sums) {
  sums s = {.dtype = call->dtype, .n = call->size[1], .m = call->size[2], .inner = call->size[3], .x = call->operand[0],
            .y = call->operand[1], .start = call->operand[2], .position = call->operand[3], .weight = call->operand[4]};
  int64_t outer = call->size[0];
  if (outer == 0 || s.m == 0 || s.inner == 0) return;
  int64_t taps = s.start[s.m] / s.m + 1;
  if (s.inner == 1) mg_share(outer, MG_GRAIN / (s.m * taps) + 1, within_body, &s);
  else mg_share(outer * s.m, MG_GRAIN / (s.inner * taps) + 1, lines_body, &s);
}
