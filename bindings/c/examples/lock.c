// Takes a lock, works under it, and gives it back.
#include <fencelock.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

// Says what went wrong, and frees it.
static int failed(const char *what, fencelock_error *error) {
  fprintf(stderr, "%s: %s\n", what, fencelock_error_message(error));
  fencelock_error_free(error);
  return 1;
}

static int work(fencelock_client *client, const char *name) {
  fencelock_error *error = NULL;
  fencelock_lease *lease = NULL;
  // Waits in line for 5 s at most; NULL: TTL 10 s, renewed in the background.
  if (fencelock_acquire(client, name, strlen(name), 5000, NULL, &lease, &error) != FENCELOCK_OK)
    return failed("acquire", error);

  uint64_t fence = 0;
  fencelock_lease_fence(lease, &fence, NULL);
  printf("writing under fence %" PRIu64 "\n", fence);
  // Before each step: is it still ours?
  int status = 0;
  if (fencelock_lease_check(lease, &error) != FENCELOCK_OK)
    status = failed("check", error);
  else if (fencelock_release(lease, &error) != FENCELOCK_OK)
    status = failed("release", error);
  fencelock_lease_free(lease); // also releases what was not released
  return status;
}

int main(void) {
  fencelock_error *error = NULL;
  fencelock_client *client = NULL;
  // NULL: the URL is in FENCELOCK_URL, such as redis://localhost:6379/0
  if (fencelock_connect(NULL, NULL, &client, &error) != FENCELOCK_OK)
    return failed("connect", error);
  int status = work(client, "invoice-17");
  fencelock_client_close(client, NULL); // releases what is still held
  fencelock_client_free(client);
  return status;
}
