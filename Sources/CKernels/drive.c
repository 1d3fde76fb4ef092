// The driver of loop nests: turns a nest over strided operands into calls of contiguous kernels.
#include "internal.h"

enum { CHUNK = 512, ROW = 64 };  // elements packed at once; shortest row worth a kernel call of its own

// MARK: packing

/// Copies n elements that lie `stride` apart.
#define PACK_ROW(tag, type)                                                                                   \
  static void pack_##tag(int64_t n, const type *x, int64_t stride, type *y) {                                 \
    if (stride == 1) {                                                                                        \
      memcpy(y, x, (size_t)n * sizeof(type));                                                                 \
    } else if (stride == 0) {                                                                                 \
      type v = *x;                                                                                            \
      for (int64_t i = 0; i < n; i++) y[i] = v;                                                               \
    } else {                                                                                                  \
      for (int64_t i = 0; i < n; i++) y[i] = x[i * stride];                                                   \
    }                                                                                                         \
  }
PACK_ROW(1, uint8_t)
PACK_ROW(4, uint32_t)
PACK_ROW(8, uint64_t)

static void pack_row(size_t size, int64_t n, const char *x, int64_t stride, char *y) {
  switch (size) {
    case 1: pack_1(n, (const uint8_t *)x, stride, (uint8_t *)y); break;
    case 4: pack_4(n, (const uint32_t *)x, stride, (uint32_t *)y); break;
    default: pack_8(n, (const uint64_t *)x, stride, (uint64_t *)y); break;
  }
}

/// A position in a nest: coordinates of every dimension but the last, and the offset of each operand there.
typedef struct {
  int64_t at[MG_MAX_RANK];
  int64_t offset[4];
} position;

/// The position of flat index `index` whose last coordinate is 0; returns that last coordinate.
static int64_t seek(const mg_loop *loop, int32_t operands, int64_t index, position *p) {
  int32_t last = loop->rank - 1;
  int64_t rest = index / loop->size[last];
  int64_t column = index - rest * loop->size[last];
  for (int32_t k = 0; k < operands; k++) p->offset[k] = 0;
  for (int32_t d = last - 1; d >= 0; d--) {
    int64_t size = loop->size[d], next = rest / size;
    p->at[d] = rest - next * size;
    rest = next;
    for (int32_t k = 0; k < operands; k++) p->offset[k] += p->at[d] * loop->stride[k][d];
  }
  return column;
}

/// Moves to the next row.
static void advance(const mg_loop *loop, int32_t operands, position *p) {
  for (int32_t d = loop->rank - 2; d >= 0; d--) {
    if (++p->at[d] < loop->size[d]) {
      for (int32_t k = 0; k < operands; k++) p->offset[k] += loop->stride[k][d];
      return;
    }
    p->at[d] = 0;
    for (int32_t k = 0; k < operands; k++) p->offset[k] -= (loop->size[d] - 1) * loop->stride[k][d];
  }
}

void mg_pack(const mg_loop *loop, int k, size_t size, int64_t begin, int64_t count, const void *src, void *dst) {
  mg_loop one = {.rank = loop->rank};
  for (int32_t d = 0; d < loop->rank; d++) {
    one.size[d] = loop->size[d];
    one.stride[0][d] = loop->stride[k][d];
  }
  position p;
  int32_t last = one.rank - 1;
  int64_t column = seek(&one, 1, begin, &p), stride = one.stride[0][last];
  char *y = dst;
  while (count > 0) {
    int64_t n = mg_min64(one.size[last] - column, count);
    pack_row(size, n, (const char *)src + (p.offset[0] + column * stride) * (int64_t)size, stride, y);
    y += n * (int64_t)size;
    count -= n;
    column = 0;
    advance(&one, 1, &p);
  }
}

// MARK: driving

typedef enum { CONTIGUOUS, SCALAR, STRIDED } shape_kind;

static shape_kind kind_of(const mg_loop *loop, int k) {
  bool contiguous = true, scalar = true;
  int64_t expected = 1;
  for (int32_t d = loop->rank - 1; d >= 0; d--) {
    if (loop->size[d] == 1) continue;
    int64_t stride = loop->stride[k][d];
    if (stride != expected) contiguous = false;
    if (stride != 0) scalar = false;
    expected *= loop->size[d];
  }
  return contiguous ? CONTIGUOUS : scalar ? SCALAR : STRIDED;
}

typedef struct {
  const mg_job *job;
  const mg_loop *loop;
  char *y;
  const char *x[3];
  shape_kind kind[3];
  unsigned scalars;
} drive_context;

static void flat(void *context, int64_t begin, int64_t end) {
  const drive_context *c = context;
  const void *x[3] = {0};
  for (int32_t k = 0; k < c->job->inputs; k++)
    x[k] = c->kind[k] == CONTIGUOUS ? c->x[k] + begin * c->job->x_size[k] : c->x[k];
  c->job->kernel(c->job, end - begin, c->y + begin * c->job->y_size, x, c->scalars);
}

/// Whole rows at a time, for nests whose rows are long and made of contiguous or repeated elements.
static void rows(void *context, int64_t begin, int64_t end) {
  const drive_context *c = context;
  const mg_job *job = c->job;
  const mg_loop *loop = c->loop;
  int32_t operands = job->inputs + 1, last = loop->rank - 1;
  position p;
  int64_t column = seek(loop, operands, begin, &p);
  char *y = c->y + begin * job->y_size;
  while (begin < end) {
    int64_t n = mg_min64(loop->size[last] - column, end - begin);
    const void *x[3] = {0};
    for (int32_t k = 0; k < job->inputs; k++)
      x[k] = c->x[k] + (p.offset[k + 1] + column * loop->stride[k + 1][last]) * job->x_size[k];
    job->kernel(job, n, y, x, c->scalars);
    y += n * job->y_size;
    begin += n;
    column = 0;
    advance(loop, operands, &p);
  }
}

static void packed(void *context, int64_t begin, int64_t end) {
  const drive_context *c = context;
  const mg_job *job = c->job;
  _Alignas(64) char buffer[3][CHUNK * 8];
  while (begin < end) {
    int64_t n = mg_min64(CHUNK, end - begin);
    const void *x[3] = {0};
    for (int32_t k = 0; k < job->inputs; k++) {
      if (c->scalars >> k & 1) {
        x[k] = c->x[k];
      } else if (c->kind[k] == CONTIGUOUS) {
        x[k] = c->x[k] + begin * job->x_size[k];
      } else {
        mg_pack(c->loop, k + 1, job->x_size[k], begin, n, c->x[k], buffer[k]);
        x[k] = buffer[k];
      }
    }
    job->kernel(job, n, c->y + begin * job->y_size, x, c->scalars);
    begin += n;
  }
}

/// The inputs that the last dimension repeats, when rows may be given to the kernel as they are; or −1.
static int row_scalars(const mg_job *job, const mg_loop *loop) {
  int32_t last = loop->rank - 1;
  if (loop->size[last] < ROW) return -1;
  int scalars = 0;
  for (int32_t k = 0; k < job->inputs; k++) {
    int64_t stride = loop->stride[k + 1][last];
    if (stride == 0) scalars |= 1 << k;
    else if (stride != 1) return -1;
  }
  return job->modes >> scalars & 1 ? scalars : -1;
}

void mg_drive(const mg_job *job, const mg_loop *loop, void *y, const void *const x[3]) {
  int64_t total = mg_count(loop);
  if (total == 0) return;
  drive_context c = {.job = job, .loop = loop, .y = y};
  bool strided = false;
  for (int32_t k = 0; k < job->inputs; k++) {
    c.x[k] = x[k];
    c.kind[k] = kind_of(loop, k + 1);
    if (c.kind[k] == SCALAR) c.scalars |= 1u << k;
    if (c.kind[k] == STRIDED) strided = true;
  }
  void (*body)(void *, int64_t, int64_t) = flat;
  if (!(job->modes >> c.scalars & 1)) {
    c.scalars = 0;
    strided = true;
  }
  if (strided) {
    int scalars = row_scalars(job, loop);
    body = scalars < 0 ? packed : rows;
    if (scalars >= 0) c.scalars = (unsigned)scalars;
  }
  if (total < 2 * job->grain) body(&c, 0, total);
  else mg_share(total, job->grain, body, &c);
}
