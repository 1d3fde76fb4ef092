// Compiles Lua sources into bytecode, as a Swift source that holds it. Run by the build plugin CompileLua:
//
//   LuaCompiler PREFIX OUTPUT SOURCE…
//
// Messages call the part `name.lua` PREFIXname. Bytecode suits one release of Lua alone: which one stands beside it. It has line
// numbers, but no names of local variables: they were a third of what reading it costs each session.
#include <lauxlib.h>
#include <lua.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/// Bytes that grow. No memory ends the build, as everywhere here.
typedef struct {
  unsigned char *bytes;
  size_t count, room;
} Bytes;

static void append(Bytes *to, const void *bytes, size_t count) {
  if (to->count + count > to->room) {
    to->room = 2 * (to->count + count);
    to->bytes = realloc(to->bytes, to->room);
    if (!to->bytes) abort();
  }
  memcpy(to->bytes + to->count, bytes, count);
  to->count += count;
}

static int put(lua_State *L, const void *bytes, size_t count, void *output) {
  (void)L;
  append(output, bytes, count);
  return 0;
}

// Bytecode as Lua 5.4 writes it (ldump.c, lundump.c), copied piece by piece from a place on. What comes out is read by Lua before it is
// used, so that another format stops the build.

static void copy(const unsigned char **from, size_t count, Bytes *to) {
  if (to) append(to, *from, count);
  *from += count;
}

/// A count, of 7 bits in each byte, the last one marked. Copies it where there is a place for it.
static size_t number(const unsigned char **from, Bytes *to) {
  size_t value = 0;
  do {
    value = value << 7 | (**from & 0x7f);
    copy(from, 1, to);
  } while (!((*from)[-1] & 0x80));
  return value;
}

static void string(const unsigned char **from, Bytes *to) {
  size_t size = number(from, to);
  if (size > 0) copy(from, size - 1, to);
}

/// A function and those in it, without the names of their local variables.
static void function(const unsigned char **from, Bytes *to) {
  string(from, to);                                                                   // its source
  number(from, to), number(from, to);                                                 // first and last line
  copy(from, 3, to);                                                                  // parameters, varargs, stack
  copy(from, number(from, to) * 4, to);                                               // instructions
  for (size_t constants = number(from, to); constants > 0; constants--) {
    unsigned char kind = **from;
    copy(from, 1, to);
    if (kind == 0x03 || kind == 0x13) copy(from, 8, to);                              // integer, float
    if (kind == 0x04 || kind == 0x14) string(from, to);
  }
  copy(from, number(from, to) * 3, to);                                               // upvalues
  for (size_t functions = number(from, to); functions > 0; functions--) function(from, to);
  copy(from, number(from, to), to);                                                   // lines, by steps
  for (size_t lines = number(from, to); lines > 0; lines--) number(from, to), number(from, to);
  for (size_t locals = number(from, NULL); locals > 0; locals--) string(from, NULL), number(from, NULL), number(from, NULL);
  append(to, "\x80", 1);                                                              // none
  for (size_t names = number(from, to); names > 0; names--) string(from, to);         // of upvalues
}

static Bytes without_local_names(Bytes all) {
  Bytes result = {0};
  const unsigned char *from = all.bytes;
  copy(&from, 4 + 1 + 1 + 6 + 3 + 8 + 8 + 1, &result);                                // the header
  function(&from, &result);
  return result;
}

/// The name of a source without its folder and ending, in `name`.
static void part(const char *path, char name[64]) {
  const char *slash = strrchr(path, '/');
  snprintf(name, 64, "%s", slash ? slash + 1 : path);
  char *dot = strrchr(name, '.');
  if (dot) *dot = 0;
}

int main(int count, char **arguments) {
  if (count < 3) return fprintf(stderr, "usage: LuaCompiler PREFIX OUTPUT SOURCE...\n"), 2;
  FILE *output = fopen(arguments[2], "w");
  lua_State *L = luaL_newstate();
  if (!output || !L) return perror(arguments[2]), 1;
  char name[64], chunk[128];
  fprintf(output, "// The library's Lua parts as bytecode, made by LuaCompiler when the package was built.\n\npackage enum CompiledLua {\n");
  fprintf(output, "  /// The release of Lua that made it, and that reads it.\n  package static let release = \"%s\"\n\n", lua_ident);
  fprintf(output, "  package static func part(_ name: String) -> [UInt8]? {\n    switch name {\n");
  for (int i = 3; i < count; i++) {
    part(arguments[i], name);
    fprintf(output, "    case \"%s\": part_%s\n", name, name);
  }
  fprintf(output, "    default: nil\n    }\n  }\n");
  for (int i = 3; i < count; i++) {
    part(arguments[i], name);
    FILE *source = fopen(arguments[i], "rb");
    if (!source) return perror(arguments[i]), 1;
    fseek(source, 0, SEEK_END);
    long size = ftell(source);
    rewind(source);
    char *text = malloc((size_t)size + 1);
    if (!text || fread(text, 1, (size_t)size, source) != (size_t)size) return perror(arguments[i]), 1;
    fclose(source);
    snprintf(chunk, sizeof chunk, "=%s%s", arguments[1], name);
    if (luaL_loadbufferx(L, text, (size_t)size, chunk, "t") != LUA_OK) return fprintf(stderr, "%s\n", lua_tostring(L, -1)), 1;
    free(text);
    Bytes all = {0};
    if (lua_dump(L, put, &all, 0) != 0) return perror(arguments[2]), 1;
    Bytes code = without_local_names(all);
    if (luaL_loadbufferx(L, (const char *)code.bytes, code.count, name, "b") != LUA_OK) return fprintf(stderr, "%s: %s\n", name, lua_tostring(L, -1)), 1;
    fprintf(output, "\n  private static let part_%s: [UInt8] = [", name);
    for (size_t at = 0; at < code.count; at++) fprintf(output, at % 30 == 0 ? "\n    %d," : "%d,", code.bytes[at]);
    fprintf(output, "\n  ]\n");
    free(all.bytes), free(code.bytes);
    lua_settop(L, 0);
  }
  fprintf(output, "}\n");
  lua_close(L);
  return fclose(output) == 0 ? 0 : (perror(arguments[2]), 1);
}
