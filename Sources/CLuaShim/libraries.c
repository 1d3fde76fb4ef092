// The standard libraries, with the parts of our own: coroutines, text-only loading, and warnings.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "CLuaShim/CLuaShim.h"
#include "internal.h"

// Functions that wrap a stock one check its arguments themselves first, since an error raised below them
// could not name the function.

// Calls upvalue 1 with the arguments as they are.
static int delegate(lua_State *L) {
  lua_pushvalue(L, lua_upvalueindex(1));
  lua_insert(L, 1);
  lua_call(L, lua_gettop(L) - 1, LUA_MULTRET);
  return lua_gettop(L);
}

// MARK: Loading text only

// Stock `load` and `loadfile` (upvalue 1) with the mode argument (at upvalue 2) confined to text.
static int text_only(lua_State *L) {
  int mode = (int)lua_tointeger(L, lua_upvalueindex(2));
  if (mode == 3 && lua_tostring(L, 1) == NULL) luaL_checktype(L, 1, LUA_TFUNCTION);
  luaL_optstring(L, mode - 1, NULL);
  if (lua_gettop(L) < mode) lua_settop(L, mode);
  const char *asked = luaL_optstring(L, mode, "t");
  lua_pushstring(L, strchr(asked, 't') != NULL ? "t" : "-");
  lua_replace(L, mode);
  if (mode == 2 && lua_type(L, 1) == LUA_TSTRING) ml_note_file(L, lua_tostring(L, 1));
  return delegate(L);
}

static int after_dofile(lua_State *L, int status, lua_KContext context) {
  (void)status;
  (void)context;
  return lua_gettop(L) - 1;
}

static int do_file(lua_State *L) {
  const char *name = luaL_optstring(L, 1, NULL);
  lua_settop(L, 1);
  if (name != NULL) ml_note_file(L, name);
  if (luaL_loadfilex(L, name, "t") != LUA_OK) return lua_error(L);
  lua_callk(L, 0, LUA_MULTRET, 0, after_dofile);
  return after_dofile(L, 0, 0);
}

// As the second searcher of `package` (upvalue 1), for text; upvalue 2 is package.searchpath.
static int searcher(lua_State *L) {
  const char *name = luaL_checkstring(L, 1);
  lua_pushvalue(L, lua_upvalueindex(2));
  lua_pushvalue(L, 1);
  if (lua_getfield(L, lua_upvalueindex(1), "path") != LUA_TSTRING)
    return luaL_error(L, "'package.path' must be a string");
  lua_call(L, 2, 2);
  if (lua_isnil(L, -2)) return 1;  // where it looked
  const char *file = lua_tostring(L, -2);
  ml_note_file(L, file);
  if (luaL_loadfilex(L, file, "t") != LUA_OK)
    return luaL_error(L, "error loading module '%s' from file '%s':\n\t%s", name, file, lua_tostring(L, -1));
  lua_pushstring(L, file);
  return 2;
}

static void confine(lua_State *L, const char *name, int mode) {
  lua_getfield(L, -1, name);
  lua_pushinteger(L, mode);
  lua_pushcclosure(L, text_only, 2);
  lua_setfield(L, -2, name);
}

static void confine_loaders(lua_State *L) {
  lua_pushglobaltable(L);
  confine(L, "load", 3);
  confine(L, "loadfile", 2);
  lua_pushcfunction(L, do_file);
  lua_setfield(L, -2, "dofile");
  lua_pop(L, 1);
}

static void confine_searcher(lua_State *L) {
  lua_getglobal(L, LUA_LOADLIBNAME);
  lua_getfield(L, -1, "searchers");
  lua_pushvalue(L, -2);
  lua_getfield(L, -1, "searchpath");
  lua_pushcclosure(L, searcher, 2);
  lua_rawseti(L, -2, 2);
  lua_pop(L, 2);
}

// MARK: The collector's mode

// Stock `collectgarbage` (upvalue 1), of which we note the mode for pacing, and precede a full collection by ours.
static int collect_garbage(lua_State *L) {
  enum { incremental, generational, step, setpause, setstepmul, stop, restart, collect };
  static const char *const options[] = {"incremental", "generational", "step",    "setpause", "setstepmul", "stop",
                                        "restart",     "collect",      "count",   "isrunning", NULL};
  int option = luaL_checkoption(L, 1, "collect", options);
  for (int i = 2; option < stop && i <= 4; i++) luaL_optinteger(L, i, 0);
  if (option == collect) ml_prepare_collection(L, ml_of(L));
  int results = delegate(L);
  // Inside a finalizer the call does nothing and gives false.
  if (option <= generational && lua_toboolean(L, 1)) ml_own(ml_of(L))->generational = option == generational;
  return results;
}

static void watch_collector(lua_State *L) {
  lua_getglobal(L, "collectgarbage");
  lua_pushcclosure(L, collect_garbage, 1);
  lua_setglobal(L, "collectgarbage");
  lua_gc(L, LUA_GCGEN, 0, 0);
  ml_own(ml_of(L))->generational = true;
}

// MARK: What debug must not do

// debug.setupvalue on a C function would make it misread its upvalues; upvaluejoin refuses by itself.
static int lua_functions_only(lua_State *L) {
  luaL_checktype(L, 1, LUA_TFUNCTION);
  luaL_checkinteger(L, 2);
  luaL_checkany(L, 3);
  if (lua_iscfunction(L, 1)) return luaL_error(L, "cannot change the upvalues of a native function");
  return delegate(L);
}

// debug.setlocal, without the locals of C functions: what they have on the stack is theirs, and native functions rely on
// it to keep the objects of their arguments. Anew, since the levels are counted from the function that lua_setlocal is in.
static int set_local(lua_State *L) {
  lua_State *co = lua_isthread(L, 1) ? lua_tothread(L, 1) : L;
  int first = lua_isthread(L, 1) ? 2 : 1;
  int level = (int)luaL_checkinteger(L, first);
  int local = (int)luaL_checkinteger(L, first + 1);
  lua_Debug ar;
  if (!lua_getstack(co, level, &ar)) return luaL_argerror(L, first, "level out of range");
  luaL_checkany(L, first + 2);
  lua_getinfo(co, "S", &ar);
  if (*ar.what == 'C') return luaL_error(L, "cannot change the locals of a native function");
  lua_settop(L, first + 2);
  if (!lua_checkstack(co, 1)) return luaL_error(L, "stack overflow");
  lua_xmove(L, co, 1);
  const char *name = lua_setlocal(co, &ar, local);
  if (name == NULL) lua_pop(co, 1);
  lua_pushstring(L, name);
  return 1;
}

static void guard_debug(lua_State *L) {
  lua_getglobal(L, LUA_DBLIBNAME);
  lua_getfield(L, -1, "setupvalue");
  lua_pushcclosure(L, lua_functions_only, 1);
  lua_setfield(L, -2, "setupvalue");
  lua_pushcfunction(L, set_local);
  lua_setfield(L, -2, "setlocal");
  ml_open_hooks(L);
  lua_pop(L, 1);
}

// MARK: Iteration

// What ipairs returns first, the function that makes each step.
static void note_iteration(lua_State *L) {
  lua_getglobal(L, "ipairs");
  lua_newtable(L);
  lua_call(L, 1, 1);
  ml_own(ml_of(L))->ipairs_step = lua_tocfunction(L, -1);
  lua_pop(L, 1);
}

bool ml_is_step(lua_State *L) {
  lua_Debug ar;
  if (!lua_getstack(L, 1, &ar) || !lua_checkstack(L, 1)) return false;
  lua_getinfo(L, "f", &ar);
  bool is_step = lua_tocfunction(L, -1) == ml_own(ml_of(L))->ipairs_step;
  lua_pop(L, 1);
  return is_step;
}

// MARK: The end of a script

// os.exit, for hosts that go on.
static int exit_script(lua_State *L) {
  int status = lua_isboolean(L, 1) ? (lua_toboolean(L, 1) ? EXIT_SUCCESS : EXIT_FAILURE) : (int)luaL_optinteger(L, 1, EXIT_SUCCESS);
  ml_exit(L, status);
  return ml_die(L, ml_of(L));
}

static void confine_exit(lua_State *L) {
  lua_getglobal(L, LUA_OSLIBNAME);
  lua_pushcfunction(L, exit_script);
  lua_setfield(L, -2, "exit");
  lua_pop(L, 1);
}

// MARK: Opening

// Puts functions of our own into a library, if that is among those asked for.
static void replace(lua_State *L, uint32_t libraries, uint32_t library, const char *name, void (*open)(lua_State *)) {
  if ((libraries & library) == 0) return;
  lua_getglobal(L, name);
  open(L);
  lua_pop(L, 1);
}

static int open_libraries(lua_State *L) {
  ml_state *s = ml_of(L);
  uint32_t libraries = *(uint32_t *)lua_touserdata(L, 1);
  static const luaL_Reg all[] = {
      {LUA_LOADLIBNAME, luaopen_package}, {LUA_COLIBNAME, ml_open_coroutine}, {LUA_TABLIBNAME, luaopen_table},
      {LUA_IOLIBNAME, luaopen_io},        {LUA_OSLIBNAME, luaopen_os},        {LUA_STRLIBNAME, luaopen_string},
      {LUA_MATHLIBNAME, luaopen_math},    {LUA_UTF8LIBNAME, luaopen_utf8},    {LUA_DBLIBNAME, luaopen_debug},
  };
  luaL_requiref(L, LUA_GNAME, luaopen_base, 1);
  for (size_t i = 0; i < sizeof all / sizeof *all; i++)
    if (libraries >> i & 1) luaL_requiref(L, all[i].name, all[i].func, 1);
  lua_settop(L, 0);
  ml_calls_open(L);
  replace(L, libraries, ML_LIBRARY_STRING, LUA_STRLIBNAME, ml_open_strings);
  replace(L, libraries, ML_LIBRARY_STRING, LUA_STRLIBNAME, ml_open_patterns);
  replace(L, libraries, ML_LIBRARY_TABLE, LUA_TABLIBNAME, ml_open_tables);
  replace(L, libraries, ML_LIBRARY_UTF8, LUA_UTF8LIBNAME, ml_open_utf8);
  replace(L, libraries, ML_LIBRARY_OS, LUA_OSLIBNAME, ml_open_programs);
  ml_open_output(L, libraries & ML_LIBRARY_IO);
  ml_open_catching(L);
  watch_collector(L);
  note_iteration(L);
  if ((libraries & ML_LIBRARY_OS) && !s->config.exits) confine_exit(L);
  if (libraries & ML_LIBRARY_DEBUG) guard_debug(L);
  if (s->config.binary_chunks) return 0;
  confine_loaders(L);
  if (libraries & ML_LIBRARY_PACKAGE) confine_searcher(L);
  return 0;
}

int ml_open_libraries(ml_state *s, lua_State *L, uint32_t libraries) {
  (void)s;
  ml_sites_open(L);
  ml_finalizers_open(L);
  return ml_protect(L, open_libraries, &libraries, 0, 0);
}

// MARK: Warnings

// Collects the pieces of a message and hands over the whole. "@on" and "@off" switch, as in `lua`.
void ml_warn(void *ud, const char *message, int tocont) {
  ml_state *s = ud;
  ml_private *own = ml_own(s);
  size_t length = strlen(message);
  if (own->warning_length == 0 && !tocont && message[0] == '@') {
    if (strcmp(message, "@on") == 0) own->warnings_on = true;
    if (strcmp(message, "@off") == 0) own->warnings_on = false;
    return;
  }
  if (!own->warnings_on) return;
  if (own->kill) {  // what a kill raised in a finalizer is no error of that
    own->warning_length = 0;
    return;
  }
  // Not in the state's memory, since a warning may be about that: what a script says beyond this is left out.
  enum { longest_warning = 1 << 20 };
  if (length > longest_warning - own->warning_length) length = longest_warning - own->warning_length;
  // An empty one has a place too.
  if (own->warning == NULL || own->warning_length + length > own->warning_capacity) {
    size_t capacity = (own->warning_length + length) * 2 + 16;
    char *warning = realloc(own->warning, capacity);
    if (warning == NULL) return;
    own->warning = warning;
    own->warning_capacity = capacity;
  }
  memcpy(own->warning + own->warning_length, message, length);
  own->warning_length += length;
  if (tocont) return;
  if (s->config.warn != NULL) {
    s->config.warn(s->config.host, own->warning, own->warning_length);
  } else {
    fflush(stdout);
    fprintf(stderr, "Lua warning: %.*s\n", (int)own->warning_length, own->warning);
  }
  own->warning_length = 0;
}
