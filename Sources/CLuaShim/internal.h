// What the files of this target share.
#ifndef ML_INTERNAL_H
#define ML_INTERNAL_H

#include "CLuaShim.h"

#define ml_likely(x) __builtin_expect(!!(x), 1)
#define ml_unlikely(x) __builtin_expect(!!(x), 0)
#define ml_inline inline __attribute__((always_inline))  // release builds optimise C for size
#define ml_apart __attribute__((noinline))
#define ml_cold __attribute__((noinline, cold))

// slab.c: blocks for handles.
bool ml_region_open(void);
bool ml_slab_grow(ml_state *s);
void ml_slab_close(ml_state *s);
static inline bool ml_slab_ready(ml_state *s) {
  return s->slab_free != NULL || s->slab_next != s->slab_end || ml_slab_grow(s);
}

// Whether allocations need more than counting.
static inline bool ml_is_slow(const ml_config *c) { return c->memory_limit != 0 || c->fail_at != 0; }

// state.c: the allocator, and memory for our own buffers under the same test of failure.
void *ml_allocate(void *ud, void *block, size_t osize, size_t nsize);
bool ml_refuses(ml_state *s, size_t more);
void *ml_grow(ml_state *s, void *block, size_t size);

// Native bytes between collections, at least; and native bytes at which a full one comes, at least.
// Where nothing tells what is in use, a full one comes for so many claimed.
enum { ml_least_pace = 256 << 10, ml_least_full_pace = 32 << 20, ml_blind_pace = 256 << 20 };

// functions.c: runs a native function and brings in its results.
int ml_invoke(lua_State *L, ml_payload *function);
int ml_trampoline(lua_State *L);
// Pushes a handle; on failure releases the object and returns false. Never raises.
bool ml_push_handle(lua_State *L, ml_state *s, void *object, uint32_t kind, void *extra);
// Builds `count` trees above the frame's arguments; raises only with nothing in flight.
int ml_build(lua_State *L, ml_state *s, int count, uint32_t mark, size_t arena);
// Queued releases and pacing; never raises.
void ml_settle(lua_State *L, ml_state *s);
// The same, and obedience to a kill.
void ml_attend(lua_State *L, ml_state *s);

// limits.c
_Noreturn void ml_raise_memory(lua_State *L);
int ml_die(lua_State *L, ml_state *s);  // leaves by yield or by error; does not return to Lua code
void ml_arm(lua_State *L);
int ml_reset(lua_State *co, ml_state *s);  // lua_resetthread, safe from yields in what it closes

// coroutines.c, libraries.c
int ml_open_coroutine(lua_State *L);
void ml_warn(void *ud, const char *message, int tocont);

// sites.c: to be called once for every new state.
void ml_sites_open(lua_State *L);
// Whether a chunk with that source is a library's own.
bool ml_is_internal(const ml_state *s, const char *source);

// protected.c
int ml_protect(lua_State *L, lua_CFunction f, void *argument, int arguments, int results);

#endif
