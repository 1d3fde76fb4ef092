// Limits: how a running script is made to stop, and stays stopped.
//
// A hook's error alone is no limit, since pcall swallows it. So the kill flag is sticky: the hook re-arms at
// every instruction, and leaves by yielding, which pcall cannot catch, up to the coroutine that the host
// resumed; where it cannot yield it raises Lua's own memory error, which runs no message handler.
//
// A coroutine left by an error from its hook never runs hooks again (Lua restores `allowhook` in protected
// calls only), so nothing may run in it afterwards: its pending closes are dropped, and it is not used again.
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "CLuaShim/CLuaShim.h"
#include "internal.h"

// Remembers where the kill struck first.
static void note_place(lua_State *L, ml_state *s, int level) {
  ml_private *own = ml_own(s);
  if (own->where[0] == 0) ml_where(L, level, own->where, sizeof own->where);
}

static bool may_yield(lua_State *L, ml_state *s) { return lua_isyieldable(L) && L != ml_own(s)->resetting; }

int ml_die(lua_State *L, ml_state *s) {
  note_place(L, s, 1);
  if (may_yield(L, s)) return lua_yield(L, 0);
  ml_raise_memory(L);
}

// Instructions between two looks at the budget: the hook costs as much as some ten of them.
enum { counted_at_once = 1000 };

// Whether the script goes on after so many instructions: it is not being stopped, and has some left where they are counted.
static bool goes_on(ml_state *s, int passed) {
  ml_private *own = ml_own(s);
  if (own->kill) return false;
  if (!own->counting) return true;
  own->budget -= passed;
  if (own->budget > 0) return true;
  own->where[0] = 0;
  ml_set_kill(own, ML_KILL_INSTRUCTIONS);
  s->attention = true;
  ml_wake();
  return false;
}

// A coroutine has one hook: this one, for the limits and for the script's own.
static void hook(lua_State *L, lua_Debug *ar) {
  ml_state *s = ml_of(L);
  int passed = ar->event == LUA_HOOKCOUNT ? lua_gethookcount(L) : 0;
  if (ml_likely(goes_on(s, passed))) {
    ml_call_script_hook(L, s, ar, passed);
    if (passed != 0) ml_bind(L, s);
    if (ml_likely(!ml_own(s)->kill)) return;
  }
  note_place(L, s, 0);
  ml_arm(L);
  if (may_yield(L, s)) {
    lua_yield(L, 0);  // returns; the interpreter loop then leaves
  } else {
    ml_memory_error(L, 0);
    lua_error(L);
  }
}

void ml_arm(lua_State *L) { lua_sethook(L, hook, LUA_MASKCOUNT, 1); }

void ml_bind(lua_State *co, ml_state *s) {
  const ml_private *own = ml_own(s);
  if (own->kill) return ml_arm(co);
  ml_hooking script = ml_script_hook(co, s);
  int mask = script.mask, step = mask & LUA_MASKCOUNT ? script.left : 0;
  if (own->counting) {
    int most = own->budget < counted_at_once ? (own->budget < 1 ? 1 : (int)own->budget) : counted_at_once;
    if (step == 0 || most < step) step = most;
    mask |= LUA_MASKCOUNT;
  }
  if (mask == 0) {
    if (lua_gethook(co) != NULL) lua_sethook(co, NULL, 0, 0);
  } else if (lua_gethook(co) != hook || lua_gethookcount(co) != step || lua_gethookmask(co) != mask) {
    lua_sethook(co, hook, mask, step);
  }
}

// Lua bounds the C stack by counting calls, but lua_resetthread starts the count anew, so closings within closings are
// bounded by what they take up: the innermost may come on top of that with as many calls as Lua allows.
enum { most_reset_stack = 256 << 10 };

static ml_inline uintptr_t stack_place(void) { return (uintptr_t)__builtin_frame_address(0); }

bool ml_may_reset(const ml_state *s) {
  const ml_private *own = ml_own(s);
  uintptr_t place = stack_place(), base = own->reset_base;
  return own->resetting == NULL || (place < base ? base - place : place - base) < most_reset_stack;
}

int ml_reset(lua_State *co, ml_state *s) {
  ml_private *own = ml_own(s);
  lua_State *outer = own->resetting, *current = s->current;
  if (outer == NULL) own->reset_base = stack_place();
  own->resetting = s->current = co;
  if (own->kill) ml_arm(co);
  int status = lua_resetthread(co);
  own->resetting = outer;
  s->current = current;
  if (own->kill) ml_arm(current);
  return status;
}

// Makes every thread of the process pass a full memory barrier.
static void barrier_everywhere(void) {
#ifdef SYS_membarrier
  enum { private_expedited = 1 << 3, register_private_expedited = 1 << 4, global = 1 << 0 };
  if (syscall(SYS_membarrier, register_private_expedited, 0, 0) == 0 &&
      syscall(SYS_membarrier, private_expedited, 0, 0) == 0)
    return;
  if (syscall(SYS_membarrier, global, 0, 0) == 0) return;
#endif
  usleep(1000);  // no such call: longer than any store waits in a buffer
}

static volatile int wake_descriptor = -1;

void ml_wake_through(int descriptor) { wake_descriptor = descriptor; }

void ml_wake(void) {
  int descriptor = wake_descriptor, error = errno;
  if (descriptor >= 0 && write(descriptor, "", 1) < 0) errno = error;
}

// lua_sethook walks the call chain, so its records must not be freed while another thread calls it: the allocator waits
// while `foreign` is set, and the barrier makes sure that it has seen the flag or is past its frees.
static bool begin_foreign(ml_private *own) {
  if (__atomic_exchange_n(&own->foreign, 1, __ATOMIC_SEQ_CST)) return false;  // another thread is at it
  own->slow = true;
  barrier_everywhere();
  return true;
}

static void end_foreign(ml_state *s) {
  ml_private *own = ml_own(s);
  own->slow = own->closing || ml_is_slow(&s->config);
  __atomic_store_n(&own->foreign, 0, __ATOMIC_SEQ_CST);
}

void ml_stop(ml_state *s, ml_kill reason) {
  ml_private *own = ml_own(s);
  if (own->depth == 0 || own->kill) return;
  own->where[0] = 0;
  if (own->owner == (uintptr_t)pthread_self()) {  // a signal handler, or a native function
    ml_set_kill(own, reason);
    s->attention = true;
    if (s->current != NULL) {
      ml_arm(s->current);
      ml_let_hooks_in(s->current);
    }
    ml_wake();
    return;
  }
  while (!begin_foreign(own)) {  // one that reminds is done soon
    if (own->kill) return;
    sched_yield();
  }
  if (own->depth != 0 && s->current != NULL) {
    ml_set_kill(own, reason);
    s->attention = true;
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    ml_arm(s->current);
    ml_let_hooks_in(s->current);
  }
  end_foreign(s);
  ml_wake();
}

bool ml_needs_reminding(const ml_state *s) { return ml_own(s)->depth != 0 && (ml_own(s)->kill || ml_own(s)->counting); }

bool ml_remind(ml_state *s) {
  ml_private *own = ml_own(s);
  if (!ml_needs_reminding(s) || !begin_foreign(own)) return false;
  bool changed = ml_needs_reminding(s) && s->current != NULL && ml_let_hooks_in(s->current);
  // Again: where hooks run all the time, the interpreter's own write of its count may have undone the first.
  if (own->kill && own->depth != 0 && s->current != NULL) ml_arm(s->current);
  end_foreign(s);
  return changed;
}

void ml_exit(lua_State *L, int status) {
  ml_state *s = ml_of(L);
  ml_private *own = ml_own(s);
  if (own->kill) return;
  own->exit_status = status;
  own->where[0] = 0;
  ml_stop(s, ML_KILL_EXIT);
  ml_arm(L);
}

int ml_exit_status(const ml_state *s) { return ml_own(s)->exit_status; }

ml_kill ml_killed(const ml_state *s) { return (ml_kill)ml_own(s)->kill; }
const char *ml_killed_at(const ml_state *s) { return ml_own(s)->where; }
const volatile int *ml_stop_flag(const ml_state *s) { return &ml_own(s)->kill; }

// MARK: Counting

int64_t ml_instructions_left(const ml_state *s) { return ml_own(s)->counting ? ml_own(s)->budget : -1; }

int64_t ml_count_instructions(ml_state *s, int64_t budget) {
  ml_private *own = ml_own(s);
  int64_t left = own->counting ? own->budget : -1;
  own->counting = budget >= 0;
  own->budget = budget;
  if (s->current != NULL) ml_bind(s->current, s);
  return left;
}
