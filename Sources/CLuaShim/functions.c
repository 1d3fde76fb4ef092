// Native functions: the trampoline, and the way of results into Lua.
//
// The rule that keeps ownership exact: nothing that can raise happens while an object is between the Swift
// frame and its handle. A handle's block is made sure of before Lua is asked for the userdata, so making
// one never raises; whatever else can raise (strings, tables) is built inside a protected call, after which
// the objects still in flight are released and the error goes on.
#include <string.h>

#include "CLuaShim/CLuaShim.h"
#include "internal.h"

// MARK: Handles

// Slab exhausted or memory short: collects once and looks again.
static ml_cold bool make_room(lua_State *L, ml_state *s) {
  ml_private *own = ml_own(s);
  bool reserved = own->reserved;
  own->reserved = false;
  if (ml_slab_ready(s) && (reserved || !(own->slow && ml_refuses(s, own->block_size)))) return true;
  lua_gc(L, LUA_GCCOLLECT);
  return ml_slab_ready(s) && !(own->slow && ml_refuses(s, own->block_size));
}

bool ml_reserve_handle(ml_state *s) {
  ml_private *own = ml_own(s);
  if (!ml_slab_ready(s) || (own->slow && ml_refuses(s, own->block_size))) return false;
  own->reserved = own->slow;
  return true;
}

static ml_inline bool push_handle(lua_State *L, ml_state *s, void *object, uint32_t kind, void *extra) {
  ml_private *own = ml_own(s);
  bool ready = (own->slab_free != NULL || own->slab_next != own->slab_end) && !own->slow;
  if (ml_unlikely(!ready) && !make_room(L, s)) {
    s->config.release(object, kind);
    return false;
  }
  own->handle_request = true;
  ml_payload *p = lua_newuserdatauv(L, sizeof *p, 0);
  p->object = object;
  p->kind = kind;
  p->state = s;
  p->extra = extra;
  if (ml_likely(kind < s->kind_count)) {
    // Nil for an undefined kind, and anything where a script has reached the registry.
    if (ml_likely(lua_rawgeti(L, LUA_REGISTRYINDEX, s->kinds[kind].metatable) == LUA_TTABLE)) lua_setmetatable(L, -2);
    else lua_pop(L, 1);
  }
  return true;
}

bool ml_push_handle(lua_State *L, ml_state *s, void *object, uint32_t kind, void *extra) {
  return push_handle(L, s, object, kind, extra);
}

// MARK: One handle for each object

// The registry's key of a table: objects' addresses, and their handles as weak values. Lua clears an entry before it frees
// the handle, and until then the handle owns a reference to the object: no other object can be at that address. (An entry
// is cleared too when only finalizers can still reach the handle; they see another one if they ask.)
static const char unique_handles = 0;

void ml_open_unique(lua_State *L) {
  lua_newtable(L);
  lua_createtable(L, 0, 1);
  lua_pushliteral(L, "v");
  lua_setfield(L, -2, "__mode");
  lua_setmetatable(L, -2);
  lua_rawsetp(L, LUA_REGISTRYINDEX, &unique_handles);
}

// Pushes the handle of an object if there is one. Scripts that reach the registry may have put anything there.
static bool find_unique(lua_State *L, void *object, uint32_t kind) {
  int top = lua_gettop(L);
  if (lua_rawgetp(L, LUA_REGISTRYINDEX, &unique_handles) == LUA_TTABLE) {
    lua_rawgetp(L, -1, object);
    ml_payload *p = ml_to_handle(L, -1);
    if (p != NULL && p->object == object && p->kind == kind) {
      lua_remove(L, -2);
      return true;
    }
  }
  lua_settop(L, top);
  return false;
}

// Raises when memory is short; the object has an owner before anything can.
static ml_apart void push_unique(lua_State *L, ml_state *s, void *object, uint32_t kind) {
  if (find_unique(L, object, kind)) {
    s->config.release(object, kind);
    return;
  }
  if (!ml_push_handle(L, s, object, kind, NULL)) ml_raise_memory(L);
  // Making one can collect, and a finalizer can have asked for the same.
  if (find_unique(L, object, kind)) {
    lua_remove(L, -2);
    return;
  }
  if (lua_rawgetp(L, LUA_REGISTRYINDEX, &unique_handles) == LUA_TTABLE) {
    lua_pushvalue(L, -2);
    lua_rawsetp(L, -2, object);
  }
  lua_pop(L, 1);
}

// MARK: Trees

enum { deepest_tree = 190 };

typedef struct builder {
  ml_state *s;
  uint32_t next, end;  // values of the buffer
  int argument;        // next copied argument of the frame
} builder;

static void push_object(lua_State *L, ml_state *s, ml_value *v, uint32_t kind) {
  void *extra = v->extra;
  if (kind == ML_KIND_FUNCTION && extra == NULL) extra = (void *)s->config.callback;
  v->tag = ML_NIL;  // the object has left the buffer, whatever comes
  if (!ml_push_handle(L, s, v->as.object, kind, extra)) ml_raise_memory(L);
}

static void build(lua_State *L, builder *b, int depth) {
  ml_state *s = b->s;
  ml_private *own = ml_own(s);
  if (b->next >= b->end) luaL_error(L, "a native function left a table unfinished");
  if (depth > deepest_tree) luaL_error(L, "a native function returned tables nested too deeply");
  luaL_checkstack(L, 4, NULL);
  ml_value *v = &s->out[b->next++];
  switch ((ml_tag)v->tag) {
    case ML_NIL: lua_pushnil(L); break;
    case ML_BOOLEAN: lua_pushboolean(L, v->as.integer != 0); break;
    case ML_INTEGER: lua_pushinteger(L, v->as.integer); break;
    case ML_NUMBER: lua_pushnumber(L, v->as.number); break;
    case ML_ARGUMENT: lua_pushvalue(L, b->argument++); break;
    case ML_REFERENCE: ml_push_reference(L, (int)v->as.integer); break;
    case ML_HANDLE: push_object(L, s, v, v->kind); break;
    case ML_UNIQUE:
      v->tag = ML_NIL;
      push_unique(L, s, v->as.object, v->kind);
      break;
    case ML_CONTEXT: push_object(L, s, v, ML_KIND_FUNCTION); break;
    case ML_FUNCTION:
      push_object(L, s, v, ML_KIND_FUNCTION);
      lua_pushcclosure(L, ml_trampoline, 1);
      break;
    case ML_STRING:
    case ML_FAILURE: {
      size_t length, offset = v->as.offset;
      memcpy(&length, own->arena + offset, sizeof length);
      bool failed = v->tag == ML_FAILURE;
      if (failed) luaL_where(L, 2);  // the script that called the native function
      lua_pushlstring(L, own->arena + offset + sizeof length, length);
      if (!failed) break;
      lua_concat(L, 2);
      lua_error(L);
      break;
    }
    case ML_LIST: {
      int64_t count = v->as.integer;
      lua_createtable(L, count < INT32_MAX ? (int)count : 0, 0);
      for (int64_t i = 1; i <= count; i++) {
        build(L, b, depth + 1);
        lua_rawseti(L, -2, i);
        if (ml_unlikely((i & 0xFFF) == 0)) ml_poll(L, s);
      }
      break;
    }
    case ML_RECORD: {
      int64_t count = v->as.integer;
      lua_createtable(L, 0, count < INT32_MAX ? (int)count : 0);
      for (int64_t i = 0; i < count; i++) {
        build(L, b, depth + 1);
        build(L, b, depth + 1);
        lua_rawset(L, -3);
      }
      break;
    }
    case ML_NUMBERS: ml_push_numbers(L, s, v->as.object, (int64_t)(uintptr_t)v->extra, v->kind != 0); break;
  }
}

// The protected part of ml_build: builder, count, then copies of the arguments that trees mention.
static int build_all(lua_State *L) {
  builder *b = lua_touserdata(L, 1);
  int count = (int)lua_tointeger(L, 2);
  b->argument = 3;
  luaL_checkstack(L, count, "too many results");
  for (int i = 0; i < count; i++) build(L, b, 0);
  return count;
}

// Pushes `count` trees, or the error value; returns a status and forgets the trees either way.
static int build_protected(lua_State *L, ml_state *s, int count, uint32_t mark) {
  ml_private *own = ml_own(s);
  builder b = {.s = s, .next = mark, .end = s->out_top};
  int copies = 0, status;
  for (uint32_t i = mark; i < s->out_top; i++) copies += s->out[i].tag == ML_ARGUMENT;
  if (own->out_failed || !lua_checkstack(L, copies + 4)) {
    own->out_failed = false;
    status = ml_memory_error(L, 0);
  } else {
    int top = lua_gettop(L);
    lua_pushcfunction(L, build_all);
    lua_pushlightuserdata(L, &b);
    lua_pushinteger(L, count);
    for (uint32_t i = mark; i < s->out_top; i++) {
      if (s->out[i].tag != ML_ARGUMENT) continue;
      int64_t index = s->out[i].as.integer;
      if (index >= 1 && index <= top) lua_pushvalue(L, (int)index);
      else lua_pushnil(L);
    }
    status = lua_pcall(L, copies + 2, LUA_MULTRET, 0);
  }
  ml_forget(s, mark);
  return status;
}

int ml_push(ml_state *s, lua_State *L, int count, uint32_t mark) {
  if (!lua_checkstack(L, 8)) ml_own(s)->out_failed = true;
  return build_protected(L, s, count, mark);
}

// MARK: Calls

// Results that need neither strings nor tables, pushed without a protected call. False when memory is
// short, with everything in flight released.
static bool push_flat(lua_State *L, ml_state *s, int count, uint32_t mark) {
  int top = lua_gettop(L);
  for (int i = 0; i < count; i++) {
    ml_value *v = &s->out[mark + (uint32_t)i];
    switch ((ml_tag)v->tag) {
      case ML_BOOLEAN: lua_pushboolean(L, v->as.integer != 0); break;
      case ML_INTEGER: lua_pushinteger(L, v->as.integer); break;
      case ML_NUMBER: lua_pushnumber(L, v->as.number); break;
      case ML_ARGUMENT:
        if (v->as.integer >= 1 && v->as.integer <= top) lua_pushvalue(L, (int)v->as.integer);
        else lua_pushnil(L);
        break;
      case ML_REFERENCE: ml_push_reference(L, (int)v->as.integer); break;
      case ML_HANDLE:
        v->tag = ML_NIL;
        if (!ml_push_handle(L, s, v->as.object, v->kind, v->extra)) {
          ml_forget(s, mark);
          return false;
        }
        break;
      default: lua_pushnil(L);
    }
  }
  s->out_top = mark;
  ml_out_shrink(s);
  return true;
}

static bool is_flat(const ml_state *s, int count, uint32_t mark) {
  if (count < 0 || ml_own(s)->out_failed || s->out_top - mark != (uint32_t)count) return false;
  for (uint32_t i = mark; i < s->out_top; i++)
    if (s->out[i].tag > ML_FLAT) return false;
  return true;
}

// Everything but the single handle: other results, and errors.
static ml_apart int finish(lua_State *L, ml_state *s, int count, uint32_t mark) {
  ml_private *own = ml_own(s);
  if (ml_unlikely(count == ML_WAIT)) {
    ml_forget(s, mark);
    return ml_wait(L, s);
  }
  if (is_flat(s, count, mark) && lua_checkstack(L, count + 4)) {
    if (!push_flat(L, s, count, mark)) ml_raise_memory(L);
    return count;
  }
  if (ml_unlikely(own->kill)) {
    ml_forget(s, mark);
    return ml_die(L, s);
  }
  int status = build_protected(L, s, count < 0 ? 1 : count, mark);
  if (status != LUA_OK || count < 0) {
    if (own->pending_count != 0) ml_attend(L, s);
    return lua_error(L);
  }
  return count;
}

// One boolean, integer, number or unique handle, or whatever is left to finish().
static ml_apart int finish_one(lua_State *L, ml_state *s, uint32_t mark) {
  ml_value *first = &s->out[mark];
  s->out_top = mark;
  switch ((ml_tag)first->tag) {
    case ML_NUMBER: lua_pushnumber(L, first->as.number); return 1;
    case ML_INTEGER: lua_pushinteger(L, first->as.integer); return 1;
    case ML_BOOLEAN: lua_pushboolean(L, first->as.integer != 0); return 1;
    case ML_UNIQUE: push_unique(L, s, first->as.object, first->kind); return 1;
    default: s->out_top = mark + 1; return finish(L, s, 1, mark);
  }
}

// The commonest ends stand here: one handle, and nothing.
static ml_inline int invoke(lua_State *L, ml_payload *function) {
  ml_state *s = function->state;
  uint32_t mark = s->out_top;
  s->current = L;
  // Before the call, so that what it asks for can be what is freed here: of a result that replaces the last one,
  // the memory stays in the processor's cache.
  if (ml_unlikely(s->attention)) ml_attend(L, s);
  int count = ((ml_callback)function->extra)(L, s, function->object);
  if (ml_likely(count == 1 && s->out_top == mark + 1)) {
    ml_value *first = &s->out[mark];
    if (ml_likely(first->tag == ML_HANDLE)) {
      s->out_top = mark;
      if (!push_handle(L, s, first->as.object, first->kind, NULL)) ml_raise_memory(L);
    } else {
      finish_one(L, s, mark);
    }
  } else if (count != 0 || s->out_top != mark) {
    count = finish(L, s, count, mark);
  }
  return count;
}

int ml_invoke(lua_State *L, ml_payload *function) { return invoke(L, function); }

int ml_trampoline(lua_State *L) {
  ml_payload *function = ml_to_handle(L, lua_upvalueindex(1));
  // debug.setupvalue can put anything there.
  if (ml_unlikely(function == NULL || function->kind != ML_KIND_FUNCTION))
    return luaL_error(L, "a native function has lost its context");
  return invoke(L, function);
}
