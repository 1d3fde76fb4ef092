// Processes that go on from where this one stands: fork, to which Swift has no way.
#ifndef MG_PROCESSES_H
#define MG_PROCESSES_H

#include <stdint.h>

/// The ends of a child's pipes that this process has.
typedef struct {
  /// What the child answers: read by the parent, written by the child.
  int32_t answer;
  /// What the child prints to standard output and standard error, read by the parent; −1 in the child.
  int32_t output, errors;
} mg_pipes;

/// A child that is a copy of this process with the calling thread alone. Gives the child's number, 0 in the child, and minus an error
/// code where there is none. Standard output and error of the child are pipes, its standard input is empty; it is killed when
/// the calling thread ends, and has no part in what the parent does at its end.
int32_t mg_fork(mg_pipes *_Nonnull pipes);

/// Ends a child: what it printed is handed over, and nothing else is done.
_Noreturn void mg_leave(int32_t status);

/// How many processors this process may use.
int32_t mg_processors(void);

#endif
