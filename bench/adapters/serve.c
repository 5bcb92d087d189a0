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

static long long now_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static void pairs(const struct contender *c, const char *lock, int n) {
  long long *samples = calloc((size_t)n + 1, sizeof *samples);
  if (samples == NULL)
    die("out of memory");
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

void serve(const struct contender *c) {
  char line[512], op[16], lock[256];
  while (fgets(line, sizeof line, stdin) != NULL) {
    int n = 0;
    int fields = sscanf(line, "%15s %255s %d", op, lock, &n);
    if (fields == 1 && strcmp(op, "hello") == 0) {
      printf("ok name=%s ops=%s poll_ms=0\n", c->name, c->operations);
    } else if (fields == 3 && strcmp(op, "pair") == 0 && n > 0) {
      pairs(c, lock, n);
    } else if (fields == 2 && strcmp(op, "hold") == 0) {
      c->hold(lock);
      printf("ok\n");
    } else if (fields == 2 && strcmp(op, "wait") == 0) {
      printf("waiting\n");
      fflush(stdout);
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
