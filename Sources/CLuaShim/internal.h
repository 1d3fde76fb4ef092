// The private part of the state, and what the files of this target offer each other, bottom first.
#ifndef ML_INTERNAL_H
#define ML_INTERNAL_H

#include "CLuaShim/state.h"

#define ml_likely(x) __builtin_expect(!!(x), 1)
#define ml_unlikely(x) __builtin_expect(!!(x), 0)
#define ml_inline inline __attribute__((always_inline))  // release builds optimise C for size
#define ml_apart __attribute__((noinline))
#define ml_cold __attribute__((noinline, cold))

// MARK: The private part

// A place in the code of a script, and its line.
enum { ml_site_entries = 256 };
typedef struct ml_site_entry {
  uintptr_t pc;
  uint32_t epoch, site;
} ml_site_entry;

typedef struct ml_private {
  // Handle blocks: these and the next are read by every allocation.
  void *slab_free;
  char *slab_next, *slab_end;
  size_t block_size, payload_offset;
  void *chunks;
  // Memory, in bytes.
  bool handle_request;   // the next userdata block comes from the slab
  bool reserved;         // the next handle has been asked for
  bool slow;             // allocations must consult ml_refuses
  volatile int foreign;  // another thread is arming a hook: blocks must not be freed
  int releasing;         // nesting of release callbacks: Lua must not be called
  size_t bytes, peak;    // Lua's own blocks, and the buffer
  size_t handles;        // live handle blocks
  uint64_t allocations;
  size_t proto_size;     // of the blocks of function prototypes; 0 until one was made
  uint32_t code_epoch;   // another one whenever code may have been freed
  // The buffer.
  bool out_failed;
  char *arena;
  size_t arena_top, arena_capacity;
  // Coroutines and limits.
  volatile int kill;             // ml_kill; see ml_set_kill
  const void *volatile *call_name;  // where Lua has the name of the event of calls; NULL where that is not known
  const void *a_call, *no_call;     // what stands there, and what does during a kill
  volatile int depth;            // host calls under way
  uintptr_t owner;               // the thread inside the outermost one, 0 for none
  lua_State *main, *base;        // base runs the outermost script, so that a kill can leave it by yielding
  int base_reference;
  int exit_status;               // that a script asked for, see ML_KILL_EXIT
  bool counting;   // instructions are counted, by hooks of every coroutine that runs
  int64_t budget;  // those that are left
  lua_State *resetting;          // the coroutine whose pending closes run: it must not yield
  uintptr_t reset_base;          // how far the C stack had grown when the outermost of these began
  char where[LUA_IDSIZE + 24];  // position at which a kill struck
  // Tasks.
  lua_State *task;      // the outermost coroutine of the one under way
  bool may_wait;        // whether all coroutines around the running one can be left
  bool waiting;         // they are being left
  uint32_t interrupts;  // asked for by the host, also between the pieces of a task
  bool has_hooks;                // scripts have set hooks
  lua_State *hooking;            // the coroutine whose own hook is being called, if any
  // Safe points.
  int *pending;       // registry references to give back; room for every live one
  uint32_t pending_count, pending_capacity, live_references;
  bool generational;  // the collector's mode
  size_t full_pace;   // the native memory in use that calls for a full collection
  size_t since_full;  // claimed since the last full one
  // Attached functions.
  uint32_t attached;         // since the last pass over them
  uint32_t attached_before;  // those that it left
  // The host's operations, libraries, the state.
  char *trace;  // traceback of the last failed call
  char *warning;
  size_t warning_length, warning_capacity;
  bool warnings_on;
  bool closing;
  uint32_t references;  // every one made by an owner; see ml_count
  lua_CFunction ipairs_step;  // of ipairs, see libraries.c
  // Lines.
  bool has_layout;  // of Lua's record of a call, see sites.c
  ml_site_entry sites[ml_site_entries];
} ml_private;

typedef struct ml_whole {
  ml_state open;
  ml_private own;
} ml_whole;

static ml_inline ml_private *ml_own(const ml_state *s) { return &((ml_whole *)s)->own; }

// MARK: memory.c

// Whether allocations need more than counting.
static inline bool ml_is_slow(const ml_config *c) { return c->memory_limit != 0 || c->fail_at != 0; }
void *ml_allocate(void *ud, void *block, size_t osize, size_t nsize);
bool ml_refuses(ml_state *s, size_t more);
void *ml_grow(ml_state *s, void *block, size_t from, size_t to);
void ml_count_growth(ml_state *s, size_t from, size_t to);  // shrinking is negative growth

// MARK: errors.c

// Pops so many values and pushes Lua's error for lack of memory, whose status it returns.
int ml_memory_error(lua_State *L, int pop);
_Noreturn void ml_raise_memory(lua_State *L);
// Calls f(argument, the `arguments` values on top).
int ml_protect(lua_State *L, lua_CFunction f, void *argument, int arguments, int results);

// MARK: slab.c

bool ml_region_open(void);
// Whether there is a block, if need be in a new chunk.
bool ml_slab_ready(ml_state *s);
void ml_slab_close(ml_state *s);

// MARK: sites.c

// To be called once for every new state.
void ml_sites_open(lua_State *L);

// MARK: finalizers.c

// To be called once for every new state.
void ml_finalizers_open(lua_State *L);
// Lets hooks into a finalizer or a hook that runs in the coroutine; whether they were kept out. Safe in a signal handler.
bool ml_let_hooks_in(lua_State *L);

// MARK: calls.c

// To be called once for every new state; raises when memory is short.
void ml_calls_open(lua_State *L);
void ml_set_kill(ml_private *own, ml_kill kill);

// MARK: hooks.c

// What a script's own hook of a coroutine asks for: events, and the instructions up to its next call if it counts them.
typedef struct ml_hooking {
  int mask, left;
} ml_hooking;
ml_hooking ml_script_hook(lua_State *co, const ml_state *s);  // never raises
// Calls the script's hook, if there is one for the event, after so many instructions since the last time.
void ml_call_script_hook(lua_State *L, const ml_state *s, lua_Debug *ar, int passed);
void ml_forget_script_hook(lua_State *L, const ml_state *s);  // never raises
// Puts debug.sethook and debug.gethook into the table on top.
void ml_open_hooks(lua_State *L);

// MARK: limits.c

void ml_wake(void);                      // the thread that reminds; safe in a signal handler
void ml_exit(lua_State *L, int status);  // stops the running script, as os.exit; to be followed by ml_die
int ml_die(lua_State *L, ml_state *s);  // leaves by yield or by error; does not return to Lua code
static ml_inline void ml_poll(lua_State *L, ml_state *s) {
  if (ml_unlikely(ml_own(s)->kill)) ml_die(L, s);
}
void ml_arm(lua_State *L);
// Makes a coroutine that is about to run obey whatever is in force: a kill under way, counting, the script's own hook. Never
// raises.
void ml_bind(lua_State *co, ml_state *s);
int ml_reset(lua_State *co, ml_state *s);  // lua_resetthread, safe from yields in what it closes
bool ml_may_reset(const ml_state *s);      // whether the C stack has room for it

// MARK: attached.c

// A full collection that takes also what only attached functions keep, if there can be any; whether it was made. Never
// raises.
bool ml_collect_attached(lua_State *L, ml_state *s);
bool ml_attached_is_due(const ml_state *s);

// MARK: safepoints.c

// Native bytes between collections, at least; and native bytes at which a full one comes, at least.
// Where nothing tells what is in use, a full one comes for so many claimed.
enum { ml_least_pace = 256 << 10, ml_most_pace = 512 << 10, ml_least_full_pace = 32 << 20, ml_blind_pace = 256 << 20 };

// Queued releases and pacing; never raises.
void ml_settle(lua_State *L, ml_state *s);
// Before a full collection that somebody asks for: gives back what waits for it, and takes what only attached functions keep.
void ml_prepare_collection(lua_State *L, ml_state *s);
// ml_settle, and obedience to a kill.
void ml_attend(lua_State *L, ml_state *s);

// MARK: tasks.c

int ml_wait(lua_State *L, ml_state *s);  // leaves by yielding, and returns to Lua code in its continuation
// Coroutines that wait for the host, which alone resumes them.
void ml_hold(lua_State *co);
void ml_let_go(lua_State *co);
bool ml_is_held(lua_State *co);

// MARK: coroutines.c

int ml_open_coroutine(lua_State *L);

// MARK: patterns.c, primitives.c, programs.c, catching.c

// Put functions of our own, which a kill ends, into the library's table on top of the stack, or among the globals.
void ml_open_patterns(lua_State *L);
void ml_open_strings(lua_State *L);
void ml_open_tables(lua_State *L);
void ml_open_utf8(lua_State *L);
void ml_open_programs(lua_State *L);
void ml_open_catching(lua_State *L);

// MARK: numbers.c

// Pushes a list of the numbers of an ML_NUMBERS object. Raises when memory is short.
void ml_push_numbers(lua_State *L, ml_state *s, void *object, int64_t count, bool integers);

// MARK: functions.c

// Runs a native function and brings in its results.
int ml_invoke(lua_State *L, ml_payload *function);
int ml_trampoline(lua_State *L);
// Pushes a handle; on failure releases the object and returns false. Never raises.
bool ml_push_handle(lua_State *L, ml_state *s, void *object, uint32_t kind, void *extra);
// To be called once for every new state, protected.
void ml_open_unique(lua_State *L);

// MARK: files.c

// Notes that a file is about to be loaded as a chunk. May raise for memory.
void ml_note_file(lua_State *L, const char *name);

// MARK: output.c

// Puts our own `print` among the globals, and our own writing into the library of files, if that is there.
void ml_open_output(lua_State *L, bool has_files);

// MARK: protected.c

// Keeps a traceback for ml_trace, or nothing when memory is short.
void ml_keep_traceback(ml_state *s, lua_State *L, lua_State *from, int level);

// MARK: libraries.c

void ml_warn(void *ud, const char *message, int tocont);

#endif
