// The state: its beginning and end, its owners, and what it counts.
#include <pthread.h>
#include <stdlib.h>

#include "CLuaShim/CLuaShim.h"
#include "internal.h"

// Learns where in a userdata block its payload lies, and makes what the registry has from the beginning.
static int probe(lua_State *L) {
  ml_state *s = ml_of(L);
  ml_private *own = ml_own(s);
  own->handle_request = true;
  char *payload = lua_newuserdatauv(L, sizeof(ml_payload), 0);
  own->payload_offset = (size_t)(payload - own->slab_next);
  lua_pushinteger(L, 0);  // the reference freelist, so that giving back never allocates
  luaL_unref(L, LUA_REGISTRYINDEX, luaL_ref(L, LUA_REGISTRYINDEX));
  ml_open_unique(L);
  return 0;
}

static int panic(lua_State *L) {
  (void)L;
  return 0;  // abort follows: an unprotected call is a defect of this target
}

ml_state *ml_open(const ml_config *config) {
  if (!ml_region_open()) return NULL;
  ml_state *s = calloc(1, sizeof(ml_whole));
  if (s == NULL) return NULL;
  ml_private *own = ml_own(s);
  s->config = *config;
  own->references = 1;
  own->slow = ml_is_slow(config);
  s->pace = ml_least_pace;
  own->full_pace = ml_least_full_pace;
  own->warnings_on = true;
  own->base_reference = LUA_NOREF;
  own->main = s->current = ml_out_grow(s) ? lua_newstate(ml_allocate, s) : NULL;
  if (own->main == NULL) {
    ml_release(s);
    return NULL;
  }
  lua_atpanic(own->main, panic);
  lua_setwarnf(own->main, ml_warn, s);
  *(uint64_t *)lua_getextraspace(own->main) = 0;
  int status = ml_protect(own->main, probe, NULL, 0, 0);
  own->slab_next = own->slab_end = NULL;
  own->block_size = (own->block_size + 63) & ~(size_t)63;
  if (status != LUA_OK) {
    ml_close(s);
    ml_release(s);
    return NULL;
  }
  return s;
}

void ml_close(ml_state *s) {
  ml_private *own = ml_own(s);
  if (own->main == NULL || own->closing) return;
  // Finalizers run now, and can be stopped as all else; ml_allocate ends that with the state's own block.
  own->owner = (uintptr_t)pthread_self();
  own->closing = own->slow = true;
  s->current = own->main;
  own->depth = 1;
  lua_close(own->main);
  own->call_name = NULL;
  own->main = own->base = s->current = NULL;
  own->depth = own->kill = 0;
  own->owner = 0;
  ml_forget(s, 0);
  ml_slab_close(s);
}

bool ml_is_open(const ml_state *s) { return ml_own(s)->main != NULL; }

void ml_retain(ml_state *s) { __atomic_add_fetch(&ml_own(s)->references, 1, __ATOMIC_RELAXED); }

void ml_release(ml_state *s) {
  ml_private *own = ml_own(s);
  if (__atomic_sub_fetch(&own->references, 1, __ATOMIC_ACQ_REL) != 0) return;
  free(s->out);
  free(own->arena);
  free(s->kinds);
  free(own->pending);
  free(own->trace);
  free(own->warning);
  free(s);
}

ml_counts ml_count(const ml_state *s) {
  const ml_private *own = ml_own(s);
  return (ml_counts){
      .bytes = own->bytes,
      .peak = own->peak,
      .handles = own->handles,
      .references = own->live_references,
      .allocations = own->allocations,
      .generational = own->generational,
  };
}
