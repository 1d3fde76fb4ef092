// Safe points: what waits until Lua may be called. References that were given back, also inside a release callback, and
// the collector, which native memory paces.
#include <time.h>

#include "CLuaShim/CLuaShim.h"
#include "internal.h"

// MARK: References to Lua values

static int ref(lua_State *L) {
  int *reference = lua_touserdata(L, 1);
  *reference = luaL_ref(L, LUA_REGISTRYINDEX);
  return 0;
}

int ml_ref(ml_state *s, lua_State *L, int *reference) {
  ml_private *own = ml_own(s);
  if (own->live_references == own->pending_capacity) {
    uint32_t capacity = own->pending_capacity ? own->pending_capacity * 2 : 16;
    int *pending = ml_grow(s, own->pending, own->pending_capacity * sizeof *pending, capacity * sizeof *pending);
    if (pending == NULL) return ml_memory_error(L, 1);
    own->pending = pending;
    own->pending_capacity = capacity;
  }
  int status = ml_protect(L, ref, reference, 1, 0);
  if (status == LUA_OK && *reference >= 0) own->live_references++;
  return status;
}

void ml_unref(ml_state *s, int reference) {
  ml_private *own = ml_own(s);
  if (reference < 0 || own->closing) return;
  own->pending[own->pending_count++] = reference;
  s->attention = true;
}

static void drain(lua_State *L, ml_state *s) {
  ml_private *own = ml_own(s);
  while (own->pending_count != 0) {
    int reference = own->pending[--own->pending_count];
    luaL_unref(L, LUA_REGISTRYINDEX, reference);
    own->live_references--;
  }
}

// Lua's collector does not see native memory, so claims drive it. In its generational mode, our default, a
// young collection usually costs a fraction of a microsecond whatever the heap holds, so one is made for every
// quarter of the native memory in use, and sooner where that is more than the processor's caches hold: large
// results then take the places of those just dropped. How much sooner, the time of the last collection says, for a
// script that writes to large old tables has them looked through each time: memory that is not in the cache costs
// a microsecond for some ten kilobytes, so a collection for each hundred times that is well spent. What survives two of them is found by a
// full collection only, made when the memory in use has doubled since the last. (Incremental mode, which a script may
// choose, must mark the whole heap to find anything: 4 KB objects cost 150 ns each there and 5 ns here.)
static uint64_t nanoseconds(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static void pace_collector(lua_State *L, ml_state *s) {
  ml_private *own = ml_own(s);
  size_t debt = s->native_debt;
  s->native_debt = 0;
  if (lua_gc(L, LUA_GCISRUNNING) != 1) return;  // stopped by the script, or inside a finalizer
  if (!own->generational) {
    size_t kilobytes = debt >> 12;
    lua_gc(L, LUA_GCSTEP, kilobytes < 1 << 20 ? (int)kilobytes : 1 << 20);
    s->pace = ml_least_pace;
    return;
  }
  uint64_t before = nanoseconds();
  lua_gc(L, LUA_GCSTEP, 0);
  uint64_t took = nanoseconds() - before;
  size_t live = ml_live(s);
  own->since_full += debt;
  bool unknown = live == 0 && own->since_full > ml_blind_pace;  // pacing without an account
  if (live > own->full_pace || unknown) {
    if (!ml_collect_attached(L, s)) lua_gc(L, LUA_GCCOLLECT);
    live = ml_live(s);
    own->since_full = 0;
    own->full_pace = live * 2 + ml_least_full_pace;
  }
  size_t most = took << 10 > ml_most_pace ? took << 10 : ml_most_pace;
  s->pace = live / 4 > most ? most : live / 4 > ml_least_pace ? live / 4 : ml_least_pace;
}

void ml_settle(lua_State *L, ml_state *s) {
  s->attention = false;
  // Not while values wait in the buffer: a result may be a reference that the host has let go of already.
  if (ml_own(s)->pending_count != 0) {
    if (s->out_top == 0 && lua_checkstack(L, 4)) drain(L, s);
    else s->attention = true;
  }
  if (ml_unlikely(ml_attached_is_due(s))) ml_collect_attached(L, s);
  if (s->native_debt >= s->pace) pace_collector(L, s);
}

// At the start of a native call, with its arguments on the stack.
void ml_attend(lua_State *L, ml_state *s) {
  ml_settle(L, s);
  if (ml_own(s)->kill) {
    s->attention = true;
    ml_die(L, s);
  }
}

void ml_prepare_collection(lua_State *L, ml_state *s) {
  s->native_debt = 0;
  ml_settle(L, s);
  if (ml_own(s)->kill) s->attention = true;
  ml_collect_attached(L, s);
}

bool ml_collect(ml_state *s) {
  ml_private *own = ml_own(s);
  if (own->releasing || own->main == NULL) return false;
  ml_prepare_collection(s->current, s);
  return lua_gc(s->current, LUA_GCCOLLECT) == 0;
}

void ml_set_collecting(ml_state *s, bool collects) {
  lua_State *L = s->current;
  lua_gc(L, collects ? LUA_GCRESTART : LUA_GCSTOP);
  // Restarted, Lua collects at once. What was made is all in use, so it may grow by a fifth first, as after a collection: a step of
  // fewer than no kilobytes is credit.
  if (collects) lua_gc(L, LUA_GCSTEP, -(lua_gc(L, LUA_GCCOUNT) / 5 + 1));
}
