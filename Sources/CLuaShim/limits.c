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
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "internal.h"

_Noreturn void ml_raise_memory(lua_State *L) {
  lua_settop(L, 0);
  lua_pushliteral(L, "not enough memory");  // interned since the state exists: nothing is allocated
  lua_error(L);
  __builtin_unreachable();
}

// Remembers where the kill struck first.
static void note_place(lua_State *L, ml_state *s, int level) {
  if (s->where[0] == 0) ml_where(L, level, s->where, sizeof s->where);
}

static bool may_yield(lua_State *L, ml_state *s) { return lua_isyieldable(L) && L != s->resetting; }

int ml_die(lua_State *L, ml_state *s) {
  note_place(L, s, 1);
  if (may_yield(L, s)) return lua_yield(L, 0);
  lua_settop(L, 0);
  lua_pushliteral(L, "not enough memory");
  return lua_error(L);
}

static void hook(lua_State *L, lua_Debug *ar) {
  ml_state *s = ml_of(L);
  if (!s->kill) {  // left behind by a kill that is over
    lua_sethook(L, NULL, 0, 0);
    return;
  }
  (void)ar;
  note_place(L, s, 0);
  lua_sethook(L, hook, LUA_MASKCOUNT, 1);
  if (may_yield(L, s)) {
    lua_yield(L, 0);  // returns; the interpreter loop then leaves
  } else {
    lua_pushliteral(L, "not enough memory");
    lua_error(L);
  }
}

void ml_arm(lua_State *L) { lua_sethook(L, hook, LUA_MASKCOUNT, 1); }

int ml_reset(lua_State *co, ml_state *s) {
  lua_State *outer = s->resetting, *current = s->current;
  s->resetting = s->current = co;
  if (s->kill) ml_arm(co);
  int status = lua_resetthread(co);
  s->resetting = outer;
  s->current = current;
  if (s->kill) ml_arm(current);
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
  if (s->depth == 0 || s->kill) return;
  s->where[0] = 0;
  if (s->owner == (uintptr_t)pthread_self()) {  // a signal handler, or a native function
    s->kill = reason;
    s->attention = true;
    ml_arm(s->current);
    return;
  }
  // lua_sethook walks the call chain, so its records must not be freed meanwhile: the allocator waits while
  // `foreign` is set, and the barrier makes sure that it has seen the flag or is past its frees.
  if (__atomic_exchange_n(&s->foreign, 1, __ATOMIC_SEQ_CST)) return;  // another thread is at it
  s->slow = true;
  barrier_everywhere();
  if (s->depth != 0) {
    s->kill = reason;
    s->attention = true;
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    ml_arm(s->current);
  }
  s->slow = ml_is_slow(&s->config);
  __atomic_store_n(&s->foreign, 0, __ATOMIC_SEQ_CST);
}
