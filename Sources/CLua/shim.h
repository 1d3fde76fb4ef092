// The stock Lua 5.4 interpreter's C interface.
#include <lua.h>
#include <lauxlib.h>
#include <lualib.h>
