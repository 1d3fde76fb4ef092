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
#include <pthread.h>
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

// Whether the script goes on: it is not being stopped, and has instructions left where they are counted.
static bool goes_on(lua_State *L, ml_state *s) {
  ml_private *own = ml_own(s);
  if (own->kill) return false;
  if (!own->counting) {  // left behind by what is over
    lua_sethook(L, NULL, 0, 0);
    return true;
  }
  own->budget -= lua_gethookcount(L);
  if (own->budget > 0) {
    if (own->budget < counted_at_once || lua_gethookcount(L) != counted_at_once) ml_bind(L, s);
    return true;
  }
  own->where[0] = 0;
  own->kill = ML_KILL_INSTRUCTIONS;
  s->attention = true;
  return false;
}

static void hook(lua_State *L, lua_Debug *ar) {
  ml_state *s = ml_of(L);
  if (goes_on(L, s)) return;
  (void)ar;
  note_place(L, s, 0);
  lua_sethook(L, hook, LUA_MASKCOUNT, 1);
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
  if (!own->counting) return;
  int step = own->budget < counted_at_once ? (own->budget < 1 ? 1 : (int)own->budget) : counted_at_once;
  if (lua_gethook(co) != hook || lua_gethookcount(co) != step) lua_sethook(co, hook, LUA_MASKCOUNT, step);
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

void ml_stop(ml_state *s, ml_kill reason) {
  ml_private *own = ml_own(s);
  if (own->depth == 0 || own->kill) return;
  own->where[0] = 0;
  if (own->owner == (uintptr_t)pthread_self()) {  // a signal handler, or a native function
    own->kill = reason;
    s->attention = true;
    ml_arm(s->current);
    return;
  }
  // lua_sethook walks the call chain, so its records must not be freed meanwhile: the allocator waits while
  // `foreign` is set, and the barrier makes sure that it has seen the flag or is past its frees.
  if (__atomic_exchange_n(&own->foreign, 1, __ATOMIC_SEQ_CST)) return;  // another thread is at it
  own->slow = true;
  barrier_everywhere();
  if (own->depth != 0) {
    own->kill = reason;
    s->attention = true;
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    ml_arm(s->current);
  }
  own->slow = ml_is_slow(&s->config);
  __atomic_store_n(&own->foreign, 0, __ATOMIC_SEQ_CST);
}

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
  if (own->counting && s->current != NULL) ml_bind(s->current, s);
  return left;
}
