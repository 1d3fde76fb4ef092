// The room with the long jumps.
//
// Stock Lua reports errors with longjmp, which skips Swift frames and leaks what they hold. So every call
// that can raise stands in this target, and Swift sees three kinds of functions only: `ml_…` functions that
// never raise, `ml_…` functions that run protected and return a status, and the part of Lua's own interface
// that never raises. Native functions written in Swift read their arguments with the last, write results
// into a buffer (`ml_out_…`), and return; the trampoline in functions.c turns the buffer into Lua values,
// or raises, once the Swift frame is gone.
//
// Layers, bottom first; a file calls only files of the layers below its own:
//
//   1  memory.c      the allocator, its accounts and limit
//      errors.c      raising without memory, and the call that nothing jumps out of
//   2  slab.c        blocks for handles
//      buffer.c      values on their way into Lua
//      sites.c       which line of which script runs
//      finalizers.c  hooks where Lua lets none in
//      hooks.c       the hooks of scripts
//   3  limits.c      how a running script is made to stop
//      attached.c    functions that the object of a handle keeps
//   4  safepoints.c  what waits until Lua may be called: references given back, the collector's pace
//      coroutines.c  the coroutine library
//      output.c      printing
//      tasks.c       runs that wait for the host
//      numbers.c     lists of numbers, without a value for each
//      catching.c    pcall and its kin
//      patterns.c, primitives.c  functions of Lua's libraries that can take long
//   5  functions.c   native functions: the trampoline, and results into Lua values
//      protected.c   the host's operations, one protected call each
//      libraries.c   the standard libraries, confined
//   6  kinds.c       what scripts see of a native class
//      state.c       opening and closing
//
// What Swift inlines into itself is open, in state.h and buffer.h; the rest of the state is private to this target,
// in internal.h, which also has what these files offer each other.
#ifndef CLUASHIM_H
#define CLUASHIM_H

#include <lualib.h>

#include "buffer.h"
#include "state.h"

// MARK: Lines (sites.c)

// The line of the script that made the native call under way, as a number that is valid in the whole process;
// 0 when no script did, or when it is not known. Never raises.
uint32_t ml_site(ml_state *s);
// "chunk:line" of a site; empty for 0.
size_t ml_site_text(uint32_t site, char *buffer, size_t size);
// "chunk:line: " of the function that called the running native function, as luaL_where, but passing over a library's
// own chunks; never raises.
size_t ml_where(lua_State *L, int level, char *buffer, size_t size);
// Pushes the first local variable, or argument, of the function at a level; false, with nothing pushed, where it has none, or the
// stack no room. `ended` where there is no such level. Never raises.
bool ml_push_first_local(lua_State *L, int level, bool *ended);

// MARK: Limits (limits.c)

// Asks the running script to stop. Safe in a signal handler and from any thread; nothing when none runs, or
// when it is stopping already.
void ml_stop(ml_state *s, ml_kill reason);
// Why the running script must stop, and the position at which that struck first.
ml_kill ml_killed(const ml_state *s);
const char *ml_killed_at(const ml_state *s);
// What the script gave os.exit, after ML_KILL_EXIT.
int ml_exit_status(const ml_state *s);
// Whether scripts run that are being stopped, or whose instructions are counted.
bool ml_needs_reminding(const ml_state *s);
// To be called by another thread again and again while ml_needs_reminding: Lua runs finalizers and hooks with hooks off, and so
// out of reach. Whether one was; then it is worth asking again at once.
bool ml_remind(ml_state *s);
// From now on ml_stop writes a byte there, for the thread that calls ml_remind.
void ml_wake_through(int descriptor);
// Where the reason is raised, for native loops that look at it themselves. Valid as long as the state.
const volatile int *ml_stop_flag(const ml_state *s);

// From now on so many instructions of Lua may run, until a script is stopped for ML_KILL_INSTRUCTIONS; −1 for as many as it likes.
// Gives what was left before, or −1. Takes effect in the coroutine that runs, and in each that is resumed.
int64_t ml_count_instructions(ml_state *s, int64_t budget);

// Those that are left, or −1.
int64_t ml_instructions_left(const ml_state *s);

// MARK: Safe points (safepoints.c)

// Pops the value at the top of L into the registry. Protected.
int ml_ref(ml_state *s, lua_State *L, int *reference);
// Gives a reference back at the next safe point. Never raises; allowed inside a release callback.
void ml_unref(ml_state *s, int reference);
// A full collection, from a native call or from the host; false inside a finalizer.
bool ml_collect(ml_state *s);
// Stops the collector, and lets it go on.
void ml_set_collecting(ml_state *s, bool collects);

// MARK: Attached functions (attached.c)

// Replaces the function on top by a box, to be kept with ml_ref by what the object of the handle at `handle` owns: by the
// object itself, or by its part at an address. When nothing else owns those two, a function that refers to the handle
// keeps it no longer than Lua does. Protected.
int ml_attach(ml_state *s, lua_State *L, int handle, void *part);
// Where the box has its function.
enum { ML_BOX_FUNCTION = 1 };

// MARK: Lists of numbers (numbers.c)

// Copies elements of the list at `table`, an index from the bottom, from position `from` on, until `count` are copied or one is no
// number, or no integer; returns how many were. Without metamethods; needs one free slot of the stack. Never raises.
size_t ml_copy_floats(lua_State *L, int table, int64_t from, size_t count, double *into);
size_t ml_copy_integers(lua_State *L, int table, int64_t from, size_t count, int64_t *into);

// MARK: Results (functions.c)

// Pushes the `count` trees that were written since `mark`; a status as above.
int ml_push(ml_state *s, lua_State *L, int count, uint32_t mark);

// MARK: Host operations (protected.c). Each returns a Lua status; unless it is LUA_OK the error value is on top of L.

// Whether another thread is inside a host call.
bool ml_is_elsewhere(const ml_state *s);
// The lua_State to work on, or NULL when Lua must not be called now, by this thread or at all. Every ml_enter needs its ml_leave.
lua_State *ml_enter(ml_state *s);
// Restores the stack top and, after the outermost call, clears a kill.
void ml_leave(ml_state *s, lua_State *L, int top);
// Whether the host has entered and not left.
bool ml_is_entered(const ml_state *s);
// Calls the function below its arguments. Keeps the traceback of an error for ml_trace.
int ml_call(ml_state *s, lua_State *L, int arguments, int results);
// The traceback of the last failed call, or NULL; and forgets it.
const char *ml_trace(const ml_state *s);
void ml_forget_trace(ml_state *s);
// Compiles source text, or reads bytecode, which must be this Lua's own: Lua does not check it. Either refuses the other.
int ml_load(ml_state *s, lua_State *L, const char *source, size_t length, const char *name, bool bytecode);
// The release of Lua that is linked, in its own words.
const char *ml_lua_release(void);
// t[k] with metamethods: replaces the key on top by the value.
int ml_get(ml_state *s, lua_State *L, int table);
// t[k] = v with metamethods: pops key and value.
int ml_set(ml_state *s, lua_State *L, int table);
// Pushes tostring(value).
int ml_tostring(ml_state *s, lua_State *L, int index);
// Pushes rawget(t, name), interning the name.
int ml_raw_field(ml_state *s, lua_State *L, int table, const char *name, size_t length);
// Replaces the key on top by the next key and value, or pops it at the end. Cannot raise as long as the key came from the same
// traversal (or is nil) and the table was not assigned to since; callers keep to that.
static inline bool ml_next(lua_State *L, int table) { return lua_next(L, table) != 0; }
// The same where a script may have run since, for which lua_next could raise: ends with the key left on top when it is not in
// the table any more.
bool ml_next_if_there(lua_State *L, int table);
// Pushes a traceback of L.
int ml_traceback(ml_state *s, lua_State *L, const char *message, int level);

static inline void ml_pop(lua_State *L, int count) { lua_settop(L, -count - 1); }
static const int ml_registry_index = LUA_REGISTRYINDEX;  // a macro that Swift does not see
static inline int ml_upvalue_index(int i) { return lua_upvalueindex(i); }

// MARK: Tasks (tasks.c)

// Replaces the function on top by a coroutine in which ml_run_task runs it. Protected.
int ml_make_task(ml_state *s, lua_State *L);
// Runs the coroutine at an index until it ends or waits. The values on top of L are the function's arguments at first, and after a
// wait true and the results that it waited for, or false and an error value. LUA_OK with what it returns on top of L, LUA_YIELD where
// it waits, or another status with the error value on top.
int ml_run_task(ml_state *s, lua_State *L, int task, int arguments);
// Whether a task is under way, and whether the native function that runs in L can wait, which returns ML_WAIT.
bool ml_is_task(const ml_state *s);
bool ml_may_wait(lua_State *L);
// As ml_stop, and counted: tasks that wait now look at the count when they go on.
void ml_interrupt(ml_state *s);
uint32_t ml_interrupts(const ml_state *s);

// MARK: Kinds (kinds.c)

// Defines a kind from six trees written since `mark`: name, and records of methods, getters (contexts),
// setters (contexts), metamethods, then the fallbacks for reading and for writing a field (contexts or nil).
// Members of the parent kind are copied first. Protected.
int ml_define_kind(ml_state *s, lua_State *L, uint32_t kind, uint32_t parent, uint32_t mark);

// Makes sure of memory for the next handle, which then cannot fail. False where there is none. Never raises.
bool ml_reserve_handle(ml_state *s);

// MARK: Libraries (libraries.c)

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
// Whether the function that called the running one is what ipairs makes each step with.
bool ml_is_step(lua_State *L);

// MARK: Output (output.c)

// Writes as `print` does, to the host's `write` or to standard output.
void ml_write_output(ml_state *s, const char *bytes, size_t length);

// MARK: The state (state.c)

// Opens a state without libraries; NULL when memory is short.
ml_state *ml_open(const ml_config *config);
// Closes the Lua state: every handle is released. The record itself lives until its last owner lets go.
void ml_close(ml_state *s);
bool ml_is_open(const ml_state *s);
// Owners beside the opener (references, interrupt handles); safe from any thread.
void ml_retain(ml_state *s);
void ml_release(ml_state *s);

// What a state counts.
typedef struct ml_counts {
  size_t bytes, peak;    // Lua's own blocks, and values on their way into it
  size_t handles;        // live handle blocks
  uint32_t references;   // made with ml_ref and not given back
  uint64_t allocations;  // while one of them is to fail
  bool generational;     // the collector's mode
} ml_counts;
ml_counts ml_count(const ml_state *s);

#endif
