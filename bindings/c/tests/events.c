// Event loops: everything begun is told once, and the descriptor says when.
#include "check.h"
#include <poll.h>

static fencelock_client *client;
static int descriptor;

static int readable(int wait_ms) {
  struct pollfd watched = {.fd = descriptor, .events = POLLIN};
  int ready = poll(&watched, 1, wait_ms);
  CHECK(ready >= 0);
  return ready;
}

// Waits for the next event, as an event loop that takes one each time does.
static fencelock_event *next(int32_t kind, const void *userdata) {
  fencelock_event *event = NULL;
  while (event == NULL) {
    CHECK(readable(20000));
    OK(fencelock_next_event(client, &event, &error));
  }
  int32_t had = 0;
  void *with = NULL;
  OK(fencelock_event_kind(event, &had, &error));
  OK(fencelock_event_userdata(event, &with, &error));
  CHECK(had == kind && with == userdata);
  return event;
}

static void nothing_more(void) {
  // An event that was fetched before its wake-up came leaves that behind: once each.
  for (int tries = 0; tries < 100; tries++) {
    fencelock_event *event = NULL;
    OK(fencelock_next_event(client, &event, &error));
    CHECK(event == NULL);
    if (!readable(0))
      return;
  }
  CHECK(!"the descriptor stays readable");
}

static void begin(const char *name, uint64_t timeout_ms, fencelock_options *options, void *with) {
  OK(fencelock_begin_acquire(client, name, strlen(name), timeout_ms, options, with, &error));
}

static fencelock_lease *granted(void *with) {
  fencelock_event *event = next(FENCELOCK_EVENT_ACQUIRE, with);
  fencelock_lease *lease = NULL;
  OK(fencelock_event_outcome(event, &lease, &error));
  EXPECT(FENCELOCK_INVALID_ARGUMENT, fencelock_event_outcome(event, &lease, &error));
  CHECK(fencelock_event_free(event) == FENCELOCK_OK);
  CHECK(lease != NULL && is_held(lease));
  return lease;
}

static void refused(int32_t status, void *with) {
  fencelock_event *event = next(FENCELOCK_EVENT_ACQUIRE, with);
  fencelock_lease *lease = NULL;
  EXPECT(FENCELOCK_INVALID_ARGUMENT, fencelock_event_outcome(event, NULL, &error));
  EXPECT(status, fencelock_event_outcome(event, &lease, &error));
  CHECK(lease == NULL && fencelock_event_free(event) == FENCELOCK_OK);
}

static void give_back(fencelock_lease *lease) {
  OK(fencelock_begin_release(lease, lease, &error));
  CHECK(!is_held(lease));
  fencelock_event *event = next(FENCELOCK_EVENT_RELEASE, lease);
  OK(fencelock_event_outcome(event, NULL, &error));
  CHECK(fencelock_event_free(event) == FENCELOCK_OK);
  EXPECT(FENCELOCK_NOT_HELD, fencelock_begin_release(lease, lease, &error));
  CHECK(fencelock_lease_free(lease) == FENCELOCK_OK);
}

static void acquires_are_decided_in_line(void) {
  int tags[2];
  begin("a", FENCELOCK_FOREVER, NULL, &tags[0]);
  fencelock_lease *first = granted(&tags[0]);
  begin("a", FENCELOCK_FOREVER, NULL, &tags[1]);
  begin("a", 0, NULL, &tags[0]);
  refused(FENCELOCK_ACQUIRE_TIMEOUT, &tags[0]);
  nothing_more();
  CHECK(fencelock_lease_free(first) == FENCELOCK_OK);
  give_back(granted(&tags[1]));
  EXPECT(FENCELOCK_INVALID_ARGUMENT, fencelock_begin_acquire(client, "", 0, 0, NULL, NULL, &error));
  nothing_more();
}

static void what_is_left_keeps_the_descriptor_readable(void) {
  enum { MANY = 20 };
  static const char *const names[] = {"m0", "m1", "m2", "m3"};
  int tags[MANY] = {0};
  for (int i = 0; i < MANY; i++)
    begin(names[i % 4], FENCELOCK_FOREVER, NULL, &tags[i]);
  for (int i = 0; i < MANY; i++) {
    fencelock_event *event = NULL;
    while (event == NULL) {
      CHECK(readable(20000));
      OK(fencelock_next_event(client, &event, &error));
    }
    void *with = NULL;
    OK(fencelock_event_userdata(event, &with, &error));
    CHECK(++*(int *)with == 1); // once each
    // The lease that nobody takes goes to the next in line.
    CHECK(fencelock_event_free(event) == FENCELOCK_OK);
  }
  nothing_more();
}

// Cancelled just when it is granted: one of the two, and told once.
static void a_cancel_races_a_grant(void) {
  for (int round = 0; round < 30; round++) {
    fencelock_options *options = NULL;
    fencelock_cancel *cancel = NULL;
    fencelock_event *event = NULL;
    fencelock_lease *lease = NULL;
    OK(fencelock_options_new(&options, &error));
    OK(fencelock_cancel_new(&cancel, &error));
    OK(fencelock_options_set_cancel(options, cancel, &error));
    begin("r", FENCELOCK_FOREVER, options, options);
    if (round % 2)
      CHECK(readable(20000));
    OK(fencelock_cancel_fire(cancel, &error));
    event = next(FENCELOCK_EVENT_ACQUIRE, options);
    int32_t status = fencelock_event_outcome(event, &lease, NULL);
    CHECK(status == (lease == NULL ? FENCELOCK_CANCELLED : FENCELOCK_OK));
    CHECK(fencelock_event_free(event) == FENCELOCK_OK);
    CHECK(fencelock_lease_free(lease) == FENCELOCK_OK);
    CHECK(fencelock_lease_free(taken(client, "r")) == FENCELOCK_OK);
    nothing_more();
    CHECK(fencelock_cancel_free(cancel) == FENCELOCK_OK);
    CHECK(fencelock_options_free(options) == FENCELOCK_OK);
  }
}

static void a_token_decides_what_was_begun(void) {
  fencelock_options *options = NULL;
  fencelock_cancel *cancel = NULL;
  OK(fencelock_options_new(&options, &error));
  OK(fencelock_cancel_new(&cancel, &error));
  OK(fencelock_options_set_cancel(options, cancel, &error));
  fencelock_lease *holder = taken(client, "b");
  begin("b", FENCELOCK_FOREVER, options, options);
  OK(fencelock_cancel_fire(cancel, &error));
  refused(FENCELOCK_CANCELLED, options);
  begin("b", FENCELOCK_FOREVER, options, cancel); // fired already
  refused(FENCELOCK_CANCELLED, cancel);
  OK(fencelock_release(holder, &error));
  CHECK(fencelock_lease_free(holder) == FENCELOCK_OK);
  CHECK(fencelock_cancel_free(cancel) == FENCELOCK_OK);
  CHECK(fencelock_options_free(options) == FENCELOCK_OK);
  // Nobody is left in the queue.
  CHECK(fencelock_lease_free(taken(client, "b")) == FENCELOCK_OK);
  nothing_more();
}

static void a_loss_is_an_event(void) {
  fencelock_options *options = NULL;
  fencelock_lease *lease = NULL, *freed = NULL;
  fencelock_error *why = NULL;
  int32_t loss = 0;
  OK(fencelock_options_new(&options, &error));
  OK(fencelock_options_set_max_hold_ms(options, 100, &error));
  OK(fencelock_acquire(client, "c", 1, 5000, options, &lease, &error));
  OK(fencelock_acquire(client, "d", 1, 5000, options, &freed, &error));
  OK(fencelock_lease_watch(lease, &lease, &error));
  OK(fencelock_lease_watch(freed, &freed, &error));
  fencelock_event *event = NULL;
  // The other's event is not told after it was freed.
  int32_t reason = FENCELOCK_LOSS_NONE;
  while (reason == FENCELOCK_LOSS_NONE)
    OK(fencelock_lease_lost_reason(freed, &reason, &error));
  CHECK(fencelock_lease_free(freed) == FENCELOCK_OK);
  event = next(FENCELOCK_EVENT_LOST, &lease);
  CHECK(fencelock_event_outcome(event, NULL, &why) == FENCELOCK_LOST);
  CHECK(fencelock_error_loss(why, &loss) == FENCELOCK_OK && loss == FENCELOCK_LOSS_MAX_HOLD);
  CHECK(strstr(fencelock_error_message(why), "\"c\"") != NULL);
  CHECK(fencelock_error_free(why) == FENCELOCK_OK);
  CHECK(fencelock_event_free(event) == FENCELOCK_OK);
  CHECK(fencelock_lease_free(lease) == FENCELOCK_OK);
  CHECK(fencelock_options_free(options) == FENCELOCK_OK);
  nothing_more();
}

static void await_waiters(fencelock_client *observer, uint64_t wanted) {
  uint64_t waiters = wanted + 1;
  for (int tries = 0; waiters != wanted; tries++) {
    fencelock_inspection *seen = NULL;
    CHECK(tries < 20000);
    OK(fencelock_inspect(observer, "e", 1, &seen, &error));
    OK(fencelock_inspection_waiters(seen, &waiters, &error));
    CHECK(fencelock_inspection_free(seen) == FENCELOCK_OK);
  }
}

static void freeing_the_client_gives_everything_up(void) {
  fencelock_client *other = connected();
  fencelock_lease *holder = taken(other, "e");
  begin("e", FENCELOCK_FOREVER, NULL, NULL);
  begin("f", FENCELOCK_FOREVER, NULL, NULL);
  CHECK(readable(20000)); // granted, and not taken
  await_waiters(other, 1);
  fencelock_lease *kept = taken(client, "g");
  CHECK(fencelock_client_free(client) == FENCELOCK_OK);
  EXPECT(FENCELOCK_INVALID_ARGUMENT, fencelock_lease_watch(kept, NULL, &error));
  // What was begun leaves the queue, although the lock is still held.
  await_waiters(other, 0);
  CHECK(is_held(kept));
  OK(fencelock_release(kept, &error));
  CHECK(fencelock_lease_free(kept) == FENCELOCK_OK);
  OK(fencelock_release(holder, &error));
  CHECK(fencelock_lease_free(holder) == FENCELOCK_OK);
  CHECK(fencelock_lease_free(taken(other, "e")) == FENCELOCK_OK);
  CHECK(fencelock_lease_free(taken(other, "f")) == FENCELOCK_OK);
  OK(fencelock_client_close(other, &error));
  CHECK(fencelock_client_free(other) == FENCELOCK_OK);
}

int main(void) {
  client = connected();
  OK(fencelock_client_fd(client, &descriptor, &error));
  nothing_more();
  acquires_are_decided_in_line();
  what_is_left_keeps_the_descriptor_readable();
  a_token_decides_what_was_begun();
  a_cancel_races_a_grant();
  a_loss_is_an_event();
  freeing_the_client_gives_everything_up();
  return 0;
}
