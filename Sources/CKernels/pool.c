// The pool (serial for now).
#include "internal.h"

static int32_t thread_count = 1;
void mg_set_threads(int32_t count) { thread_count = count < 1 ? 1 : count; }
int32_t mg_threads(void) { return thread_count; }

void mg_parallel(int64_t n, int64_t grain, void (*body)(void *context, int64_t begin, int64_t end), void *context) {
  if (grain < 1) grain = 1;
  for (int64_t i = 0; i < n; i += grain) body(context, i, mg_min64(n, i + grain));
}
