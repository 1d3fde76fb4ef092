// The state: its allocator, its accounts, its beginning and end.
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include "internal.h"

// MARK: Allocation

size_t ml_live(const ml_state *s) {
  if (s->config.live == NULL) return s->native;
  int64_t live = s->config.live();
  return live > 0 ? (size_t)live : 0;
}

bool ml_would_exceed(const ml_state *s, size_t more) {
  size_t limit = s->config.memory_limit;
  if (limit == 0) return false;
  size_t used = s->bytes + ml_live(s);
  return used > limit || more > limit - used;
}

// The slow questions of an allocation, asked only when the state has a limit, a test failing allocations,
// or another thread reading the call chain.
bool ml_refuses(ml_state *s, size_t more) {
  while (s->foreign) sched_yield();
  if (s->config.fail_at != 0) {
    s->allocations++;
    if (s->allocations == s->config.fail_at) return true;
    if (s->allocations > s->config.fail_at && s->config.fail_onwards) return true;
  }
  return ml_would_exceed(s, more);
}

void *ml_grow(ml_state *s, void *block, size_t size) {
  if (ml_unlikely(s->slow) && ml_refuses(s, 0)) return NULL;
  return realloc(block, size);
}

static ml_inline void *take_block(ml_state *s) {
  s->handle_request = false;
  char *block = s->slab_free;
  if (block != NULL) {
    s->slab_free = *(void **)block;
  } else {
    block = s->slab_next;
    s->slab_next += s->block_size;
  }
  s->bytes += s->block_size;
  s->handles++;
  ml_payload *payload = (ml_payload *)(block + s->payload_offset);
  *payload = (ml_payload){0};
  return block;
}

// Called from within the collector: nothing here may call into Lua.
static ml_inline void *give_back_block(ml_state *s, char *block) {
  ml_payload *payload = (ml_payload *)(block + s->payload_offset);
  void *object = payload->object;
  uint32_t kind = payload->kind;
  payload->object = NULL;
  *(void **)block = s->slab_free;
  s->slab_free = block;
  s->bytes -= s->block_size;
  s->handles--;
  if (object != NULL) {
    s->releasing++;
    s->config.release(object, kind);
    s->releasing--;
  }
  return NULL;
}

// The probe of ml_open: learns the block's size and address.
static ml_cold void *take_probe(ml_state *s, size_t size) {
  s->handle_request = false;
  s->block_size = size;
  s->slab_next = malloc(size);
  if (s->slab_next != NULL) s->bytes += size;
  return s->slab_next;
}

static ml_cold void *free_slowly(ml_state *s, void *block, size_t osize) {
  while (s->foreign) sched_yield();
  if (block == NULL) return NULL;
  if (ml_in_region(block)) return give_back_block(s, block);
  if (osize == s->proto_size) s->site_epoch++;
  s->bytes -= osize;
  free(block);
  return NULL;
}

static ml_apart void *resize(ml_state *s, void *block, size_t osize, size_t nsize) {
  if (ml_unlikely(s->slow) && nsize > osize && ml_refuses(s, nsize - osize)) return NULL;
  void *moved = realloc(block, nsize);
  if (ml_unlikely(moved == NULL)) return NULL;
  s->bytes += nsize - osize;
  if (s->bytes > s->peak) s->peak = s->bytes;
  return moved;
}

void *ml_allocate(void *ud, void *block, size_t osize, size_t nsize) {
  ml_state *s = ud;
  if (nsize == 0) {
    if (ml_unlikely(s->slow)) return free_slowly(s, block, osize);
    if (ml_in_region(block)) return give_back_block(s, block);
    if (block == NULL) return NULL;
    if (ml_unlikely(osize == s->proto_size)) s->site_epoch++;
    s->bytes -= osize;
    free(block);
    return NULL;
  }
  if (block == NULL) {
    // Lua tells its allocator what it makes; prototypes come after the public types and upvalues.
    if (ml_unlikely(osize == LUA_NUMTYPES + 1)) s->proto_size = nsize;
    if (osize == LUA_TUSERDATA && s->handle_request) {  // whoever asked has made sure of a block
      if (ml_unlikely(s->block_size == 0)) return take_probe(s, nsize);
      return take_block(s);
    }
    osize = 0;
  }
  return resize(s, block, osize, nsize);
}

// MARK: Beginning and end

// Learns where in a userdata block its payload lies, and rounds blocks up to a cache line.
static int probe(lua_State *L) {
  ml_state *s = ml_of(L);
  s->handle_request = true;
  char *payload = lua_newuserdatauv(L, sizeof(ml_payload), 0);
  s->payload_offset = (size_t)(payload - s->slab_next);
  lua_pushinteger(L, 0);  // the reference freelist, so that giving back never allocates
  luaL_unref(L, LUA_REGISTRYINDEX, luaL_ref(L, LUA_REGISTRYINDEX));
  return 0;
}

static int panic(lua_State *L) {
  (void)L;
  return 0;  // abort follows: an unprotected call is a defect of this target
}

ml_state *ml_open(const ml_config *config) {
  if (!ml_region_open()) return NULL;
  ml_state *s = calloc(1, sizeof *s);
  if (s == NULL) return NULL;
  s->config = *config;
  s->references = 1;
  s->slow = ml_is_slow(config);
  s->pace = ml_least_pace;
  s->full_pace = ml_least_full_pace;
  s->warnings_on = true;
  s->base_reference = LUA_NOREF;
  s->main = s->current = ml_out_grow(s) ? lua_newstate(ml_allocate, s) : NULL;
  if (s->main == NULL) {
    ml_release(s);
    return NULL;
  }
  lua_atpanic(s->main, panic);
  lua_setwarnf(s->main, ml_warn, s);
  *(uint64_t *)lua_getextraspace(s->main) = 0;
  int status = ml_protect(s->main, probe, NULL, 0, 0);
  s->slab_next = s->slab_end = NULL;
  s->block_size = (s->block_size + 63) & ~(size_t)63;
  if (status != LUA_OK) {
    ml_close(s);
    ml_release(s);
    return NULL;
  }
  return s;
}

void ml_close(ml_state *s) {
  if (s->main == NULL || s->closing) return;
  s->closing = true;
  lua_close(s->main);
  s->main = s->base = s->current = NULL;
  ml_forget(s, 0);
  ml_slab_close(s);
}

void ml_retain(ml_state *s) { __atomic_add_fetch(&s->references, 1, __ATOMIC_RELAXED); }

void ml_release(ml_state *s) {
  if (__atomic_sub_fetch(&s->references, 1, __ATOMIC_ACQ_REL) != 0) return;
  free(s->out);
  free(s->arena);
  free(s->kinds);
  free(s->pending);
  free(s->trace);
  free(s->warning);
  free(s);
}

bool ml_collect(ml_state *s) {
  if (s->releasing || s->main == NULL) return false;
  s->native_debt = 0;
  ml_settle(s->current, s);
  return lua_gc(s->current, LUA_GCCOLLECT) == 0;
}
