// The drivers' line protocol in C: requests, answers, texts that grow. See ../README.md.
#ifndef C_LINE_H
#define C_LINE_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// A text that grows.
struct text {
  char *bytes;
  size_t length, room;
};

// A decoded key=value; a NUL stands behind the value.
struct field {
  char *key, *value;
  size_t length;
};

struct request {
  char *id;
  const char *op;
  struct field fields[16];
  size_t count;
  char *line;
};

void *must(void *pointer);
unsigned long long boot_ns(void);
__attribute__((format(printf, 2, 3))) void append(struct text *text, const char *format, ...);
void append_encoded(struct text *text, const char *bytes, size_t length);
// Writes it whole, as a line, and frees it.
void say(struct text *text);
struct request *read_request(const char *line);
void free_request(struct request *request);
// NULL if it is not given.
const struct field *field(const struct request *request, const char *key);
// Empty if it is not given.
const char *value(const struct request *request, const char *key);
uint64_t number(const struct request *request, const char *key);

#endif
