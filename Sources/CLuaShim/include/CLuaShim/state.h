// What every native call and its inlined parts in Swift touch: handles, values, and the open part of the state.
// Nothing here calls a function of this target.
#ifndef ML_STATE_H
#define ML_STATE_H

#include <lauxlib.h>
#include <lua.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct ml_state ml_state;

// MARK: Handles

// What a handle's userdata block carries. All zero until a native object has moved in, so that freeing a
// block whose creation failed half-way releases nothing.
typedef struct ml_payload {
  void *object;     // one strong reference, given up when Lua frees the block
  uint32_t kind;    // 0 until filled
  ml_state *state;  // the family this handle lives in
  void *extra;      // the callback of a native function; free for the bindings otherwise
} ml_payload;

// The address region that holds every handle of the process and nothing else.
typedef struct ml_region_bounds {
  uintptr_t base, size;
} ml_region_bounds;
extern ml_region_bounds ml_region;

// Whether an address lies in the handle region. Only handle blocks do.
static inline bool ml_in_region(const void *p) { return (uintptr_t)p - ml_region.base < ml_region.size; }

// The payload of the handle at a stack index, or NULL for every other value.
// One range check instead of a metatable comparison: scripts cannot make a block in the region, and no
// light userdata ever points into it, so neither setmetatable nor debug.setmetatable can forge a handle.
static inline ml_payload *ml_to_handle(lua_State *L, int index) {
  void *p = lua_touserdata(L, index);
  return ml_in_region(p) ? (ml_payload *)p : NULL;
}

// The kind whose handles are closures' contexts: `object` is what the callback receives.
#define ML_KIND_FUNCTION 1u

// MARK: Values on their way into Lua

// Trees in prefix order: a list is followed by its elements, a record by key, value, key, value ….
typedef enum ml_tag {
  ML_NIL,
  ML_BOOLEAN,
  ML_INTEGER,
  ML_NUMBER,
  ML_ARGUMENT,   // one of the call's own arguments, 1 ≤ integer ≤ gettop
  ML_REFERENCE,  // a value stored with ml_ref
  ML_HANDLE,     // a native object of a kind; ownership passes in
  ML_FLAT = ML_HANDLE,
  ML_UNIQUE,  // the same, of a kind whose objects have one handle each
  ML_STRING,     // bytes in the arena
  ML_FAILURE,    // the same: no value, but the message of the error that is raised in its place
  ML_FUNCTION,   // a native function; ownership of its context passes in
  ML_CONTEXT,    // the same, as the bare handle that kinds keep for getters and setters
  ML_LIST,
  ML_RECORD,
  ML_NUMBERS,  // a list of numbers that the host copies out of an object of its own; ownership passes in
} ml_tag;

typedef struct ml_value {
  uint32_t tag;
  uint32_t kind;
  union {
    int64_t integer;
    double number;
    void *object;
    size_t offset;
  } as;
  void *extra;
} ml_value;

// Room for as many numbers as are copied at once: of Lua's floats, or of its integers.
enum { ML_NUMBERS_AT_ONCE = 256 };
typedef union ml_numbers {
  double floats[ML_NUMBERS_AT_ONCE];
  int64_t integers[ML_NUMBERS_AT_ONCE];
} ml_numbers;

// MARK: Native functions

// A native function: reads arguments from the stack, writes results with ml_out_… and returns their number,
// or writes one error value and returns ML_RAISE. Never raises, and leaves the stack as it found it.
typedef int (*ml_callback)(lua_State *L, ml_state *s, void *object);
#define ML_RAISE (-1)
// Returned where it waits for the host, having left nothing: only where ml_may_wait.
#define ML_WAIT (-2)

// MARK: The state

typedef struct ml_kind {
  int metatable;    // registry reference, LUA_NOREF until defined
  uint32_t parent;  // 0 for none
} ml_kind;

// Why a running script must stop; sticky until the outermost host call has returned.
typedef enum ml_kill {
  ML_KILL_NONE,
  ML_KILL_INTERRUPT,
  ML_KILL_TIME,
  ML_KILL_INSTRUCTIONS,
  ML_KILL_EXIT,  // by its own os.exit
} ml_kill;

// What the host sets when it opens a state.
typedef struct ml_config {
  void (*release)(void *object, uint32_t kind);  // gives up a handle's reference; must not call Lua
  // Whether a handle, whose payload has `object`, is its only owner, and the object that of a part unless that is NULL; must
  // not call Lua.
  bool (*is_sole)(void **object, void *part);
  void (*warn)(void *host, const char *message, size_t length);
  void (*write)(void *host, const char *bytes, size_t length);  // what scripts print; NULL for standard output
  // Copies numbers of an ML_NUMBERS object, `count` from position `from` on; must not call Lua.
  void (*copy)(void *object, size_t from, size_t count, ml_numbers *into);
  void *host;
  ml_callback callback;  // runs ML_FUNCTION values without a callback of their own
  int64_t (*live)(void);  // bytes of native memory in use, where claims do not tell; NULL for the claims
  size_t memory_limit;   // bytes, 0 for none
  bool binary_chunks;    // whether load accepts precompiled code
  bool exits;            // whether os.exit ends the process, as in `lua`, and not the script alone
  const char *internal;  // how the names of chunks begin that are no scripts', see sites.c; NULL for none
  uint64_t fail_at;      // tests: the allocation that fails first, 0 for none
  bool fail_onwards;     // tests: fail every allocation from that one on
} ml_config;

// The open part; what only this target touches follows it in memory, see internal.h.
struct ml_state {
  ml_value *out;  // results and arguments on their way into Lua, a stack
  uint32_t out_top, out_capacity;
  lua_State *current;       // the running coroutine
  volatile bool attention;  // pacing, queued releases or a kill wait for the next safe point
  uint32_t kind_count;
  ml_kind *kinds;
  size_t native;       // bytes of native memory reachable through handles, as claimed
  size_t native_debt;  // claimed since the last collection that it caused
  size_t pace;         // the debt that calls for one
  ml_config config;
};

// The family of a lua_State.
static inline ml_state *ml_of(lua_State *L) {
  void *s;
  lua_getallocf(L, &s);
  return (ml_state *)s;
}

static inline int ml_push_reference(lua_State *L, int reference) { return lua_rawgeti(L, LUA_REGISTRYINDEX, reference); }

// Whether handles of `kind` may stand for `expected`.
static inline bool ml_is_kind(const ml_state *s, uint32_t kind, uint32_t expected) {
  while (kind != expected) {
    if (kind >= s->kind_count || kind == 0) return false;
    kind = s->kinds[kind].parent;
  }
  return true;
}

// MARK: Native memory (memory.c)

// Bytes in use.
size_t ml_live(const ml_state *s);
// Whether that many more bytes would exceed the memory limit.
bool ml_would_exceed(const ml_state *s, size_t bytes);
// Tells the collector of native memory that is accounted for elsewhere.
static inline void ml_pace(ml_state *s, size_t bytes) {
  s->native_debt += bytes;
  if (s->native_debt >= s->pace) s->attention = true;
}
// Tells the collector of native memory that came to depend on handles.
static inline void ml_claim(ml_state *s, size_t bytes) {
  s->native += bytes;
  ml_pace(s, bytes);
}
// Tells of native memory given back. Allowed inside a release callback.
static inline void ml_unclaim(ml_state *s, size_t bytes) { s->native -= bytes <= s->native ? bytes : s->native; }

// MARK: The coroutine's word

// Sixty-two bits that belong to a coroutine. A new coroutine takes those of the one that first resumes it.
#define ML_WORD_ADOPTED ((uint64_t)1 << 63)
#define ML_WORD_HELD ((uint64_t)1 << 62)  // it waits for the host, see tasks.c
#define ML_WORD_MASK (~(uint64_t)0 >> 2)
static inline uint64_t ml_word(lua_State *L) { return *(uint64_t *)lua_getextraspace(L) & ML_WORD_MASK; }
static inline void ml_set_word(lua_State *L, uint64_t word) {
  uint64_t *p = (uint64_t *)lua_getextraspace(L);
  *p = (*p & ~ML_WORD_MASK) | (word & ML_WORD_MASK);
}

#endif
