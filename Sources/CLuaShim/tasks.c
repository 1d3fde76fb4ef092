// Tasks: runs of scripts that can wait for the host, and go on when it has what they wait for.
//
// A native function that waits leaves its coroutine by yielding with a continuation. Where a script's own coroutines stand between
// it and the host, each of those is left in the same way (see resume() in coroutines.c), so that the whole chain stays as it is
// while no thread is kept, and is taken up again from the outermost. Held meanwhile: no script resumes or closes one of the chain.
#include "CLuaShim/CLuaShim.h"
#include "internal.h"

bool ml_may_wait(lua_State *L) {
  const ml_private *own = ml_own(ml_of(L));
  return own->task != NULL && own->may_wait && lua_isyieldable(L) && L != own->resetting;
}

bool ml_is_task(const ml_state *s) { return ml_own(s)->task != NULL; }

// Above the arguments stands what the host brings: true and the results, or false and an error value.
static int awaited(lua_State *L, int status, lua_KContext arguments) {
  (void)status;
  ml_poll(L, ml_of(L));
  int first = (int)arguments + 1;
  if (lua_toboolean(L, first)) return lua_gettop(L) - first;
  return lua_error(L);
}

int ml_wait(lua_State *L, ml_state *s) {
  if (!ml_may_wait(L)) return luaL_error(L, "a native function cannot wait here");
  ml_own(s)->waiting = true;
  return lua_yieldk(L, 0, lua_gettop(L), awaited);
}

// MARK: Held coroutines

void ml_hold(lua_State *co) { *(uint64_t *)lua_getextraspace(co) |= ML_WORD_HELD; }
void ml_let_go(lua_State *co) { *(uint64_t *)lua_getextraspace(co) &= ~ML_WORD_HELD; }
bool ml_is_held(lua_State *co) { return (*(uint64_t *)lua_getextraspace(co) & ML_WORD_HELD) != 0; }

// MARK: The host's side

// Arguments: none, function.
static int make_task(lua_State *L) {
  lua_State *co = lua_newthread(L);
  lua_insert(L, 2);
  lua_xmove(L, co, 1);
  return 1;
}

int ml_make_task(ml_state *s, lua_State *L) {
  (void)s;
  return ml_protect(L, make_task, NULL, 1, 1);
}

// What is left of a task that failed: its error value on top of L, and the status.
static int fail(ml_state *s, lua_State *L, lua_State *co, int status) {
  ml_private *own = ml_own(s);
  ml_keep_traceback(s, L, co, 0);
  bool raised = status != LUA_YIELD;
  if (!raised || !own->kill) status = ml_reset(co, s);  // closes what is to be closed
  if (raised && lua_gettop(co) > 0) lua_xmove(co, L, 1);
  else ml_memory_error(L, 0);  // it was killed: nobody reads this, and any other string could raise
  return status == LUA_OK || status == LUA_YIELD ? LUA_ERRRUN : status;
}

int ml_run_task(ml_state *s, lua_State *L, int index, int arguments) {
  ml_private *own = ml_own(s);
  ml_forget_trace(s);
  lua_State *co = lua_tothread(L, index);
  // A script that reaches the registry may have put anything there.
  bool is_ready = co != NULL && (ml_is_held(co) || (lua_status(co) == LUA_OK && lua_gettop(co) == 1));
  if (!is_ready || !lua_checkstack(co, arguments)) return ml_memory_error(L, arguments);
  lua_xmove(L, co, arguments);
  if (!ml_is_held(co)) *(uint64_t *)lua_getextraspace(co) = ml_word(L) | ML_WORD_ADOPTED;
  ml_let_go(co);
  lua_State *outer = own->task;
  bool could_wait = own->may_wait;
  own->task = s->current = co;
  own->may_wait = true;
  own->waiting = false;
  ml_bind(co, s);
  int results;
  int status = lua_resume(co, L, arguments, &results);
  bool waits = own->waiting;
  own->waiting = false;
  own->task = outer;
  own->may_wait = could_wait;
  s->current = L;
  if (status == LUA_YIELD && waits && !own->kill) {
    ml_hold(co);
    return LUA_YIELD;
  }
  if (status != LUA_OK) return fail(s, L, co, status);
  // As after any script, the modes that it leaves are the session's.
  ml_set_word(L, ml_word(co));
  if (!lua_checkstack(L, results + LUA_MINSTACK)) {
    lua_settop(co, 0);
    return ml_memory_error(L, 0);
  }
  lua_xmove(co, L, results);
  return LUA_OK;
}

// MARK: Interruptions

void ml_interrupt(ml_state *s) {
  __atomic_add_fetch(&ml_own(s)->interrupts, 1, __ATOMIC_SEQ_CST);
  ml_stop(s, ML_KILL_INTERRUPT);
}

uint32_t ml_interrupts(const ml_state *s) { return __atomic_load_n(&ml_own(s)->interrupts, __ATOMIC_SEQ_CST); }
