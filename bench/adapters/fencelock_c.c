// fencelock's C library, at its defaults (TTL 10 s, renewed). Protocol: bench/README.md.
#include "serve.h"
#include <fencelock.h>
#include <string.h>

static fencelock_client *client;
static fencelock_lease *lease;

static void must(int32_t status, fencelock_error *error) {
  if (status != FENCELOCK_OK)
    die("%s", fencelock_error_message(error));
}

static void acquire(const char *lock) {
  fencelock_error *error = NULL;
  must(fencelock_acquire(client, lock, strlen(lock), FENCELOCK_FOREVER, NULL, &lease, &error),
       error);
}

static void release(const char *lock) {
  fencelock_error *error = NULL;
  (void)lock;
  must(fencelock_release(lease, &error), error);
  fencelock_lease_free(lease);
}

int main(int argc, char **argv) {
  static const struct contender contender = {"fencelock-c", "pair,handoff", acquire, acquire,
                                             release};
  fencelock_error *error = NULL;
  if (argc != 2)
    die("usage: fencelock_c redis://HOST:PORT");
  must(fencelock_connect(argv[1], NULL, &client, &error), error);
  serve(&contender);
  fencelock_client_close(client, NULL);
  fencelock_client_free(client);
  return 0;
}
