// The pool: threads that share the chunks of one loop at a time.
//
// A loop is published in `ticket`: a generation and the number of chunks nobody has taken. Whoever takes a chunk
// does so by counting it down, which succeeds only while that generation is the current one; so a worker that
// woke late can never touch a loop that is over, and the caller waits for chunks in flight, never for threads.
// The caller goes through the loop from its front and the workers from its back, so that each streams through memory of
// its own and finds in its cache what it had there in the loop before: a million additions took 80 µs with chunks in one
// order for all, and 45 µs so (in place, two threads).
// Loops that cannot have the pool (a second host thread, a loop within a loop) run on their caller.
//
// Waking a sleeping thread costs its waker 5 µs and comes into effect after 3 to 50 µs (measured, virtual machine).
// Worse, Linux likes to wake it on the waker's own CPU, where it does all the work while its waker waits. So workers
// shun the CPU of whoever wakes them, and short loops use only workers that are awake. Where many short loops went by without
// them, they are woken all the same: if more follow, they find them awake (a hundred thousand additions: 9.8 µs, and 5 µs so).
#if defined(__linux__)
#define _GNU_SOURCE  // for sched_getaffinity
#endif
#include "internal.h"

#include <limits.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

enum {
  MAX_THREADS = 256,
  SPINS = 500,       // of a pause each, 25 ns here: how long a worker without work stays awake
  WORTH_WAKING = 12,  // chunks of cheap work that pay for waking a worker
  WORTH_HOPING = 40   // chunks of short loops, one after another, after which the next ones may come as fast
};

typedef void (*loop_body)(void *context, int64_t begin, int64_t end);

static struct {
  _Atomic uint64_t ticket;     // generation << 32 | chunks not taken
  _Atomic int64_t unfinished;  // chunks not completed
  _Atomic(loop_body) body;     // the loop; stable while its ticket has chunks
  _Atomic(void *) context;
  _Atomic(const volatile int *) stop;  // what the loop heeds; NULL for nothing
  _Atomic int64_t n, grain, chunks;
  _Atomic int64_t taken;       // chunks taken from the back

  _Atomic bool busy;           // a loop is running
  _Atomic int32_t threads;     // of the loop under way, or of the last one, the caller included
  _Atomic int32_t workers;     // started
  _Atomic int32_t sleepers;
  pthread_mutex_t lock;        // guards sleeping
  pthread_cond_t wake;
  pthread_t handle[MAX_THREADS];
  int shunned;                 // the CPU that workers keep off; −1 for none
  int64_t missed;              // chunks of loops that went by while workers slept; of the owner of busy
} pool = {.lock = PTHREAD_MUTEX_INITIALIZER, .wake = PTHREAD_COND_INITIALIZER, .shunned = -1};

static _Thread_local bool is_worker;

static inline void pause_briefly(void) {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ volatile("yield");
#endif
}

// MARK: chunks

/// Takes a chunk of the current loop and runs it; false when none is left. `front` is the caller's own count of chunks
/// that it took, NULL for a worker.
static bool run_chunk(int64_t *front) {
  uint64_t ticket = atomic_load_explicit(&pool.ticket, memory_order_acquire);
  for (;;) {
    if ((uint32_t)ticket == 0) return false;
    loop_body body = atomic_load_explicit(&pool.body, memory_order_relaxed);
    void *context = atomic_load_explicit(&pool.context, memory_order_relaxed);
    int64_t n = atomic_load_explicit(&pool.n, memory_order_relaxed);
    int64_t grain = atomic_load_explicit(&pool.grain, memory_order_relaxed);
    int64_t chunks = atomic_load_explicit(&pool.chunks, memory_order_relaxed);
    if (!atomic_compare_exchange_weak_explicit(&pool.ticket, &ticket, ticket - 1, memory_order_acq_rel,
                                               memory_order_acquire))
      continue;
    // The chunk is granted, so the loop cannot end, and both counts are this loop's.
    int64_t chunk = front ? (*front)++ : chunks - 1 - atomic_fetch_add_explicit(&pool.taken, 1, memory_order_relaxed);
    int64_t begin = chunk * grain;
    const volatile int *stop = atomic_load_explicit(&pool.stop, memory_order_relaxed);
    if (!stop || !*stop) body(context, begin, mg_min64(n, begin + grain));
    atomic_fetch_sub_explicit(&pool.unfinished, 1, memory_order_release);
    return true;
  }
}

static bool has_chunks(void) { return (uint32_t)atomic_load(&pool.ticket) != 0; }

// MARK: workers

static void *work(void *argument) {
  int32_t index = (int32_t)(intptr_t)argument;
  is_worker = true;
  for (;;) {
    bool wanted = index < atomic_load(&pool.threads) - 1;
    if (wanted) {
      while (run_chunk(NULL)) {}
      for (int i = 0; i < SPINS && !has_chunks(); i++) pause_briefly();
      if (has_chunks()) continue;
    }
    pthread_mutex_lock(&pool.lock);
    atomic_fetch_add(&pool.sleepers, 1);
    if (!wanted || !has_chunks()) pthread_cond_wait(&pool.wake, &pool.lock);
    atomic_fetch_sub(&pool.sleepers, 1);
    pthread_mutex_unlock(&pool.lock);
  }
  return NULL;
}

/// After fork the child has only the forking thread: it begins with an empty pool.
static void forget_workers(void) {
  pthread_mutex_init(&pool.lock, NULL);
  pthread_cond_init(&pool.wake, NULL);
  atomic_store(&pool.ticket, 0);
  atomic_store(&pool.unfinished, 0);
  atomic_store(&pool.workers, 0);
  atomic_store(&pool.sleepers, 0);
  atomic_store(&pool.busy, false);
}

/// Starts missing workers. They leave signals to the host's threads. Called by the owner of `busy` only.
static void start_workers(int32_t wanted) {
  static bool prepared;
  if (!prepared) {
    pthread_atfork(NULL, NULL, forget_workers);
    prepared = true;
  }
  sigset_t all, previous;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &previous);
  for (int32_t i = atomic_load(&pool.workers); i < wanted; i++) {
    pthread_t thread;
    if (pthread_create(&thread, NULL, work, (void *)(intptr_t)i) != 0) break;
    pthread_detach(thread);
    pool.handle[i] = thread;
    atomic_store(&pool.workers, i + 1);
  }
  pthread_sigmask(SIG_SETMASK, &previous, NULL);
  pool.shunned = -1;
}

/// Moves the workers off the caller's CPU. Called by the owner of `busy` only.
static void shun_this_cpu(void) {
#if defined(__linux__)
  int here = sched_getcpu();
  cpu_set_t allowed;
  if (here < 0 || here == pool.shunned || sched_getaffinity(0, sizeof allowed, &allowed) != 0) return;
  pool.shunned = here;
  if (CPU_COUNT(&allowed) < 2 || here >= CPU_SETSIZE) return;
  CPU_CLR(here, &allowed);
  int32_t count = atomic_load(&pool.workers);
  for (int32_t i = 0; i < count; i++) pthread_setaffinity_np(pool.handle[i], sizeof allowed, &allowed);
#endif
}

static void wake_workers(void) {
  shun_this_cpu();
  // Taking the lock makes sure that a worker that saw no chunks is asleep, or has not looked yet.
  pthread_mutex_lock(&pool.lock);
  pthread_mutex_unlock(&pool.lock);
  pthread_cond_broadcast(&pool.wake);
}

// MARK: settings

static int32_t default_threads(void) {
  const char *setting = getenv("MOONGRAD_NUM_THREADS");
  if (setting) {
    long count = strtol(setting, NULL, 10);
    if (count >= 1) return (int32_t)(count < MAX_THREADS ? count : MAX_THREADS);
  }
#if defined(__linux__)
  cpu_set_t allowed;
  if (sched_getaffinity(0, sizeof allowed, &allowed) == 0) {
    int count = CPU_COUNT(&allowed);
    return count < 1 ? 1 : count < MAX_THREADS ? count : MAX_THREADS;
  }
#endif
  long online = sysconf(_SC_NPROCESSORS_ONLN);
  return (int32_t)(online < 1 ? 1 : online < MAX_THREADS ? online : MAX_THREADS);
}

// Loops that a thread starts use as many threads as it was told, by whoever runs on it.
static _Thread_local int32_t wanted_threads;  // 0: the machine's

void mg_set_threads(int32_t count) { wanted_threads = count < 0 ? 1 : count < MAX_THREADS ? count : MAX_THREADS; }

int32_t mg_threads(void) {
  if (wanted_threads != 0) return wanted_threads;
  static _Atomic int32_t machine;  // 0 until asked for
  int32_t count = atomic_load_explicit(&machine, memory_order_relaxed);
  if (count == 0) atomic_store_explicit(&machine, count = default_threads(), memory_order_relaxed);
  return count;
}

// MARK: loops

// What the loops that this thread starts heed.
static _Thread_local const volatile int *stop_flag;

const volatile int *mg_heed(const volatile int *flag) {
  const volatile int *before = stop_flag;
  stop_flag = flag;
  return before;
}

bool mg_is_heeding(void) { return stop_flag != NULL; }

bool mg_is_stopped(void) {
  const volatile int *stop = is_worker ? atomic_load_explicit(&pool.stop, memory_order_relaxed) : stop_flag;
  return stop && *stop;
}

static void run_alone(int64_t n, int64_t grain, loop_body body, void *context) {
  const volatile int *stop = stop_flag;
  for (int64_t begin = 0; begin < n && !(stop && *stop); begin += grain) body(context, begin, mg_min64(n, begin + grain));
}

static void run(int64_t n, int64_t grain, loop_body body, void *context, bool eager) {
  if (n <= 0) return;
  if (grain < 1) grain = 1;
  int64_t chunks = (n - 1) / grain + 1;
  if (chunks == 1 || chunks > INT32_MAX || is_worker || mg_threads() == 1 || atomic_exchange(&pool.busy, true)) {
    run_alone(n, grain, body, context);
    return;
  }
  int32_t wanted = mg_threads() - 1;
  atomic_store_explicit(&pool.threads, wanted + 1, memory_order_relaxed);
  if (atomic_load(&pool.workers) < wanted) start_workers(wanted);

  atomic_store_explicit(&pool.stop, stop_flag, memory_order_relaxed);
  atomic_store_explicit(&pool.body, body, memory_order_relaxed);
  atomic_store_explicit(&pool.context, context, memory_order_relaxed);
  atomic_store_explicit(&pool.n, n, memory_order_relaxed);
  atomic_store_explicit(&pool.grain, grain, memory_order_relaxed);
  atomic_store_explicit(&pool.chunks, chunks, memory_order_relaxed);
  atomic_store_explicit(&pool.taken, 0, memory_order_relaxed);
  atomic_store_explicit(&pool.unfinished, chunks, memory_order_relaxed);
  uint64_t generation = atomic_load_explicit(&pool.ticket, memory_order_relaxed) >> 32;
  atomic_store(&pool.ticket, (generation + 1) << 32 | (uint64_t)chunks);
  if (atomic_load(&pool.sleepers) > 0) {
    pool.missed += chunks;
    if (eager || chunks >= WORTH_WAKING || pool.missed >= WORTH_HOPING) {
      pool.missed = 0;
      wake_workers();
    }
  }

  int64_t front = 0;
  while (run_chunk(&front)) {}
  for (int spins = 0; atomic_load_explicit(&pool.unfinished, memory_order_acquire) > 0; spins++) {
    if (spins < SPINS) pause_briefly();
    else sched_yield();
  }
  atomic_store(&pool.busy, false);
}

void mg_parallel(int64_t n, int64_t grain, void (*body)(void *context, int64_t begin, int64_t end), void *context) {
  run(n, grain, body, context, true);
}

void mg_share(int64_t n, int64_t grain, void (*body)(void *context, int64_t begin, int64_t end), void *context) {
  run(n, grain, body, context, false);
}
