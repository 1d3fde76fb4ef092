// The driver of loop nests: turns a nest over strided operands into calls of contiguous kernels.
//
// Four ways, from the fastest: all at once, when every input is contiguous or one value; row by row, when rows are
// long and their elements adjacent or repeated; by tiles, when an input is transposed; by chunks for which inputs are
// packed into a buffer.
#include "internal.h"

enum {
  CHUNK = 512,   // elements packed at once
  ROW = 64,      // the shortest row worth a kernel call of its own
  LONG_ROW = 256,  // the same where what is repeated by row could be packed once for many rows
  TILE_ROWS = 16,
  TILE_COLUMNS = 64,
};

// MARK: positions

/// A position in a nest: coordinates of every dimension but the last, and the offset of each operand there.
typedef struct {
  int64_t at[MG_MAX_RANK];
  int64_t offset[4];
} position;

/// The position of flat index `index` over the first `rank` dimensions.
static void seek(const mg_loop *loop, int32_t rank, int32_t operands, int64_t index, position *p) {
  for (int32_t k = 0; k < operands; k++) p->offset[k] = 0;
  for (int32_t d = rank - 1; d >= 0; d--) {
    int64_t next = index / loop->size[d];
    p->at[d] = index - next * loop->size[d];
    index = next;
    for (int32_t k = 0; k < operands; k++) p->offset[k] += p->at[d] * loop->stride[k][d];
  }
}

/// The next position over the first `rank` dimensions.
static void advance(const mg_loop *loop, int32_t rank, int32_t operands, position *p) {
  for (int32_t d = rank - 1; d >= 0; d--) {
    if (++p->at[d] < loop->size[d]) {
      for (int32_t k = 0; k < operands; k++) p->offset[k] += loop->stride[k][d];
      return;
    }
    p->at[d] = 0;
    for (int32_t k = 0; k < operands; k++) p->offset[k] -= (loop->size[d] - 1) * loop->stride[k][d];
  }
}

// MARK: packing

// Copies `rows` rows of n elements, `row_stride` and `stride` apart, one after another. What is written may run over
// by up to 64 bytes.
#define PACK(size, T)                                                                                         \
  static T *pack_##size(int64_t rows, int64_t n, const T *x, int64_t row_stride, int64_t stride, T *y) {      \
    enum { WIDTH = 64 / sizeof(T) };                                                                          \
    if (row_stride == 0 && rows > 1) { /* one row again and again: copies double */                           \
      int64_t done = n, all = rows * n;                                                                       \
      pack_##size(1, n, x, 0, stride, y);                                                                     \
      for (; done < all; done *= 2) memcpy(y + done, y, (size_t)mg_min64(done, all - done) * sizeof(T));      \
      return y + all;                                                                                         \
    }                                                                                                         \
    if (stride == 0 && n <= WIDTH) { /* the next row takes back what a row writes too much */                 \
      for (int64_t r = 0; r < rows; r++, y += n) {                                                            \
        T v = x[r * row_stride];                                                                              \
        for (int i = 0; i < WIDTH; i++) y[i] = v;                                                             \
      }                                                                                                       \
      return y;                                                                                               \
    }                                                                                                         \
    for (int64_t r = 0; r < rows; r++, x += row_stride, y += n) {                                             \
      if (stride == 0) {                                                                                      \
        T v = *x;                                                                                             \
        for (int64_t i = 0; i < n; i++) y[i] = v;                                                             \
      } else if (stride == 1 && n > WIDTH) {                                                                  \
        memcpy(y, x, (size_t)n * sizeof(T));                                                                  \
      } else {                                                                                                \
        for (int64_t i = 0; i < n; i++) y[i] = x[i * stride];                                                 \
      }                                                                                                       \
    }                                                                                                         \
    return y;                                                                                                 \
  }
PACK(1, uint8_t)
PACK(2, uint16_t)
PACK(4, uint32_t)
PACK(8, uint64_t)

static char *pack_rows(size_t size, int64_t rows, int64_t n, const char *x, int64_t row_stride, int64_t stride, char *y) {
  switch (size) {
    case 1: return (char *)pack_1(rows, n, (const uint8_t *)x, row_stride, stride, (uint8_t *)y);
    case 2: return (char *)pack_2(rows, n, (const uint16_t *)x, row_stride, stride, (uint16_t *)y);
    case 4: return (char *)pack_4(rows, n, (const uint32_t *)x, row_stride, stride, (uint32_t *)y);
    default: return (char *)pack_8(rows, n, (const uint64_t *)x, row_stride, stride, (uint64_t *)y);
  }
}

/// Copies `count` elements from flat position `begin` of operand k of the nest; rank ≥ 1.
static void pack(const mg_loop *loop, int32_t k, size_t size, int64_t begin, int64_t count, const char *x, char *y) {
  int32_t last = loop->rank - 1;
  mg_loop one = {.rank = loop->rank};
  for (int32_t d = 0; d <= last; d++) {
    one.size[d] = loop->size[d];
    one.stride[0][d] = loop->stride[k][d];
  }
  int64_t columns = one.size[last], stride = one.stride[0][last], bytes = (int64_t)size;
  int64_t rows = last > 0 ? one.size[last - 1] : 1, row_stride = last > 0 ? one.stride[0][last - 1] : 0;
  position p = {0};
  seek(&one, last, 1, begin / columns, &p);
  int64_t column = begin % columns;
  while (count > 0) {
    const char *from = x + (p.offset[0] + column * stride) * bytes;
    int64_t whole = last > 0 ? mg_min64(rows - p.at[last - 1], count / columns) : 0;
    if (column == 0 && whole > 0) {  // whole rows up to the end of the last dimension but one
      y = pack_rows(size, whole, columns, from, row_stride, stride, y);
      count -= whole * columns;
      p.at[last - 1] += whole - 1;
      p.offset[0] += (whole - 1) * row_stride;
    } else {
      int64_t n = mg_min64(columns - column, count);
      y = pack_rows(size, 1, n, from, 0, stride, y);
      count -= n;
      column = 0;
    }
    advance(&one, last, 1, &p);
  }
}

// MARK: driving

typedef enum { CONTIGUOUS, SCALAR, STRIDED } input_kind;

static input_kind kind_of(const mg_loop *loop, int32_t k) {
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

/// Whether operand k depends on the last dimension alone.
static bool repeats_by_row(const mg_loop *loop, int32_t k) {
  for (int32_t d = 0; d < loop->rank - 1; d++)
    if (loop->size[d] != 1 && loop->stride[k][d] != 0) return false;
  return true;
}

typedef struct {
  const mg_job *job;
  const mg_loop *loop;
  char *y;
  const char *x[3];
  input_kind kind[3];
  unsigned scalars;
} drive;

static void flat(void *context, int64_t begin, int64_t end) {
  const drive *c = context;
  const void *x[3] = {0};
  for (int32_t k = 0; k < c->job->inputs; k++)
    x[k] = c->kind[k] == CONTIGUOUS ? c->x[k] + begin * c->job->x_size[k] : c->x[k];
  c->job->kernel(c->job, end - begin, c->y + begin * c->job->y_size, x, c->scalars);
}

static void rows(void *context, int64_t begin, int64_t end) {
  const drive *c = context;
  const mg_job *job = c->job;
  const mg_loop *loop = c->loop;
  int32_t operands = job->inputs + 1, last = loop->rank - 1;
  position p = {0};
  seek(loop, last, operands, begin / loop->size[last], &p);
  int64_t column = begin % loop->size[last];
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
    advance(loop, last, operands, &p);
  }
}

static void chunks(void *context, int64_t begin, int64_t end) {
  const drive *c = context;
  const mg_job *job = c->job;
  int64_t columns = c->loop->size[c->loop->rank - 1];
  int64_t chunk = columns <= CHUNK ? CHUNK / columns * columns : CHUNK;  // whole rows, so that rows that repeat stay
  _Alignas(64) char buffer[3][CHUNK * 8 + 64];
  bool kept[3] = {false};
  while (begin < end) {
    int64_t n = mg_min64(chunk, end - begin);
    const void *x[3] = {0};
    for (int32_t k = 0; k < job->inputs; k++) {
      if (c->scalars >> k & 1) {
        x[k] = c->x[k];
      } else if (c->kind[k] == CONTIGUOUS) {
        x[k] = c->x[k] + begin * job->x_size[k];
      } else {
        if (!kept[k]) pack(c->loop, k + 1, job->x_size[k], begin, n, c->x[k], buffer[k]);
        kept[k] = columns <= CHUNK && repeats_by_row(c->loop, k + 1);
        x[k] = buffer[k];
      }
    }
    job->kernel(job, n, c->y + begin * job->y_size, x, c->scalars);
    begin += n;
  }
}

/// Groups of TILE_ROWS rows (of the last two dimensions), a tile of columns at a time.
static void tiles(void *context, int64_t begin, int64_t end) {
  const drive *c = context;
  const mg_job *job = c->job;
  const mg_loop *loop = c->loop;
  int32_t last = loop->rank - 1, operands = job->inputs + 1;
  int64_t height = loop->size[last - 1], columns = loop->size[last], groups = (height + TILE_ROWS - 1) / TILE_ROWS;
  _Alignas(64) char buffer[3][TILE_ROWS * TILE_COLUMNS * 8 + 64];
  for (int64_t task = begin; task < end; task++) {
    int64_t first = task % groups * TILE_ROWS, count = mg_min64(TILE_ROWS, height - first);
    position p = {0};
    seek(loop, last - 1, operands, task / groups, &p);
    for (int64_t column = 0; column < columns; column += TILE_COLUMNS) {
      int64_t n = mg_min64(TILE_COLUMNS, columns - column), step[3] = {0};
      const char *source[3] = {0};
      for (int32_t k = 0; k < job->inputs; k++) {
        int64_t row_stride = loop->stride[k + 1][last - 1], stride = loop->stride[k + 1][last], size = job->x_size[k];
        source[k] = c->x[k] + (p.offset[k + 1] + first * row_stride + column * stride) * size;
        step[k] = row_stride * size;
        if (stride == 1 || c->scalars >> k & 1) continue;
        if (row_stride == 1) mg_transpose((size_t)size, count, n, source[k], stride, buffer[k], TILE_COLUMNS);
        else for (int64_t r = 0; r < count; r++)
          pack_rows((size_t)size, 1, n, source[k] + r * step[k], 0, stride, buffer[k] + r * TILE_COLUMNS * size);
        source[k] = buffer[k];
        step[k] = TILE_COLUMNS * size;
      }
      char *y = c->y + ((task / groups * height + first) * columns + column) * job->y_size;
      for (int64_t r = 0; r < count; r++, y += columns * job->y_size) {
        const void *x[3] = {source[0], source[1], source[2]};
        job->kernel(job, n, y, x, c->scalars);
        for (int32_t k = 0; k < job->inputs; k++) source[k] += step[k];
      }
    }
  }
}

/// The inputs that the last dimension repeats, if a kernel may be given rows with just these as single values.
/// `adjacent` says whether all other inputs have adjacent elements, `transposed` whether one is transposed.
static bool row_scalars(const mg_job *job, const mg_loop *loop, unsigned *scalars, bool *adjacent, bool *transposed) {
  int32_t last = loop->rank - 1;
  *scalars = 0;
  *adjacent = true;
  *transposed = false;
  for (int32_t k = 0; k < job->inputs; k++) {
    int64_t stride = loop->stride[k + 1][last];
    if (stride == 0) *scalars |= 1u << k;
    else if (stride != 1) *adjacent = false;
    if (stride != 0 && stride != 1 && last > 0 && loop->stride[k + 1][last - 1] == 1) *transposed = true;
  }
  return job->modes >> *scalars & 1;
}

void mg_drive(const mg_job *job, const mg_loop *loop, void *y, const void *const x[3]) {
  int64_t total = mg_count(loop);
  if (total == 0) return;
  drive c = {.job = job, .loop = loop, .y = y};
  bool strided = false;
  for (int32_t k = 0; k < job->inputs; k++) {
    c.x[k] = x[k];
    c.kind[k] = kind_of(loop, k + 1);
    if (c.kind[k] == SCALAR) c.scalars |= 1u << k;
    if (c.kind[k] == STRIDED) strided = true;
  }
  if (!(job->modes >> c.scalars & 1)) {
    c.scalars = 0;
    strided = true;
  }
  void (*body)(void *, int64_t, int64_t) = flat;
  if (strided) {
    unsigned scalars;
    bool adjacent, transposed, possible = row_scalars(job, loop, &scalars, &adjacent, &transposed);
    int32_t last = loop->rank - 1;
    body = chunks;
    bool repeats = true;
    for (int32_t k = 0; k < job->inputs; k++) repeats = repeats && (c.kind[k] != STRIDED || repeats_by_row(loop, k + 1));
    if (possible && adjacent && loop->size[last] >= (repeats ? LONG_ROW : ROW)) {
      body = rows;
      c.scalars = scalars;
    } else if (possible && transposed && loop->size[last] >= 16 && loop->size[last - 1] >= 8) {
      c.scalars = scalars;
      int64_t groups = (loop->size[last - 1] + TILE_ROWS - 1) / TILE_ROWS;
      int64_t tasks = total / (loop->size[last - 1] * loop->size[last]) * groups;
      if (total < 2 * job->grain) tiles(&c, 0, tasks);
      else mg_share(tasks, job->grain / (TILE_ROWS * loop->size[last]) + 1, tiles, &c);
      return;
    }
  }
  if (total < 2 * job->grain) {
    body(&c, 0, total);
  } else {
    // Chunks of one size, so that two threads end together: the last of three and a bit would be left to one of them.
    int64_t count = (total - 1) / job->grain + 1;
    mg_share(total, ((total - 1) / count / 64 + 1) * 64, body, &c);
  }
}
