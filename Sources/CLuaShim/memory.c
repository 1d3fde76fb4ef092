// Memory: the accounts and the limit, Lua's allocator, and our own buffers under the same test of failure.
#include <sched.h>
#include <stdlib.h>

#include "internal.h"

// MARK: Accounts

size_t ml_live(const ml_state *s) {
  if (s->config.live == NULL) return s->native;
  int64_t live = s->config.live();
  return live > 0 ? (size_t)live : 0;
}

bool ml_would_exceed(const ml_state *s, size_t more) {
  size_t limit = s->config.memory_limit;
  if (limit == 0) return false;
  size_t used = ml_own(s)->bytes + ml_live(s);
  return used > limit || more > limit - used;
}

// The slow questions of an allocation, asked only when the state has a limit, a test failing allocations,
// or another thread reading the call chain.
bool ml_refuses(ml_state *s, size_t more) {
  ml_private *own = ml_own(s);
  while (own->foreign) sched_yield();
  if (s->config.fail_at != 0) {
    own->allocations++;
    if (own->allocations == s->config.fail_at) return true;
    if (own->allocations > s->config.fail_at && s->config.fail_onwards) return true;
  }
  return ml_would_exceed(s, more);
}

void *ml_grow(ml_state *s, void *block, size_t from, size_t to) {
  if (ml_unlikely(ml_own(s)->slow) && ml_refuses(s, to - from)) return NULL;
  return realloc(block, to);
}

void ml_count_growth(ml_state *s, size_t from, size_t to) {
  ml_private *own = ml_own(s);
  own->bytes += to - from;
  if (own->bytes > own->peak) own->peak = own->bytes;
}

// MARK: Lua's allocator

static ml_inline void *take_block(ml_state *s) {
  ml_private *own = ml_own(s);
  own->handle_request = false;
  char *block = own->slab_free;
  if (block != NULL) {
    own->slab_free = *(void **)block;
  } else {
    block = own->slab_next;
    own->slab_next += own->block_size;
  }
  own->bytes += own->block_size;
  own->handles++;
  ml_payload *payload = (ml_payload *)(block + own->payload_offset);
  *payload = (ml_payload){0};
  return block;
}

// Called from within the collector: nothing here may call into Lua.
static ml_inline void *give_back_block(ml_state *s, char *block) {
  ml_private *own = ml_own(s);
  ml_payload *payload = (ml_payload *)(block + own->payload_offset);
  void *object = payload->object;
  uint32_t kind = payload->kind;
  payload->object = NULL;
  *(void **)block = own->slab_free;
  own->slab_free = block;
  own->bytes -= own->block_size;
  own->handles--;
  if (object != NULL) {
    own->releasing++;
    s->config.release(object, kind);
    own->releasing--;
  }
  return NULL;
}

// The probe of ml_open: learns the block's size and address.
static ml_cold void *take_probe(ml_state *s, size_t size) {
  ml_private *own = ml_own(s);
  own->handle_request = false;
  own->block_size = size;
  own->slab_next = malloc(size);
  if (own->slab_next != NULL) own->bytes += size;
  return own->slab_next;
}

static ml_cold void *free_slowly(ml_state *s, void *block, size_t osize) {
  ml_private *own = ml_own(s);
  if (own->closing && block != NULL && block == (char *)own->main - LUA_EXTRASPACE) {  // the last one: nothing runs any more
    s->current = NULL;
    own->depth = 0;
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
  }
  while (own->foreign) sched_yield();
  if (block == NULL) return NULL;
  if (ml_in_region(block)) return give_back_block(s, block);
  if (osize == own->proto_size) own->code_epoch++;
  own->bytes -= osize;
  free(block);
  return NULL;
}

static ml_apart void *resize(ml_state *s, void *block, size_t osize, size_t nsize) {
  ml_private *own = ml_own(s);
  if (ml_unlikely(own->slow) && nsize > osize && ml_refuses(s, nsize - osize)) return NULL;
  void *moved = realloc(block, nsize);
  if (ml_unlikely(moved == NULL)) return NULL;
  ml_count_growth(s, osize, nsize);
  return moved;
}

void *ml_allocate(void *ud, void *block, size_t osize, size_t nsize) {
  ml_state *s = ud;
  ml_private *own = ml_own(s);
  if (nsize == 0) {
    if (ml_unlikely(own->slow)) return free_slowly(s, block, osize);
    if (ml_in_region(block)) return give_back_block(s, block);
    if (block == NULL) return NULL;
    if (ml_unlikely(osize == own->proto_size)) own->code_epoch++;
    own->bytes -= osize;
    free(block);
    return NULL;
  }
  if (block == NULL) {
    // Lua tells its allocator what it makes; prototypes come after the public types and upvalues.
    if (ml_unlikely(osize == LUA_NUMTYPES + 1)) own->proto_size = nsize;
    if (osize == LUA_TUSERDATA && own->handle_request) {  // whoever asked has made sure of a block
      if (ml_unlikely(own->block_size == 0)) return take_probe(s, nsize);
      return take_block(s);
    }
    osize = 0;
  }
  return resize(s, block, osize, nsize);
}
