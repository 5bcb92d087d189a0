// The adapter's side of the line protocol (bench/README.md), for C.
#ifndef SERVE_H
#define SERVE_H

// The three moments of a section, of CLOCK_MONOTONIC, in ns: the call of acquire, its return, the
// call of release.
struct section {
  long long requested, acquired, released;
};

struct contender {
  const char *name, *operations;
  void (*hold)(const char *), (*wait)(const char *), (*release)(const char *);
  // NULL where `operations` does not name it.
  // So many locks at once, each acquired and released so often.
  void (*flight)(const char *lock, int tasks, int sections);
  // So many waiters for one lock, each for one section; calls say_waiting when all are on the way.
  void (*crowd)(const char *lock, int waiters, struct section *sections);
  // Acquires so many leases of this TTL, which are renewed until `drop`.
  void (*keep)(const char *lock, int leases, int ttl_ms);
  // Releases them; how many were lost.
  int (*drop)(void);
};

_Noreturn void die(const char *format, ...);
long long now_ns(void);
void say_waiting(void);
// Answers requests until the end of the input.
void serve(const struct contender *contender);

#endif
