// Calls of what is no function. Lua looks for a `__call`, and where that is no function either for its `__call`, one after the
// other, and moves all arguments up by a place each time. No hook runs meanwhile: `t = setmetatable({}, mt) mt.__call = t t()` keeps
// Lua 5.4 for five minutes, until its stack is full.
//
// So while a kill is under way Lua finds no `__call`, and the search ends with its error about the call of a table. Lua reads the
// name of the event from a place of its state that is private to it; by experiment it is the one where the names of the events
// concat, call and close stand one behind the other. Where they do not, such a call is not stopped.
#include <malloc.h>

#include "internal.h"

// At most as long as names are that Lua keeps one of, and no name of a field.
static const char nothing[] = "__call, of which there is none";

void ml_calls_open(lua_State *L) {
  ml_private *own = ml_own(ml_of(L));
  static const char *const names[] = {"__concat", "__call", "__close", nothing};
  const void *texts[4];
  lua_settop(L, 0);
  for (int i = 0; i < 4; i++) {
    lua_pushstring(L, names[i]);
    texts[i] = lua_topointer(L, -1);
  }
  lua_pushvalue(L, -1);  // which keeps it
  lua_rawsetp(L, LUA_REGISTRYINDEX, nothing);
  lua_settop(L, 0);
  char *block = (char *)own->main - LUA_EXTRASPACE;
  const void **words = (const void **)(void *)block;
  for (size_t i = 1, count = malloc_usable_size(block) / sizeof *words; i + 1 < count; i++) {
    if (words[i - 1] != texts[0] || words[i] != texts[1] || words[i + 1] != texts[2]) continue;
    own->no_call = texts[3];
    own->a_call = texts[1];
    own->call_name = &words[i];
    return;
  }
}

// Safe in a signal handler, and while the state runs in another thread.
void ml_set_kill(ml_private *own, ml_kill kill) {
  own->kill = kill;
  if (own->call_name != NULL) *own->call_name = kill ? own->no_call : own->a_call;
}
