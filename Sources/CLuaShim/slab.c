// Handles live in one reserved address region, so that "is this block a handle" is a range check rather
// than a guess from sizes or marks. States take chunks of the region and cut them into blocks; a chunk goes
// back when its state closes.
#ifndef _DEFAULT_SOURCE
#define _DEFAULT_SOURCE
#endif
#include <pthread.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>

#include "internal.h"

enum { chunk_size = 1 << 20 };

// A chunk's list node is kept outside the chunk, so that returned chunks can drop their pages.
typedef struct chunk {
  struct chunk *next;
  char *start;
} chunk;

ml_region_bounds ml_region;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static uintptr_t unused;  // first address never handed out
static chunk *returned;

// Reserves addresses only: 4 GiB, or an eighth of a limited address space, of which everything else wants its part.
bool ml_region_open(void) {
  struct rlimit space;
  rlim_t most = getrlimit(RLIMIT_AS, &space) == 0 ? space.rlim_cur / 8 : RLIM_INFINITY;
  pthread_mutex_lock(&lock);
  for (size_t size = (size_t)1 << 32; ml_region.size == 0 && size >= (size_t)1 << 26; size >>= 1) {
    if (size > most && size > (size_t)1 << 26) continue;
    void *p = mmap(NULL, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED) continue;
    unused = (uintptr_t)p;
    ml_region.base = (uintptr_t)p;
    ml_region.size = size;
  }
  pthread_mutex_unlock(&lock);
  return ml_region.size != 0;
}

static bool grow(ml_state *s) {
  ml_private *own = ml_own(s);
  pthread_mutex_lock(&lock);
  chunk *c = returned;
  if (c != NULL) {
    returned = c->next;
  } else if (unused + chunk_size <= ml_region.base + ml_region.size &&
             (c = ml_grow(s, NULL, 0, sizeof *c)) != NULL) {
    if (mprotect((void *)unused, chunk_size, PROT_READ | PROT_WRITE) == 0) {
      c->start = (char *)unused;
      unused += chunk_size;
    } else {
      free(c);
      c = NULL;
    }
  }
  pthread_mutex_unlock(&lock);
  if (c == NULL) return false;
  c->next = own->chunks;
  own->chunks = c;
  own->slab_next = c->start;
  own->slab_end = c->start + chunk_size / own->block_size * own->block_size;
  return true;
}

bool ml_slab_ready(ml_state *s) {
  ml_private *own = ml_own(s);
  return own->slab_free != NULL || own->slab_next != own->slab_end || grow(s);
}

void ml_slab_close(ml_state *s) {
  ml_private *own = ml_own(s);
  chunk *c = own->chunks;
  own->chunks = NULL;
  own->slab_free = NULL;
  own->slab_next = own->slab_end = NULL;
  while (c != NULL) {
    chunk *next = c->next;
    madvise(c->start, chunk_size, MADV_DONTNEED);
    pthread_mutex_lock(&lock);
    c->next = returned;
    returned = c;
    pthread_mutex_unlock(&lock);
    c = next;
  }
}
