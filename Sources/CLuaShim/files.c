// The files that scripts have loaded, so that messages quote lines of these and of no others.
#include "internal.h"

// A set of names in the registry.
static const char *const files_field = "moongrad.files";

void ml_note_file(lua_State *L, const char *name) {
  luaL_getsubtable(L, LUA_REGISTRYINDEX, files_field);
  lua_pushboolean(L, 1);
  lua_setfield(L, -2, name);
  lua_pop(L, 1);
}
