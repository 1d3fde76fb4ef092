// Errors: raised without memory, and caught.
#include "internal.h"

// Interned since the state exists, so that pushing it allocates nothing; Lua keeps it for this very case.
static void push_memory_error(lua_State *L) { lua_pushliteral(L, "not enough memory"); }

int ml_memory_error(lua_State *L, int pop) {
  lua_settop(L, -pop - 1);
  push_memory_error(L);
  return LUA_ERRMEM;
}

_Noreturn void ml_raise_memory(lua_State *L) {
  lua_settop(L, 0);
  push_memory_error(L);
  lua_error(L);
  __builtin_unreachable();
}

int ml_protect(lua_State *L, lua_CFunction f, void *argument, int arguments, int results) {
  if (!lua_checkstack(L, 8)) return ml_memory_error(L, arguments);
  lua_pushcfunction(L, f);
  lua_insert(L, -arguments - 1);
  lua_pushlightuserdata(L, argument);
  lua_insert(L, -arguments - 1);
  return lua_pcall(L, arguments + 1, results, 0);
}
