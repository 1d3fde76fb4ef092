// What scripts print: `print`, `io.write` and the method `write` of `io.stdout` go to the host where it asks for them, and to
// standard output otherwise. All that is written passes through emit().
#include <stdio.h>
#include <string.h>

#include "CLuaShim/CLuaShim.h"
#include "internal.h"

static bool is_redirected(lua_State *L) { return ml_of(L)->config.write != NULL; }

static void emit(lua_State *L, const char *bytes, size_t length) {
  ml_state *s = ml_of(L);
  if (s->config.write == NULL) {
    fwrite(bytes, 1, length, stdout);
    return;
  }
  s->current = L;  // the host may call back
  s->config.write(s->config.host, bytes, length);
  s->current = L;
}

void ml_write_output(ml_state *s, const char *bytes, size_t length) {
  emit(s->current, bytes, length);
  if (s->config.write == NULL) fflush(stdout);
}

// As Lua's own. The host gets a line whole; a file gets the pieces, so that none is copied.
static int print(lua_State *L) {
  int count = lua_gettop(L);
  if (is_redirected(L)) {
    luaL_Buffer line;
    luaL_buffinit(L, &line);
    for (int i = 1; i <= count; i++) {
      if (i > 1) luaL_addchar(&line, '\t');
      luaL_tolstring(L, i, NULL);
      luaL_addvalue(&line);
    }
    luaL_addchar(&line, '\n');
    luaL_pushresult(&line);
    size_t length;
    const char *bytes = lua_tolstring(L, -1, &length);
    emit(L, bytes, length);
    return 0;
  }
  for (int i = 1; i <= count; i++) {
    size_t length;
    const char *bytes = luaL_tolstring(L, i, &length);
    if (i > 1) emit(L, "\t", 1);
    emit(L, bytes, length);
    lua_pop(L, 1);
  }
  emit(L, "\n", 1);
  fflush(stdout);
  return 0;
}

// MARK: Files

// Where the io library keeps the file that io.write writes to.
#define OUTPUT_KEY "_IO_output"

static bool is_standard_output(lua_State *L, int index) {
  luaL_Stream *file = luaL_testudata(L, index, LUA_FILEHANDLE);
  return file != NULL && file->closef != NULL && file->f == stdout;
}

// Calls the library's function, upvalue 1, whose own messages could not name it: so arguments are checked here first.
static int delegate(lua_State *L, int first) {
  for (int i = first, top = lua_gettop(L); i <= top; i++)
    if (!lua_isstring(L, i)) luaL_checkstring(L, i);
  lua_pushvalue(L, lua_upvalueindex(1));
  lua_insert(L, 1);
  lua_call(L, lua_gettop(L) - 1, LUA_MULTRET);
  return lua_gettop(L);
}

// Arguments as the library writes them, which gives floats no ".0".
static void write_pieces(lua_State *L, int first, int last) {
  for (int i = first; i <= last; i++) {
    if (lua_type(L, i) == LUA_TNUMBER) {
      char text[64];
      int length = lua_isinteger(L, i) ? snprintf(text, sizeof text, LUA_INTEGER_FMT, lua_tointeger(L, i))
                                       : snprintf(text, sizeof text, LUA_NUMBER_FMT, lua_tonumber(L, i));
      emit(L, text, (size_t)length);
    } else {
      size_t length;
      const char *bytes = luaL_checklstring(L, i, &length);
      emit(L, bytes, length);
    }
  }
}

static int io_write(lua_State *L) {
  int top = lua_gettop(L);
  lua_getfield(L, LUA_REGISTRYINDEX, OUTPUT_KEY);
  luaL_Stream *file = luaL_testudata(L, -1, LUA_FILEHANDLE);
  if (file != NULL && file->closef == NULL) return luaL_error(L, "default output file is closed");
  if (is_redirected(L) && is_standard_output(L, -1)) {
    write_pieces(L, 1, top);
    return 1;
  }
  lua_settop(L, top);
  return delegate(L, 1);
}

static int file_write(lua_State *L) {
  luaL_Stream *file = luaL_checkudata(L, 1, LUA_FILEHANDLE);
  if (file->closef == NULL) return luaL_error(L, "attempt to use a closed file");
  if (!is_redirected(L) || !is_standard_output(L, 1)) return delegate(L, 2);
  write_pieces(L, 2, lua_gettop(L));
  lua_settop(L, 1);
  return 1;
}

// Replaces the function `write` of the table on top.
static void wrap_write(lua_State *L, lua_CFunction function) {
  lua_getfield(L, -1, "write");
  lua_pushcclosure(L, function, 1);
  lua_setfield(L, -2, "write");
}

void ml_open_output(lua_State *L, bool has_files) {
  lua_pushcfunction(L, print);
  lua_setglobal(L, "print");
  if (!has_files) return;
  lua_getglobal(L, LUA_IOLIBNAME);
  wrap_write(L, io_write);
  luaL_getmetatable(L, LUA_FILEHANDLE);
  lua_getfield(L, -1, "__index");
  wrap_write(L, file_write);
  lua_pop(L, 3);
}
