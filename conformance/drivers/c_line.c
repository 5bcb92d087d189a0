#include "c_line.h"
#include <stdarg.h>
#include <time.h>
#include <unistd.h>

void *must(void *pointer) {
  if (pointer == NULL)
    abort();
  return pointer;
}

unsigned long long boot_ns(void) {
  struct timespec now;
  clock_gettime(CLOCK_BOOTTIME, &now);
  return now.tv_sec * 1000000000ULL + (unsigned long long)now.tv_nsec;
}

static void make_room(struct text *text, size_t more) {
  if (text->length + more < text->room)
    return;
  text->room = (text->length + more) * 2;
  text->bytes = must(realloc(text->bytes, text->room));
}

void append(struct text *text, const char *format, ...) {
  va_list args;
  va_start(args, format);
  int length = vsnprintf(NULL, 0, format, args);
  va_end(args);
  make_room(text, (size_t)length + 1);
  va_start(args, format);
  vsnprintf(text->bytes + text->length, (size_t)length + 1, format, args);
  va_end(args);
  text->length += (size_t)length;
}

void append_encoded(struct text *text, const char *bytes, size_t length) {
  for (size_t i = 0; i < length; i++) {
    unsigned char byte = (unsigned char)bytes[i];
    int plain = (byte >= '0' && byte <= '9') || (byte >= 'A' && byte <= 'Z') ||
                (byte >= 'a' && byte <= 'z') || byte == '-' || byte == '_' || byte == '.';
    append(text, plain ? "%c" : "%%%02X", byte);
  }
}

void say(struct text *text) {
  append(text, "\n");
  // One call: lines of other threads must not fall into it.
  for (size_t done = 0; done < text->length;) {
    ssize_t written = write(1, text->bytes + done, text->length - done);
    if (written < 0)
      _exit(1);
    done += (size_t)written;
  }
  free(text->bytes);
  *text = (struct text){0};
}

static size_t decode(char *value) {
  char *to = value;
  for (const char *from = value; *from != '\0'; from++) {
    if (*from == '%' && from[1] != '\0' && from[2] != '\0') {
      char digits[] = {from[1], from[2], '\0'};
      *to++ = (char)strtoul(digits, NULL, 16);
      from += 2;
    } else {
      *to++ = *from;
    }
  }
  *to = '\0';
  return (size_t)(to - value);
}

struct request *read_request(const char *line) {
  struct request *request = must(calloc(1, sizeof *request));
  char *rest = NULL;
  request->line = must(strdup(line));
  request->id = strtok_r(request->line, " \n", &rest);
  request->op = strtok_r(NULL, " \n", &rest);
  if (request->id == NULL || request->op == NULL)
    abort();
  for (char *word; (word = strtok_r(NULL, " \n", &rest)) != NULL;) {
    char *equals = strchr(word, '=');
    if (equals == NULL || request->count == sizeof request->fields / sizeof *request->fields)
      abort();
    *equals = '\0';
    request->fields[request->count++] = (struct field){word, equals + 1, decode(equals + 1)};
  }
  return request;
}

void free_request(struct request *request) {
  free(request->line);
  free(request);
}

const struct field *field(const struct request *request, const char *key) {
  for (size_t i = 0; i < request->count; i++)
    if (strcmp(request->fields[i].key, key) == 0)
      return &request->fields[i];
  return NULL;
}

const char *value(const struct request *request, const char *key) {
  const struct field *found = field(request, key);
  return found == NULL ? "" : found->value;
}

uint64_t number(const struct request *request, const char *key) {
  return strtoull(value(request, key), NULL, 10);
}
