// Windows of images as columns, and columns added back into images: what convolutions without a library are made of, and
// what fold and unfold are.
#include "internal.h"

/// How windows lie over up to three dimensions, the first ones 1 where there are fewer.
typedef struct {
  int64_t input[3], kernel[3], output[3], stride[3], padding[3], dilation[3];
} windows;

typedef struct {
  windows w;
  size_t element;
  mg_dtype dtype;
  int64_t inside, places, taps;
  const char *x;
  char *y;
} columns;

/// Which places of a row of windows have their tap `k` inside of the image: first ≤ place < end.
static inline void reach(const windows *w, int d, int64_t k, int64_t *first, int64_t *end) {
  int64_t shift = k * w->dilation[d] - w->padding[d], stride = w->stride[d], size = w->input[d];
  *first = shift >= 0 ? 0 : (-shift + stride - 1) / stride;
  *end = size <= shift ? 0 : (size - shift - 1) / stride + 1;
  if (*end > w->output[d]) *end = w->output[d];
  if (*first > *end) *first = *end;
}

#define GATHER(T)                                                               \
  static void gather_##T(int64_t n, int64_t stride, const T *x, T *y) {         \
    for (int64_t i = 0; i < n; i++) y[i] = x[i * stride];                       \
  }
GATHER(uint8_t) GATHER(uint32_t) GATHER(uint64_t)

static void strided(size_t element, int64_t n, int64_t stride, const char *x, char *y) {
  if (stride == 1) memcpy(y, x, (size_t)n * element);
  else if (element == 1) gather_uint8_t(n, stride, (const uint8_t *)x, (uint8_t *)y);
  else if (element == 4) gather_uint32_t(n, stride, (const uint32_t *)x, (uint32_t *)y);
  else gather_uint64_t(n, stride, (const uint64_t *)x, (uint64_t *)y);
}

/// Rows begin…end of the columns, each one tap of one channel.
static void spread_body(void *context, int64_t begin, int64_t end) {
  const columns *c = context;
  const windows *w = &c->w;
  size_t e = c->element;
  int64_t width = w->output[2];
  for (int64_t row = begin; row < end; row++) {
    int64_t channel = row / c->taps, tap = row % c->taps;
    int64_t k[3] = {tap / (w->kernel[1] * w->kernel[2]), tap / w->kernel[2] % w->kernel[1], tap % w->kernel[2]};
    int64_t first[3], last[3];
    for (int d = 0; d < 3; d++) reach(w, d, k[d], &first[d], &last[d]);
    const char *x = c->x + (size_t)(channel * c->inside) * e;
    char *y = c->y + (size_t)(row * c->places) * e;
    if (first[0] > 0 || first[1] > 0 || first[2] > 0 || last[0] < w->output[0] || last[1] < w->output[1] || last[2] < width)
      memset(y, 0, (size_t)c->places * e);
    int64_t n = last[2] - first[2];
    if (n <= 0) continue;
    for (int64_t a = first[0]; a < last[0]; a++)
      for (int64_t b = first[1]; b < last[1]; b++) {
        int64_t p = a * w->stride[0] + k[0] * w->dilation[0] - w->padding[0];
        int64_t q = b * w->stride[1] + k[1] * w->dilation[1] - w->padding[1];
        int64_t r = first[2] * w->stride[2] + k[2] * w->dilation[2] - w->padding[2];
        strided(e, n, w->stride[2], x + (size_t)((p * w->input[1] + q) * w->input[2] + r) * e,
                y + (size_t)((a * w->output[1] + b) * width + first[2]) * e);
      }
  }
}

#define COLLECT(tag, T)                                                                          \
  MG_CLONES static void add_##tag(int64_t n, int64_t stride, const T *x, T *y) {                 \
    if (stride == 1) {                                                                           \
      MG_VECTORIZE                                                                               \
      for (int64_t i = 0; i < n; i++) y[i] += x[i];                                              \
    } else {                                                                                     \
      for (int64_t i = 0; i < n; i++) y[i * stride] += x[i];                                     \
    }                                                                                            \
  }                                                                                              \
  static void collect_##tag(const columns *c, int64_t begin, int64_t end) {                      \
    const windows *w = &c->w;                                                                    \
    int64_t width = w->output[2];                                                                \
    for (int64_t channel = begin; channel < end; channel++) {                                    \
      T *y = (T *)c->y + channel * c->inside;                                                    \
      memset(y, 0, (size_t)c->inside * sizeof(T));                                               \
      for (int64_t tap = 0; tap < c->taps; tap++) {                                              \
        int64_t k[3] = {tap / (w->kernel[1] * w->kernel[2]), tap / w->kernel[2] % w->kernel[1],  \
                        tap % w->kernel[2]};                                                     \
        int64_t first[3], last[3];                                                               \
        for (int d = 0; d < 3; d++) reach(w, d, k[d], &first[d], &last[d]);                      \
        const T *x = (const T *)c->x + (channel * c->taps + tap) * c->places;                    \
        int64_t n = last[2] - first[2];                                                          \
        if (n <= 0) continue;                                                                    \
        for (int64_t a = first[0]; a < last[0]; a++)                                             \
          for (int64_t b = first[1]; b < last[1]; b++) {                                         \
            int64_t p = a * w->stride[0] + k[0] * w->dilation[0] - w->padding[0];                \
            int64_t q = b * w->stride[1] + k[1] * w->dilation[1] - w->padding[1];                \
            int64_t r = first[2] * w->stride[2] + k[2] * w->dilation[2] - w->padding[2];         \
            add_##tag(n, w->stride[2], x + (a * w->output[1] + b) * width + first[2],            \
                      y + (p * w->input[1] + q) * w->input[2] + r);                              \
          }                                                                                      \
      }                                                                                          \
    }                                                                                            \
  }
MG_NUMBERS(COLLECT)

static void collect_body(void *context, int64_t begin, int64_t end) {
  const columns *c = context;
  switch (c->dtype) {
    case MG_F32: collect_f32(c, begin, end); break;
    case MG_F64: collect_f64(c, begin, end); break;
    case MG_I64: collect_i64(c, begin, end); break;
    case MG_I32: collect_i32(c, begin, end); break;
    default: collect_u8(c, begin, end); break;
  }
}

static columns described(const mg_call *call) {
  columns c = {.element = mg_size(call->dtype), .dtype = call->dtype, .x = call->operand[0], .y = call->operand[1]};
  memcpy(&c.w, call->operand[2], sizeof c.w);
  c.inside = c.w.input[0] * c.w.input[1] * c.w.input[2];
  c.places = c.w.output[0] * c.w.output[1] * c.w.output[2];
  c.taps = c.w.kernel[0] * c.w.kernel[1] * c.w.kernel[2];
  return c;
}

/// y[channel, tap, place] = what each tap of a window sees of x[channel, …], 0 outside. Operands x, y, windows (18 int64);
/// size channels.
MG_KERNEL(window_columns) {
  columns c = described(call);
  if (c.places == 0 || c.taps == 0) return;
  mg_share(call->size[0] * c.taps, MG_GRAIN / c.places + 1, spread_body, &c);
}

/// y[channel, …] = Σ x[channel, tap, place] over all taps that see the place. Operands x, y, windows; size channels.
MG_KERNEL(add_window_columns) {
  columns c = described(call);
  if (c.inside == 0) return;
  mg_share(call->size[0], MG_GRAIN / (c.places * c.taps + c.inside) + 1, collect_body, &c);
}
