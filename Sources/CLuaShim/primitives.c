// The functions of Lua's libraries that can take long without running a line of Lua, anew, with the question between steps
// whether a kill is under way: text of any length, and tables that only say that they are long. Results and refusals
// are Lua's own; what these files leave out ends soon whatever it is given.
#include <ctype.h>
#include <limits.h>
#include <string.h>

#include "internal.h"

enum { piece = 1 << 16 };  // bytes between questions

// MARK: Text

// Makes a text of `length` bytes, each part by f from the same part of the first argument, or from its mirror image.
static ml_inline int transformed(lua_State *L, void (*f)(char *to, const char *from, size_t from_length, size_t begin, size_t end)) {
  ml_state *s = ml_of(L);
  size_t length;
  const char *from = luaL_checklstring(L, 1, &length);
  luaL_Buffer b;
  char *to = luaL_buffinitsize(L, &b, length);
  for (size_t begin = 0; begin < length; begin += piece) {
    size_t end = length - begin > piece ? begin + piece : length;
    f(to, from, length, begin, end);
    ml_poll(L, s);
  }
  luaL_pushresultsize(&b, length);
  return 1;
}

static ml_inline void to_upper(char *to, const char *from, size_t length, size_t begin, size_t end) {
  (void)length;
  for (size_t i = begin; i < end; i++) to[i] = (char)toupper((unsigned char)from[i]);
}

static ml_inline void to_lower(char *to, const char *from, size_t length, size_t begin, size_t end) {
  (void)length;
  for (size_t i = begin; i < end; i++) to[i] = (char)tolower((unsigned char)from[i]);
}

static ml_inline void mirror(char *to, const char *from, size_t length, size_t begin, size_t end) {
  for (size_t i = begin; i < end; i++) to[i] = from[length - 1 - i];
}

static int str_upper(lua_State *L) { return transformed(L, to_upper); }
static int str_lower(lua_State *L) { return transformed(L, to_lower); }
static int str_reverse(lua_State *L) { return transformed(L, mirror); }

static int str_rep(lua_State *L) {
  ml_state *s = ml_of(L);
  size_t length, between;
  const char *text = luaL_checklstring(L, 1, &length);
  lua_Integer count = luaL_checkinteger(L, 2);
  const char *separator = luaL_optlstring(L, 3, "", &between);
  if (count <= 0 || length + between == 0) {
    lua_pushliteral(L, "");
    return 1;
  }
  size_t period = length + between;  // two texts in memory do not overflow it
  if (period > (size_t)INT_MAX / (size_t)count) return luaL_error(L, "resulting string too large");
  size_t total = (size_t)count * period - between;
  luaL_Buffer b;
  char *to = luaL_buffinitsize(L, &b, total);
  if (period == 1) {
    for (size_t done = 0; done < total;) {
      size_t more = total - done > piece ? piece : total - done;
      memset(to + done, length == 1 ? *text : *separator, more);
      done += more;
      ml_poll(L, s);
    }
    if (length == 1) {
      luaL_pushresultsize(&b, total);
      return 1;
    }
  }
  memcpy(to, text, length);
  if (total > length) memcpy(to + length, separator, between);
  // What is there doubles, up to pieces that stay in the processor's cache.
  for (size_t done = total < period ? total : period; done < total;) {
    size_t more = done < piece || done == period ? done : piece / period * period;
    if (more == 0) more = period;
    if (more > total - done) more = total - done;
    memcpy(to + done, to, more);
    done += more;
    ml_poll(L, s);
  }
  luaL_pushresultsize(&b, total);
  return 1;
}

void ml_open_strings(lua_State *L) {
  static const luaL_Reg functions[] = {
      {"lower", str_lower}, {"rep", str_rep}, {"reverse", str_reverse}, {"upper", str_upper}, {NULL, NULL},
  };
  luaL_setfuncs(L, functions, 0);
}

// MARK: UTF-8

static bool is_continuation(const char *p) { return ((unsigned char)*p & 0xC0) == 0x80; }

// A place counted from 1, or from the end where negative; 0 before the beginning.
static lua_Integer place_of(lua_Integer place, size_t length) {
  if (place >= 0) return place;
  return 0u - (size_t)place > length ? 0 : (lua_Integer)length + place + 1;
}

// Lua's own function, at upvalue 1, for one stretch after the other: it counts the characters that begin in one.
static int utf_length(lua_State *L) {
  lua_CFunction stock = lua_tocfunction(L, lua_upvalueindex(1));
  if (lua_rawlen(L, 1) <= piece) return stock(L);
  size_t length;
  const char *text = luaL_checklstring(L, 1, &length);
  lua_Integer first = place_of(luaL_optinteger(L, 2, 1), length), last = place_of(luaL_optinteger(L, 3, -1), length);
  lua_settop(L, 4);
  if (first < 1 || first > (lua_Integer)length + 1 || last > (lua_Integer)length) return stock(L);  // which refuses
  lua_Integer count = 0;
  while (first <= last) {
    lua_Integer end = last - first > piece ? first + piece : last;
    // No stretch begins within a character, which has not more bytes than this.
    for (int i = 0; i < 8 && end < last && end > first && is_continuation(text + end); i++) end--;
    lua_pushinteger(L, first);
    lua_replace(L, 2);
    lua_pushinteger(L, end);
    lua_replace(L, 3);
    int results = stock(L);
    if (results != 1) return results;
    count += lua_tointeger(L, -1);
    lua_settop(L, 4);
    first = end + 1;
    ml_poll(L, ml_of(L));
  }
  lua_pushinteger(L, count);
  return 1;
}

static int utf_offset(lua_State *L) {
  size_t length;
  const char *text = luaL_checklstring(L, 1, &length);
  lua_Integer n = luaL_checkinteger(L, 2), end = (lua_Integer)length;
  lua_Integer at = place_of(luaL_optinteger(L, 3, n >= 0 ? 1 : end + 1), length) - 1;
  luaL_argcheck(L, 0 <= at && at <= end, 3, "position out of bounds");
  if (n != 0 && is_continuation(text + at)) return luaL_error(L, "initial position is a continuation byte");
  lua_Integer step = n > 0 ? 1 : -1, limit = n > 0 ? end : 0;
  if (n == 0) {
    while (at > 0 && is_continuation(text + at)) {
      at--;
      if (ml_unlikely(at % piece == 0)) ml_poll(L, ml_of(L));
    }
  } else {
    if (n > 0) n--;
    while (n != 0 && at != limit) {
      do {
        at += step;
        if (ml_unlikely(at % piece == 0)) ml_poll(L, ml_of(L));
      } while (is_continuation(text + at) && (step > 0 || at > 0));
      n -= step;
    }
  }
  if (n == 0) lua_pushinteger(L, at + 1);
  else luaL_pushfail(L);
  return 1;
}

void ml_open_utf8(lua_State *L) {
  lua_getfield(L, -1, "len");
  lua_pushcclosure(L, utf_length, 1);
  lua_setfield(L, -2, "len");
  lua_pushcfunction(L, utf_offset);
  lua_setfield(L, -2, "offset");
}

// MARK: Tables

// What a function does to a table; another value may take its place that has metamethods for all of that.
enum { reads = 1, writes = 2, measures = 4 };

static ml_cold void check_other(lua_State *L, int index, int uses) {
  int top = lua_gettop(L);
  if (!lua_getmetatable(L, index)) luaL_checktype(L, index, LUA_TTABLE);
  static const char *const names[] = {"__index", "__newindex", "__len"};
  for (int i = 0; i < 3; i++) {
    if ((uses >> i & 1) == 0) continue;
    lua_pushstring(L, names[i]);
    if (lua_rawget(L, top + 1) == LUA_TNIL) luaL_checktype(L, index, LUA_TTABLE);
  }
  lua_settop(L, top);
}

static ml_inline void check_table(lua_State *L, int index, int uses) {
  if (ml_unlikely(lua_type(L, index) != LUA_TTABLE)) check_other(L, index, uses);
}

static ml_inline lua_Integer length_of(lua_State *L, int uses) {
  check_table(L, 1, uses | measures);
  return luaL_len(L, 1);
}

static int tab_insert(lua_State *L) {
  lua_Integer end = (lua_Integer)((lua_Unsigned)length_of(L, reads | writes) + 1), place = end;
  switch (lua_gettop(L)) {
    case 2: break;
    case 3: {
      ml_state *s = ml_of(L);
      place = luaL_checkinteger(L, 2);
      luaL_argcheck(L, (lua_Unsigned)place - 1 < (lua_Unsigned)end, 2, "position out of bounds");
      for (lua_Integer i = end; i > place; i--) {
        lua_geti(L, 1, i - 1);
        lua_seti(L, 1, i);
        ml_poll(L, s);
      }
      break;
    }
    default: return luaL_error(L, "wrong number of arguments to 'insert'");
  }
  lua_seti(L, 1, place);
  return 0;
}

static int tab_remove(lua_State *L) {
  ml_state *s = ml_of(L);
  lua_Integer length = length_of(L, reads | writes);
  lua_Integer place = luaL_optinteger(L, 2, length);
  if (place != length)  // the place behind the last may be given too
    luaL_argcheck(L, (lua_Unsigned)place - 1 <= (lua_Unsigned)length, 1, "position out of bounds");
  lua_geti(L, 1, place);
  for (; place < length; place++) {
    lua_geti(L, 1, place + 1);
    lua_seti(L, 1, place);
    ml_poll(L, s);
  }
  lua_pushnil(L);
  lua_seti(L, 1, place);
  return 1;
}

static int tab_move(lua_State *L) {
  ml_state *s = ml_of(L);
  lua_Integer first = luaL_checkinteger(L, 2), last = luaL_checkinteger(L, 3), to = luaL_checkinteger(L, 4);
  int target = lua_isnoneornil(L, 5) ? 1 : 5;
  check_table(L, 1, reads);
  check_table(L, target, writes);
  if (last >= first) {
    luaL_argcheck(L, first > 0 || last < LUA_MAXINTEGER + first, 3, "too many elements to move");
    lua_Integer count = last - first + 1;
    luaL_argcheck(L, to <= LUA_MAXINTEGER - count + 1, 4, "destination wrap around");
    bool forwards = to > last || to <= first || (target != 1 && !lua_compare(L, 1, target, LUA_OPEQ));
    for (lua_Integer i = 0; i < count; i++) {
      lua_Integer offset = forwards ? i : count - 1 - i;
      lua_geti(L, 1, first + offset);
      lua_seti(L, target, to + offset);
      ml_poll(L, s);
    }
  }
  lua_pushvalue(L, target);
  return 1;
}

static void add_element(lua_State *L, luaL_Buffer *b, lua_Integer i) {
  lua_geti(L, 1, i);
  if (ml_unlikely(!lua_isstring(L, -1)))
    luaL_error(L, "invalid value (%s) at index %I in table for 'concat'", luaL_typename(L, -1), (LUAI_UACINT)i);
  luaL_addvalue(b);
}

static int tab_concat(lua_State *L) {
  ml_state *s = ml_of(L);
  lua_Integer length = length_of(L, reads);
  size_t between;
  const char *separator = luaL_optlstring(L, 2, "", &between);
  lua_Integer i = luaL_optinteger(L, 3, 1), last = luaL_optinteger(L, 4, length);
  luaL_Buffer b;
  luaL_buffinit(L, &b);
  for (; i < last; i++) {
    add_element(L, &b, i);
    luaL_addlstring(&b, separator, between);
    ml_poll(L, s);
  }
  if (i == last) add_element(L, &b, i);
  luaL_pushresult(&b);
  return 1;
}

static int tab_unpack(lua_State *L) {
  ml_state *s = ml_of(L);
  lua_Integer first = luaL_optinteger(L, 2, 1);
  lua_Integer last = lua_isnoneornil(L, 3) ? luaL_len(L, 1) : luaL_checkinteger(L, 3);
  if (first > last) return 0;
  lua_Unsigned count = (lua_Unsigned)last - (lua_Unsigned)first;
  if (count >= INT_MAX || !lua_checkstack(L, (int)++count)) return luaL_error(L, "too many results to unpack");
  for (lua_Unsigned i = 0; i < count; i++) {
    lua_geti(L, 1, first + (lua_Integer)i);
    ml_poll(L, s);
  }
  return (int)count;
}

// MARK: Sorting

// A quicksort by the median of three, whose steps are those of Lua's own sort: the order of what compares equal depends on
// them, and scripts see each comparison.

// Whether the value at stack index a comes before that at b, by the order at index 2 or by `<`.
static ml_inline bool is_before(lua_State *L, ml_state *s, int a, int b) {
  ml_poll(L, s);
  if (lua_isnil(L, 2)) return lua_compare(L, a, b, LUA_OPLT);
  lua_pushvalue(L, 2);
  lua_pushvalue(L, a - 1);
  lua_pushvalue(L, b - 2);
  lua_call(L, 2, 1);
  bool before = lua_toboolean(L, -1);
  lua_pop(L, 1);
  return before;
}

// Pops the value at the top into t[i], and the next into t[j].
static ml_inline void put_two(lua_State *L, unsigned i, unsigned j) {
  lua_seti(L, 1, i);
  lua_seti(L, 1, j);
}

// Exchanges t[i] and t[j], i < j, where the second comes before the first.
static void set_right(lua_State *L, ml_state *s, unsigned i, unsigned j) {
  lua_geti(L, 1, i);
  lua_geti(L, 1, j);
  if (is_before(L, s, -1, -2)) put_two(L, i, j);
  else lua_pop(L, 2);
}

// Some place in the middle half of a range that middles divided badly; any will do.
static unsigned other_pivot(unsigned low, unsigned high, unsigned chance) {
  unsigned quarter = (high - low) / 4;
  return chance % (quarter * 2) + low + quarter;
}

// Divides t[low .. high] by the pivot, which is on top of the stack and at t[high - 1]; pops it, and tells where it is now.
static unsigned divide(lua_State *L, ml_state *s, unsigned low, unsigned high) {
  unsigned i = low, j = high - 1;
  for (;;) {
    for (lua_geti(L, 1, ++i); is_before(L, s, -1, -2); lua_geti(L, 1, ++i)) {
      if (ml_unlikely(i == high - 1)) luaL_error(L, "invalid order function for sorting");
      lua_pop(L, 1);
    }
    for (lua_geti(L, 1, --j); is_before(L, s, -3, -1); lua_geti(L, 1, --j)) {
      if (ml_unlikely(j < i)) luaL_error(L, "invalid order function for sorting");
      lua_pop(L, 1);
    }
    if (j < i) {
      lua_pop(L, 1);
      put_two(L, high - 1, i);
      return i;
    }
    put_two(L, i, j);
  }
}

static void sort_range(lua_State *L, ml_state *s, unsigned low, unsigned high, unsigned chance) {
  enum { large = 100 };
  while (low < high) {
    set_right(L, s, low, high);
    if (high - low == 1) break;
    unsigned middle = high - low > large && chance != 0 ? other_pivot(low, high, chance) : low + (high - low) / 2;
    lua_geti(L, 1, middle);
    lua_geti(L, 1, low);
    if (is_before(L, s, -2, -1)) {
      put_two(L, middle, low);
    } else {
      lua_pop(L, 1);
      lua_geti(L, 1, high);
      if (is_before(L, s, -1, -2)) put_two(L, middle, high);
      else lua_pop(L, 2);
    }
    if (high - low == 2) break;
    lua_geti(L, 1, middle);
    lua_pushvalue(L, -1);
    lua_geti(L, 1, high - 1);
    put_two(L, middle, high - 1);
    middle = divide(L, s, low, high);
    // The smaller part by a call, so that calls are no deeper than the logarithm.
    unsigned smaller;
    if (middle - low < high - middle) {
      sort_range(L, s, low, middle - 1, chance);
      smaller = middle - low;
      low = middle + 1;
    } else {
      sort_range(L, s, middle + 1, high, chance);
      smaller = high - middle;
      high = middle - 1;
    }
    if ((high - low) / 128 > smaller) chance = chance * 1664525u + 1013904223u;
  }
}

static int tab_sort(lua_State *L) {
  lua_Integer length = length_of(L, reads | writes);
  if (length <= 1) return 0;
  luaL_argcheck(L, length < INT_MAX, 1, "array too big");
  if (!lua_isnoneornil(L, 2)) luaL_checktype(L, 2, LUA_TFUNCTION);
  lua_settop(L, 2);
  sort_range(L, ml_of(L), 1, (unsigned)length, 0);
  return 0;
}

void ml_open_tables(lua_State *L) {
  static const luaL_Reg functions[] = {
      {"concat", tab_concat}, {"insert", tab_insert}, {"move", tab_move},     {"remove", tab_remove},
      {"sort", tab_sort},     {"unpack", tab_unpack}, {NULL, NULL},
  };
  luaL_setfuncs(L, functions, 0);
}
