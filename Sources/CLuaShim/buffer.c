// The buffer between native functions and Lua: room for values, the arena with the bytes of strings, and forgetting.
#include <stdlib.h>
#include <string.h>

#include "CLuaShim/buffer.h"
#include "internal.h"

// What stays allocated for the next call, in bytes, of the values and of the arena.
enum { most_kept = 1 << 20 };

// Before a large allocation of that many more bytes: collects where the limit would refuse it, as Lua's own allocations do.
// Finalizers may run then and make native calls, so whoever grows looks at the buffer afterwards.
static void make_room(ml_state *s, size_t more) {
  ml_private *own = ml_own(s);
  if (ml_likely(!own->slow) || more < most_kept / 16 || own->main == NULL || own->releasing != 0) return;
  if (ml_would_exceed(s, more)) lua_gc(s->current, LUA_GCCOLLECT);
}

bool ml_out_grow(ml_state *s) {
  ml_private *own = ml_own(s);
  if (own->out_failed) return false;
  make_room(s, s->out_capacity * sizeof *s->out);
  uint32_t capacity = s->out_capacity ? s->out_capacity * 2 : 64;
  size_t from = s->out_capacity * sizeof *s->out, to = capacity * sizeof *s->out;
  ml_value *out = to > from ? ml_grow(s, s->out, from, to) : NULL;
  if (out == NULL) {
    own->out_failed = true;
    return false;
  }
  s->out = out;
  s->out_capacity = capacity;
  ml_count_growth(s, from, to);
  return true;
}

void ml_out_shrink(ml_state *s) {
  ml_private *own = ml_own(s);
  if (s->out_top != 0) return;
  size_t size = sizeof *s->out, from = s->out_capacity * size;
  void *out = from > most_kept ? realloc(s->out, most_kept / 16) : NULL;
  if (out != NULL) {
    s->out = out;
    s->out_capacity = (uint32_t)(most_kept / 16 / size);
    ml_count_growth(s, from, s->out_capacity * size);
  }
  if (own->arena_capacity > most_kept) {
    free(own->arena);
    ml_count_growth(s, own->arena_capacity, 0);
    own->arena = NULL;
    own->arena_top = own->arena_capacity = 0;
  }
}

void ml_out_string(ml_state *s, const char *bytes, size_t length) {
  ml_private *own = ml_own(s);
  size_t need = own->arena_top + sizeof length + length;
  if (need > own->arena_capacity) {
    size_t capacity = need + need / 2 + 256;
    if (need >= length && !own->out_failed) make_room(s, capacity - own->arena_capacity);
    size_t from = own->arena_capacity;
    if (capacity < from) capacity = from;
    char *arena = need >= length && !own->out_failed ? ml_grow(s, own->arena, from, capacity) : NULL;
    if (arena == NULL) {
      own->out_failed = true;
      return;
    }
    own->arena = arena;
    own->arena_capacity = capacity;
    ml_count_growth(s, from, capacity);
  }
  if (!ml_out(s, (ml_value){.tag = ML_STRING, .as.offset = own->arena_top})) return;
  memcpy(own->arena + own->arena_top, &length, sizeof length);
  if (length != 0) memcpy(own->arena + own->arena_top + sizeof length, bytes, length);
  own->arena_top = need;
}

// The arena shrinks back with the values, since the first string since `mark` knows where it began.
void ml_forget(ml_state *s, uint32_t mark) {
  while (s->out_top > mark) {
    ml_value *v = &s->out[--s->out_top];
    uint32_t tag = v->tag;
    v->tag = ML_NIL;
    if (tag == ML_STRING || tag == ML_FAILURE) ml_own(s)->arena_top = v->as.offset;
    if (tag == ML_HANDLE || tag == ML_UNIQUE) s->config.release(v->as.object, v->kind);
    if (tag == ML_NUMBERS) s->config.release(v->as.object, 0);
    if (tag == ML_FUNCTION || tag == ML_CONTEXT) s->config.release(v->as.object, ML_KIND_FUNCTION);
  }
  ml_out_shrink(s);
}
