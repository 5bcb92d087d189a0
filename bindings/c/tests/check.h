// What the test programs share.
#ifndef CHECK_H
#define CHECK_H

#include <fencelock.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHECK(condition)                                                                           \
  do {                                                                                             \
    if (!(condition)) {                                                                            \
      fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition);                      \
      abort();                                                                                     \
    }                                                                                              \
  } while (0)

// That a call has this status, and, if it failed, an error that agrees.
#define EXPECT(status, call)                                                                       \
  do {                                                                                             \
    fencelock_error *error = NULL;                                                                 \
    int32_t gave = (call);                                                                         \
    if (gave != (status)) {                                                                        \
      fprintf(stderr, "%s:%d: %s gave %d, not %d: %s\n", __FILE__, __LINE__, #call, gave,          \
              (int)(status), error ? fencelock_error_message(error) : "");                         \
      abort();                                                                                     \
    }                                                                                              \
    CHECK((error == NULL) == (gave == FENCELOCK_OK));                                              \
    CHECK(error == NULL || fencelock_error_code(error) == gave);                                   \
    CHECK(fencelock_error_free(error) == FENCELOCK_OK);                                            \
  } while (0)

#define OK(call) EXPECT(FENCELOCK_OK, call)

static inline fencelock_client *connected(void) {
  fencelock_client *client = NULL;
  OK(fencelock_connect(NULL, NULL, &client, &error));
  CHECK(client != NULL);
  return client;
}

static inline fencelock_lease *taken(fencelock_client *client, const char *name) {
  fencelock_lease *lease = NULL;
  OK(fencelock_acquire(client, name, strlen(name), 20000, NULL, &lease, &error));
  CHECK(lease != NULL);
  return lease;
}

static inline int is_held(const fencelock_lease *lease) {
  int32_t held = -1;
  OK(fencelock_lease_is_held(lease, &held, &error));
  return held;
}

static inline uint64_t fence_of(const fencelock_lease *lease) {
  uint64_t fence = 0;
  OK(fencelock_lease_fence(lease, &fence, &error));
  return fence;
}

#endif
