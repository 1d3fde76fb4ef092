// Long calls of a library that cannot be asked to stop, made so that whoever waits for one can leave.
//
// Such a call runs on a thread of its own, on copies of its operands. Who leaves it takes nothing along, and the thread computes
// to its end for nobody. One such thread at a time is all that there may be: the next long call waits for it, and can be left
// meanwhile too.
#include "internal.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

typedef struct {
  mg_call call;  // on the copies
  void (*body)(mg_call *call);
  pthread_mutex_t lock;
  pthread_cond_t over;
  bool done, left;
} apart;

static _Atomic int left_calls;

static void forget(void) { atomic_store(&left_calls, 0); }  // in a copy of the process, which has no such thread
static void prepare(void) { pthread_atfork(NULL, NULL, forget); }

static void discard(apart *a) {
  for (int i = 0; i < MG_OPERANDS; i++) free(a->call.operand[i]);
  pthread_cond_destroy(&a->over);
  pthread_mutex_destroy(&a->lock);
  free(a);
}

static void *work(void *argument) {
  apart *a = argument;
  a->body(&a->call);
  pthread_mutex_lock(&a->lock);
  a->done = true;
  bool left = a->left;
  pthread_cond_signal(&a->over);
  pthread_mutex_unlock(&a->lock);
  if (left) {
    discard(a);
    atomic_fetch_sub(&left_calls, 1);
  }
  return NULL;
}

static void nap(void) { nanosleep(&(struct timespec){.tv_nsec = 2000000}, NULL); }

// Waits for the end; false where the caller is to leave.
static bool await_end(apart *a) {
  pthread_mutex_lock(&a->lock);
  while (!a->done && !mg_is_stopped()) {
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_nsec += 5000000;
    if (until.tv_nsec >= 1000000000) until.tv_sec++, until.tv_nsec -= 1000000000;
    pthread_cond_timedwait(&a->over, &a->lock, &until);
  }
  bool done = a->done;
  if (!done) {
    a->left = true;
    atomic_fetch_add(&left_calls, 1);
  }
  pthread_mutex_unlock(&a->lock);
  return done;
}

static bool start(apart *a) {
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  pthread_t thread;
  bool started = pthread_create(&thread, NULL, work, a) == 0;
  if (started) pthread_detach(thread);
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  return started;
}

void mg_call_apart(mg_call *call, void (*body)(mg_call *call)) {
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  pthread_once(&once, prepare);
  if (!mg_is_heeding()) return body(call);
  while (atomic_load(&left_calls) > 0) {
    if (mg_is_stopped()) return;
    nap();
  }
  apart *a = calloc(1, sizeof *a);
  bool whole = a != NULL;
  if (whole) {
    a->call = *call;
    a->body = body;
    pthread_mutex_init(&a->lock, NULL);
    pthread_cond_init(&a->over, NULL);
    for (int i = 0; i < MG_OPERANDS; i++) {
      size_t size = (size_t)call->count[i] * mg_size(call->dtype);
      if (call->operand[i] == NULL) continue;
      a->call.operand[i] = malloc(size + 1);
      if (a->call.operand[i] == NULL) whole = false;
      else if (i == 0) memcpy(a->call.operand[i], call->operand[i], size);  // what is read; the others are results
    }
  }
  if (!whole || !start(a)) {
    if (a != NULL) discard(a);
    return body(call);
  }
  if (!await_end(a)) return;
  for (int i = 0; i < MG_OPERANDS; i++)
    if (call->operand[i] != NULL) memcpy(call->operand[i], a->call.operand[i], (size_t)call->count[i] * mg_size(call->dtype));
  call->result[0] = a->call.result[0];
  call->result[1] = a->call.result[1];
  discard(a);
}
