// The buffer between native functions and Lua: room for values, the arena with the bytes of strings, and forgetting.
#include <string.h>

#include "CLuaShim/buffer.h"
#include "internal.h"

bool ml_out_grow(ml_state *s) {
  uint32_t capacity = s->out_capacity ? s->out_capacity * 2 : 64;
  ml_value *out = capacity > s->out_capacity ? ml_grow(s, s->out, capacity * sizeof *out) : NULL;
  if (out == NULL) {
    ml_own(s)->out_failed = true;
    return false;
  }
  s->out = out;
  s->out_capacity = capacity;
  return true;
}

void ml_out_string(ml_state *s, const char *bytes, size_t length) {
  ml_private *own = ml_own(s);
  size_t need = own->arena_top + sizeof length + length;
  if (need > own->arena_capacity) {
    size_t capacity = need + need / 2 + 256;
    char *arena = need >= length ? ml_grow(s, own->arena, capacity) : NULL;
    if (arena == NULL) {
      own->out_failed = true;
      return;
    }
    own->arena = arena;
    own->arena_capacity = capacity;
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
    if (tag == ML_STRING) ml_own(s)->arena_top = v->as.offset;
    if (tag == ML_HANDLE || tag == ML_UNIQUE) s->config.release(v->as.object, v->kind);
    if (tag == ML_FUNCTION || tag == ML_CONTEXT) s->config.release(v->as.object, ML_KIND_FUNCTION);
  }
}
