// Hooks where Lua lets none in: it runs finalizers, and hooks themselves, with hooks off, so that a loop in one of them
// could not be stopped.
//
// What tells whether hooks are let in is a byte of the coroutine's record, which is private to Lua; so it is found by
// experiment when the first state opens: the byte that is 1 in functions that are called as usual, and 0 in a hook and in
// a finalizer. Unless there is exactly one, loops in finalizers are not stopped.
#include <pthread.h>
#include <string.h>

#include "internal.h"

enum { least_record = 64 };  // bytes of a coroutine's record, which has more on the machines we know

static int place;  // of the byte; 0 where it is not known

typedef unsigned char record[least_record];

typedef struct findings {
  record candidates;  // not 0 where a byte was as it should be, so far
  bool hooked, finalized;
} findings;

static const char key = 0;

static void compare(lua_State *L, unsigned char expected) {
  lua_rawgetp(L, LUA_REGISTRYINDEX, &key);
  findings *f = lua_touserdata(L, -1);
  lua_pop(L, 1);
  const unsigned char *bytes = (const unsigned char *)(const void *)L;
  for (int i = 0; i < least_record; i++) f->candidates[i] &= bytes[i] == expected;
  if (expected == 1) return;
  if (f->hooked) f->finalized = true;
  f->hooked = true;
}

static int usual(lua_State *L) {
  compare(L, 1);
  return 0;
}

static int finalizer(lua_State *L) {
  compare(L, 0);
  return 0;
}

static void counted(lua_State *L, lua_Debug *ar) {
  (void)ar;
  lua_sethook(L, NULL, 0, 0);
  compare(L, 0);
}

static void call_usual(lua_State *L) {
  lua_pushcfunction(L, usual);
  lua_call(L, 0, 0);
}

static int experiment(lua_State *L) {
  findings *f = lua_touserdata(L, 1);
  lua_pushlightuserdata(L, f);
  lua_rawsetp(L, LUA_REGISTRYINDEX, &key);
  call_usual(L);
  if (luaL_loadstring(L, "local usual = ... usual() local n = 0 for i = 1, 9 do n = n + i end usual()") != LUA_OK) return lua_error(L);
  lua_pushcfunction(L, usual);
  lua_sethook(L, counted, LUA_MASKCOUNT, 1);
  lua_call(L, 1, 0);
  lua_newuserdatauv(L, 1, 0);
  lua_newtable(L);
  lua_pushcfunction(L, finalizer);
  lua_setfield(L, -2, "__gc");
  lua_setmetatable(L, -2);
  lua_pop(L, 1);
  lua_gc(L, LUA_GCCOLLECT);
  call_usual(L);
  lua_State *co = lua_newthread(L);  // where nothing of all that was
  lua_pushlightuserdata(co, f);
  lua_rawsetp(co, LUA_REGISTRYINDEX, &key);
  call_usual(co);
  lua_pushnil(L);
  lua_rawsetp(L, LUA_REGISTRYINDEX, &key);
  int found = 0, count = 0;
  for (int i = 0; i < least_record; i++)
    if (f->candidates[i]) found = i, count++;
  if (count == 1 && f->finalized) place = found;
  return 0;
}

void ml_finalizers_open(lua_State *L) {
  static pthread_mutex_t once = PTHREAD_MUTEX_INITIALIZER;
  static bool done;
  pthread_mutex_lock(&once);
  findings f = {.hooked = false};
  memset(f.candidates, 1, sizeof f.candidates);
  // A failure for lack of memory leaves the question to the next state.
  if (!done) done = ml_protect(L, experiment, &f, 0, 0) == LUA_OK;
  lua_sethook(L, NULL, 0, 0);
  pthread_mutex_unlock(&once);
  lua_settop(L, 0);
}

bool ml_let_hooks_in(lua_State *L) {
  volatile unsigned char *byte = (volatile unsigned char *)(void *)L + place;
  if (place == 0 || *byte != 0) return false;
  *byte = 1;
  return true;
}
