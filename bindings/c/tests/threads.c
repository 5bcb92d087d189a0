// Many threads, one client; handles that are freed while other threads use them.
#include "check.h"
#include <pthread.h>
#include <stdatomic.h>

enum { THREADS = 8, SECTIONS = 100, ROUNDS = 100 };

static fencelock_client *client;
static int counters[3];
static _Atomic(fencelock_lease *) shared;
static atomic_int freed;
static pthread_barrier_t line;

// Under its lock a plain counter is enough.
static void *count(void *unused) {
  static const char *const names[] = {"n0", "n1", "n2"};
  (void)unused;
  for (int i = 0; i < SECTIONS; i++) {
    fencelock_lease *lease = taken(client, names[i % 3]);
    counters[i % 3]++;
    OK(fencelock_release(lease, &error));
    CHECK(fencelock_lease_free(lease) == FENCELOCK_OK);
  }
  return NULL;
}

static int one_of(int32_t status, int32_t a, int32_t b, int32_t c) {
  return status == FENCELOCK_OK || status == a || status == b || status == c;
}

// Uses a lease that the others use, release and free at the same time.
static void *share(void *unused) {
  (void)unused;
  for (int i = 0; i < ROUNDS; i++) {
    // One of the threads takes it for all.
    if (pthread_barrier_wait(&line) == PTHREAD_BARRIER_SERIAL_THREAD)
      atomic_store(&shared, taken(client, "shared"));
    pthread_barrier_wait(&line);
    fencelock_lease *lease = atomic_load(&shared);
    int32_t held = 0, gone = FENCELOCK_INVALID_ARGUMENT, done = FENCELOCK_NOT_HELD;
    CHECK(one_of(fencelock_lease_is_held(lease, &held, NULL), gone, gone, gone));
    CHECK(one_of(fencelock_lease_check(lease, NULL), gone, done, done));
    CHECK(one_of(fencelock_lease_watch(lease, NULL, NULL), gone, gone, gone));
    CHECK(one_of(fencelock_release(lease, NULL), gone, done, done));
    if (fencelock_lease_free(lease) == FENCELOCK_OK)
      atomic_fetch_add(&freed, 1);
    CHECK(fencelock_lease_check(lease, NULL) == gone);
  }
  return NULL;
}

static void *wait_in_vain(void *of) {
  fencelock_lease *none = NULL;
  EXPECT(FENCELOCK_CLOSED,
         fencelock_acquire(of, "held", 4, FENCELOCK_FOREVER, NULL, &none, &error));
  return NULL;
}

static void run(void *(*work)(void *), void *argument) {
  pthread_t threads[THREADS];
  for (int i = 0; i < THREADS; i++)
    CHECK(pthread_create(&threads[i], NULL, work, argument) == 0);
  for (int i = 0; i < THREADS; i++)
    CHECK(pthread_join(threads[i], NULL) == 0);
}

int main(void) {
  client = connected();
  run(count, NULL);
  CHECK(counters[0] + counters[1] + counters[2] == THREADS * SECTIONS);

  pthread_barrier_init(&line, NULL, THREADS);
  run(share, NULL);
  CHECK(atomic_load(&freed) == ROUNDS); // each once
  pthread_barrier_destroy(&line);

  // A client is closed and freed under the hands of those who wait.
  fencelock_lease *holder = taken(client, "held");
  fencelock_client *other = connected();
  pthread_t waiter;
  CHECK(pthread_create(&waiter, NULL, wait_in_vain, other) == 0);
  for (uint64_t waiters = 0; waiters == 0;) {
    fencelock_inspection *seen = NULL;
    OK(fencelock_inspect(client, "held", 4, &seen, &error));
    OK(fencelock_inspection_waiters(seen, &waiters, &error));
    CHECK(fencelock_inspection_free(seen) == FENCELOCK_OK);
  }
  OK(fencelock_client_close(other, &error));
  CHECK(fencelock_client_free(other) == FENCELOCK_OK);
  CHECK(pthread_join(waiter, NULL) == 0);
  CHECK(fencelock_lease_free(holder) == FENCELOCK_OK);
  OK(fencelock_client_close(client, &error));
  CHECK(fencelock_client_free(client) == FENCELOCK_OK);
  return 0;
}
