// Sites: which line of which script is being run, as one number, cheaply enough to ask for every recorded operation.
//
// lua_getinfo takes 60 ns and more. A Lua function that calls ours has left its place in its code in Lua's record of the
// call, which lua_getstack hands out as an opaque pointer; that place is looked up in a small cache, and only a miss
// asks lua_getinfo. A C function leaves nothing there: the word may still hold the place of a Lua function whose call
// used the same record before, so the records of C functions, which have no line, are passed over unread.
//
// The record's layout is private to Lua, so both are found by experiment when the first state opens: the place is the
// word that moves forward by a few instructions from one call to the next, and what tells a C function is the bit that
// is set in the records of all C functions and of no Lua function. Unless there is exactly one of each (or where Lua
// does not tell its allocator of function prototypes, see below), every question goes to lua_getinfo.
//
// The cache must not outlive the code that its places are in. Code is freed with its prototype; the allocator knows
// the size of those, and the freeing of any block of that size ends an epoch of the cache.
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "CLuaShim/CLuaShim.h"
#include "internal.h"

// MARK: Numbers for lines

typedef struct line {
  uint32_t chunk, number;
} line;

enum { most_lines = 1 << 20 };  // more distinct lines than that are unknown ones

static struct {
  pthread_mutex_t lock;
  char **chunks;
  uint32_t chunk_count, chunk_capacity;
  uint32_t *names;  // chunks by the hash of their names, as `table` has lines
  uint32_t names_size;
  line *lines;  // by site − 1
  uint32_t line_count, line_capacity;
  uint32_t *table;  // sites by hash, 0 for none; a power of two, at most half full
  uint32_t table_size;
} known = {.lock = PTHREAD_MUTEX_INITIALIZER};

static uint32_t hash(line l) { return (l.chunk * 0x9E3779B1u ^ l.number) * 0x85EBCA6Bu; }

static uint32_t *place(line l) {
  for (uint32_t i = hash(l) >> 7;; i++) {
    uint32_t *entry = &known.table[i & (known.table_size - 1)];
    if (*entry == 0 || memcmp(&known.lines[*entry - 1], &l, sizeof l) == 0) return entry;
  }
}

static bool grow(void) {
  uint32_t capacity = known.line_capacity ? known.line_capacity * 2 : 256;
  line *lines = realloc(known.lines, capacity * sizeof *lines);
  if (lines == NULL) return false;
  known.lines = lines;
  uint32_t *table = calloc(capacity * 2, sizeof *table);
  if (table == NULL) return false;
  free(known.table);
  known.table = table;
  known.table_size = capacity * 2;
  known.line_capacity = capacity;
  for (uint32_t i = 0; i < known.line_count; i++) *place(lines[i]) = i + 1;
  return true;
}

static uint32_t hash_name(const char *name) {
  uint32_t h = 2166136261u;  // FNV-1a
  for (; *name; name++) h = (h ^ (unsigned char)*name) * 16777619u;
  return h;
}

static uint32_t *chunk_place(const char *name) {
  for (uint32_t i = hash_name(name);; i++) {
    uint32_t *entry = &known.names[i & (known.names_size - 1)];
    if (*entry == 0 || strcmp(known.chunks[*entry - 1], name) == 0) return entry;
  }
}

static bool grow_chunks(void) {
  uint32_t capacity = known.chunk_capacity ? known.chunk_capacity * 2 : 64;
  char **chunks = realloc(known.chunks, capacity * sizeof *chunks);
  if (chunks == NULL) return false;
  known.chunks = chunks;
  uint32_t *names = calloc(capacity * 2, sizeof *names);
  if (names == NULL) return false;
  free(known.names);
  known.names = names;
  known.names_size = capacity * 2;
  known.chunk_capacity = capacity;
  for (uint32_t i = 0; i < known.chunk_count; i++) *chunk_place(chunks[i]) = i + 1;
  return true;
}

static bool find_chunk(const char *name, bool add, uint32_t *index) {
  if (add && known.chunk_count == known.chunk_capacity && !grow_chunks()) return false;
  uint32_t *entry = chunk_place(name);
  if (*entry == 0) {
    if (!add) return false;
    char *copy = strdup(name);
    if (copy == NULL) return false;
    known.chunks[known.chunk_count] = copy;
    *entry = ++known.chunk_count;
  }
  *index = *entry - 1;
  return true;
}

static uint32_t number_of(const char *chunk, int current) {
  line l = {.number = (uint32_t)current};
  uint32_t site = 0;
  pthread_mutex_lock(&known.lock);
  bool add = known.line_count < most_lines;
  if (find_chunk(chunk, add, &l.chunk) && (!add || known.line_count < known.line_capacity || grow())) {
    uint32_t *entry = place(l);
    if (*entry == 0 && add) {
      known.lines[known.line_count] = l;
      *entry = ++known.line_count;
    }
    site = *entry;
  }
  pthread_mutex_unlock(&known.lock);
  return site;
}

size_t ml_site_text(uint32_t site, char *buffer, size_t size) {
  int n = 0;
  buffer[0] = 0;
  pthread_mutex_lock(&known.lock);
  if (site > 0 && site <= known.line_count) {
    line l = known.lines[site - 1];
    n = snprintf(buffer, size, "%s:%u", known.chunks[l.chunk], l.number);
  }
  pthread_mutex_unlock(&known.lock);
  return n < 0 ? 0 : (size_t)n < size ? (size_t)n : size - 1;
}

// MARK: Lua's record of a call

enum { words = 8 };  // of the record, which has no fewer on the machines we know

typedef uintptr_t record[words];

static struct {
  bool known;
  int place;  // the word that holds a Lua function's place in its code
  int kind;   // the word with the bit that a C function's record has
  uintptr_t c_function;
} layout;

typedef struct findings {
  record caller[3];  // one function's, as it calls from three places
  int count;
  record only_c;  // the bits that were set for every C function so far, and for no Lua function
} findings;

// Reads the records of the whole call chain.
static int probe(lua_State *L) {
  findings *f = lua_touserdata(L, lua_upvalueindex(1));
  lua_Debug ar;
  for (int level = 0; lua_getstack(L, level, &ar); level++) {
    record r;
    memcpy(r, ar.i_ci, sizeof r);
    if (level == 1 && f->count < 3) memcpy(f->caller[f->count++], r, sizeof r);
    lua_getinfo(L, "S", &ar);
    bool is_c = *ar.what == 'C';
    for (int i = 0; i < words; i++) f->only_c[i] &= is_c ? r[i] : ~r[i];
  }
  return 0;
}

// Calls its first argument with the others.
static int through(lua_State *L) {
  lua_call(L, lua_gettop(L) - 1, 0);
  return 0;
}

static bool advances(uintptr_t from, uintptr_t to) { return to > from && to - from < 64 && (to - from) % 4 == 0; }

static bool find_place(const findings *f) {
  int count = 0;
  for (int i = 0; f->count == 3 && i < words; i++) {
    uintptr_t first = f->caller[0][i], second = f->caller[1][i], third = f->caller[2][i];
    if (first > 4096 && advances(first, second) && advances(second, third)) layout.place = i, count++;
  }
  return count == 1;
}

static bool find_kind(const findings *f) {
  int count = 0;
  for (int i = 0; i < words; i++) {
    if (f->only_c[i] == 0) continue;
    layout.kind = i;
    layout.c_function = f->only_c[i];
    count++;
  }
  return count == 1 && (layout.c_function & (layout.c_function - 1)) == 0;
}

// Calls the probe thrice from one function, then from Lua and C functions of several shapes in turn, so that their
// records are the same ones, with what the other left in them.
static int experiment(lua_State *L) {
  static const char script[] =
      "local probe, through = ...\nprobe()\nprobe()\n\nprobe(probe)\n"
      "local function few() probe() end\n"
      "local function many(...) local a, b, c, d, e, f, g = ... probe(...) probe(a, b, c, d, e, f, g) end\n"
      "local function tail(...) return through(...) end\n"
      "local function deep(n)\n"
      "  if n > 0 then deep(n - 1) end\n"
      "  few() through(few) few() through(probe) many(1, 2, 3) through(many, n, n) tail(probe) tail(few, n)\n"
      "  through(through, probe) local x = few(), through(through, through, many, n, n, n)\n"
      "end\n"
      "deep(3)\n";
  findings f = {.count = 0};
  memset(f.only_c, 0xFF, sizeof f.only_c);
  if (luaL_loadstring(L, script) != LUA_OK) return lua_error(L);
  lua_pushlightuserdata(L, &f);
  lua_pushcclosure(L, probe, 1);
  lua_pushcfunction(L, through);
  lua_call(L, 2, 0);
  layout.known = find_place(&f) && find_kind(&f);
  return 0;
}

void ml_sites_open(lua_State *L) {
  static pthread_mutex_t once = PTHREAD_MUTEX_INITIALIZER;
  static bool done;
  pthread_mutex_lock(&once);
  // A failure for lack of memory leaves the question to the next state.
  if (!done) done = ml_protect(L, experiment, NULL, 0, 0) == LUA_OK;
  ml_own(ml_of(L))->has_layout = layout.known;
  pthread_mutex_unlock(&once);
  lua_settop(L, 0);
}

// MARK: The question

// Whether a chunk with that source is a library's own.
static bool is_internal(const ml_state *s, const char *source) {
  const char *prefix = s->config.internal;
  return prefix != NULL && strncmp(source, prefix, strlen(prefix)) == 0;
}

// The line by lua_getinfo; 0 for what is no script's line.
static ml_cold uint32_t ask(lua_State *L, ml_state *s, lua_Debug *ar) {
  lua_getinfo(L, "Sl", ar);  // these two options push and allocate nothing
  if (ar->currentline <= 0 || is_internal(s, ar->source)) return 0;
  return number_of(ar->short_src, ar->currentline);
}

uint32_t ml_site(ml_state *s) {
  ml_private *own = ml_own(s);
  lua_State *L = s->current;
  lua_Debug ar;
  bool cached = own->has_layout && own->proto_size != 0;
  // Native functions and the library's own Lua functions stand for the script that called them.
  for (int level = 1; level < 64 && lua_getstack(L, level, &ar); level++) {
    uint32_t site;
    if (cached) {
      const uintptr_t *call = (const uintptr_t *)(const void *)ar.i_ci;
      if ((call[layout.kind] & layout.c_function) != 0) continue;
      uintptr_t pc = call[layout.place];
      ml_site_entry *entry = &own->sites[(pc >> 2 ^ pc >> 10) & (ml_site_entries - 1)];
      if (entry->pc != pc || entry->epoch != own->code_epoch)
        *entry = (ml_site_entry){.pc = pc, .epoch = own->code_epoch, .site = ask(L, s, &ar)};
      site = entry->site;
    } else {
      site = ask(L, s, &ar);
    }
    if (site != 0) return site;
  }
  return 0;
}

enum { near_levels = 400 };  // asked one by one; each question walks from the innermost function

// Finds the script's function that called a library which is very deep within itself: from the outermost one inwards. False where
// that is none.
static bool find_outer_caller(lua_State *L, lua_Debug *ar) {
  int low = 0, high = near_levels;
  while (lua_getstack(L, high, ar)) low = high, high *= 2;
  while (high - low > 1) {
    int middle = low + (high - low) / 2;
    if (lua_getstack(L, middle, ar)) low = middle;
    else high = middle;
  }
  bool found = false;
  for (int level = low; level > 0 && low - level < near_levels; level--) {
    lua_Debug here;
    lua_getstack(L, level, &here);
    lua_getinfo(L, "Sl", &here);
    if (is_internal(ml_of(L), here.source)) break;
    if (here.currentline > 0) *ar = here, found = true;
  }
  return found;
}

size_t ml_where(lua_State *L, int level, char *buffer, size_t size) {
  lua_Debug ar;
  buffer[0] = 0;
  // What a library's own chunks call is done for the script that called them.
  for (bool within = false;; level++) {
    if (level > near_levels) {
      if (!find_outer_caller(L, &ar)) return 0;
      break;
    }
    if (!lua_getstack(L, level, &ar)) return 0;
    lua_getinfo(L, "Sl", &ar);  // these two options push and allocate nothing
    if (is_internal(ml_of(L), ar.source))
      within = true;
    else if (!within || ar.currentline > 0)
      break;
  }
  if (ar.currentline <= 0) return 0;
  int n = snprintf(buffer, size, "%s:%d: ", ar.short_src, ar.currentline);
  return n < 0 ? 0 : (size_t)n < size ? (size_t)n : size - 1;
}

bool ml_push_first_local(lua_State *L, int level, bool *ended) {
  lua_Debug ar;
  *ended = !lua_getstack(L, level, &ar);
  return !*ended && lua_checkstack(L, 1) && lua_getlocal(L, &ar, 1) != NULL;
}
