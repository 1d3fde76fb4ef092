// Kernels of one operation each, found by their names: adding one touches no list.
#include "internal.h"

static mg_named *first;

void mg_enter(mg_named *kernel) {
  kernel->next = first;
  first = kernel;
}

const mg_named *mg_kernel_named(const char *name) {
  const mg_named *kernel = first;
  while (kernel && strcmp(kernel->name, name)) kernel = kernel->next;
  return kernel;
}
