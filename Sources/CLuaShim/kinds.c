// Kinds: what scripts see of a native class. One metatable each, whose __index looks among the members
// first and asks Swift last.
#include "CLuaShim/CLuaShim.h"
#include "internal.h"

// Upvalues of the two access functions: members by name (methods as functions, getters and setters as bare
// contexts), and the context that answers for everything else.
enum { members = 1, fallback = 2 };

static ml_payload *context_at(lua_State *L, int index) {
  ml_payload *p = ml_to_handle(L, index);
  return p != NULL && p->kind == ML_KIND_FUNCTION ? p : NULL;
}

// The function stays alive while it runs, since the host keeps those of fields.
static int invoke_top(lua_State *L) {
  ml_payload *p = context_at(L, -1);
  if (p == NULL) return luaL_error(L, "a field accessor has lost its context");
  lua_pop(L, 1);
  return ml_invoke(L, p);
}

static ml_apart int read_otherwise(lua_State *L, int found) {
  if (found == LUA_TNIL) {
    lua_settop(L, 2);
    lua_pushvalue(L, lua_upvalueindex(fallback));
    if (lua_isnil(L, -1)) return 1;
  }
  return invoke_top(L);
}

static int read_field(lua_State *L) {
  lua_pushvalue(L, 2);
  int found = lua_rawget(L, lua_upvalueindex(members));
  if (ml_likely(found == LUA_TFUNCTION)) return 1;
  return read_otherwise(L, found);
}

static int write_field(lua_State *L) {
  lua_settop(L, 3);
  lua_pushvalue(L, 2);
  if (lua_rawget(L, lua_upvalueindex(members)) == LUA_TNIL) {
    lua_pop(L, 1);
    lua_pushvalue(L, lua_upvalueindex(fallback));
    if (lua_isnil(L, -1)) {
      if (lua_type(L, 2) == LUA_TSTRING) return luaL_error(L, "cannot assign to field '%s'", lua_tostring(L, 2));
      return luaL_error(L, "cannot assign to a %s index", luaL_typename(L, 2));
    }
  }
  return invoke_top(L);
}

// Two handles of one object are equal.
static int equal(lua_State *L) {
  ml_payload *a = ml_to_handle(L, 1), *b = ml_to_handle(L, 2);
  lua_pushboolean(L, a != NULL && b != NULL && a->kind != 0 && a->object == b->object);
  return 1;
}

// MARK: Definition

// What a metatable keeps of its kind under integer keys, for kinds that inherit from it.
enum { kept_methods = 1, kept_getters, kept_setters, kept_metamethods, kept_read, kept_write };

typedef struct definition {
  ml_state *s;
  uint32_t kind, parent;
} definition;

// Copies what the table at `target` lacks.
static void add_missing(lua_State *L, int source, int target) {
  for (lua_pushnil(L); lua_next(L, source);) {
    lua_pushvalue(L, -2);
    if (lua_rawget(L, target) == LUA_TNIL) {
      lua_pushvalue(L, -3);
      lua_pushvalue(L, -3);
      lua_rawset(L, target);
    }
    lua_pop(L, 2);
  }
}

static bool is_empty(lua_State *L, int table) {
  lua_pushnil(L);
  if (!lua_next(L, table)) return true;
  lua_pop(L, 2);
  return false;
}

// Arguments: definition, name, methods, getters, setters, metamethods, read, write.
static int define(lua_State *L) {
  enum { name = 2, methods, getting, setting, metamethods, reading, writing, metatable };
  definition *d = lua_touserdata(L, 1);
  ml_state *s = d->s;
  lua_createtable(L, 8, 16);
  // One table has all that is read: a kind of 700 methods would not like to have them copied for the sake of a few fields.
  add_missing(L, getting, methods);
  if (d->parent != 0) {
    if (d->parent >= s->kind_count || s->kinds[d->parent].metatable < 0)
      return luaL_error(L, "kind '%s' inherits from a kind that is not defined", lua_tostring(L, name));
    int parent = lua_gettop(L) + 1;
    if (ml_push_reference(L, s->kinds[d->parent].metatable) != LUA_TTABLE)
      return luaL_error(L, "the kind that '%s' inherits from has lost its metatable", lua_tostring(L, name));
    for (int i = 0; i < 4; i++) {
      if (lua_rawgeti(L, parent, kept_methods + i) == LUA_TTABLE) add_missing(L, parent + 1, methods + i);
      lua_settop(L, parent);
    }
    for (int i = 0; i < 2; i++) {
      if (!lua_isnil(L, reading + i)) continue;
      lua_rawgeti(L, parent, kept_read + i);
      lua_replace(L, reading + i);
    }
    lua_settop(L, metatable);
  }
  for (int i = 0; i < 6; i++) {
    lua_pushvalue(L, methods + i);
    lua_rawseti(L, metatable, kept_methods + i);
  }

  lua_pushvalue(L, methods);
  if (!lua_isnil(L, reading) || !is_empty(L, getting)) {
    lua_pushvalue(L, reading);
    lua_pushcclosure(L, read_field, 2);
  }
  lua_setfield(L, metatable, "__index");
  lua_pushvalue(L, setting);
  lua_pushvalue(L, writing);
  lua_pushcclosure(L, write_field, 2);
  lua_setfield(L, metatable, "__newindex");
  lua_pushcfunction(L, equal);
  lua_setfield(L, metatable, "__eq");
  lua_pushvalue(L, name);
  lua_setfield(L, metatable, "__name");
  lua_pushboolean(L, false);
  lua_setfield(L, metatable, "__metatable");
  for (lua_pushnil(L); lua_next(L, metamethods);) {  // the host's own win
    lua_pushvalue(L, -2);
    lua_insert(L, -2);
    lua_rawset(L, metatable);
  }
  // A finalizer would put handles on Lua's slow path, and they need none.
  lua_pushnil(L);
  lua_setfield(L, metatable, "__gc");

  lua_settop(L, metatable);
  int reference = luaL_ref(L, LUA_REGISTRYINDEX);
  int old = s->kinds[d->kind].metatable;
  s->kinds[d->kind] = (ml_kind){.metatable = reference, .parent = d->parent};
  luaL_unref(L, LUA_REGISTRYINDEX, old);  // handles made before keep the old one
  return 0;
}

static bool make_kinds(ml_state *s, uint32_t kind) {
  if (kind < s->kind_count) return true;
  uint32_t count = kind + 16;
  ml_kind *kinds = ml_grow(s, s->kinds, s->kind_count * sizeof *kinds, count * sizeof *kinds);
  if (kinds == NULL) return false;
  for (uint32_t i = s->kind_count; i < count; i++) kinds[i] = (ml_kind){.metatable = LUA_NOREF};
  s->kinds = kinds;
  s->kind_count = count;
  return true;
}

int ml_define_kind(ml_state *s, lua_State *L, uint32_t kind, uint32_t parent, uint32_t mark) {
  if (!make_kinds(s, kind)) ml_own(s)->out_failed = true;
  int status = ml_push(s, L, 7, mark);
  if (status != LUA_OK) return status;
  definition d = {.s = s, .kind = kind, .parent = parent};
  return ml_protect(L, define, &d, 7, 0);
}
