// What the host does with Lua values from outside a native call, each step in one protected call.
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include "CLuaShim/CLuaShim.h"
#include "internal.h"

// MARK: Entering and leaving

// The thread inside the outermost host call has the state to itself: two at once would spoil it without a word.
static bool take_possession(ml_private *own) {
  uintptr_t me = (uintptr_t)pthread_self(), nobody = 0;
  if (__atomic_load_n(&own->owner, __ATOMIC_RELAXED) == me) return true;
  return __atomic_compare_exchange_n(&own->owner, &nobody, me, false, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED);
}

static void give_up_possession(ml_private *own) { __atomic_store_n(&own->owner, 0, __ATOMIC_RELEASE); }

bool ml_is_elsewhere(const ml_state *s) {
  uintptr_t owner = __atomic_load_n(&ml_own(s)->owner, __ATOMIC_RELAXED);
  return owner != 0 && owner != (uintptr_t)pthread_self();
}

lua_State *ml_enter(ml_state *s) {
  ml_private *own = ml_own(s);
  if (own->main == NULL || own->closing || own->releasing != 0 || !take_possession(own)) return NULL;
  lua_State *L = s->current;
  if (!lua_checkstack(L, LUA_MINSTACK)) {
    if (own->depth == 0) give_up_possession(own);
    return NULL;
  }
  own->depth++;
  return L;
}

// Pushes the coroutine that runs outermost scripts, if there is one. Between two runs only the registry keeps it, which a
// script may have reached; during one the stack does too.
static bool find_base(lua_State *L) {
  ml_private *own = ml_own(ml_of(L));
  if (own->base == NULL) return false;
  ml_push_reference(L, own->base_reference);
  if (lua_tothread(L, -1) == own->base) return true;
  lua_pop(L, 1);
  own->base = NULL;
  return false;
}

// The outermost call is over: nothing stops what runs next.
static void end(ml_state *s, lua_State *L, int top) {
  ml_private *own = ml_own(s);
  own->depth = 0;
  __atomic_thread_fence(__ATOMIC_SEQ_CST);
  while (own->foreign) sched_yield();  // somebody who still takes it for running
  if (!own->kill) return;
  ml_set_kill(own, ML_KILL_NONE);
  ml_forget_script_hook(L, s);
  ml_bind(L, s);
  if (find_base(L)) {
    ml_forget_script_hook(own->base, s);
    ml_bind(own->base, s);
  }
  lua_settop(L, top);
}

void ml_leave(ml_state *s, lua_State *L, int top) {
  ml_private *own = ml_own(s);
  lua_settop(L, top);
  s->current = L;
  if (s->attention) {
    ml_settle(L, s);  // which runs finalizers, so limits hold
    if (own->kill) s->attention = true;
  }
  if (own->depth == 1) {
    end(s, L, top);
    give_up_possession(own);
  } else {
    own->depth--;
  }
}

bool ml_is_entered(const ml_state *s) { return ml_own(s)->depth > 0; }

// MARK: Tracebacks

static int traceback(lua_State *L) {
  lua_State *from = lua_touserdata(L, 1);
  const char *message = lua_touserdata(L, 2);
  luaL_traceback(L, from, message, (int)lua_tointeger(L, 3));
  return 1;
}

static int push_traceback(lua_State *L, lua_State *from, const char *message, int level) {
  if (!lua_checkstack(L, 8)) return LUA_ERRMEM;
  lua_pushlightuserdata(L, (void *)message);
  lua_pushinteger(L, level);
  return ml_protect(L, traceback, from, 2, 1);
}

int ml_traceback(ml_state *s, lua_State *L, const char *message, int level) {
  (void)s;
  return push_traceback(L, L, message, level);
}

const char *ml_trace(const ml_state *s) { return ml_own(s)->trace; }

void ml_forget_trace(ml_state *s) {
  ml_private *own = ml_own(s);
  free(own->trace);
  own->trace = NULL;
}

void ml_keep_traceback(ml_state *s, lua_State *L, lua_State *from, int level) {
  ml_private *own = ml_own(s);
  ml_forget_trace(s);
  int top = lua_gettop(L);
  if (push_traceback(L, from, NULL, level) == LUA_OK) {
    size_t length;
    const char *text = lua_tolstring(L, -1, &length);
    own->trace = ml_grow(s, NULL, 0, length + 1);
    if (own->trace != NULL) memcpy(own->trace, text, length + 1);
  }
  lua_settop(L, top);
}

// Message handler: leaves the error value as it is.
static int handler(lua_State *L) {
  ml_state *s = ml_of(L);
  if (!ml_own(s)->kill) ml_keep_traceback(s, L, L, 1);
  return 1;
}

// MARK: Calling

static int make_base(lua_State *L) {
  ml_private *own = ml_own(ml_of(L));
  lua_State *base = lua_newthread(L);
  lua_pushvalue(L, -1);
  own->base_reference = luaL_ref(L, LUA_REGISTRYINDEX);
  own->base = base;
  return 1;
}

// The next run makes a new one: see limits.c.
static void drop_base(ml_state *s, lua_State *L) {
  ml_private *own = ml_own(s);
  luaL_unref(L, LUA_REGISTRYINDEX, own->base_reference);
  own->base = NULL;
}

// Runs the outermost script in its coroutine, whose word it shares with the main thread.
static int run_base(ml_state *s, lua_State *L, int arguments) {
  ml_private *own = ml_own(s);
  int place = lua_gettop(L) - arguments;
  if (!lua_checkstack(L, 2)) return ml_memory_error(L, arguments + 1);
  if (!find_base(L)) {
    int status = ml_protect(L, make_base, NULL, 0, 1);
    if (status != LUA_OK) {
      lua_replace(L, place);
      lua_settop(L, place);
      return status;
    }
  }
  lua_State *base = own->base;
  if (!lua_checkstack(base, arguments + 1)) return ml_memory_error(L, arguments + 2);
  lua_insert(L, place);  // stays below what comes back
  lua_xmove(L, base, arguments + 1);
  *(uint64_t *)lua_getextraspace(base) = ml_word(L) | ML_WORD_ADOPTED;
  int results = 0;
  s->current = base;
  ml_bind(base, s);
  int status = lua_resume(base, L, arguments, &results);
  s->current = L;
  if (status == LUA_OK) {
    ml_set_word(L, ml_word(base));
    if (!lua_checkstack(L, results + LUA_MINSTACK)) {
      lua_settop(base, 0);
      return ml_memory_error(L, 1);
    }
    lua_xmove(base, L, results);
    lua_remove(L, place);
    return LUA_OK;
  }
  ml_keep_traceback(s, L, base, 0);
  bool raised = status != LUA_YIELD;
  if (!raised || !own->kill) status = ml_reset(base, s);  // closes what is to be closed
  if (!own->kill) ml_set_word(L, ml_word(base));  // a killed script leaves the word as it was
  if (raised && lua_gettop(base) > 0) lua_xmove(base, L, 1);
  else ml_memory_error(L, 0);  // it was killed: nobody reads this, and any other string could raise
  drop_base(s, L);
  lua_remove(L, place);
  return status == LUA_OK || status == LUA_YIELD ? LUA_ERRRUN : status;
}

int ml_call(ml_state *s, lua_State *L, int arguments, int results) {
  ml_private *own = ml_own(s);
  ml_forget_trace(s);
  if (L == own->main && own->depth == 1 && results == LUA_MULTRET) return run_base(s, L, arguments);
  int function = lua_gettop(L) - arguments;
  lua_pushcfunction(L, handler);
  lua_insert(L, function);
  s->current = L;
  int status = lua_pcall(L, arguments, results, function);
  s->current = L;
  lua_remove(L, function);
  return status;
}

int ml_load(ml_state *s, lua_State *L, const char *source, size_t length, const char *name, bool bytecode) {
  (void)s;
  return luaL_loadbufferx(L, source, length, name, bytecode ? "b" : "t");
}

const char *ml_lua_release(void) { return lua_ident; }

// MARK: Fields

static int get(lua_State *L) {
  lua_gettable(L, 2);
  return 1;
}
static int set(lua_State *L) {
  lua_settable(L, 2);
  return 0;
}
static int to_string(lua_State *L) {
  luaL_tolstring(L, 2, NULL);
  return 1;
}

// Runs `f` on the value at `table` and the `operands` values on top.
static int operate(ml_state *s, lua_State *L, lua_CFunction f, int table, int operands, int results) {
  if (!lua_checkstack(L, 8)) return ml_memory_error(L, operands);
  lua_pushvalue(L, table);
  lua_insert(L, -operands - 1);
  int status = ml_protect(L, f, NULL, operands + 1, results);
  s->current = L;
  return status;
}

int ml_get(ml_state *s, lua_State *L, int table) { return operate(s, L, get, table, 1, 1); }
int ml_set(ml_state *s, lua_State *L, int table) { return operate(s, L, set, table, 2, 0); }
int ml_tostring(ml_state *s, lua_State *L, int index) { return operate(s, L, to_string, index, 0, 1); }

typedef struct field {
  const char *name;
  size_t length;
} field;

static int raw_field(lua_State *L) {
  field *f = lua_touserdata(L, 1);
  lua_pushlstring(L, f->name, f->length);
  lua_rawget(L, 2);
  return 1;
}

int ml_raw_field(ml_state *s, lua_State *L, int table, const char *name, size_t length) {
  (void)s;
  field f = {name, length};
  if (!lua_checkstack(L, 8)) return ml_memory_error(L, 0);
  lua_pushvalue(L, table);
  return ml_protect(L, raw_field, &f, 1, 1);
}

// Never raises, so without protection.
bool ml_next_if_there(lua_State *L, int table) {
  if (!lua_isnil(L, -1)) {
    lua_pushvalue(L, -1);
    bool found = lua_rawget(L, table) != LUA_TNIL;
    lua_settop(L, -2);
    if (!found) return false;
  }
  return lua_next(L, table) != 0;
}
