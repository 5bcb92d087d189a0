// What each function does, on a real server.
#include "check.h"
#include <pthread.h>
#include <semaphore.h>

static sem_t called;
static int32_t lost_reason;

static void on_lost(void *userdata, int32_t reason) {
  lost_reason = reason;
  // A callback must not block: it is told so, and not held up.
  fencelock_lease *lease = *(fencelock_lease **)userdata;
  EXPECT(FENCELOCK_WOULD_DEADLOCK, fencelock_release(lease, &error));
  EXPECT(FENCELOCK_LOST, fencelock_lease_check(lease, &error));
  CHECK(fencelock_lease_free(lease) == FENCELOCK_OK);
  sem_post(&called);
}

static void fences_grow_and_a_lock_excludes(fencelock_client *client) {
  fencelock_lease *first = taken(client, "a"), *second = first;
  uint64_t fence = fence_of(first), remaining = 0;
  CHECK(fence > 0 && is_held(first));
  OK(fencelock_lease_remaining_ms(first, &remaining, &error));
  CHECK(remaining > 0 && remaining <= 10000);
  OK(fencelock_try_acquire(client, "a", 1, NULL, &second, &error));
  CHECK(second == NULL);
  second = first;
  EXPECT(FENCELOCK_ACQUIRE_TIMEOUT, fencelock_acquire(client, "a", 1, 0, NULL, &second, &error));
  EXPECT(FENCELOCK_ACQUIRE_TIMEOUT, fencelock_acquire(client, "a", 1, 60, NULL, &second, &error));
  CHECK(second == first); // written on success only
  OK(fencelock_lease_renew(first, &error));
  OK(fencelock_lease_check(first, &error));
  OK(fencelock_release(first, &error));
  CHECK(!is_held(first));
  EXPECT(FENCELOCK_NOT_HELD, fencelock_release(first, &error));
  EXPECT(FENCELOCK_NOT_HELD, fencelock_lease_check(first, &error));
  second = taken(client, "a");
  CHECK(fence_of(second) > fence);
  CHECK(fencelock_lease_free(first) == FENCELOCK_OK);
  CHECK(fencelock_lease_free(second) == FENCELOCK_OK); // releases
  CHECK(fencelock_lease_free(taken(client, "a")) == FENCELOCK_OK);
}

static void errors_tell(fencelock_client *client) {
  fencelock_lease *holder = taken(client, "x\"y"), *none = NULL;
  fencelock_error *said = NULL;
  int32_t answer = -1;
  const char *lock = NULL;
  size_t length = 0;
  CHECK(fencelock_acquire(client, "x\"y", 3, 0, NULL, &none, &said) == FENCELOCK_ACQUIRE_TIMEOUT);
  CHECK(strstr(fencelock_error_message(said), "\"x\\\"y\"") != NULL);
  CHECK(fencelock_error_lock(said, &lock, &length) == FENCELOCK_OK);
  CHECK(length == 3 && memcmp(lock, "x\"y", 3) == 0);
  CHECK(fencelock_error_retryable(said, &answer) == FENCELOCK_OK && answer == 1);
  CHECK(fencelock_error_ambiguous(said, &answer) == FENCELOCK_OK && answer == 0);
  CHECK(fencelock_error_loss(said, &answer) == FENCELOCK_OK && answer == FENCELOCK_LOSS_NONE);
  CHECK(fencelock_error_free(said) == FENCELOCK_OK);
  CHECK(fencelock_lease_free(holder) == FENCELOCK_OK);
  // Without a place for the error, the status is enough.
  CHECK(fencelock_acquire(client, "", 0, 0, NULL, &none, NULL) == FENCELOCK_INVALID_ARGUMENT);
  EXPECT(FENCELOCK_INVALID_ARGUMENT,
         fencelock_acquire(client, "\xff\xfe", 2, 0, NULL, &none, &error));
  EXPECT(FENCELOCK_INVALID_ARGUMENT,
         fencelock_acquire(client, "x", SIZE_MAX, 0, NULL, &none, &error));
  EXPECT(FENCELOCK_INVALID_ARGUMENT, fencelock_acquire(client, NULL, 1, 0, NULL, &none, &error));
  fencelock_client *other = NULL;
  EXPECT(FENCELOCK_INVALID_ARGUMENT, fencelock_connect("gopher://x", NULL, &other, &error));
  EXPECT(FENCELOCK_UNAVAILABLE, fencelock_connect("redis://127.0.0.1:1/0", NULL, &other, &error));
  CHECK(none == NULL && other == NULL);
}

static void options_count(fencelock_client *client) {
  fencelock_options *options = NULL;
  fencelock_lease *lease = NULL;
  fencelock_inspection *seen = NULL;
  OK(fencelock_options_new(&options, &error));
  OK(fencelock_options_set_ttl_ms(options, 49, &error));
  EXPECT(FENCELOCK_INVALID_ARGUMENT, fencelock_acquire(client, "b", 1, 0, options, &lease, &error));
  OK(fencelock_options_set_ttl_ms(options, 7200000, &error));
  OK(fencelock_options_set_renew(options, 0, &error));
  OK(fencelock_options_set_max_hold_ms(options, FENCELOCK_FOREVER, &error));
  OK(fencelock_options_set_label(options, "me", 2, &error));
  EXPECT(FENCELOCK_INVALID_ARGUMENT, fencelock_options_set_label(options, "\xff", 1, &error));
  OK(fencelock_acquire(client, "b", 1, 0, options, &lease, &error));
  CHECK(fencelock_options_free(options) == FENCELOCK_OK);

  OK(fencelock_inspect(client, "b", 1, &seen, &error));
  int32_t held = 0, foreign = 1;
  uint64_t fence = 0, ttl = 0, remaining = 0, waiters = 7;
  const char *label = NULL, *id = NULL;
  size_t label_len = 0, id_len = 0;
  OK(fencelock_inspection_held(seen, &held, &error));
  OK(fencelock_inspection_waiters(seen, &waiters, &error));
  OK(fencelock_inspection_fence(seen, &fence, &error));
  OK(fencelock_inspection_foreign(seen, &foreign, &error));
  OK(fencelock_inspection_ttl_ms(seen, &ttl, &error));
  OK(fencelock_inspection_remaining_ms(seen, &remaining, &error));
  OK(fencelock_inspection_label(seen, &label, &label_len, &error));
  OK(fencelock_inspection_holder(seen, &id, &id_len, &error));
  CHECK(held == 1 && waiters == 0 && foreign == 0 && fence == fence_of(lease));
  CHECK(ttl == 7200000 && remaining > 0 && remaining <= ttl && id_len > 0);
  CHECK(label_len == 2 && memcmp(label, "me", 2) == 0);
  CHECK(fencelock_inspection_free(seen) == FENCELOCK_OK);
  OK(fencelock_release(lease, &error));
  CHECK(fencelock_lease_free(lease) == FENCELOCK_OK);
  OK(fencelock_inspect(client, "b", 1, &seen, &error));
  OK(fencelock_inspection_held(seen, &held, &error));
  CHECK(held == 0);
  EXPECT(FENCELOCK_INVALID_ARGUMENT, fencelock_inspection_fence(seen, &fence, &error));
  CHECK(fencelock_inspection_free(seen) == FENCELOCK_OK);
}

static void a_client_has_its_prefix(void) {
  fencelock_client_options *options = NULL;
  fencelock_client *mine = NULL, *plain = connected();
  fencelock_lease *lease = NULL;
  OK(fencelock_client_options_new(&options, &error));
  OK(fencelock_client_options_set_prefix(options, "p:", 2, &error));
  OK(fencelock_client_options_set_connect_timeout_ms(options, 4000, &error));
  OK(fencelock_client_options_set_response_timeout_ms(options, 4000, &error));
  OK(fencelock_client_options_set_lazy(options, 1, &error));
  OK(fencelock_connect(NULL, options, &mine, &error));
  OK(fencelock_client_options_set_response_timeout_ms(options, 0, &error));
  fencelock_client *none = NULL;
  EXPECT(FENCELOCK_INVALID_ARGUMENT, fencelock_connect(NULL, options, &none, &error));
  CHECK(fencelock_client_options_free(options) == FENCELOCK_OK);
  OK(fencelock_acquire(mine, "c", 1, 0, NULL, &lease, &error));
  fencelock_lease *same = NULL;
  OK(fencelock_try_acquire(plain, "p:c", 3, NULL, &same, &error));
  CHECK(same == NULL);
  CHECK(fencelock_lease_free(lease) == FENCELOCK_OK);
  CHECK(fencelock_client_free(mine) == FENCELOCK_OK);
  CHECK(fencelock_client_free(plain) == FENCELOCK_OK);
}

static void a_loss_is_called_back(fencelock_client *client) {
  fencelock_options *options = NULL;
  static fencelock_lease *lease;
  OK(fencelock_options_new(&options, &error));
  OK(fencelock_options_set_max_hold_ms(options, 100, &error));
  OK(fencelock_acquire(client, "d", 1, 5000, options, &lease, &error));
  OK(fencelock_lease_on_lost(lease, on_lost, &lease, &error));
  CHECK(sem_wait(&called) == 0);
  CHECK(lost_reason == FENCELOCK_LOSS_MAX_HOLD);
  CHECK(fencelock_lease_free(lease) == FENCELOCK_INVALID_ARGUMENT); // it freed itself
  // One that was lost before is told at once.
  OK(fencelock_acquire(client, "d2", 2, 5000, options, &lease, &error));
  int32_t reason = FENCELOCK_LOSS_NONE;
  while (reason == FENCELOCK_LOSS_NONE)
    OK(fencelock_lease_lost_reason(lease, &reason, &error));
  EXPECT(FENCELOCK_LOST, fencelock_release(lease, &error));
  OK(fencelock_lease_on_lost(lease, on_lost, &lease, &error));
  CHECK(sem_wait(&called) == 0);
  CHECK(fencelock_options_free(options) == FENCELOCK_OK);
}

struct slow {
  sem_t begun;
  int over;
};

static void slowly(void *userdata, int32_t reason) {
  struct slow *slow = userdata;
  (void)reason;
  sem_post(&slow->begun);
  for (volatile int i = 0; i < 30000000; i++)
    ;
  slow->over = 1;
}

static void no_callback_runs_after_free(fencelock_client *client) {
  fencelock_options *options = NULL;
  fencelock_lease *lease = NULL;
  struct slow *slow = calloc(1, sizeof *slow);
  sem_init(&slow->begun, 0, 0);
  OK(fencelock_options_new(&options, &error));
  OK(fencelock_options_set_max_hold_ms(options, 50, &error));
  OK(fencelock_acquire(client, "e", 1, 5000, options, &lease, &error));
  OK(fencelock_lease_on_lost(lease, slowly, slow, &error));
  CHECK(sem_wait(&slow->begun) == 0);
  CHECK(fencelock_lease_free(lease) == FENCELOCK_OK); // waits for it
  CHECK(slow->over);
  sem_destroy(&slow->begun);
  free(slow);
  CHECK(fencelock_options_free(options) == FENCELOCK_OK);
}

static void *fires(void *cancel) {
  OK(fencelock_cancel_fire(cancel, &error));
  return NULL;
}

static void a_token_ends_a_wait(fencelock_client *client) {
  fencelock_lease *holder = taken(client, "f"), *none = NULL;
  fencelock_options *options = NULL;
  fencelock_cancel *cancel = NULL;
  pthread_t thread;
  OK(fencelock_options_new(&options, &error));
  OK(fencelock_cancel_new(&cancel, &error));
  OK(fencelock_options_set_cancel(options, cancel, &error));
  CHECK(pthread_create(&thread, NULL, fires, cancel) == 0);
  EXPECT(FENCELOCK_CANCELLED,
         fencelock_acquire(client, "f", 1, FENCELOCK_FOREVER, options, &none, &error));
  CHECK(pthread_join(thread, NULL) == 0);
  CHECK(fencelock_cancel_free(cancel) == FENCELOCK_OK);
  OK(fencelock_release(holder, &error));
  CHECK(fencelock_lease_free(holder) == FENCELOCK_OK);
  // It stays fired, and the options keep it.
  EXPECT(FENCELOCK_CANCELLED, fencelock_try_acquire(client, "f", 1, options, &none, &error));
  OK(fencelock_options_set_cancel(options, NULL, &error));
  // What was cancelled may have been granted meanwhile, and is on its way back.
  OK(fencelock_acquire(client, "f", 1, 5000, options, &none, &error));
  OK(fencelock_release(none, &error));
  CHECK(fencelock_lease_free(none) == FENCELOCK_OK);
  CHECK(fencelock_options_free(options) == FENCELOCK_OK);
}

static sem_t logged;

static void write_log(void *userdata, int32_t level, const char *message) {
  CHECK(level >= FENCELOCK_LOG_ERROR && level <= FENCELOCK_LOG_WARN);
  if (strstr(message, userdata) != NULL)
    sem_post(&logged);
}

static void an_abandoned_lease_is_logged_and_stays(fencelock_client *client) {
  fencelock_lease *lease = taken(client, "log me"), *none = NULL;
  EXPECT(FENCELOCK_INVALID_ARGUMENT, fencelock_set_log(6, write_log, NULL, &error));
  OK(fencelock_set_log(FENCELOCK_LOG_WARN, write_log, (void *)"log me", &error));
  OK(fencelock_lease_abandon(lease, &error));
  CHECK(sem_wait(&logged) == 0);
  OK(fencelock_set_log(FENCELOCK_LOG_OFF, NULL, NULL, &error));
  CHECK(fencelock_lease_free(lease) == FENCELOCK_OK);
  OK(fencelock_try_acquire(client, "log me", 6, NULL, &none, &error));
  CHECK(none == NULL);
}

static void closing_ends_everything(fencelock_client *client) {
  fencelock_lease *lease = taken(client, "g");
  int32_t reason = 0;
  OK(fencelock_client_close(client, &error));
  OK(fencelock_client_close(client, &error));
  OK(fencelock_lease_lost_reason(lease, &reason, &error));
  CHECK(reason == FENCELOCK_LOSS_CLOSED);
  fencelock_lease *none = NULL;
  EXPECT(FENCELOCK_CLOSED, fencelock_acquire(client, "g", 1, 0, NULL, &none, &error));
  CHECK(fencelock_lease_free(lease) == FENCELOCK_OK);
  CHECK(fencelock_client_free(client) == FENCELOCK_OK);
}

int main(void) {
  CHECK(fencelock_abi_version() == FENCELOCK_ABI_VERSION);
  CHECK(strchr(fencelock_version(), '.') != NULL);
  sem_init(&called, 0, 0);
  sem_init(&logged, 0, 0);
  fencelock_client *client = connected();
  fences_grow_and_a_lock_excludes(client);
  errors_tell(client);
  options_count(client);
  a_client_has_its_prefix();
  a_loss_is_called_back(client);
  no_callback_runs_after_free(client);
  a_token_ends_a_wait(client);
  an_abandoned_lease_is_logged_and_stays(client);
  closing_ends_everything(client);
  return 0;
}
