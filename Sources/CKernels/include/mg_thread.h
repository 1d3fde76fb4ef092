// What belongs to a thread: the executing coroutine's modes, the buffer cache, counters. A plain struct, since a
// Swift global of a thread costs a call for every read and grad mode is read by every operation.
#ifndef MG_THREAD_H
#define MG_THREAD_H

#include <stdint.h>

typedef struct {
  uint32_t modes;         // the executing coroutine's modes, bit by bit (see GradMode.swift); 0 is the default
  uint32_t default_dtype; // of numbers that bring none: an mg_dtype, float32 unless set
  uint32_t release_depth; // how deep freeing a graph has recursed (see Node.swift)
  uint32_t runs;           // backward runs so far
  void *_Nullable graveyard;        // what freeing a deep graph has still to let go of (see Node.swift)
  uint64_t sequence;      // the next node's number
  void *_Nullable buffers;          // the buffer cache, made on first use (see BufferCache.swift)
  void *_Nullable generator;        // the random generator, made on first use (see Generator)
  int64_t live_bytes;     // bytes of tensor buffers handed out and not given back
  int64_t peak_bytes;
  int64_t limit_bytes;    // 0: the machine's memory
  void *_Nullable caller; // what mg_locate is asked with; NULL when no script is running
  uint64_t backward_site; // where this thread's last backward run was started: a site, above it the run's number
} mg_thread_state;

// Initial-exec: a read is one instruction, where the general model costs a call. The struct is small enough for the
// room that glibc keeps for libraries loaded later.
extern _Thread_local mg_thread_state mg_thread_state_storage __attribute__((tls_model("initial-exec")));

static inline mg_thread_state *_Nonnull mg_thread(void) { return &mg_thread_state_storage; }

// Answers with the line of the script that `caller` is running, as a number of its own choosing.
typedef uint32_t (*mg_locator)(void *_Nonnull caller);
extern mg_locator _Nullable mg_locate;

// Sets it, which whoever runs scripts does before it sets a thread's `caller`.
void mg_locate_by(mg_locator _Nonnull locate);

// The script's line being executed; 0 when unknown.
static inline uint32_t mg_site(void) {
  void *caller = mg_thread()->caller;
  return caller ? __atomic_load_n(&mg_locate, __ATOMIC_RELAXED)(caller) : 0;
}

#endif
