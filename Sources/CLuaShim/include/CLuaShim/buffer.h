// The buffer: values on their way into Lua, written by native functions and by the host.
#ifndef ML_BUFFER_H
#define ML_BUFFER_H

#include "state.h"

bool ml_out_grow(ml_state *s);
// Gives a large buffer back once it is empty.
void ml_out_shrink(ml_state *s);

static inline bool ml_out(ml_state *s, ml_value v) {
  if (s->out_top == s->out_capacity && !ml_out_grow(s)) return false;
  s->out[s->out_top++] = v;
  return true;
}
static inline void ml_out_nil(ml_state *s) { ml_out(s, (ml_value){.tag = ML_NIL}); }
static inline void ml_out_boolean(ml_state *s, bool b) {
  ml_out(s, (ml_value){.tag = ML_BOOLEAN, .as.integer = b});
}
static inline void ml_out_integer(ml_state *s, int64_t i) {
  ml_out(s, (ml_value){.tag = ML_INTEGER, .as.integer = i});
}
static inline void ml_out_number(ml_state *s, double n) {
  ml_out(s, (ml_value){.tag = ML_NUMBER, .as.number = n});
}
static inline void ml_out_argument(ml_state *s, int index) {
  ml_out(s, (ml_value){.tag = ML_ARGUMENT, .as.integer = index});
}
static inline void ml_out_reference(ml_state *s, int reference) {
  ml_out(s, (ml_value){.tag = ML_REFERENCE, .as.integer = reference});
}
// Takes over one reference to `object`, whatever happens. With `unique` the handle that Lua still refers to, if there is one.
static inline void ml_out_handle(ml_state *s, void *object, uint32_t kind, bool unique) {
  if (!ml_out(s, (ml_value){.tag = unique ? ML_UNIQUE : ML_HANDLE, .kind = kind, .as.object = object}))
    s->config.release(object, kind);
}
// Takes over one reference to `object`; `callback` NULL means the host's.
static inline void ml_out_function(ml_state *s, void *object, ml_callback callback) {
  if (!ml_out(s, (ml_value){.tag = ML_FUNCTION, .as.object = object, .extra = (void *)callback}))
    s->config.release(object, ML_KIND_FUNCTION);
}
static inline void ml_out_context(ml_state *s, void *object, ml_callback callback) {
  if (!ml_out(s, (ml_value){.tag = ML_CONTEXT, .as.object = object, .extra = (void *)callback}))
    s->config.release(object, ML_KIND_FUNCTION);
}
static inline void ml_out_list(ml_state *s, int64_t count) {
  ml_out(s, (ml_value){.tag = ML_LIST, .as.integer = count});
}
static inline void ml_out_record(ml_state *s, int64_t count) {
  ml_out(s, (ml_value){.tag = ML_RECORD, .as.integer = count});
}
// A list of so many numbers, which the host copies out of `object` when it is made. Takes over one reference to that.
static inline void ml_out_numbers(ml_state *s, void *object, int64_t count, bool integers) {
  if (!ml_out(s, (ml_value){.tag = ML_NUMBERS, .kind = integers, .as.object = object, .extra = (void *)(uintptr_t)count}))
    s->config.release(object, 0);
}
// Copies the bytes.
void ml_out_string(ml_state *s, const char *bytes, size_t length);
// The same for what cannot become a value of Lua: the message of an error, raised once the values are asked for.
static inline void ml_out_failure(ml_state *s, const char *bytes, size_t length) {
  uint32_t top = s->out_top;
  ml_out_string(s, bytes, length);
  if (s->out_top > top) s->out[top].tag = ML_FAILURE;
}
// Forgets trees written since `mark` (the old out_top), releasing the objects in them.
void ml_forget(ml_state *s, uint32_t mark);

#endif
