// Patterns: string.find, match, gmatch and gsub, anew, since a kill must end a search that takes long: Lua's own look at
// nothing until they are done, which for a pattern with some repetitions is never.
//
// The matcher does not call itself: where a pattern can go on in several ways, it notes the choice in a list and takes the
// first; when it gets stuck, it goes back to the last choice noted and takes its next. Ways are tried in Lua's order, so
// that results are Lua's; and the list may get as long as Lua's calls may be deep, so that the refusals are too.
#ifndef _GNU_SOURCE
#define _GNU_SOURCE  // memmem
#endif
#include <ctype.h>
#include <string.h>

#include "internal.h"

enum {
  most_choices = 199,
  most_captures = 32,
  piece = 1 << 16,  // bytes that are looked through without a question
};

// The length of a capture that has none.
enum { still_open = -1, place_only = -2 };

typedef struct capture {
  const char *start;
  ptrdiff_t length;
} capture;

typedef struct matcher {
  lua_State *L;
  ml_state *s;
  const char *begin, *end;     // the subject
  const char *pattern_end;
  int level;                   // captures begun
  capture captures[most_captures];
} matcher;

// What to do when the pattern cannot go on from here.
typedef enum next_way {
  give_back,     // a longest repetition: one byte less
  take_more,     // a shortest one: one byte more
  do_without,    // an item that may be absent
  unopen,        // a capture begun
  unclose,       // a capture ended
} next_way;

typedef struct choice {
  next_way way;
  int capture;
  const char *at;     // where the rest of the pattern was tried last, or where it is to be tried
  const char *least;  // how far it can be given back
  const char *item, *rest;
} choice;

// The signs that keep a pattern from being plain text; a bracket does not by itself, but stands for no byte.
enum { special = 1, closing };
static const unsigned char signs[256] = {
    ['^'] = special, ['$'] = special, ['*'] = special, ['+'] = special, ['?'] = special, ['.'] = special,
    ['('] = special, ['['] = special, ['%'] = special, ['-'] = special, [')'] = closing,
};

static ml_inline int byte(const char *p) { return (unsigned char)*p; }

// MARK: Items

// Behind the item at p: a byte, a class or a set.
static ml_inline const char *item_end(const matcher *m, const char *p) {
  const char *end = m->pattern_end;
  if (*p == '%') {
    if (p + 1 == end) luaL_error(m->L, "malformed pattern (ends with '%%')");
    return p + 2;
  }
  if (*p != '[') return p + 1;
  p++;
  if (*p == '^') p++;
  // The first member may be a bracket.
  do {
    if (p == end) luaL_error(m->L, "malformed pattern (missing ']')");
    if (*p++ == '%' && p < end) p++;
  } while (*p != ']');
  return p + 1;
}

// Whether a byte is of the class with that letter; capital letters are complements, what is no letter is itself.
static ml_inline bool is_of_class(int c, int letter) {
  bool is;
  switch (letter | 0x20) {
    case 'a': is = isalpha(c); break;
    case 'c': is = iscntrl(c); break;
    case 'd': is = isdigit(c); break;
    case 'g': is = isgraph(c); break;
    case 'l': is = islower(c); break;
    case 'p': is = ispunct(c); break;
    case 's': is = isspace(c); break;
    case 'u': is = isupper(c); break;
    case 'w': is = isalnum(c); break;
    case 'x': is = isxdigit(c); break;
    case 'z': is = c == 0; break;  // of old, and still there
    default: return c == letter;
  }
  return is != ((letter & 0x20) == 0);
}

// Whether a byte is in the set between its brackets at p and at last.
static ml_inline bool is_in_set(int c, const char *p, const char *last) {
  bool member = true;
  if (p[1] == '^') {
    member = false;
    p++;
  }
  for (p++; p < last; p++) {
    if (*p == '%') {
      p++;
      if (is_of_class(c, byte(p))) return member;
    } else if (p[1] == '-' && p + 2 < last) {
      if (byte(p) <= c && c <= byte(p + 2)) return member;
      p += 2;
    } else if (byte(p) == c) {
      return member;
    }
  }
  return !member;
}

// Whether the item from p to `rest` stands for the byte at s.
static ml_inline bool stands(const matcher *m, const char *s, const char *p, const char *rest) {
  if (s >= m->end) return false;
  switch (*p) {
    case '.': return true;
    case '%': return is_of_class(byte(s), byte(p + 1));
    case '[': return is_in_set(byte(s), p, rest - 1);
    default: return *s == *p;
  }
}

static ml_inline void poll(const matcher *m) { ml_poll(m->L, m->s); }

// Behind the longest run of bytes from s on for which an item stands.
static const char *run_end(const matcher *m, const char *s, const char *p, const char *rest) {
  if (*p == '.') return m->end;
  for (;;) {
    const char *stop = m->end - s > piece ? s + piece : m->end;
    switch (*p) {
      case '%':
        while (s < stop && is_of_class(byte(s), byte(p + 1))) s++;
        break;
      case '[':
        while (s < stop && is_in_set(byte(s), p, rest - 1)) s++;
        break;
      default:
        while (s < stop && *s == *p) s++;
    }
    if (s < stop || s == m->end) return s;
    poll(m);
  }
}

// MARK: What is more than an item

static int opened(const matcher *m) {
  for (int i = m->level - 1; i >= 0; i--)
    if (m->captures[i].length == still_open) return i;
  return luaL_error(m->L, "invalid pattern capture");
}

// Behind the balanced text that begins at s with the first of the two signs at p; NULL where none does.
static const char *balanced(const matcher *m, const char *s, const char *p) {
  if (m->pattern_end - p < 2) luaL_error(m->L, "malformed pattern (missing arguments to '%%b')");
  if (s >= m->end || *s != *p) return NULL;
  size_t depth = 1;
  for (size_t looked = 1; ++s < m->end; looked++) {
    if (ml_unlikely(looked % piece == 0)) poll(m);
    if (*s == p[1]) {
      if (--depth == 0) return s + 1;
    } else if (*s == *p) {
      depth++;
    }
  }
  return NULL;
}

// Behind what stands at s once more as in the capture with that digit.
static const char *repeated(const matcher *m, const char *s, int digit) {
  int i = digit - '1';
  if (i < 0 || i >= m->level || m->captures[i].length == still_open)
    luaL_error(m->L, "invalid capture index %%%d", i + 1);
  size_t length = (size_t)m->captures[i].length;
  if ((size_t)(m->end - s) < length || memcmp(m->captures[i].start, s, length) != 0) return NULL;
  return s + length;
}

// Whether s stands where a set begins to hold.
static bool is_frontier(const matcher *m, const char *s, const char *set, const char *rest) {
  int before = s == m->begin ? 0 : byte(s - 1);
  return !is_in_set(before, set, rest - 1) && is_in_set(byte(s), set, rest - 1);
}

// MARK: The matcher

// Whether an item at p stands for one certain byte, once.
static ml_inline bool is_plain(const matcher *m, const char *p) {
  if (p == m->pattern_end || signs[byte(p)] != 0) return false;
  return p + 1 == m->pattern_end || (p[1] != '*' && p[1] != '?' && p[1] != '-');
}

static ml_inline choice *note(const matcher *m, choice *choices, int *count) {
  if (ml_unlikely(*count == most_choices)) luaL_error(m->L, "pattern too complex");
  return &choices[(*count)++];
}

// Behind what the pattern from p on stands for at s; NULL where it stands for nothing there.
static const char *match(matcher *m, const char *s, const char *p) {
  choice choices[most_choices], *c;
  int count = 0;
  m->level = 0;
  for (;;) {
    poll(m);
    const char *rest;
    if (p == m->pattern_end) return s;
    switch (*p) {
      case '(': {
        if (m->level >= most_captures) luaL_error(m->L, "too many captures");
        bool is_place = p[1] == ')';
        m->captures[m->level] = (capture){.start = s, .length = is_place ? place_only : still_open};
        m->level++;
        p += is_place ? 2 : 1;
        note(m, choices, &count)->way = unopen;
        continue;
      }
      case ')': {
        int i = opened(m);
        m->captures[i].length = s - m->captures[i].start;
        p++;
        c = note(m, choices, &count);
        c->way = unclose;
        c->capture = i;
        continue;
      }
      case '$':
        if (p + 1 != m->pattern_end) break;
        if (s == m->end) return s;
        goto back;
      case '%':
        switch (p[1]) {
          case 'b':
            s = balanced(m, s, p + 2);
            if (s == NULL) goto back;
            p += 4;
            continue;
          case 'f':
            p += 2;
            if (*p != '[') luaL_error(m->L, "missing '[' after '%%f' in pattern");
            rest = item_end(m, p);
            if (!is_frontier(m, s, p, rest)) goto back;
            p = rest;
            continue;
          case '0': case '1': case '2': case '3': case '4': case '5': case '6': case '7': case '8': case '9':
            s = repeated(m, s, byte(p + 1));
            if (s == NULL) goto back;
            p += 2;
            continue;
          default: break;
        }
        break;
      default: break;
    }
    rest = item_end(m, p);
    bool stood = stands(m, s, p, rest);
    switch (*rest) {
      case '?':
        if (stood) {
          c = note(m, choices, &count);
          c->way = do_without;
          c->at = s++;
          c->rest = rest + 1;
        }
        p = rest + 1;
        continue;
      case '*':
      case '+':
        if (stood) {
          c = note(m, choices, &count);
          c->way = give_back;
          c->least = *rest == '+' ? s + 1 : s;
          s = c->at = run_end(m, s + 1, p, rest);
          c->rest = rest + 1;
        } else if (*rest == '+') {
          goto back;
        }
        p = rest + 1;
        continue;
      case '-':
        if (stood) {
          c = note(m, choices, &count);
          c->way = take_more;
          c->at = s;
          c->item = p;
          c->rest = rest;
        }
        p = rest + 1;
        continue;
      default:
        if (!stood) goto back;
        s++;
        p = rest;
        continue;
    }
  back:
    for (;;) {
      if (count == 0) return NULL;
      poll(m);
      c = &choices[count - 1];
      switch (c->way) {
        case unopen:
          m->level--;
          count--;
          continue;
        case unclose:
          m->captures[c->capture].length = still_open;
          count--;
          continue;
        case do_without:
          s = c->at;
          p = c->rest;
          count--;
          break;
        case take_more:
          if (!stands(m, c->at, c->item, c->rest)) {
            count--;
            continue;
          }
          s = ++c->at;
          p = c->rest + 1;
          break;
        case give_back: {
          p = c->rest;
          s = c->at;
          if (is_plain(m, p)) {  // only where that byte stands can the rest go on
            const char *stop = s - c->least > piece ? s - piece : c->least;
            while (s > stop && s[-1] != *p) s--;
          }
          if (s == c->least) {
            count--;
            continue;
          }
          c->at = --s;
          break;
        }
      }
      break;
    }
  }
}

// MARK: Captures

// The text of a capture, and its length; place_only for a place. Without captures the whole is the first.
static ml_inline ptrdiff_t capture_of(const matcher *m, int i, const char *s, const char *e, const char **text) {
  if (i >= m->level) {
    if (i != 0) luaL_error(m->L, "invalid capture index %%%d", i + 1);
    *text = s;
    return e - s;
  }
  *text = m->captures[i].start;
  if (m->captures[i].length == still_open) luaL_error(m->L, "unfinished capture");
  return m->captures[i].length;
}

static void push_capture(const matcher *m, int i, const char *s, const char *e) {
  const char *text;
  ptrdiff_t length = capture_of(m, i, s, e, &text);
  if (length == place_only) lua_pushinteger(m->L, text - m->begin + 1);
  else lua_pushlstring(m->L, text, (size_t)length);
}

// All captures, or the whole match from s on if there are none; without s, not that.
static int push_captures(const matcher *m, const char *s, const char *e) {
  int count = m->level == 0 && s != NULL ? 1 : m->level;
  luaL_checkstack(m->L, count, "too many captures");
  for (int i = 0; i < count; i++) push_capture(m, i, s, e);
  return count;
}

// MARK: find and match

// The first place of a byte, NULL for none.
static const char *find_byte(const matcher *m, const char *s, char c) {
  for (;;) {
    size_t more = (size_t)(m->end - s) < 16 * piece ? (size_t)(m->end - s) : 16 * piece;
    const char *found = memchr(s, c, more);
    if (found != NULL || (s += more) == m->end) return found;
    poll(m);
  }
}

// The first place of a text, NULL for none.
static const char *find_text(const matcher *m, const char *s, const char *text, size_t length) {
  if (length == 0) return s;
  // Wherever its first byte is, as long as not much more is compared than looked through.
  const char *start = s;
  for (size_t compared = 0; (size_t)(m->end - s) >= length; s++) {
    s = find_byte(m, s, *text);
    if (s == NULL || (size_t)(m->end - s) < length) return NULL;
    if (memcmp(s, text, length) == 0) return s;
    compared += length;
    if (compared > 256 + 4 * (size_t)(s - start)) break;
  }
  // memmem's time is that of the two lengths together, so windows are larger than the text.
  size_t window = length < 4 * piece ? 16 * piece : length * 4;
  while ((size_t)(m->end - s) >= length) {
    size_t more = (size_t)(m->end - s) < window ? (size_t)(m->end - s) : window;
    const char *found = memmem(s, more, text, length);
    if (found != NULL) return found;
    s += more - length + 1;
    poll(m);
  }
  return NULL;
}

static bool has_specials(const char *p, size_t length) {
  for (const char *end = p + length; p < end; p++)
    if (signs[byte(p)] == special) return true;
  return false;
}

// A place counted from 1, or from the end where negative; 0 and what lies before the beginning are the beginning.
static size_t place_of(lua_Integer place, size_t length) {
  if (place > 0) return (size_t)place;
  if (place == 0 || place < -(lua_Integer)length) return 1;
  return length + (size_t)place + 1;
}

static int find(lua_State *L, bool wants_place) {
  size_t length, pattern_length;
  const char *subject = luaL_checklstring(L, 1, &length);
  const char *p = luaL_checklstring(L, 2, &pattern_length);
  size_t from = place_of(luaL_optinteger(L, 3, 1), length) - 1;
  if (from > length) {
    luaL_pushfail(L);
    return 1;
  }
  matcher m;
  m.L = L;
  m.s = ml_of(L);
  m.begin = subject;
  m.end = subject + length;
  const char *s = subject + from;
  if (wants_place && (lua_toboolean(L, 4) || !has_specials(p, pattern_length))) {
    const char *found = find_text(&m, s, p, pattern_length);
    if (found == NULL) {
      luaL_pushfail(L);
      return 1;
    }
    lua_pushinteger(L, found - subject + 1);
    lua_pushinteger(L, found - subject + (lua_Integer)pattern_length);
    return 2;
  }
  m.pattern_end = p + pattern_length;
  bool anchored = *p == '^';
  if (anchored) p++;
  bool plain = !anchored && is_plain(&m, p);
  do {
    if (plain && (s = find_byte(&m, s, *p)) == NULL) break;
    const char *e = match(&m, s, p);
    if (e == NULL) continue;
    if (!wants_place) return push_captures(&m, s, e);
    lua_pushinteger(L, s - subject + 1);
    lua_pushinteger(L, e - subject);
    return push_captures(&m, NULL, NULL) + 2;
  } while (s++ < m.end && !anchored);
  luaL_pushfail(L);
  return 1;
}

static int str_find(lua_State *L) { return find(L, true); }
static int str_match(lua_State *L) { return find(L, false); }

// MARK: gmatch

typedef struct search {
  const char *at, *pattern, *last;  // `last`: the end of the last match
  const char *begin, *end, *pattern_end;
} search;

static int next_match(lua_State *L) {
  search *state = lua_touserdata(L, lua_upvalueindex(3));
  matcher m;
  m.L = L;
  m.s = ml_of(L);
  m.begin = state->begin;
  m.end = state->end;
  m.pattern_end = state->pattern_end;
  bool plain = is_plain(&m, state->pattern);
  for (const char *s = state->at; s <= m.end; s++) {
    if (plain && (s = find_byte(&m, s, *state->pattern)) == NULL) break;
    const char *e = match(&m, s, state->pattern);
    if (e == NULL || e == state->last) continue;
    state->at = state->last = e;
    return push_captures(&m, s, e);
  }
  return 0;
}

static int str_gmatch(lua_State *L) {
  size_t length, pattern_length;
  const char *subject = luaL_checklstring(L, 1, &length);
  const char *p = luaL_checklstring(L, 2, &pattern_length);
  size_t from = place_of(luaL_optinteger(L, 3, 1), length) - 1;
  if (from > length) from = length + 1;
  lua_settop(L, 2);
  search *state = lua_newuserdatauv(L, sizeof *state, 0);
  *state = (search){.at = subject + from, .pattern = p, .last = NULL, .begin = subject, .end = subject + length,
                    .pattern_end = p + pattern_length};
  lua_pushcclosure(L, next_match, 3);
  return 1;
}

// MARK: gsub

// Adds the replacement text with its captures put in.
static void add_text(const matcher *m, luaL_Buffer *b, const char *s, const char *e) {
  size_t length;
  const char *text = lua_tolstring(m->L, 3, &length), *end = text + length;
  for (const char *sign; (sign = memchr(text, '%', (size_t)(end - text))) != NULL; text = sign + 2) {
    luaL_addlstring(b, text, (size_t)(sign - text));
    int c = byte(sign + 1);
    if (c == '%') {
      luaL_addchar(b, '%');
    } else if (c == '0') {
      luaL_addlstring(b, s, (size_t)(e - s));
    } else if (isdigit(c)) {
      const char *part;
      ptrdiff_t part_length = capture_of(m, c - '1', s, e, &part);
      if (part_length == place_only) {
        lua_pushinteger(m->L, part - m->begin + 1);
        luaL_addvalue(b);
      } else {
        luaL_addlstring(b, part, (size_t)part_length);
      }
    } else {
      luaL_error(m->L, "invalid use of '%c' in replacement string", '%');
    }
  }
  luaL_addlstring(b, text, (size_t)(end - text));
}

// Adds what replaces the match from s to e; whether it is another text.
static bool add_replacement(const matcher *m, luaL_Buffer *b, const char *s, const char *e, int type) {
  lua_State *L = m->L;
  switch (type) {
    case LUA_TFUNCTION:
      lua_pushvalue(L, 3);
      lua_call(L, push_captures(m, s, e), 1);
      break;
    case LUA_TTABLE:
      push_capture(m, 0, s, e);
      lua_gettable(L, 3);
      break;
    default: add_text(m, b, s, e); return true;
  }
  if (!lua_toboolean(L, -1)) {
    lua_pop(L, 1);
    luaL_addlstring(b, s, (size_t)(e - s));
    return false;
  }
  if (!lua_isstring(L, -1)) luaL_error(L, "invalid replacement value (a %s)", luaL_typename(L, -1));
  luaL_addvalue(b);
  return true;
}

static int str_gsub(lua_State *L) {
  size_t length, pattern_length;
  const char *s = luaL_checklstring(L, 1, &length);
  const char *p = luaL_checklstring(L, 2, &pattern_length);
  int type = lua_type(L, 3);
  lua_Integer most = luaL_optinteger(L, 4, (lua_Integer)length + 1);
  luaL_argexpected(L, type == LUA_TNUMBER || type == LUA_TSTRING || type == LUA_TFUNCTION || type == LUA_TTABLE, 3,
                   "string/function/table");
  matcher m;
  m.L = L;
  m.s = ml_of(L);
  m.begin = s;
  m.end = s + length;
  m.pattern_end = p + pattern_length;
  bool anchored = *p == '^', changed = false;
  if (anchored) p++;
  bool plain = !anchored && is_plain(&m, p);
  luaL_Buffer b;
  luaL_buffinit(L, &b);
  const char *last = NULL, *copied = s;  // the end of the last match; what has been added
  lua_Integer count = 0;
  while (count < most) {
    if (plain && (s = find_byte(&m, s, *p)) == NULL) break;
    const char *e = match(&m, s, p);
    if (e != NULL && e != last) {
      count++;
      luaL_addlstring(&b, copied, (size_t)(s - copied));
      changed |= add_replacement(&m, &b, s, e, type);
      s = last = copied = e;
    } else if (s < m.end) {
      s++;
    } else {
      break;
    }
    if (anchored) break;
  }
  if (!changed) {
    lua_pushvalue(L, 1);
  } else {
    luaL_addlstring(&b, copied, (size_t)(m.end - copied));
    luaL_pushresult(&b);
  }
  lua_pushinteger(L, count);
  return 2;
}

void ml_open_patterns(lua_State *L) {
  static const luaL_Reg functions[] = {
      {"find", str_find}, {"gmatch", str_gmatch}, {"gsub", str_gsub}, {"match", str_match}, {NULL, NULL},
  };
  luaL_setfuncs(L, functions, 0);
}
