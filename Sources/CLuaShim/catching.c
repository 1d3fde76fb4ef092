// What catches errors, anew: as Lua's own, but what a kill raised goes on. Where a kill can yield, it passes them anyway;
// in finalizers and hooks, where it cannot, they would hold it up.
#include "internal.h"

static int after_call(lua_State *L, int status, lua_KContext results_begin) {
  if (ml_likely(status == LUA_OK || status == LUA_YIELD)) return lua_gettop(L) - (int)results_begin;
  ml_poll(L, ml_of(L));
  lua_pushboolean(L, false);
  lua_pushvalue(L, -2);
  return 2;
}

static int base_pcall(lua_State *L) {
  luaL_checkany(L, 1);
  lua_pushboolean(L, true);  // the first result
  lua_insert(L, 1);
  return after_call(L, lua_pcallk(L, lua_gettop(L) - 2, LUA_MULTRET, 0, 0, after_call), 0);
}

static int base_xpcall(lua_State *L) {
  int count = lua_gettop(L);
  luaL_checktype(L, 2, LUA_TFUNCTION);
  lua_pushboolean(L, true);
  lua_pushvalue(L, 1);
  lua_rotate(L, 3, 2);
  return after_call(L, lua_pcallk(L, count - 2, LUA_MULTRET, 2, 2, after_call), 2);
}

enum { piece = 1 << 18 };  // bytes of a chunk between questions

// Gives the next piece of a text, upvalue 1; what went before ends at upvalue 2.
static int next_piece(lua_State *L) {
  size_t length;
  const char *text = lua_tolstring(L, lua_upvalueindex(1), &length);
  size_t begin = (size_t)lua_tointeger(L, lua_upvalueindex(2)), more = length - begin < piece ? length - begin : piece;
  ml_poll(L, ml_of(L));
  if (more == 0) return 0;
  lua_pushinteger(L, (lua_Integer)(begin + more));
  lua_replace(L, lua_upvalueindex(2));
  lua_pushlstring(L, text + begin, more);
  return 1;
}

// Stock `load` (upvalue 1), which catches the errors of the function that gives it the pieces. A long text is given to it in
// pieces too.
static int base_load(lua_State *L) {
  if (lua_tostring(L, 1) == NULL) luaL_checktype(L, 1, LUA_TFUNCTION);
  luaL_optstring(L, 2, NULL);
  luaL_optstring(L, 3, NULL);
  if (lua_type(L, 1) == LUA_TSTRING && lua_rawlen(L, 1) > piece) {
    if (lua_isnoneornil(L, 2)) {
      if (lua_gettop(L) < 2) lua_settop(L, 2);
      lua_pushvalue(L, 1);  // the name that it would have
      lua_replace(L, 2);
    }
    lua_pushvalue(L, 1);
    lua_pushinteger(L, 0);
    lua_pushcclosure(L, next_piece, 2);
    lua_replace(L, 1);
  }
  lua_pushvalue(L, lua_upvalueindex(1));
  lua_insert(L, 1);
  lua_call(L, lua_gettop(L) - 1, LUA_MULTRET);
  ml_poll(L, ml_of(L));
  return lua_gettop(L);
}

void ml_open_catching(lua_State *L) {
  static const luaL_Reg functions[] = {{"pcall", base_pcall}, {"xpcall", base_xpcall}, {NULL, NULL}};
  lua_pushglobaltable(L);
  luaL_setfuncs(L, functions, 0);
  lua_getfield(L, -1, "load");
  lua_pushcclosure(L, base_load, 1);
  lua_setfield(L, -2, "load");
  lua_pop(L, 1);
}
