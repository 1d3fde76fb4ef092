// Functions that the object of a handle keeps: the hooks of a tensor.
//
// What native code keeps of Lua's is a root for Lua's collector. A hook that refers to its own tensor's handle therefore
// makes a ring that neither collector sees whole: handle, tensor, hook, function, handle. Where the handle is the only
// owner that the tensor has, Lua's collector can decide alone: for a moment the function hangs on the handle instead of on
// its root; if a collection finds the two in use, it goes back to where it was.
//
// Nothing runs in that moment. The collection is the one that Lua makes when its allocator fails, which calls no
// finalizers, so that neither a script nor native code can call the function or come to own the object. Rings through
// other native objects, such as a module that owns the tensor, stay.
#include "CLuaShim/CLuaShim.h"
#include "internal.h"

// The registry's key of a table: handles, and for each a table of boxes, both tables with weak keys. A box holds a function
// and the object's part that keeps it; native code refers to boxes. The value of a box is false but in that moment, when it
// is the function.
static const char attached = 0;
enum { box_function = ML_BOX_FUNCTION, box_part };

// Rings are looked for after as many new functions as the last pass had left, and so many more.
enum { least_pace = 1000 };

// MARK: Attaching

// Arguments: part, handle, function.
static int attach(lua_State *L) {
  lua_createtable(L, 2, 0);
  int box = lua_gettop(L);
  lua_pushvalue(L, 3);
  lua_rawseti(L, box, box_function);
  lua_pushvalue(L, 1);
  lua_rawseti(L, box, box_part);
  if (lua_rawgetp(L, LUA_REGISTRYINDEX, &attached) != LUA_TTABLE) {
    lua_newtable(L);
    lua_createtable(L, 0, 1);
    lua_pushliteral(L, "k");
    lua_setfield(L, -2, "__mode");
    lua_setmetatable(L, -2);
    lua_pushvalue(L, -1);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &attached);
  }
  int handles = lua_gettop(L);
  lua_pushvalue(L, 2);
  if (lua_rawget(L, handles) != LUA_TTABLE) {
    lua_newtable(L);
    if (lua_getmetatable(L, handles)) lua_setmetatable(L, -2);
    lua_pushvalue(L, 2);
    lua_pushvalue(L, -2);
    lua_rawset(L, handles);
  }
  lua_pushvalue(L, box);
  lua_pushboolean(L, false);
  lua_rawset(L, -3);
  lua_settop(L, box);
  return 1;
}

int ml_attach(ml_state *s, lua_State *L, int handle, void *part) {
  ml_private *own = ml_own(s);
  handle = lua_absindex(L, handle);
  if (!lua_checkstack(L, 8)) return ml_memory_error(L, 1);
  lua_pushvalue(L, handle);
  lua_insert(L, -2);
  int status = ml_protect(L, attach, part, 2, 1);
  if (status == LUA_OK && ++own->attached >= own->attached_before + least_pace) s->attention = true;
  return status;
}

// MARK: Rings

// What a pass does with the box at -2, whose value is at -1, of the handle p; whether it counts. The pass restores the stack.
typedef bool (*visit)(lua_State *L, ml_state *s, ml_payload *p, int boxes);

static bool let_go(lua_State *L, ml_state *s, ml_payload *p, int boxes) {
  lua_rawgeti(L, -2, box_part);
  bool sole = s->config.is_sole(&p->object, lua_touserdata(L, -1));
  lua_pop(L, 1);
  if (!sole) return false;
  lua_pushvalue(L, -2);
  if (lua_rawgeti(L, -1, box_function) != LUA_TFUNCTION) return false;
  lua_rawset(L, boxes);
  lua_pushboolean(L, false);
  lua_rawseti(L, -3, box_function);
  return true;
}

static bool take_back(lua_State *L, ml_state *s, ml_payload *p, int boxes) {
  (void)s, (void)p;
  if (!lua_isfunction(L, -1) || lua_rawgeti(L, -2, box_function) != LUA_TBOOLEAN) return true;
  lua_pushvalue(L, -2);
  lua_rawseti(L, -4, box_function);
  lua_pushvalue(L, -3);
  lua_pushboolean(L, false);
  lua_rawset(L, boxes);
  return true;
}

// Never raises: assigns to fields that are there. Scripts that reach the registry may have put anything into the tables.
static uint32_t pass(lua_State *L, ml_state *s, visit visit) {
  uint32_t count = 0;
  int top = lua_gettop(L);
  if (lua_rawgetp(L, LUA_REGISTRYINDEX, &attached) == LUA_TTABLE) {
    for (lua_pushnil(L); lua_next(L, top + 1); lua_settop(L, top + 2)) {
      ml_payload *p = ml_to_handle(L, -2);
      if (p == NULL || p->object == NULL || !lua_istable(L, -1)) continue;
      for (lua_pushnil(L); lua_next(L, top + 3); lua_settop(L, top + 4))
        if (lua_istable(L, -2)) count += visit(L, s, p, top + 3);
    }
  }
  lua_settop(L, top);
  return count;
}

// MARK: The moment

// Fails one allocation, upon which Lua collects and asks again.
static void *refuse_once(void *ud, void *block, size_t osize, size_t nsize) {
  ml_state *s = ud;
  lua_setallocf(ml_own(s)->main, ml_allocate, s);
  return nsize == 0 ? ml_allocate(ud, block, osize, nsize) : NULL;
}

static int make_thread(lua_State *L) {
  lua_newthread(L);
  return 1;
}

bool ml_attached_is_due(const ml_state *s) {
  const ml_private *own = ml_own(s);
  return own->attached >= own->attached_before + least_pace;
}

bool ml_collect_attached(lua_State *L, ml_state *s) {
  ml_private *own = ml_own(s);
  if (own->attached + own->attached_before == 0 || s->config.is_sole == NULL) return false;
  if (lua_gc(L, LUA_GCISRUNNING) != 1 || !lua_checkstack(L, 16)) return false;  // stopped, or inside a finalizer
  // A stack to grow: an allocation that raises nothing, calls nothing and makes no step of the collector.
  bool any = false;
  if (ml_protect(L, make_thread, NULL, 0, 1) == LUA_OK) {
    any = pass(L, s, let_go) != 0;
    if (any) {
      lua_setallocf(L, refuse_once, s);
      lua_checkstack(lua_tothread(L, -1), 500);
      lua_setallocf(L, ml_allocate, s);
    }
    own->attached = 0;
    own->attached_before = pass(L, s, take_back);
  }
  lua_pop(L, 1);
  return any;
}
