// fencelock's C library, at its defaults (TTL 10 s, renewed). Protocol: bench/README.md.
#include "serve.h"
#include <fencelock.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static fencelock_client *client;
static fencelock_lease *lease;

static void must(int32_t status, fencelock_error *error) {
  if (status != FENCELOCK_OK)
    die("%s", fencelock_error_message(error));
}

static fencelock_lease *take(const char *lock, const fencelock_options *options) {
  fencelock_error *error = NULL;
  fencelock_lease *taken;
  must(fencelock_acquire(client, lock, strlen(lock), FENCELOCK_FOREVER, options, &taken, &error),
       error);
  return taken;
}

static void give_back(fencelock_lease *taken) {
  fencelock_error *error = NULL;
  must(fencelock_release(taken, &error), error);
  fencelock_lease_free(taken);
}

static void acquire(const char *lock) { lease = take(lock, NULL); }

static void release(const char *lock) {
  (void)lock;
  give_back(lease);
}

struct waiter {
  pthread_t thread;
  const char *lock;
  struct section *section;
};

static void *one_section(void *argument) {
  const struct waiter *waiter = argument;
  waiter->section->requested = now_ns();
  fencelock_lease *taken = take(waiter->lock, NULL);
  waiter->section->acquired = waiter->section->released = now_ns();
  give_back(taken);
  return NULL;
}

// A thread each, as a program in C would have.
static void crowd(const char *lock, int waiters, struct section *sections) {
  struct waiter *all = calloc((size_t)waiters, sizeof *all);
  if (all == NULL)
    die("out of memory");
  for (int i = 0; i < waiters; i++) {
    all[i].lock = lock;
    all[i].section = &sections[i];
    if (pthread_create(&all[i].thread, NULL, one_section, &all[i]) != 0)
      die("no thread");
  }
  say_waiting();
  for (int i = 0; i < waiters; i++)
    pthread_join(all[i].thread, NULL);
  free(all);
}

static fencelock_lease **kept;
static int kept_count;

static void keep(const char *lock, int leases, int ttl_ms) {
  fencelock_error *error = NULL;
  fencelock_options *options;
  must(fencelock_options_new(&options, &error), error);
  must(fencelock_options_set_ttl_ms(options, (uint64_t)ttl_ms, &error), error);
  kept = calloc((size_t)leases, sizeof *kept);
  if (kept == NULL)
    die("out of memory");
  for (kept_count = 0; kept_count < leases; kept_count++) {
    char name[300];
    snprintf(name, sizeof name, "%s:%d", lock, kept_count);
    kept[kept_count] = take(name, options);
  }
  fencelock_options_free(options);
}

static int drop(void) {
  int lost = 0;
  for (int i = 0; i < kept_count; i++) {
    int32_t held = 0;
    fencelock_lease_is_held(kept[i], &held, NULL);
    lost += !held;
  }
  for (int i = 0; i < kept_count; i++) {
    fencelock_release(kept[i], NULL);
    fencelock_lease_free(kept[i]);
  }
  free(kept);
  return lost;
}

int main(int argc, char **argv) {
  static const struct contender contender = {.name = "fencelock-c",
                                             .operations = "pair,handoff,loop,cycle,crowd,keep",
                                             .hold = acquire,
                                             .wait = acquire,
                                             .release = release,
                                             .crowd = crowd,
                                             .keep = keep,
                                             .drop = drop};
  fencelock_error *error = NULL;
  if (argc != 2)
    die("usage: fencelock_c redis://HOST:PORT");
  must(fencelock_connect(argv[1], NULL, &client, &error), error);
  serve(&contender);
  fencelock_client_close(client, NULL);
  fencelock_client_free(client);
  return 0;
}
