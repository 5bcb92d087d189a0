// Drives fencelock's C interface: a thread for each request. See ../README.md.
#include "c_line.h"
#include <fencelock.h>
#include <pthread.h>
#include <stdarg.h>
#include <sys/wait.h>
#include <unistd.h>

static const char *const KINDS[] = {"ok",      "acquire_timeout",  "would_deadlock", "not_held",
                                    "lost",    "unavailable",      "denied",         "cancelled",
                                    "closed",  "invalid_argument", "unsupported",    "backend",
                                    "internal"};
static const char *const LOSSES[] = {"none",   "expired", "refused", "max_hold",
                                     "closed", "forked",  "session"};

// What the runner has given names to.
struct named {
  struct named *next;
  char *name;
  void *thing;
};

static pthread_mutex_t registry = PTHREAD_MUTEX_INITIALIZER;
static struct named *clients, *leases, *tokens;

static void put(struct named **list, const char *name, void *thing) {
  struct named *entry = must(malloc(sizeof *entry));
  *entry = (struct named){*list, must(strdup(name)), thing};
  pthread_mutex_lock(&registry);
  entry->next = *list;
  *list = entry;
  pthread_mutex_unlock(&registry);
}

// NULL for what there is not: the library answers that.
static void *get(struct named **list, const char *name, int take) {
  void *thing = NULL;
  pthread_mutex_lock(&registry);
  for (struct named **at = list; *at != NULL; at = &(*at)->next) {
    if (strcmp((*at)->name, name) != 0)
      continue;
    struct named *entry = *at;
    thing = entry->thing;
    if (take) {
      *at = entry->next;
      free(entry->name);
      free(entry);
    }
    break;
  }
  pthread_mutex_unlock(&registry);
  return thing;
}

static void failed(struct text *out, int32_t status, fencelock_error *error) {
  int32_t loss = 0, retryable = 0, ambiguous = 0;
  fencelock_error_loss(error, &loss);
  fencelock_error_retryable(error, &retryable);
  fencelock_error_ambiguous(error, &ambiguous);
  append(out, "err %s code=%d message=", KINDS[status], fencelock_error_code(error));
  append_encoded(out, fencelock_error_message(error), strlen(fencelock_error_message(error)));
  if (loss != FENCELOCK_LOSS_NONE)
    append(out, " loss=%s", LOSSES[loss]);
  append(out, " retryable=%d ambiguous=%d", retryable, ambiguous);
  fencelock_error_free(error);
}

static fencelock_options *describe(const struct request *request) {
  fencelock_options *options = NULL;
  const struct field *label = field(request, "label");
  fencelock_options_new(&options, NULL);
  if (field(request, "ttl") != NULL)
    fencelock_options_set_ttl_ms(options, number(request, "ttl"), NULL);
  if (field(request, "renew") != NULL)
    fencelock_options_set_renew(options, number(request, "renew") != 0, NULL);
  if (field(request, "max_hold") != NULL)
    fencelock_options_set_max_hold_ms(options, number(request, "max_hold"), NULL);
  if (label != NULL)
    fencelock_options_set_label(options, label->value, label->length, NULL);
  fencelock_options_set_cancel(options, get(&tokens, request->id, 0), NULL);
  return options;
}

static uint64_t patience(const struct request *request) {
  return field(request, "timeout") != NULL ? number(request, "timeout") : FENCELOCK_FOREVER;
}

static void on_lost(void *name, int32_t reason) {
  struct text line = {0};
  append(&line, "! lost lease=%s reason=%s at=%llu", (char *)name, LOSSES[reason], boot_ns());
  say(&line);
}

static void claim(struct text *out, fencelock_lease *lease) {
  unsigned long long at = boot_ns();
  uint64_t fence = 0, remaining = 0;
  fencelock_lease_fence(lease, &fence, NULL);
  fencelock_lease_remaining_ms(lease, &remaining, NULL);
  append(out, "ok at=%llu fence=%llu remaining=%llu", at, (unsigned long long)fence,
         (unsigned long long)remaining * 1000000);
}

static int32_t take(const struct request *request, fencelock_lease **lease,
                    fencelock_error **error) {
  const struct field *name = field(request, "name");
  fencelock_client *client = get(&clients, value(request, "client"), 0);
  fencelock_options *options = describe(request);
  int32_t status =
      strcmp(request->op, "try") == 0
          ? fencelock_try_acquire(client, name->value, name->length, options, lease, error)
          : fencelock_acquire(client, name->value, name->length, patience(request), options, lease,
                              error);
  fencelock_options_free(options);
  return status;
}

static int32_t acquire(const struct request *request, struct text *out, fencelock_error **error) {
  fencelock_lease *lease = NULL;
  int32_t status = take(request, &lease, error);
  if (status == FENCELOCK_OK && lease == NULL) {
    append(out, "ok busy=1");
  } else if (status == FENCELOCK_OK) {
    claim(out, lease);
    put(&leases, value(request, "lease"), lease);
    // Kept for ever: the callback may come at any time.
    fencelock_lease_on_lost(lease, on_lost, must(strdup(value(request, "lease"))), NULL);
  }
  return status;
}

static int32_t held(const struct request *request, struct text *out, fencelock_error **error) {
  fencelock_lease *lease = get(&leases, value(request, "lease"), 0);
  int32_t is_held = 0;
  claim(out, lease);
  int32_t status = fencelock_lease_is_held(lease, &is_held, error);
  append(out, " held=%d", is_held);
  return status;
}

static int32_t connect_to(const struct request *request, fencelock_error **error) {
  fencelock_client_options *options = NULL;
  fencelock_client *client = NULL;
  const struct field *prefix = field(request, "prefix");
  fencelock_client_options_new(&options, NULL);
  if (prefix != NULL)
    fencelock_client_options_set_prefix(options, prefix->value, prefix->length, NULL);
  if (field(request, "response_timeout") != NULL)
    fencelock_client_options_set_response_timeout_ms(options, number(request, "response_timeout"),
                                                     NULL);
  int32_t status = fencelock_connect(value(request, "url"), options, &client, error);
  fencelock_client_options_free(options);
  if (status == FENCELOCK_OK)
    put(&clients, value(request, "client"), client);
  return status;
}

static int32_t inspect(const struct request *request, struct text *out, fencelock_error **error) {
  const struct field *name = field(request, "name");
  fencelock_inspection *seen = NULL;
  int32_t status = fencelock_inspect(get(&clients, value(request, "client"), 0), name->value,
                                     name->length, &seen, error);
  if (status != FENCELOCK_OK)
    return status;
  int32_t is_held = 0, foreign = 0;
  uint64_t waiters = 0, fence = 0;
  const char *label = "";
  size_t length = 0;
  fencelock_inspection_held(seen, &is_held, NULL);
  fencelock_inspection_waiters(seen, &waiters, NULL);
  append(out, "ok held=%d waiters=%llu", is_held, (unsigned long long)waiters);
  if (is_held) {
    fencelock_inspection_foreign(seen, &foreign, NULL);
    fencelock_inspection_fence(seen, &fence, NULL);
    fencelock_inspection_label(seen, &label, &length, NULL);
    append(out, " foreign=%d label=", foreign);
    append_encoded(out, label, length);
    if (fence != 0)
      append(out, " fence=%llu", (unsigned long long)fence);
  }
  fencelock_inspection_free(seen);
  return FENCELOCK_OK;
}

// Takes and gives back the lock so often, as fast as it can.
static int32_t sections(const struct request *request, struct text *out, fencelock_error **error) {
  append(out, "ok spans=");
  for (uint64_t n = number(request, "n"), i = 0; i < n; i++) {
    fencelock_lease *lease = NULL;
    uint64_t fence = 0;
    int32_t status = take(request, &lease, error);
    if (status != FENCELOCK_OK)
      return status;
    fencelock_lease_fence(lease, &fence, NULL);
    unsigned long long from = boot_ns(), until = boot_ns();
    status = fencelock_release(lease, error);
    fencelock_lease_free(lease);
    if (status != FENCELOCK_OK)
      return status;
    append(out, "%s%llu:%llu:%llu", i == 0 ? "" : ",", (unsigned long long)fence, from, until);
  }
  return FENCELOCK_OK;
}

static void told(struct text *out, const char *what, fencelock_error *error) {
  int32_t loss = 0;
  fencelock_error_loss(error, &loss);
  append(out, " %s=%s", what, LOSSES[loss]);
  fencelock_error_free(error);
}

// What a forked child finds: the parent's lease is dead, the client works.
static int32_t in_child(const struct request *request, struct text *out, fencelock_error **error) {
  fencelock_lease *parents = get(&leases, value(request, "lease"), 0), *own = NULL;
  fencelock_error *said = NULL;
  int32_t is_held = 1;
  uint64_t fence = 0;
  fencelock_lease_is_held(parents, &is_held, NULL);
  append(out, "ok held=%d", is_held);
  fencelock_lease_check(parents, &said);
  told(out, "check", said);
  fencelock_release(parents, &said);
  told(out, "release", said);
  fencelock_lease_free(parents);
  int32_t status = take(request, &own, error);
  if (status != FENCELOCK_OK)
    return status;
  fencelock_lease_fence(own, &fence, NULL);
  append(out, " fence=%llu", (unsigned long long)fence);
  return fencelock_release(own, error);
}

static void carry_out(const struct request *request, struct text *out);

static void forked(const struct request *request, struct text *out) {
  int ends[2];
  if (pipe(ends) != 0)
    abort();
  pid_t child = fork();
  if (child == 0) {
    struct request inside = *request;
    struct text said = {0};
    inside.op = "in_child";
    carry_out(&inside, &said);
    _exit(write(ends[1], said.bytes, said.length) < 0);
  }
  close(ends[1]);
  char bytes[4096];
  for (ssize_t n; (n = read(ends[0], bytes, sizeof bytes)) > 0;)
    append(out, "%.*s", (int)n, bytes);
  close(ends[0]);
  waitpid(child, NULL, 0);
}

static void carry_out(const struct request *request, struct text *out) {
  const char *op = request->op;
  const size_t before = out->length;
  fencelock_error *error = NULL;
  int32_t status = FENCELOCK_OK;
  unsigned long long at = boot_ns();
  if (strcmp(op, "hello") == 0) {
    append(out, "ok name=c can=apart,cancel,drop,exact_cancel,fork,release_twice");
  } else if (strcmp(op, "connect") == 0) {
    status = connect_to(request, &error);
  } else if (strcmp(op, "close") == 0) {
    status = fencelock_client_close(get(&clients, value(request, "client"), 0), &error);
  } else if (strcmp(op, "acquire") == 0 || strcmp(op, "try") == 0) {
    status = acquire(request, out, &error);
  } else if (strcmp(op, "cancel") == 0) {
    // There is no token any more if the wait is over.
    fencelock_cancel_fire(get(&tokens, value(request, "request"), 0), NULL);
  } else if (strcmp(op, "held") == 0) {
    status = held(request, out, &error);
  } else if (strcmp(op, "check") == 0) {
    status = fencelock_lease_check(get(&leases, value(request, "lease"), 0), &error);
  } else if (strcmp(op, "renew") == 0) {
    status = fencelock_lease_renew(get(&leases, value(request, "lease"), 0), &error);
  } else if (strcmp(op, "release") == 0) {
    status = fencelock_release(get(&leases, value(request, "lease"), 0), &error);
    append(out, "ok at=%llu", at);
  } else if (strcmp(op, "drop") == 0) {
    fencelock_lease_free(get(&leases, value(request, "lease"), 1));
    append(out, "ok at=%llu", at);
  } else if (strcmp(op, "inspect") == 0) {
    status = inspect(request, out, &error);
  } else if (strcmp(op, "sections") == 0) {
    status = sections(request, out, &error);
  } else if (strcmp(op, "fork") == 0) {
    forked(request, out);
  } else if (strcmp(op, "in_child") == 0) {
    status = in_child(request, out, &error);
  } else {
    append(out, "err usage message=no%%20such%%20operation");
  }
  if (status != FENCELOCK_OK) {
    out->length = before;
    failed(out, status, error);
  } else if (out->length == before) {
    append(out, "ok");
  }
}

static void *answer(void *argument) {
  struct request *request = argument;
  struct text line = {0};
  append(&line, "%s ", request->id);
  carry_out(request, &line);
  fencelock_cancel_free(get(&tokens, request->id, 1));
  say(&line);
  free_request(request);
  return NULL;
}

static void write_log(void *unused, int32_t level, const char *message) {
  (void)unused;
  fprintf(stderr, "%d %s\n", level, message);
}

int main(void) {
  char *line = NULL;
  size_t size = 0;
  if (getenv("FENCELOCK_DRIVER_QUIET") == NULL)
    fencelock_set_log(FENCELOCK_LOG_TRACE, write_log, NULL, NULL);
  while (getline(&line, &size, stdin) > 0) {
    struct request *request = read_request(line);
    if (strcmp(request->op, "exit") == 0) {
      struct text said = {0};
      append(&said, "%s ok", request->id);
      say(&said);
      free_request(request);
      break;
    }
    // Before its thread starts, so that a cancel behind it finds it.
    fencelock_cancel *token = NULL;
    fencelock_cancel_new(&token, NULL);
    put(&tokens, request->id, token);
    pthread_t thread;
    if (pthread_create(&thread, NULL, answer, request) != 0)
      abort();
    pthread_detach(thread);
  }
  free(line);
  return 0;
}
