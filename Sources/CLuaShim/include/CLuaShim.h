// The room with the long jumps.
//
// Stock Lua reports errors with longjmp, which skips Swift frames and leaks what they hold. So every call
// that can raise stands in this target, and Swift sees three kinds of functions only: `ml_…` functions that
// never raise, `ml_…` functions that run protected and return a status, and the part of Lua's own interface
// that never raises. Native functions written in Swift read their arguments with the last, write results
// into a buffer (`ml_out_…`), and return; the trampoline in functions.c turns the buffer into Lua values,
// or raises, once the Swift frame is gone.
//
// Bottom first: handles (slab.c), results and native functions (functions.c), kinds (kinds.c), coroutines
// (coroutines.c), limits (limits.c), protected operations (protected.c), script lines (sites.c), the state (state.c).
#ifndef CLUASHIM_H
#define CLUASHIM_H

#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>
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
  uint32_t flags;   // free for the bindings
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
  ML_STRING,     // bytes in the arena
  ML_FUNCTION,   // a native function; ownership of its context passes in
  ML_CONTEXT,    // the same, as the bare handle that kinds keep for getters and setters
  ML_LIST,
  ML_RECORD,
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

// MARK: Native functions

// A native function: reads arguments from the stack, writes results with ml_out_… and returns their number,
// or writes one error value and returns ML_RAISE. Never raises, and leaves the stack as it found it.
typedef int (*ml_callback)(lua_State *L, ml_state *s, void *object);
#define ML_RAISE (-1)

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
} ml_kill;

// What the host sets when it opens a state.
typedef struct ml_config {
  void (*release)(void *object, uint32_t kind);  // gives up a handle's reference; must not call Lua
  void (*warn)(void *host, const char *message, size_t length);
  void *host;
  ml_callback callback;  // runs ML_FUNCTION values without a callback of their own
  int64_t (*live)(void);  // bytes of native memory in use, where claims do not tell; NULL for the claims
  size_t memory_limit;   // bytes, 0 for none
  bool binary_chunks;    // whether load accepts precompiled code
  const char *internal;  // how the names of chunks begin that are no scripts', see sites.c; NULL for none
  uint64_t fail_at;      // tests: the allocation that fails first, 0 for none
  bool fail_onwards;     // tests: fail every allocation from that one on
} ml_config;

// A place in the code of a script, and its line.
enum { ml_site_entries = 256 };
typedef struct ml_site_entry {
  uintptr_t pc;
  uint32_t epoch, site;
} ml_site_entry;

struct ml_state {
  // Read by every native call.
  ml_value *out;  // results and arguments on their way into Lua, a stack
  uint32_t out_top, out_capacity;
  bool out_failed;
  volatile bool attention;  // pacing, queued releases or a kill wait for the next safe point
  bool handle_request;      // the next userdata block comes from the slab
  bool slow;                // allocations must consult ml_refuses
  lua_State *current;       // the running coroutine
  ml_kind *kinds;
  uint32_t kind_count;
  void *slab_free;
  char *slab_next, *slab_end;
  size_t block_size, payload_offset;
  // Accounts, in bytes.
  size_t bytes, peak;      // Lua's own blocks
  size_t native;           // native memory reachable through handles, as claimed
  size_t native_debt;      // claimed since the last collection that it caused
  size_t pace;             // the debt that calls for one
  size_t full_pace;        // the native memory in use that calls for a full one
  size_t since_full;       // claimed since the last full one
  bool generational;       // the collector's mode
  size_t handles;          // live handle blocks
  // The rest.
  lua_State *main, *base;  // base runs the outermost script, so that a kill can leave it by yielding
  int base_reference;
  volatile int depth;      // host calls under way
  volatile int kill;       // ml_kill
  volatile int foreign;    // another thread is arming a hook
  bool closing;
  lua_State *resetting;    // the coroutine whose pending closes run: it must not yield
  int releasing;           // nesting of release callbacks: Lua must not be called
  uint32_t references;     // every one made by an owner; see count
  char *arena;
  size_t arena_top, arena_capacity;
  int *pending;            // registry references to give back; room for every live one
  uint32_t pending_count, pending_capacity, live_references;
  void *chunks;
  char *trace;             // traceback of the last failed call
  char *warning;
  size_t warning_length, warning_capacity;
  bool warnings_on;
  char where[LUA_IDSIZE + 24];  // position at which a kill struck
  uint64_t allocations;
  uintptr_t owner;         // the thread inside the outermost host call
  size_t proto_size;       // of the blocks of function prototypes; 0 until one was made
  uint32_t site_epoch;     // see sites.c
  ml_site_entry sites[ml_site_entries];
  ml_config config;
};

// Opens a state without libraries; NULL when memory is short.
ml_state *ml_open(const ml_config *config);
// Closes the Lua state: every handle is released. The record itself lives until its last owner lets go.
void ml_close(ml_state *s);
// Owners beside the opener (references, interrupt handles); safe from any thread.
void ml_retain(ml_state *s);
void ml_release(ml_state *s);

// The family of a lua_State.
static inline ml_state *ml_of(lua_State *L) {
  void *s;
  lua_getallocf(L, &s);
  return (ml_state *)s;
}

// The standard libraries, as bits of a set. The base library is always there.
enum {
  ML_LIBRARY_PACKAGE = 1 << 0,
  ML_LIBRARY_COROUTINE = 1 << 1,
  ML_LIBRARY_TABLE = 1 << 2,
  ML_LIBRARY_IO = 1 << 3,
  ML_LIBRARY_OS = 1 << 4,
  ML_LIBRARY_STRING = 1 << 5,
  ML_LIBRARY_MATH = 1 << 6,
  ML_LIBRARY_UTF8 = 1 << 7,
  ML_LIBRARY_DEBUG = 1 << 8,
};
// Opens a set of libraries, with our own coroutines and text-only loading. Protected.
int ml_open_libraries(ml_state *s, lua_State *L, uint32_t libraries);

// MARK: Writing values

bool ml_out_grow(ml_state *s);

static inline bool ml_out(ml_state *s, ml_value v) {
  if (s->out_top == s->out_capacity && !ml_out_grow(s)) return false;
  s->out[s->out_top++] = v;
  return true;
}
static inline void ml_out_nil(ml_state *s) { ml_out(s, (ml_value){.tag = ML_NIL}); }
static inline void ml_out_boolean(ml_state *s, bool b) {
  ml_out(s, (ml_value){.tag = ML_BOOLEAN, .as.integer = b});
}
static inline void ml_out_integer(ml_state *s, int64_t i) {
  ml_out(s, (ml_value){.tag = ML_INTEGER, .as.integer = i});
}
static inline void ml_out_number(ml_state *s, double n) {
  ml_out(s, (ml_value){.tag = ML_NUMBER, .as.number = n});
}
static inline void ml_out_argument(ml_state *s, int index) {
  ml_out(s, (ml_value){.tag = ML_ARGUMENT, .as.integer = index});
}
static inline void ml_out_reference(ml_state *s, int reference) {
  ml_out(s, (ml_value){.tag = ML_REFERENCE, .as.integer = reference});
}
// Takes over one reference to `object`, whatever happens.
static inline void ml_out_handle(ml_state *s, void *object, uint32_t kind) {
  if (!ml_out(s, (ml_value){.tag = ML_HANDLE, .kind = kind, .as.object = object}))
    s->config.release(object, kind);
}
// Takes over one reference to `object`; `callback` NULL means the host's.
static inline void ml_out_function(ml_state *s, void *object, ml_callback callback) {
  if (!ml_out(s, (ml_value){.tag = ML_FUNCTION, .as.object = object, .extra = (void *)callback}))
    s->config.release(object, ML_KIND_FUNCTION);
}
static inline void ml_out_context(ml_state *s, void *object, ml_callback callback) {
  if (!ml_out(s, (ml_value){.tag = ML_CONTEXT, .as.object = object, .extra = (void *)callback}))
    s->config.release(object, ML_KIND_FUNCTION);
}
static inline void ml_out_list(ml_state *s, int64_t count) {
  ml_out(s, (ml_value){.tag = ML_LIST, .as.integer = count});
}
static inline void ml_out_record(ml_state *s, int64_t count) {
  ml_out(s, (ml_value){.tag = ML_RECORD, .as.integer = count});
}
// Copies the bytes.
void ml_out_string(ml_state *s, const char *bytes, size_t length);

// MARK: Pacing and accounts

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
// A full collection, from a native call or from the host; false inside a finalizer.
bool ml_collect(ml_state *s);
// Native memory in use.
size_t ml_live(const ml_state *s);
// Whether that many more bytes would exceed the memory limit.
bool ml_would_exceed(const ml_state *s, size_t bytes);

// MARK: References to Lua values

// Pops the value at the top of L into the registry. Protected.
int ml_ref(ml_state *s, lua_State *L, int *reference);
// Gives a reference back at the next safe point. Never raises; allowed inside a release callback.
void ml_unref(ml_state *s, int reference);
static inline int ml_push_reference(lua_State *L, int reference) {
  return lua_rawgeti(L, LUA_REGISTRYINDEX, reference);
}

// MARK: The coroutine's word

// Sixty-two bits that belong to a coroutine. A new coroutine takes those of the one that first resumes it.
#define ML_WORD_ADOPTED ((uint64_t)1 << 63)
#define ML_WORD_MASK (~(uint64_t)0 >> 2)
static inline uint64_t ml_word(lua_State *L) { return *(uint64_t *)lua_getextraspace(L) & ML_WORD_MASK; }
static inline void ml_set_word(lua_State *L, uint64_t word) {
  uint64_t *p = (uint64_t *)lua_getextraspace(L);
  *p = (*p & ~ML_WORD_MASK) | (word & ML_WORD_MASK);
}

// MARK: Host operations. Each returns a Lua status; unless it is LUA_OK the error value is on top of L.

// The lua_State to work on, or NULL when Lua must not be called now. Every ml_enter needs its ml_leave.
lua_State *ml_enter(ml_state *s);
// Restores the stack top and, after the outermost call, clears a kill.
void ml_leave(ml_state *s, lua_State *L, int top);
// Pushes the `count` trees that were written since `mark` (the old out_top).
int ml_push(ml_state *s, lua_State *L, int count, uint32_t mark);
// Forgets trees written since `mark`, releasing the objects in them.
void ml_forget(ml_state *s, uint32_t mark);
// Calls the function below its arguments. Keeps the traceback of an error in s->trace.
int ml_call(ml_state *s, lua_State *L, int arguments, int results);
void ml_forget_trace(ml_state *s);
// Compiles source text; binary chunks are refused.
int ml_load(ml_state *s, lua_State *L, const char *source, size_t length, const char *name);
// t[k] with metamethods: replaces the key on top by the value.
int ml_get(ml_state *s, lua_State *L, int table);
// t[k] = v with metamethods: pops key and value.
int ml_set(ml_state *s, lua_State *L, int table);
// Pushes tostring(value).
int ml_tostring(ml_state *s, lua_State *L, int index);
// Pushes rawget(t, name), interning the name.
int ml_raw_field(ml_state *s, lua_State *L, int table, const char *name, size_t length);
// Replaces the key on top by the next key and value. Cannot raise as long as the key came from the same
// traversal (or is nil) and the table was not assigned to since; callers keep to that.
static inline bool ml_next(lua_State *L, int table) { return lua_next(L, table) != 0; }
// Pushes a traceback of L.
int ml_traceback(ml_state *s, lua_State *L, const char *message, int level);
// "chunk:line: " of the function that called the running native function, as luaL_where, but passing over a library's
// own chunks; never raises.
size_t ml_where(lua_State *L, int level, char *buffer, size_t size);

// The line of the script that made the native call under way, as a number that is valid in the whole process;
// 0 when no script did. Never raises.
uint32_t ml_site(ml_state *s);
// "chunk:line" of a site; empty for 0.
size_t ml_site_text(uint32_t site, char *buffer, size_t size);

static inline void ml_pop(lua_State *L, int count) { lua_settop(L, -count - 1); }
static const int ml_registry_index = LUA_REGISTRYINDEX;  // a macro that Swift does not see
static inline int ml_upvalue_index(int i) { return lua_upvalueindex(i); }

// MARK: Kinds

// Defines a kind from six trees written since `mark`: name, and records of methods, getters (contexts),
// setters (contexts), metamethods, then the fallbacks for reading and for writing a field (contexts or nil).
// Members of the parent kind are copied first. Protected.
int ml_define_kind(ml_state *s, lua_State *L, uint32_t kind, uint32_t parent, uint32_t mark);
// Whether handles of `kind` may stand for `expected`.
static inline bool ml_is_kind(const ml_state *s, uint32_t kind, uint32_t expected) {
  while (kind != expected) {
    if (kind >= s->kind_count || kind == 0) return false;
    kind = s->kinds[kind].parent;
  }
  return true;
}

// MARK: Limits

// Asks the running script to stop. Safe in a signal handler and from any thread; nothing when none runs, or
// when it is stopping already.
void ml_stop(ml_state *s, ml_kill reason);

#endif
