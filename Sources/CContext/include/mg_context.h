// The context in force on a thread, as a pointer that is the whole of this target: Swift has no thread-local variables, and
// a system call's worth of work for every operation that asks whether to record would be the most expensive part of it.
#ifndef MG_CONTEXT_H
#define MG_CONTEXT_H

// Initial-exec: a read is one instruction, where the general model costs a call. A pointer is small enough for the room
// that glibc keeps for libraries loaded later.
extern _Thread_local void *_Nullable mg_context_in_force __attribute__((tls_model("initial-exec")));

static inline void *_Nullable mg_context(void) { return mg_context_in_force; }
static inline void mg_set_context(void *_Nullable context) { mg_context_in_force = context; }

#endif
