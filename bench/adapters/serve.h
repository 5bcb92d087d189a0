// The adapter's side of the line protocol (bench/README.md), for C.
#ifndef SERVE_H
#define SERVE_H

struct contender {
  const char *name, *operations;
  void (*hold)(const char *), (*wait)(const char *), (*release)(const char *);
};

_Noreturn void die(const char *format, ...);
// Answers requests until the end of the input.
void serve(const struct contender *contender);

#endif
