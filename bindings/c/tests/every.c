// Every function with every wrong handle, and with a panic inside: an error code, and the process
// lives. The list of exports is the argument: none may be missing here.
#include "check.h"

enum kind { ERROR, CANCEL, CLIENT, LEASE, EVENT, OPTIONS, CLIENT_OPTIONS, INSPECTION, KINDS, NONE };

// What functions write to; 0x55 all over, and that it stays.
static union {
  unsigned char bytes[64];
  void *pointer;
  const char *text;
  int32_t number;
  uint64_t wide;
  size_t length;
  int descriptor;
  fencelock_lease *lease;
  fencelock_client *client;
  fencelock_event *event;
  fencelock_inspection *inspection;
  fencelock_options *options;
  fencelock_client_options *client_options;
  fencelock_cancel *cancel;
} out, out2;
static fencelock_error **where;

static void on_lost(void *userdata, int32_t reason) { (void)userdata, (void)reason; }

struct export {
  const char *name;
  enum kind kind; // of its first parameter
  int32_t (*call)(void *handle);
  int nullable; // NULL is none, and no mistake
};

#define CALL(function, ...)                                                                        \
  static int32_t call_##function(void *handle) {                                                   \
    (void)handle;                                                                                  \
    return fencelock_##function(__VA_ARGS__);                                                      \
  }

CALL(error_code, handle)
CALL(error_lock, handle, &out.text, &out2.length)
CALL(error_retryable, handle, &out.number)
CALL(error_ambiguous, handle, &out.number)
CALL(error_loss, handle, &out.number)
CALL(error_free, handle)
CALL(cancel_new, &out.cancel, where)
CALL(cancel_fire, handle, where)
CALL(cancel_free, handle)
CALL(connect, NULL, handle, &out.client, where)
CALL(client_close, handle, where)
CALL(client_fd, handle, &out.descriptor, where)
CALL(client_free, handle)
CALL(acquire, handle, "x", 1, 0, NULL, &out.lease, where)
CALL(try_acquire, handle, "x", 1, NULL, &out.lease, where)
CALL(begin_acquire, handle, "x", 1, 0, NULL, NULL, where)
CALL(inspect, handle, "x", 1, &out.inspection, where)
CALL(next_event, handle, &out.event, where)
CALL(lease_fence, handle, &out.wide, where)
CALL(lease_is_held, handle, &out.number, where)
CALL(lease_remaining_ms, handle, &out.wide, where)
CALL(lease_lost_reason, handle, &out.number, where)
CALL(lease_check, handle, where)
CALL(lease_renew, handle, where)
CALL(release, handle, where)
CALL(begin_release, handle, NULL, where)
CALL(lease_watch, handle, NULL, where)
CALL(lease_on_lost, handle, on_lost, NULL, where)
CALL(lease_abandon, handle, where)
CALL(lease_free, handle)
CALL(event_kind, handle, &out.number, where)
CALL(event_userdata, handle, &out.pointer, where)
CALL(event_outcome, handle, &out.lease, where)
CALL(event_free, handle)
CALL(options_new, &out.options, where)
CALL(options_set_ttl_ms, handle, 1000, where)
CALL(options_set_renew, handle, 1, where)
CALL(options_set_max_hold_ms, handle, 1000, where)
CALL(options_set_label, handle, "x", 1, where)
CALL(options_set_cancel, handle, NULL, where)
CALL(options_free, handle)
CALL(client_options_new, &out.client_options, where)
CALL(client_options_set_prefix, handle, "x", 1, where)
CALL(client_options_set_connect_timeout_ms, handle, 1000, where)
CALL(client_options_set_response_timeout_ms, handle, 1000, where)
CALL(client_options_set_tls_ca_file, handle, "x", where)
CALL(client_options_set_tls_ca_pem, handle, "x", 1, where)
CALL(client_options_set_tls_cert_file, handle, "x", where)
CALL(client_options_set_tls_cert_pem, handle, "x", 1, where)
CALL(client_options_set_tls_key_file, handle, "x", where)
CALL(client_options_set_tls_key_pem, handle, "x", 1, where)
CALL(client_options_set_tls_server_name, handle, "x", where)
CALL(client_options_set_tls_min_version, handle, "1.3", where)
CALL(client_options_set_danger_accept_invalid_certs, handle, 0, where)
CALL(client_options_set_lazy, handle, 0, where)
CALL(client_options_set_cancel, handle, NULL, where)
CALL(client_options_free, handle)
CALL(inspection_held, handle, &out.number, where)
CALL(inspection_waiters, handle, &out.wide, where)
CALL(inspection_fence, handle, &out.wide, where)
CALL(inspection_foreign, handle, &out.number, where)
CALL(inspection_ttl_ms, handle, &out.wide, where)
CALL(inspection_remaining_ms, handle, &out.wide, where)
CALL(inspection_label, handle, &out.text, &out2.length, where)
CALL(inspection_holder, handle, &out.text, &out2.length, where)
CALL(inspection_free, handle)
CALL(set_log, FENCELOCK_LOG_OFF, NULL, NULL, where)

#define EXPORT(function, kind, nullable)                                                           \
  { "fencelock_" #function, kind, call_##function, nullable }

static const struct export EXPORTS[] = {
    EXPORT(error_code, ERROR, 0),
    EXPORT(error_lock, ERROR, 0),
    EXPORT(error_retryable, ERROR, 0),
    EXPORT(error_ambiguous, ERROR, 0),
    EXPORT(error_loss, ERROR, 0),
    EXPORT(error_free, ERROR, 1),
    EXPORT(cancel_new, NONE, 0),
    EXPORT(cancel_fire, CANCEL, 0),
    EXPORT(cancel_free, CANCEL, 1),
    EXPORT(connect, CLIENT_OPTIONS, 1),
    EXPORT(client_close, CLIENT, 0),
    EXPORT(client_fd, CLIENT, 0),
    EXPORT(client_free, CLIENT, 1),
    EXPORT(acquire, CLIENT, 0),
    EXPORT(try_acquire, CLIENT, 0),
    EXPORT(begin_acquire, CLIENT, 0),
    EXPORT(inspect, CLIENT, 0),
    EXPORT(next_event, CLIENT, 0),
    EXPORT(lease_fence, LEASE, 0),
    EXPORT(lease_is_held, LEASE, 0),
    EXPORT(lease_remaining_ms, LEASE, 0),
    EXPORT(lease_lost_reason, LEASE, 0),
    EXPORT(lease_check, LEASE, 0),
    EXPORT(lease_renew, LEASE, 0),
    EXPORT(release, LEASE, 0),
    EXPORT(begin_release, LEASE, 0),
    EXPORT(lease_watch, LEASE, 0),
    EXPORT(lease_on_lost, LEASE, 0),
    EXPORT(lease_abandon, LEASE, 0),
    EXPORT(lease_free, LEASE, 1),
    EXPORT(event_kind, EVENT, 0),
    EXPORT(event_userdata, EVENT, 0),
    EXPORT(event_outcome, EVENT, 0),
    EXPORT(event_free, EVENT, 1),
    EXPORT(options_new, NONE, 0),
    EXPORT(options_set_ttl_ms, OPTIONS, 0),
    EXPORT(options_set_renew, OPTIONS, 0),
    EXPORT(options_set_max_hold_ms, OPTIONS, 0),
    EXPORT(options_set_label, OPTIONS, 0),
    EXPORT(options_set_cancel, OPTIONS, 0),
    EXPORT(options_free, OPTIONS, 1),
    EXPORT(client_options_new, NONE, 0),
    EXPORT(client_options_set_prefix, CLIENT_OPTIONS, 0),
    EXPORT(client_options_set_connect_timeout_ms, CLIENT_OPTIONS, 0),
    EXPORT(client_options_set_response_timeout_ms, CLIENT_OPTIONS, 0),
    EXPORT(client_options_set_tls_ca_file, CLIENT_OPTIONS, 0),
    EXPORT(client_options_set_tls_ca_pem, CLIENT_OPTIONS, 0),
    EXPORT(client_options_set_tls_cert_file, CLIENT_OPTIONS, 0),
    EXPORT(client_options_set_tls_cert_pem, CLIENT_OPTIONS, 0),
    EXPORT(client_options_set_tls_key_file, CLIENT_OPTIONS, 0),
    EXPORT(client_options_set_tls_key_pem, CLIENT_OPTIONS, 0),
    EXPORT(client_options_set_tls_server_name, CLIENT_OPTIONS, 0),
    EXPORT(client_options_set_tls_min_version, CLIENT_OPTIONS, 0),
    EXPORT(client_options_set_danger_accept_invalid_certs, CLIENT_OPTIONS, 0),
    EXPORT(client_options_set_lazy, CLIENT_OPTIONS, 0),
    EXPORT(client_options_set_cancel, CLIENT_OPTIONS, 0),
    EXPORT(client_options_free, CLIENT_OPTIONS, 1),
    EXPORT(inspection_held, INSPECTION, 0),
    EXPORT(inspection_waiters, INSPECTION, 0),
    EXPORT(inspection_fence, INSPECTION, 0),
    EXPORT(inspection_foreign, INSPECTION, 0),
    EXPORT(inspection_ttl_ms, INSPECTION, 0),
    EXPORT(inspection_remaining_ms, INSPECTION, 0),
    EXPORT(inspection_label, INSPECTION, 0),
    EXPORT(inspection_holder, INSPECTION, 0),
    EXPORT(inspection_free, INSPECTION, 1),
    EXPORT(set_log, NONE, 0),
};
enum { COUNT = sizeof EXPORTS / sizeof *EXPORTS };

// Those that have an answer instead of a status.
static const char *const ANSWERS[] = {"fencelock_version", "fencelock_abi_version",
                                      "fencelock_error_message"};
enum { ANSWER_COUNT = sizeof ANSWERS / sizeof *ANSWERS };

static const struct export *find(const char *name) {
  for (size_t i = 0; i < COUNT; i++)
    if (strcmp(EXPORTS[i].name, name) == 0)
      return &EXPORTS[i];
  return NULL;
}

static void none_is_missing(const char *list) {
  FILE *file = fopen(list, "r");
  char name[256];
  size_t lines = 0;
  CHECK(file != NULL);
  while (fscanf(file, "%255s", name) == 1) {
    int known = find(name) != NULL;
    for (size_t i = 0; i < ANSWER_COUNT; i++)
      known = known || strcmp(ANSWERS[i], name) == 0;
    if (!known)
      fprintf(stderr, "%s is not tried here\n", name);
    CHECK(known);
    lines++;
  }
  CHECK(lines == COUNT + ANSWER_COUNT);
  fclose(file);
}

// That it fails like this, says so, and writes to nothing.
static void fails(const struct export *export, void *handle, int32_t status) {
  unsigned char untouched[sizeof out];
  fencelock_error *error = NULL;
  memset(untouched, 0x55, sizeof untouched);
  memset(&out, 0x55, sizeof out);
  memset(&out2, 0x55, sizeof out2);
  for (int with_error = 0; with_error < 2; with_error++) {
    where = with_error ? &error : NULL;
    int32_t gave = export->call(handle);
    if (gave != status)
      fprintf(stderr, "%s gave %d\n", export->name, gave);
    CHECK(gave == status);
  }
  CHECK(memcmp(&out, untouched, sizeof out) == 0);
  CHECK(memcmp(&out2, untouched, sizeof out2) == 0);
  if (error != NULL) {
    CHECK(fencelock_error_code(error) == status);
    CHECK(strlen(fencelock_error_message(error)) > 10);
  }
  CHECK(fencelock_error_free(error) == FENCELOCK_OK);
}

static void panics(const struct export *export, void *handle) {
  CHECK(setenv("FENCELOCK_PANIC_IN", export->name, 1) == 0);
  // Freeing the error must not panic meanwhile.
  if (strcmp(export->name, "fencelock_error_code") == 0 ||
      strcmp(export->name, "fencelock_error_free") == 0)
    CHECK(export->call(handle) == FENCELOCK_INTERNAL);
  else
    fails(export, handle, FENCELOCK_INTERNAL);
  CHECK(unsetenv("FENCELOCK_PANIC_IN") == 0);
}

static void *handles[KINDS];

static void make_one_of_each(void) {
  fencelock_client *client = connected();
  fencelock_lease *lease = taken(client, "every");
  fencelock_event *event = NULL;
  fencelock_inspection *seen = NULL;
  fencelock_options *options = NULL;
  fencelock_client_options *client_options = NULL;
  fencelock_cancel *cancel = NULL;
  fencelock_error *error = NULL;
  fencelock_lease *none = NULL;
  CHECK(fencelock_begin_acquire(client, "every", 5, 0, NULL, NULL, NULL) == FENCELOCK_OK);
  while (event == NULL)
    CHECK(fencelock_next_event(client, &event, NULL) == FENCELOCK_OK);
  CHECK(fencelock_inspect(client, "every", 5, &seen, NULL) == FENCELOCK_OK);
  CHECK(fencelock_options_new(&options, NULL) == FENCELOCK_OK);
  CHECK(fencelock_client_options_new(&client_options, NULL) == FENCELOCK_OK);
  CHECK(fencelock_cancel_new(&cancel, NULL) == FENCELOCK_OK);
  CHECK(fencelock_acquire(client, "", 0, 0, NULL, &none, &error) != FENCELOCK_OK);
  handles[CLIENT] = client, handles[LEASE] = lease, handles[EVENT] = event;
  handles[INSPECTION] = seen, handles[OPTIONS] = options, handles[CANCEL] = cancel;
  handles[CLIENT_OPTIONS] = client_options, handles[ERROR] = error;
}

static void free_all(int32_t status) {
  CHECK(fencelock_event_free(handles[EVENT]) == status);
  CHECK(fencelock_inspection_free(handles[INSPECTION]) == status);
  CHECK(fencelock_options_free(handles[OPTIONS]) == status);
  CHECK(fencelock_client_options_free(handles[CLIENT_OPTIONS]) == status);
  CHECK(fencelock_cancel_free(handles[CANCEL]) == status);
  CHECK(fencelock_error_free(handles[ERROR]) == status);
  CHECK(fencelock_lease_free(handles[LEASE]) == status);
  CHECK(fencelock_client_free(handles[CLIENT]) == status);
}

static void try_each(int freed) {
  int somewhere = 0;
  for (size_t i = 0; i < COUNT; i++) {
    const struct export *export = &EXPORTS[i];
    if (export->kind == NONE)
      continue;
    if (!export->nullable)
      fails(export, NULL, FENCELOCK_INVALID_ARGUMENT);
    // An address is no handle.
    fails(export, &somewhere, FENCELOCK_INVALID_ARGUMENT);
    for (enum kind kind = 0; kind < KINDS; kind++)
      if (kind != export->kind || freed)
        fails(export, handles[kind], FENCELOCK_INVALID_ARGUMENT);
  }
}

static void nowhere_to_write(void) {
  fencelock_client *client = handles[CLIENT];
  fencelock_lease *lease = handles[LEASE];
  fencelock_error *of = handles[ERROR];
  int32_t wrong = FENCELOCK_INVALID_ARGUMENT;
  size_t length = 7;
  EXPECT(wrong, fencelock_connect(NULL, NULL, NULL, &error));
  EXPECT(wrong, fencelock_acquire(client, "free", 4, 0, NULL, NULL, &error));
  EXPECT(wrong, fencelock_try_acquire(client, "free", 4, NULL, NULL, &error));
  EXPECT(wrong, fencelock_inspect(client, "free", 4, NULL, &error));
  EXPECT(wrong, fencelock_next_event(client, NULL, &error));
  EXPECT(wrong, fencelock_client_fd(client, NULL, &error));
  EXPECT(wrong, fencelock_lease_fence(lease, NULL, &error));
  EXPECT(wrong, fencelock_lease_is_held(lease, NULL, &error));
  EXPECT(wrong, fencelock_lease_remaining_ms(lease, NULL, &error));
  EXPECT(wrong, fencelock_lease_lost_reason(lease, NULL, &error));
  EXPECT(wrong, fencelock_lease_on_lost(lease, NULL, NULL, &error));
  EXPECT(wrong, fencelock_options_new(NULL, &error));
  EXPECT(wrong, fencelock_client_options_new(NULL, &error));
  EXPECT(wrong, fencelock_cancel_new(NULL, &error));
  EXPECT(wrong, fencelock_event_kind(handles[EVENT], NULL, &error));
  EXPECT(wrong, fencelock_event_userdata(handles[EVENT], NULL, &error));
  EXPECT(wrong, fencelock_event_outcome(handles[EVENT], NULL, &error));
  EXPECT(wrong, fencelock_inspection_held(handles[INSPECTION], NULL, &error));
  EXPECT(wrong, fencelock_inspection_label(handles[INSPECTION], NULL, &length, &error));
  EXPECT(wrong, fencelock_client_options_set_tls_ca_file(handles[CLIENT_OPTIONS], NULL, &error));
  EXPECT(wrong,
         fencelock_client_options_set_tls_min_version(handles[CLIENT_OPTIONS], "1.1", &error));
  CHECK(fencelock_error_lock(of, NULL, &length) == wrong && length == 7);
  CHECK(fencelock_error_retryable(of, NULL) == wrong);
  // Nothing was taken on the way.
  CHECK(fencelock_lease_free(taken(client, "free")) == FENCELOCK_OK);
}

static void nothing_does_nothing(void) {
  for (size_t i = 0; i < COUNT; i++)
    if (EXPORTS[i].nullable && EXPORTS[i].kind != CLIENT_OPTIONS)
      CHECK(EXPORTS[i].call(NULL) == FENCELOCK_OK);
  CHECK(fencelock_client_options_free(NULL) == FENCELOCK_OK);
  CHECK(strlen(fencelock_error_message(NULL)) > 0);
  CHECK(strlen(fencelock_error_message((void *)handles[LEASE])) > 0);
}

static void answers_survive_a_panic(void) {
  CHECK(setenv("FENCELOCK_PANIC_IN", "fencelock_version", 1) == 0);
  CHECK(fencelock_version() != NULL && strlen(fencelock_version()) == 0);
  CHECK(setenv("FENCELOCK_PANIC_IN", "fencelock_abi_version", 1) == 0);
  CHECK(fencelock_abi_version() == UINT32_MAX);
  CHECK(setenv("FENCELOCK_PANIC_IN", "fencelock_error_message", 1) == 0);
  CHECK(strlen(fencelock_error_message(NULL)) > 0);
  CHECK(unsetenv("FENCELOCK_PANIC_IN") == 0);
}

int main(int argc, char **argv) {
  CHECK(argc == 2);
  none_is_missing(argv[1]);
  make_one_of_each();
  try_each(0);
  nowhere_to_write();
  nothing_does_nothing();
  for (size_t i = 0; i < COUNT; i++)
    panics(&EXPORTS[i], EXPORTS[i].kind == NONE ? NULL : handles[EXPORTS[i].kind]);
  answers_survive_a_panic();
  // All of that has harmed nothing.
  CHECK(is_held(handles[LEASE]));
  free_all(FENCELOCK_OK);
  free_all(FENCELOCK_INVALID_ARGUMENT);
  try_each(1);
  return 0;
}
