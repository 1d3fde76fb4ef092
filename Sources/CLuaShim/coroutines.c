// The coroutine library, written anew: a coroutine adopts the word of the one that first resumes it, the
// state knows which one runs, and a kill passes through. Everything else is as in Lua's lcorolib.c.
#include "internal.h"

static lua_State *get_coroutine(lua_State *L) {
  lua_State *co = lua_tothread(L, 1);
  luaL_argexpected(L, co, 1, "thread");
  return co;
}

static void adopt(ml_state *s, lua_State *L, lua_State *co) {
  uint64_t *word = lua_getextraspace(co);
  if ((*word & ML_WORD_ADOPTED) != 0 || co == ml_own(s)->main) return;
  *word = ml_word(L) | ML_WORD_ADOPTED;
}

// Moves `arguments` values to `co` and runs it. The number of results, or −1 with an error value on top. Where it waits for the
// host, so does L, which goes on with `again` when it has what `co` waits for.
static int resume(lua_State *L, lua_State *co, int arguments, lua_KFunction again) {
  ml_state *s = ml_of(L);
  ml_private *own = ml_own(s);
  int results;
  if (ml_unlikely(ml_is_held(co))) {
    lua_pushliteral(L, "cannot resume a coroutine that waits for the host");
    return -1;
  }
  if (!lua_checkstack(co, arguments)) {
    lua_pushliteral(L, "too many arguments to resume");
    return -1;
  }
  lua_xmove(L, co, arguments);
  adopt(s, L, co);
  bool could_wait = own->may_wait;
  own->may_wait = could_wait && lua_isyieldable(L);
  s->current = co;
  if (ml_unlikely(own->kill || own->counting)) ml_bind(co, s);
  int status = lua_resume(co, L, arguments, &results);
  s->current = L;
  own->may_wait = could_wait;
  if (ml_unlikely(own->kill)) {
    if (lua_status(co) == LUA_YIELD && ml_may_reset(s)) ml_reset(co, s);  // dead now; one that raised is, and closes nothing
    ml_arm(L);
    return ml_die(L, s);
  }
  if (ml_unlikely(own->waiting)) {
    ml_hold(co);
    return lua_yieldk(L, 0, lua_gettop(L), again);
  }
  if (status == LUA_OK || status == LUA_YIELD) {
    if (!lua_checkstack(L, results + 1)) {
      lua_pop(co, results);
      lua_pushliteral(L, "too many results to resume");
      return -1;
    }
    lua_xmove(co, L, results);
    return results;
  }
  lua_xmove(co, L, 1);
  return -1;
}

// What the host brings goes on to the coroutine that waits for it.
static int resume_again(lua_State *L, lua_State *co, lua_KContext before, lua_KFunction again) {
  ml_let_go(co);
  return resume(L, co, lua_gettop(L) - (int)before, again);
}

static int after_resume(lua_State *L, int results) {
  lua_pushboolean(L, results >= 0);
  if (results < 0) results = 1;
  lua_insert(L, -(results + 1));
  return results + 1;
}

static int co_resume_again(lua_State *L, int status, lua_KContext before) {
  (void)status;
  return after_resume(L, resume_again(L, get_coroutine(L), before, co_resume_again));
}

static int co_resume(lua_State *L) {
  lua_State *co = get_coroutine(L);
  return after_resume(L, resume(L, co, lua_gettop(L) - 1, co_resume_again));
}

static int after_wrapped(lua_State *L, lua_State *co, int results) {
  if (results >= 0) return results;
  int status = lua_status(co);
  if (status != LUA_OK && status != LUA_YIELD) {
    if (!ml_may_reset(ml_of(L))) return luaL_error(L, "C stack overflow");
    status = ml_reset(co, ml_of(L));
    lua_xmove(co, L, 1);
  }
  if (status != LUA_ERRMEM && lua_type(L, -1) == LUA_TSTRING) {
    luaL_where(L, 1);
    lua_insert(L, -2);
    lua_concat(L, 2);
  }
  return lua_error(L);
}

static int wrapped_again(lua_State *L, int status, lua_KContext before) {
  (void)status;
  lua_State *co = lua_tothread(L, lua_upvalueindex(1));
  return after_wrapped(L, co, resume_again(L, co, before, wrapped_again));
}

static int wrapped(lua_State *L) {
  lua_State *co = lua_tothread(L, lua_upvalueindex(1));
  if (co == NULL) return luaL_error(L, "a wrapped coroutine has lost its thread");
  return after_wrapped(L, co, resume(L, co, lua_gettop(L), wrapped_again));
}

static int co_create(lua_State *L) {
  luaL_checktype(L, 1, LUA_TFUNCTION);
  lua_State *co = lua_newthread(L);
  lua_pushvalue(L, 1);
  lua_xmove(L, co, 1);
  return 1;
}

static int co_wrap(lua_State *L) {
  co_create(L);
  lua_pushcclosure(L, wrapped, 1);
  return 1;
}

// The script's own coroutine passes for the main one.
static bool is_outermost(lua_State *L) {
  const ml_private *own = ml_own(ml_of(L));
  return L == own->base || L == own->main || L == own->task;
}

static int co_yield(lua_State *L) {
  if (is_outermost(L)) return luaL_error(L, "attempt to yield from outside a coroutine");
  if (L == ml_own(ml_of(L))->resetting) return luaL_error(L, "attempt to yield while being closed");
  return lua_yield(L, lua_gettop(L));
}

static int co_isyieldable(lua_State *L) {
  lua_State *co = lua_isnone(L, 1) ? L : get_coroutine(L);
  lua_pushboolean(L, lua_isyieldable(co) && !is_outermost(co));
  return 1;
}

static int co_running(lua_State *L) {
  lua_pushthread(L);
  lua_pushboolean(L, is_outermost(L));
  return 2;
}

typedef enum status { running, dead, suspended, normal } status;
static const char *const status_names[] = {"running", "dead", "suspended", "normal"};

static status status_of(lua_State *L, lua_State *co) {
  if (L == co) return running;
  if (ml_is_held(co)) return normal;
  switch (lua_status(co)) {
    case LUA_YIELD: return suspended;
    case LUA_OK: {
      lua_Debug ar;
      if (lua_getstack(co, 0, &ar)) return normal;
      return lua_gettop(co) == 0 ? dead : suspended;
    }
    default: return dead;
  }
}

static int co_status(lua_State *L) {
  lua_pushstring(L, status_names[status_of(L, get_coroutine(L))]);
  return 1;
}

static int co_close(lua_State *L) {
  lua_State *co = get_coroutine(L);
  status found = status_of(L, co);
  if (found != dead && found != suspended)
    return luaL_error(L, "cannot close a %s coroutine", status_names[found]);
  if (!ml_may_reset(ml_of(L))) return luaL_error(L, "C stack overflow");
  if (ml_reset(co, ml_of(L)) == LUA_OK) {
    lua_pushboolean(L, true);
    return 1;
  }
  lua_pushboolean(L, false);
  lua_xmove(co, L, 1);
  return 2;
}

int ml_open_coroutine(lua_State *L) {
  static const luaL_Reg functions[] = {
      {"close", co_close},     {"create", co_create}, {"isyieldable", co_isyieldable},
      {"resume", co_resume},   {"running", co_running}, {"status", co_status},
      {"wrap", co_wrap},       {"yield", co_yield},   {NULL, NULL},
  };
  luaL_newlib(L, functions);
  return 1;
}
