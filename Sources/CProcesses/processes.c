// Processes that go on from where this one stands.
#define _GNU_SOURCE  // for pipe2, on_exit and sched_getaffinity
#include "mg_processes.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/types.h>
#include <unistd.h>
#if defined(__linux__)
#include <sys/prctl.h>
#endif

void mg_leave(int32_t status) {
  // All that is buffered is the child's own, since the parent's buffers were empty when it began.
  fflush(NULL);
  _exit(status);
}

#if defined(__GLIBC__)
// For a child that calls exit: it comes before whatever the parent registered for its own end.
static void leave_first(int status, void *unused) {
  (void)unused;
  mg_leave(status);
}
#endif

// In the child: the streams, and that it ends with its parent.
static void settle(pid_t parent, int output, int errors) {
#if defined(__linux__)
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != parent) _exit(1);  // it ended before that was said
#else
  (void)parent;
#endif
  dup2(output, STDOUT_FILENO);
  dup2(errors, STDERR_FILENO);
  int nothing = open("/dev/null", O_RDONLY | O_CLOEXEC);
  if (nothing >= 0) dup2(nothing, STDIN_FILENO);
#if defined(__GLIBC__)
  on_exit(leave_first, NULL);
#endif
}

int32_t mg_fork(mg_pipes *pipes) {
  int ends[3][2];
  for (int i = 0; i < 3; i++) {
    if (pipe2(ends[i], O_CLOEXEC) == 0) continue;
    int code = errno;
    while (i-- > 0) close(ends[i][0]), close(ends[i][1]);
    return -code;
  }
  fflush(NULL);  // or both would write what is buffered
  pid_t parent = getpid();
  pid_t child = fork();
  int code = errno;
  if (child == 0) {
    settle(parent, ends[1][1], ends[2][1]);
    for (int i = 0; i < 3; i++) close(ends[i][0]);
    close(ends[1][1]);
    close(ends[2][1]);
    *pipes = (mg_pipes){ends[0][1], -1, -1};
    return 0;
  }
  for (int i = 0; i < 3; i++) close(ends[i][1]);
  if (child < 0) {
    for (int i = 0; i < 3; i++) close(ends[i][0]);
    return -code;
  }
  for (int i = 0; i < 3; i++) fcntl(ends[i][0], F_SETFL, O_NONBLOCK);
  *pipes = (mg_pipes){ends[0][0], ends[1][0], ends[2][0]};
  return child;
}

int32_t mg_processors(void) {
#if defined(__linux__)
  cpu_set_t allowed;
  if (sched_getaffinity(0, sizeof allowed, &allowed) == 0) return CPU_COUNT(&allowed) < 1 ? 1 : CPU_COUNT(&allowed);
#endif
  long online = sysconf(_SC_NPROCESSORS_ONLN);
  return online < 1 ? 1 : (int32_t)online;
}
