// Compiles Lua sources into bytecode, as a Swift source that holds it. Run by the build plugin CompileLua:
//
//   LuaCompiler PREFIX OUTPUT SOURCE…
//
// Messages call the part `name.lua` PREFIXname. Bytecode suits one release of Lua alone: which one stands beside it.
#include <lauxlib.h>
#include <lua.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int columns;

static int put(lua_State *L, const void *bytes, size_t count, void *output) {
  (void)L;
  for (size_t i = 0; i < count; i++) {
    int written = fprintf(output, "%d,", ((const unsigned char *)bytes)[i]);
    if (written < 0) return 1;
    columns += written;
    if (columns > 120) columns = fputc('\n', output) == EOF;
  }
  return 0;
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
    columns = 0;
    fprintf(output, "\n  private static let part_%s: [UInt8] = [\n", name);
    if (lua_dump(L, put, output, 0) != 0) return perror(arguments[2]), 1;
    fprintf(output, "\n  ]\n");
    lua_settop(L, 0);
  }
  fprintf(output, "}\n");
  lua_close(L);
  return fclose(output) == 0 ? 0 : (perror(arguments[2]), 1);
}
