#include "serve.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

void die(const char *format, ...) {
  va_list args;
  va_start(args, format);
  vfprintf(stderr, format, args);
  va_end(args);
  fputc('\n', stderr);
  exit(1);
}

static long long clock_ns(clockid_t clock) {
  struct timespec t;
  clock_gettime(clock, &t);
  return t.tv_sec * 1000000000LL + t.tv_nsec;
}

long long now_ns(void) { return clock_ns(CLOCK_MONOTONIC); }

static void pause_ns(long long ns) {
  struct timespec t = {ns / 1000000000, ns % 1000000000};
  nanosleep(&t, NULL);
}

void say_waiting(void) {
  printf("waiting\n");
  fflush(stdout);
}

static void *room(size_t count, size_t size) {
  void *found = calloc(count + 1, size);
  if (found == NULL)
    die("out of memory");
  return found;
}

static void pairs(const struct contender *c, const char *lock, int n) {
  long long *samples = room((size_t)n, sizeof *samples);
  for (int i = 0; i < n; i++) {
    long long start = now_ns();
    c->hold(lock);
    c->release(lock);
    samples[i] = now_ns() - start;
  }
  printf("ok");
  for (int i = 0; i < n; i++)
    printf(" %lld", samples[i]);
  printf("\n");
  free(samples);
}

static void say_sections(const struct section *sections, size_t count) {
  printf("ok");
  for (size_t i = 0; i < count; i++)
    printf(" %lld %lld %lld", sections[i].requested, sections[i].acquired, sections[i].released);
  printf("\n");
}

static void loop(const struct contender *c, const char *lock, long long until, long long hold_ns) {
  size_t count = 0, limit = 1024;
  struct section *sections = room(limit, sizeof *sections);
  for (long long requested; (requested = now_ns()) < until; count++) {
    if (count == limit && (sections = realloc(sections, (limit *= 2) * sizeof *sections)) == NULL)
      die("out of memory");
    c->wait(lock);
    long long acquired = now_ns();
    pause_ns(hold_ns);
    sections[count] = (struct section){requested, acquired, now_ns()};
    c->release(lock);
  }
  say_sections(sections, count);
  free(sections);
}

static void crowd(const struct contender *c, const char *lock, int waiters) {
  struct section *sections = room((size_t)waiters, sizeof *sections);
  c->crowd(lock, waiters, sections);
  say_sections(sections, (size_t)waiters);
  free(sections);
}

static void keep(const struct contender *c, const char *lock, int leases, int ttl_ms, int ms) {
  c->keep(lock, leases, ttl_ms);
  printf("keeping\n");
  fflush(stdout);
  long long start = now_ns(), busy = clock_ns(CLOCK_PROCESS_CPUTIME_ID);
  pause_ns(ms * 1000000LL);
  long long wall = now_ns() - start;
  busy = clock_ns(CLOCK_PROCESS_CPUTIME_ID) - busy;
  printf("ok %lld %lld %d\n", wall, busy, c->drop());
}

// What takes time as a whole: its answer is how long it took.
static void timed(const struct contender *c, const char *op, const char *lock, int n, int times) {
  long long start = now_ns();
  if (strcmp(op, "flight") == 0) {
    c->flight(lock, n, times);
  } else {
    for (int i = 0; i < n; i++) {
      c->hold(lock);
      c->release(lock);
    }
  }
  printf("ok %lld\n", now_ns() - start);
}

void serve(const struct contender *c) {
  char line[512], op[16], lock[256];
  while (fgets(line, sizeof line, stdin) != NULL) {
    long long n = 0, m = 0, ms = 0;
    int fields = sscanf(line, "%15s %255s %lld %lld %lld", op, lock, &n, &m, &ms);
    if (fields == 1 && strcmp(op, "hello") == 0) {
      printf("ok name=%s ops=%s poll_ms=0\n", c->name, c->operations);
    } else if (fields == 3 && strcmp(op, "pair") == 0 && n > 0) {
      pairs(c, lock, (int)n);
    } else if (fields == 3 && strcmp(op, "cycle") == 0) {
      timed(c, op, lock, (int)n, 0);
    } else if (fields == 4 && strcmp(op, "flight") == 0 && c->flight != NULL) {
      timed(c, op, lock, (int)n, (int)m);
    } else if (fields == 4 && strcmp(op, "loop") == 0) {
      loop(c, lock, n, m * 1000);
    } else if (fields == 3 && strcmp(op, "crowd") == 0 && c->crowd != NULL) {
      crowd(c, lock, (int)n);
    } else if (fields == 5 && strcmp(op, "keep") == 0 && c->keep != NULL) {
      keep(c, lock, (int)n, (int)m, (int)ms);
    } else if (fields == 2 && strcmp(op, "hold") == 0) {
      c->hold(lock);
      printf("ok\n");
    } else if (fields == 2 && strcmp(op, "wait") == 0) {
      say_waiting();
      c->wait(lock);
      printf("ok %lld\n", now_ns());
    } else if (fields == 2 && strcmp(op, "free") == 0) {
      long long start = now_ns();
      c->release(lock);
      printf("ok %lld\n", start);
    } else {
      printf("err not understood: %s", line);
    }
    fflush(stdout);
  }
}
