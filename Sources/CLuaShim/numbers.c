// Lists of numbers between the host and tables, without a value of the buffer, or a call of Swift's, for each.
#include "CLuaShim/CLuaShim.h"
#include "internal.h"

// MARK: Into tables

// The host copies a few hundred at a time to the C stack, so that it needs no second list of Lua's types, and a kill is seen between.
void ml_push_numbers(lua_State *L, ml_state *s, void *object, int64_t count, bool integers) {
  lua_createtable(L, count < INT32_MAX ? (int)count : 0, 0);
  ml_numbers chunk;
  for (int64_t from = 0; from < count; from += ML_NUMBERS_AT_ONCE) {
    ml_poll(L, s);
    int64_t left = count - from;
    int size = left < ML_NUMBERS_AT_ONCE ? (int)left : ML_NUMBERS_AT_ONCE;
    s->config.copy(object, (size_t)from, (size_t)size, &chunk);
    for (int i = 0; i < size; i++) {
      if (integers) lua_pushinteger(L, chunk.integers[i]);
      else lua_pushnumber(L, chunk.floats[i]);
      lua_rawseti(L, -2, from + i + 1);
    }
  }
}

// MARK: Out of tables

size_t ml_copy_floats(lua_State *L, int table, int64_t from, size_t count, double *into) {
  for (size_t i = 0; i < count; i++) {
    bool found = lua_rawgeti(L, table, from + (int64_t)i) == LUA_TNUMBER;
    if (found) into[i] = lua_tonumber(L, -1);
    lua_pop(L, 1);
    if (!found) return i;
  }
  return count;
}

// Floats with a whole value are integers too.
size_t ml_copy_integers(lua_State *L, int table, int64_t from, size_t count, int64_t *into) {
  for (size_t i = 0; i < count; i++) {
    int found = lua_rawgeti(L, table, from + (int64_t)i) == LUA_TNUMBER;
    if (found) into[i] = lua_tointegerx(L, -1, &found);
    lua_pop(L, 1);
    if (!found) return i;
  }
  return count;
}
