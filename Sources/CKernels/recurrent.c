// One step of an LSTM over a batch, after the products: all gates of a unit in one pass, forward and backward. float32.
#include "internal.h"
#include "lanes.h"
#include "maths.h"

MG_NO_CONTRACTION

#define MG_BODY "recurrent_loops.h"
#include "levels.h"

typedef void (*forward_rows)(int64_t, int64_t, float *, const float *, const float *, float *, float *);
typedef void (*backward_rows)(int64_t, int64_t, const float *, const float *, const float *, float *, float *);

/// What the rows of a task work on.
typedef struct {
  const mg_call *call;
  forward_rows forward;
  backward_rows backward;
} step;

static void forward_task(void *context, int64_t begin, int64_t end) {
  const step *s = context;
  int64_t hidden = s->call->size[1];
  void *const *x = s->call->operand;
  s->forward(end - begin, hidden, (float *)x[0] + begin * 4 * hidden, (const float *)x[1] + begin * 4 * hidden,
             (const float *)x[2] + begin * hidden, (float *)x[3] + begin * hidden, (float *)x[4] + begin * hidden);
}

static void backward_task(void *context, int64_t begin, int64_t end) {
  const step *s = context;
  int64_t hidden = s->call->size[1];
  void *const *x = s->call->operand;
  s->backward(end - begin, hidden, (const float *)x[0] + begin * 4 * hidden, (const float *)x[1] + begin * hidden,
              (const float *)x[2] + begin * hidden, (float *)x[3] + begin * hidden, (float *)x[4] + begin * 4 * hidden);
}

enum { PER_TASK = 1 << 15 };  // elements of the state, which take about 50 µs

/// size: rows, hidden. operand: gates (rows, 4 · hidden), in place: from products to what they are after their functions, in the order
/// input, forget, cell, output; what is added to the products; cells before; cells after; states after.
MG_KERNEL(lstm_step) {
  step s = {call, MG_PICK(lstm_forward), NULL};
  mg_parallel(call->size[0], mg_max64(1, PER_TASK / mg_max64(1, call->size[1])), forward_task, &s);
}

/// size: rows, hidden. operand: gates after their functions; cells before; gradient of the states after; gradient of the cells after, in
/// place to that of the cells before; gradient of the products, written.
MG_KERNEL(lstm_step_gradient) {
  step s = {call, NULL, MG_PICK(lstm_backward)};
  mg_parallel(call->size[0], mg_max64(1, PER_TASK / mg_max64(1, call->size[1])), backward_task, &s);
}
