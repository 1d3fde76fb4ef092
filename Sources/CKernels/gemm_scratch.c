// The packing buffers of matrix products.
#include "gemm.h"

#include <pthread.h>
#include <stdlib.h>

typedef struct {
  void *start;
  size_t size;
} buffer;

static pthread_key_t key;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static bool has_key;

static void free_buffer(void *pointer) {
  buffer *mine = pointer;
  free(mine->start);
  free(mine);
}

static void make_key(void) { has_key = pthread_key_create(&key, free_buffer) == 0; }

void *mg_gemm_scratch(size_t size) {
  pthread_once(&once, make_key);
  if (!has_key) return NULL;
  buffer *mine = pthread_getspecific(key);
  if (!mine) {
    mine = calloc(1, sizeof *mine);
    if (!mine) return NULL;
    if (pthread_setspecific(key, mine) != 0) return free(mine), NULL;
  }
  if (mine->size < size) {
    free(mine->start);
    mine->start = aligned_alloc(64, (size + 63) / 64 * 64);
    mine->size = mine->start ? size : 0;
  }
  return mine->start;
}
