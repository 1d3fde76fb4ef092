// os.execute anew: other programs run as long as they like, and a kill ends the wait for them.
#define _GNU_SOURCE  // for environ
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "internal.h"

enum {
  look = 10,    // milliseconds between looks for a kill
  grace = 5,    // looks that a program has for ending by itself when it is told to
};

// A descriptor that is ready when the program has ended, or -1.
static int end_of(pid_t program) {
#if defined(SYS_pidfd_open)
  return (int)syscall(SYS_pidfd_open, program, 0);
#else
  (void)program;
  return -1;
#endif
}

// Waits for the program's end, or for a kill: then it is told to end, and made to.
static int status_of(const ml_state *s, pid_t program) {
  int status = -1, end = end_of(program);
  for (int told = 0;;) {
    pid_t found = waitpid(program, &status, WNOHANG);
    if (found == program) {
      errno = 0;
      break;
    }
    if (found < 0 && errno != EINTR) break;  // where the host takes the ends of all programs, nobody knows this one's
    if (ml_own(s)->kill) {
      if (told == 0) kill(program, SIGTERM);
      if (told++ == grace) kill(program, SIGKILL);
    }
    struct pollfd ready = {.fd = end, .events = POLLIN};
    if (end >= 0) poll(&ready, 1, look);
    else nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
  }
  int error = errno;
  if (end >= 0) close(end);
  errno = error;
  return status;
}

static int execute(lua_State *L) {
  ml_state *s = ml_of(L);
  const char *command = luaL_optstring(L, 1, NULL);
  if (command == NULL) {
    lua_pushboolean(L, access("/bin/sh", X_OK) == 0);
    return 1;
  }
  char *arguments[] = {"sh", "-c", (char *)command, NULL};
  pid_t program;
  int error = posix_spawn(&program, "/bin/sh", NULL, NULL, arguments, environ), status = -1;
  if (error == 0) status = status_of(s, program);
  else errno = error;
  int results = luaL_execresult(L, status);
  ml_poll(L, s);
  return results;
}

void ml_open_programs(lua_State *L) {
  lua_pushcfunction(L, execute);
  lua_setfield(L, -2, "execute");
}
