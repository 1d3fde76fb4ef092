// The hooks of scripts: debug.sethook and debug.gethook, anew, since a coroutine has one hook only and the limits need it
// too. A script's hook is kept in a table of the registry, by its coroutine, and is called by the hook of the limits, which
// asks here. What scripts see is as with Lua's own.
#include <string.h>

#include "internal.h"

// The registry's key of the table: coroutines, as weak keys, and for each a list of what stands below.
static const char script_hooks = 0;
enum { hook_function = 1, hook_mask, hook_count, hook_left };

// Pushes the list of a coroutine's hook, or nothing. Scripts that reach the registry may have put anything there. Never raises.
static bool push_hook(lua_State *L, lua_State *co) {
  int top = lua_gettop(L);
  if (lua_rawgetp(L, LUA_REGISTRYINDEX, &script_hooks) == LUA_TTABLE) {
    lua_pushthread(co);
    if (co != L) lua_xmove(co, L, 1);
    if (lua_rawget(L, -2) == LUA_TTABLE) {
      lua_remove(L, -2);
      return true;
    }
  }
  lua_settop(L, top);
  return false;
}

static int field(lua_State *L, int list, int which) {
  lua_rawgeti(L, list, which);
  lua_Integer value = lua_tointegerx(L, -1, NULL);
  lua_pop(L, 1);
  return value < 0 ? 0 : value > INT32_MAX ? INT32_MAX : (int)value;
}

ml_hooking ml_script_hook(lua_State *co, const ml_state *s) {
  ml_hooking found = {0, 0};
  if (!ml_own(s)->has_hooks || !lua_checkstack(co, 4) || !push_hook(co, co)) return found;
  int list = lua_gettop(co);
  found.mask = field(co, list, hook_mask);
  if (found.mask & LUA_MASKCOUNT) found.left = field(co, list, hook_left);
  lua_settop(co, list - 1);
  return found;
}

void ml_call_script_hook(lua_State *L, const ml_state *s, lua_Debug *ar, int passed) {
  static const char *const names[] = {"call", "return", "line", "count", "tail call"};
  ml_private *own = ml_own(s);
  // Limits may have let hooks into the script's hook itself, which is not called from there.
  if (!own->has_hooks || own->hooking == L || !push_hook(L, L)) return;
  int list = lua_gettop(L), mask = field(L, list, hook_mask);
  bool wanted = ar->event == LUA_HOOKTAILCALL ? (mask & LUA_MASKCALL) != 0 : (mask >> ar->event & 1) != 0;
  if (wanted && ar->event == LUA_HOOKCOUNT) {
    int left = field(L, list, hook_left) - passed;
    wanted = left <= 0;
    lua_pushinteger(L, wanted ? field(L, list, hook_count) : left);
    lua_rawseti(L, list, hook_left);
  }
  if (wanted && lua_rawgeti(L, list, hook_function) == LUA_TFUNCTION) {
    lua_pushstring(L, names[ar->event]);
    if (ar->currentline >= 0) lua_pushinteger(L, ar->currentline);
    else lua_pushnil(L);
    lua_State *outer = own->hooking;
    own->hooking = L;
    int status = lua_pcall(L, 2, 0, 0);
    own->hooking = outer;
    if (status != LUA_OK) lua_error(L);
  }
  lua_settop(L, list - 1);
}

void ml_forget_script_hook(lua_State *L, const ml_state *s) {
  if (!ml_own(s)->has_hooks || !lua_checkstack(L, 4)) return;
  int top = lua_gettop(L);
  if (push_hook(L, L)) {  // so it is there, and no room is needed
    lua_rawgetp(L, LUA_REGISTRYINDEX, &script_hooks);
    lua_pushthread(L);
    lua_pushnil(L);
    lua_rawset(L, -3);
  }
  lua_settop(L, top);
}

static lua_State *coroutine_of(lua_State *L, int *first) {
  *first = lua_isthread(L, 1) ? 2 : 1;
  return *first == 2 ? lua_tothread(L, 1) : L;
}

static int set_hook(lua_State *L) {
  ml_state *s = ml_of(L);
  int first, mask = 0, count = 0;
  lua_State *co = coroutine_of(L, &first);
  bool any = !lua_isnoneornil(L, first);
  if (any) {
    const char *events = luaL_checkstring(L, first + 1);
    luaL_checktype(L, first, LUA_TFUNCTION);
    count = (int)luaL_optinteger(L, first + 2, 0);
    if (strchr(events, 'c')) mask |= LUA_MASKCALL;
    if (strchr(events, 'r')) mask |= LUA_MASKRET;
    if (strchr(events, 'l')) mask |= LUA_MASKLINE;
    if (count > 0) mask |= LUA_MASKCOUNT;
    any = mask != 0;
  }
  if (!lua_checkstack(co, 4)) return luaL_error(L, "stack overflow");
  if (lua_rawgetp(L, LUA_REGISTRYINDEX, &script_hooks) != LUA_TTABLE) {
    lua_newtable(L);
    lua_pushliteral(L, "k");
    lua_setfield(L, -2, "__mode");
    lua_pushvalue(L, -1);
    lua_setmetatable(L, -2);
    lua_pushvalue(L, -1);
    lua_setfield(L, LUA_REGISTRYINDEX, "_HOOKKEY");  // where Lua's own library has it, and Lua's test suite looks
    lua_pushvalue(L, -1);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &script_hooks);
  }
  lua_pushthread(co);
  if (co != L) lua_xmove(co, L, 1);
  if (any) {
    lua_createtable(L, hook_left, 0);
    lua_pushvalue(L, first);
    lua_rawseti(L, -2, hook_function);
    lua_pushinteger(L, mask);
    lua_rawseti(L, -2, hook_mask);
    lua_pushinteger(L, count);
    lua_rawseti(L, -2, hook_count);
    lua_pushinteger(L, count);
    lua_rawseti(L, -2, hook_left);
  } else {
    lua_pushnil(L);
  }
  lua_rawset(L, -3);
  if (any) ml_own(s)->has_hooks = true;
  ml_bind(co, s);
  if (!ml_own(s)->kill) return 0;
  ml_arm(L);
  return ml_die(L, s);
}

static int get_hook(lua_State *L) {
  int first;
  lua_State *co = coroutine_of(L, &first);
  if (!lua_checkstack(co, 4)) return luaL_error(L, "stack overflow");
  if (!ml_own(ml_of(L))->has_hooks || !push_hook(L, co)) {
    luaL_pushfail(L);
    return 1;
  }
  int list = lua_gettop(L), mask = field(L, list, hook_mask), length = 0;
  char events[4];
  if (mask & LUA_MASKCALL) events[length++] = 'c';
  if (mask & LUA_MASKRET) events[length++] = 'r';
  if (mask & LUA_MASKLINE) events[length++] = 'l';
  lua_rawgeti(L, list, hook_function);
  lua_pushlstring(L, events, (size_t)length);
  lua_pushinteger(L, field(L, list, hook_count));
  return 3;
}

void ml_open_hooks(lua_State *L) {
  static const luaL_Reg functions[] = {{"sethook", set_hook}, {"gethook", get_hook}, {NULL, NULL}};
  luaL_setfuncs(L, functions, 0);
}
