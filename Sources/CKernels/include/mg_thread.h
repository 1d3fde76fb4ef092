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
  uint64_t site;          // the script position being executed, as whoever sets it encodes it; 0 when unknown
} mg_thread_state;

// Initial-exec: a read is one instruction, where the general model costs a call. The struct is small enough for the
// room that glibc keeps for libraries loaded later.
extern _Thread_local mg_thread_state mg_thread_state_storage __attribute__((tls_model("initial-exec")));

static inline mg_thread_state *_Nonnull mg_thread(void) { return &mg_thread_state_storage; }

#endif
