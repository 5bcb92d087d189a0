// A forked child: the parent's leases are dead there, its client works.
#include "check.h"
#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

static void ignore(void *userdata, int32_t reason) { (void)userdata, (void)reason; }

static void in_child(fencelock_client *client, fencelock_lease *parents,
                     fencelock_options *options) {
  int32_t reason = 0;
  CHECK(!is_held(parents));
  OK(fencelock_lease_lost_reason(parents, &reason, &error));
  CHECK(reason == FENCELOCK_LOSS_FORKED);
  EXPECT(FENCELOCK_LOST, fencelock_lease_check(parents, &error));
  EXPECT(FENCELOCK_LOST, fencelock_lease_renew(parents, &error));
  EXPECT(FENCELOCK_LOST, fencelock_release(parents, &error));
  OK(fencelock_lease_watch(parents, parents, &error));
  OK(fencelock_lease_on_lost(parents, ignore, NULL, &error));
  CHECK(fencelock_lease_free(parents) == FENCELOCK_OK);
  // The parent still has it.
  fencelock_lease *lease = parents;
  OK(fencelock_try_acquire(client, "a", 1, options, &lease, &error));
  CHECK(lease == NULL);
  // The client has a descriptor of its own.
  int descriptor = -1;
  OK(fencelock_client_fd(client, &descriptor, &error));
  OK(fencelock_begin_acquire(client, "b", 1, 5000, options, client, &error));
  struct pollfd watched = {.fd = descriptor, .events = POLLIN};
  fencelock_event *event = NULL;
  while (event == NULL) {
    CHECK(poll(&watched, 1, 20000) == 1);
    OK(fencelock_next_event(client, &event, &error));
  }
  OK(fencelock_event_outcome(event, &lease, &error));
  CHECK(is_held(lease));
  OK(fencelock_release(lease, &error));
  CHECK(fencelock_lease_free(lease) == FENCELOCK_OK);
  CHECK(fencelock_event_free(event) == FENCELOCK_OK);
  CHECK(fencelock_options_free(options) == FENCELOCK_OK);
  CHECK(fencelock_client_free(client) == FENCELOCK_OK);
}

static void child(int by_exit, fencelock_client *client, fencelock_lease *lease,
                  fencelock_options *options) {
  pid_t pid = fork();
  if (pid == 0) {
    in_child(client, lease, options);
    if (by_exit)
      exit(0);
    _exit(0);
  }
  int status = -1;
  CHECK(waitpid(pid, &status, 0) == pid);
  CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

int main(void) {
  fencelock_client *client = connected();
  fencelock_options *options = NULL;
  fencelock_cancel *cancel = NULL;
  int descriptor = -1;
  OK(fencelock_client_fd(client, &descriptor, &error));
  OK(fencelock_options_new(&options, &error));
  OK(fencelock_cancel_new(&cancel, &error));
  OK(fencelock_options_set_cancel(options, cancel, &error));
  fencelock_lease *lease = taken(client, "a");
  OK(fencelock_lease_watch(lease, lease, &error));
  OK(fencelock_lease_on_lost(lease, ignore, NULL, &error));
  child(0, client, lease, options);
  child(1, client, lease, options);
  // The parent has noticed nothing.
  CHECK(is_held(lease));
  OK(fencelock_lease_check(lease, &error));
  OK(fencelock_release(lease, &error));
  CHECK(fencelock_lease_free(lease) == FENCELOCK_OK);
  CHECK(fencelock_lease_free(taken(client, "b")) == FENCELOCK_OK);
  CHECK(fencelock_cancel_free(cancel) == FENCELOCK_OK);
  CHECK(fencelock_options_free(options) == FENCELOCK_OK);
  OK(fencelock_client_close(client, &error));
  CHECK(fencelock_client_free(client) == FENCELOCK_OK);
  return 0;
}
