// fencelock: distributed locks on Redis and Valkey. Link with -lfencelock; docs/c.md shows how.
// Generated from bindings/c/src (make fmt); do not edit.
//
// A lease is held for as long as fencelock_lease_is_held says so, if the server's stated assumptions
// hold. A process can be paused between that question and its write: where correctness matters, give
// fencelock_lease_fence to what you write to, and let it refuse smaller numbers.
//
// Conventions
//
// Status. Functions return an int32_t: FENCELOCK_OK (0), or what went wrong, by the numbers below,
//   which are never reused. fencelock_error_code is one itself; fencelock_version,
//   fencelock_abi_version and fencelock_error_message have their answers instead. A last parameter
//   `error` may be NULL; otherwise *error is set on failure, only then, to an error that says more
//   and is to be freed with fencelock_error_free. Other out-parameters are written on success only,
//   must not be NULL unless it says so, and must point to what can be written to.
// Handles. What looks like a pointer (fencelock_client *, ...) is a number that is checked at each
//   use and never followed. NULL, a handle that was freed, and one of another kind are answered
//   FENCELOCK_INVALID_ARGUMENT; freeing twice as well. Only where it says so, NULL stands for the
//   defaults; freeing NULL does nothing. What a function gives belongs to the caller, who frees it.
// Texts. Names, prefixes, labels and PEM texts are a pointer and a length in bytes; a length of 0
//   needs no pointer. URLs, paths, host names and TLS versions end in NUL. All are UTF-8, must be
//   readable and unchanged during the call, and are copied where they are kept.
// Times are in ms. FENCELOCK_FOREVER as a timeout waits without limit.
// Threads. Every function may be called from every thread, also for one handle at the same time,
//   also while another thread frees it: calls under way come to their end. Not from a signal
//   handler. Callbacks run on a thread of fencelock, one at a time; on it, functions that block
//   answer FENCELOCK_WOULD_DEADLOCK. They must not throw.
// Fork. A child uses the parent's clients and options as its own: they connect anew. Leases stay with
//   the parent: in the child they are lost (FENCELOCK_LOSS_FORKED), and to free them there does
//   nothing to the lock. Events, callbacks and what was begun stay with the parent, too.


#ifndef FENCELOCK_H
#define FENCELOCK_H

#include <stddef.h>
#include <stdint.h>

/**
 * Success. Every other status is a number of the list below, never reused.
 */
#define FENCELOCK_OK 0

/**
 * The time to wait was over and somebody else still held the lock.
 */
#define FENCELOCK_ACQUIRE_TIMEOUT 1

/**
 * The call would wait for itself.
 */
#define FENCELOCK_WOULD_DEADLOCK 2

/**
 * There is nothing to give back: it was released before.
 */
#define FENCELOCK_NOT_HELD 3

/**
 * The lease was lost; `fencelock_error_loss` and `fencelock_lease_lost_reason` tell why.
 */
#define FENCELOCK_LOST 4

/**
 * The server can't be reached or can't serve just now.
 */
#define FENCELOCK_UNAVAILABLE 5

/**
 * The server refused the password, the user or a command.
 */
#define FENCELOCK_DENIED 6

/**
 * The cancel token was fired.
 */
#define FENCELOCK_CANCELLED 7

/**
 * The client was closed.
 */
#define FENCELOCK_CLOSED 8

/**
 * A handle, an argument, an option or the URL is wrong; nothing was done.
 */
#define FENCELOCK_INVALID_ARGUMENT 9

/**
 * This build or this server lacks what was asked for.
 */
#define FENCELOCK_UNSUPPORTED 10

/**
 * The server answered with an error.
 */
#define FENCELOCK_BACKEND 11

/**
 * A bug in fencelock.
 */
#define FENCELOCK_INTERNAL 12

/**
 * Not lost.
 */
#define FENCELOCK_LOSS_NONE 0

/**
 * The lease ran out before it was renewed.
 */
#define FENCELOCK_LOSS_EXPIRED 1

/**
 * The server no longer has this lease: deleted, released by force, or forgotten.
 */
#define FENCELOCK_LOSS_REFUSED 2

/**
 * It had been held for `max_hold`.
 */
#define FENCELOCK_LOSS_MAX_HOLD 3

/**
 * The client was closed.
 */
#define FENCELOCK_LOSS_CLOSED 4

/**
 * The process forked; the lease stays with the parent.
 */
#define FENCELOCK_LOSS_FORKED 5

/**
 * The session with the backend ended.
 */
#define FENCELOCK_LOSS_SESSION 6

/**
 * As a timeout: wait without limit.
 */
#define FENCELOCK_FOREVER UINT64_MAX

/**
 * An acquire that `fencelock_begin_acquire` began was decided.
 */
#define FENCELOCK_EVENT_ACQUIRE 1

/**
 * A release that `fencelock_begin_release` began was decided.
 */
#define FENCELOCK_EVENT_RELEASE 2

/**
 * A lease that `fencelock_lease_watch` watches was lost.
 */
#define FENCELOCK_EVENT_LOST 3

/**
 * No log.
 */
#define FENCELOCK_LOG_OFF 0

/**
 * What went wrong.
 */
#define FENCELOCK_LOG_ERROR 1

/**
 * Also lost leases, failed renewals, long holds.
 */
#define FENCELOCK_LOG_WARN 2

/**
 * Also what is of interest in operation.
 */
#define FENCELOCK_LOG_INFO 3

/**
 * Also what helps to find an error.
 */
#define FENCELOCK_LOG_DEBUG 4

/**
 * Everything.
 */
#define FENCELOCK_LOG_TRACE 5

/**
 * What `fencelock_abi_version` answers where header and library fit together.
 */
#define FENCELOCK_ABI_VERSION 0

/**
 * A cancel token: fired once, it ends every wait that was given it, and every later one at once.
 */
typedef struct fencelock_cancel fencelock_cancel;

/**
 * One server, by URL: gives locks.
 */
typedef struct fencelock_client fencelock_client;

/**
 * How a client connects. What is not set has its default.
 */
typedef struct fencelock_client_options fencelock_client_options;

/**
 * What went wrong, with which lock, and what to do about it. Never shows a password or an owner
 * token.
 */
typedef struct fencelock_error fencelock_error;

/**
 * Something that an event loop is told.
 */
typedef struct fencelock_event fencelock_event;

/**
 * Who held a lock, and how many waited.
 */
typedef struct fencelock_inspection fencelock_inspection;

/**
 * One holding of a lock, from its grant until it is released or lost. It is renewed in the
 * background.
 */
typedef struct fencelock_lease fencelock_lease;

/**
 * How a lock is taken and held. What is not set has its default.
 */
typedef struct fencelock_options fencelock_options;

/**
 * Called when a lease is lost, with one of `FENCELOCK_LOSS_…`.
 */
typedef void (*fencelock_lost_callback)(void *userdata, int32_t reason);

/**
 * Called for a line of the log, with one of `FENCELOCK_LOG_…`. The message ends in NUL, and is
 * there for the length of the call.
 */
typedef void (*fencelock_log_callback)(void *userdata, int32_t level, const char *message);

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

/**
 * Makes a cancel token; free it with `fencelock_cancel_free`. Any thread.
 *
 * Errors: `FENCELOCK_INVALID_ARGUMENT` if `cancel` is NULL.
 */
int32_t fencelock_cancel_new(fencelock_cancel **cancel, fencelock_error **error);

/**
 * Fires a token: every call that waits with it ends with `FENCELOCK_CANCELLED` within about
 * 50 ms, and leaves nothing behind; what `fencelock_begin_acquire` began with it is decided at
 * once. A call that has its lease already keeps it. Firing again does nothing. Any thread; not
 * from a signal handler.
 *
 * Errors: `FENCELOCK_INVALID_ARGUMENT`.
 */
int32_t fencelock_cancel_fire(fencelock_cancel *cancel, fencelock_error **error);

/**
 * Frees a token, without firing it; NULL is none. Options that it was given to keep it. Any
 * thread.
 *
 * Errors: `FENCELOCK_INVALID_ARGUMENT` if it was freed before.
 */
int32_t fencelock_cancel_free(fencelock_cancel *cancel);

/**
 * Connects to a server. Blocks for the connect timeout at most (default 5 s).
 *
 * `url` ends in NUL, such as `redis://localhost:6379/0`; NULL stands for the environment variable
 * `FENCELOCK_URL`. `options` may be NULL for the defaults, and may be freed or changed afterwards.
 * On success `*client` is a client, to be freed with `fencelock_client_free`. Any thread.
 *
 * After `fork` the child's copy connects anew when it is used first; leases stay with the parent.
 *
 * Errors: `FENCELOCK_INVALID_ARGUMENT` for a URL that can't be read or options out of range,
 * `FENCELOCK_UNAVAILABLE`, `FENCELOCK_DENIED`, `FENCELOCK_CANCELLED`; `FENCELOCK_WOULD_DEADLOCK`
 * from a callback.
 */
int32_t fencelock_connect(const char *url,
                          const fencelock_client_options *options,
                          fencelock_client **client,
                          fencelock_error **error);

/**
 * Ends every wait of a client with `FENCELOCK_CLOSED`, releases every lease and closes the
 * connections. Blocks for at most about 1 s. The client has to be freed all the same. Closing
 * again does nothing. Any thread.
 *
 * Errors: `FENCELOCK_INVALID_ARGUMENT`; `FENCELOCK_WOULD_DEADLOCK` from a callback.
 */
int32_t fencelock_client_close(fencelock_client *client, fencelock_error **error);

/**
 * The descriptor for an event loop: readable (poll, epoll, kqueue) when `fencelock_next_event`
 * has something to give. It belongs to the client, which closes it when it is freed: take it out
 * of the loop before. A forked child has another one. Do not read from it. Any thread.
 *
 * Errors: `FENCELOCK_INVALID_ARGUMENT`; `FENCELOCK_INTERNAL` if there are no more descriptors.
 */
int32_t fencelock_client_fd(fencelock_client *client, int *fd, fencelock_error **error);

/**
 * Frees a client; NULL is none. Waits that `fencelock_begin_acquire` began are cancelled and
 * events are dropped, the leases that came with them given back; calls that other threads are in
 * the middle of come to their end. Leases that the program has go on until they are released,
 * freed or lost: `fencelock_client_close` ends them. Does not block. Any thread.
 *
 * Errors: `FENCELOCK_INVALID_ARGUMENT` if it was freed before.
 */
int32_t fencelock_client_free(fencelock_client *client);

/**
 * Makes options of a client with nothing set; free them with `fencelock_client_options_free`. Any
 * thread; who changes them in two threads at once loses one of the changes.
 *
 * Errors: `FENCELOCK_INVALID_ARGUMENT` if `options` is NULL.
 */
int32_t fencelock_client_options_new(fencelock_client_options **options, fencelock_error **error);

/**
 * Put before every lock's name to make the key: UTF-8, copied. Clients with different prefixes do not
 * exclude each other. The URL's `prefix` parameter says the same. Default none. Any thread.
 *
 * Errors: `FENCELOCK_INVALID_ARGUMENT`.
 */
int32_t fencelock_client_options_set_prefix(fencelock_client_options *options,
                                            const char *prefix,
                                            size_t prefix_len,
                                            fencelock_error **error);

/**
 * How long connecting may take, in ms: 1 to 3,600,000. Default 5,000. On behalf of a lease it is
 * never longer than the lease allows. Any thread.
 *
 * Errors: `FENCELOCK_INVALID_ARGUMENT`.
 */
int32_t fencelock_client_options_set_connect_timeout_ms(fencelock_client_options *options,
                                                        uint64_t timeout_ms,
                                                        fencelock_error **error);

/**
 * How long an answer may take, in ms: 1 to 3,600,000. Default 5,000. On behalf of a lease it is
 * never longer than the lease allows. Any thread.
 *
 * Errors: `FENCELOCK_INVALID_ARGUMENT`.
 */
int32_t fencelock_client_options_set_response_timeout_ms(fencelock_client_options *options,
                                                         uint64_t timeout_ms,
                                                         fencelock_error **error);

/**
 * The CA certificates to trust instead of the system's. As all that begins with `set_tls_`, it is
 * for `rediss://` URLs and refused with others. `path` ends in NUL, and names a file in PEM that
 * is read when connecting. Any thread.
 *
 * Errors: `FENCELOCK_INVALID_ARGUMENT`.
 */
int32_t fencelock_client_options_set_tls_ca_file(fencelock_client_options *options,
                                                 const char *path,
                                                 fencelock_error **error);

/**
 * As `fencelock_client_options_set_tls_ca_file`, the PEM text itself: copied. Any thread.
 *
 * Errors: `FENCELOCK_INVALID_ARGUMENT`.
 */
int32_t fencelock_client_options_set_tls_ca_pem(fencelock_client_options *options,
                                                const char *pem,
                                                size_t pem_len,
                                                fencelock_error **error);

/**
 * The client certificate to show, its chain after it; goes with `set_tls_key_…`. `path` ends in NUL, and
 * names a file in PEM that is read when connecting. Any thread.
 *
 * Errors: `FENCELOCK_INVALID_ARGUMENT`.
 */
int32_t fencelock_client_options_set_tls_cert_file(fencelock_client_options *options,
                                                   const char *path,
                                                   fencelock_error **error);

/**
 * As `fencelock_client_options_set_tls_cert_file`, the PEM text itself: copied. Any thread.
 *
 * Errors: `FENCELOCK_INVALID_ARGUMENT`.
 */
int32_t fencelock_client_options_set_tls_cert_pem(fencelock_client_options *options,
                                                  const char *pem,
                                                  size_t pem_len,
                                                  fencelock_error **error);

/**
 * The private key of the client certificate, not encrypted. `path` ends in NUL, and
 * names a file in PEM that is read when connecting. Any thread.
 *
 * Errors: `FENCELOCK_INVALID_ARGUMENT`.
 */
int32_t fencelock_client_options_set_tls_key_file(fencelock_client_options *options,
                                                  const char *path,
                                                  fencelock_error **error);

/**
 * As `fencelock_client_options_set_tls_key_file`, the PEM text itself: copied. Any thread.
 *
 * Errors: `FENCELOCK_INVALID_ARGUMENT`.
 */
int32_t fencelock_client_options_set_tls_key_pem(fencelock_client_options *options,
                                                 const char *pem,
                                                 size_t pem_len,
                                                 fencelock_error **error);

/**
 * The name that the server's certificate must be for, and that is sent as SNI; ends in NUL. Default:
 * the URL's host. Any thread.
 *
 * Errors: `FENCELOCK_INVALID_ARGUMENT`.
 */
int32_t fencelock_client_options_set_tls_server_name(fencelock_client_options *options,
                                                     const char *name,
                                                     fencelock_error **error);

/**
 * The oldest version of TLS to speak: "1.2" or "1.3"; ends in NUL. Default "1.2". Any thread.
 *
 * Errors: `FENCELOCK_INVALID_ARGUMENT`.
 */
int32_t fencelock_client_options_set_tls_min_version(fencelock_client_options *options,
                                                     const char *version,
                                                     fencelock_error **error);

/**
 * Not 0 takes whoever answers for the server: anybody on the way can read the password, and grant
 * locks. For trying things out. Default 0. Any thread.
 *
 * Errors: `FENCELOCK_INVALID_ARGUMENT`.
 */
int32_t fencelock_client_options_set_danger_accept_invalid_certs(fencelock_client_options *options,
                                                                 int32_t accept,
                                                                 fencelock_error **error);

/**
 * Not 0: `fencelock_connect` only checks what it is given, and the client connects when it is used
 * first. Default 0. Any thread.
 *
 * Errors: `FENCELOCK_INVALID_ARGUMENT`.
 */
int32_t fencelock_client_options_set_lazy(fencelock_client_options *options,
                                          int32_t lazy,
                                          fencelock_error **error);

/**
 * The token that ends `fencelock_connect`; NULL for none. It may be freed afterwards. Any thread.
 *
 * Errors: `FENCELOCK_INVALID_ARGUMENT`.
 */
int32_t fencelock_client_options_set_cancel(fencelock_client_options *options,
                                            fencelock_cancel *cancel,
                                            fencelock_error **error);

/**
 * Frees options; NULL is none. Any thread.
 *
 * Errors: `FENCELOCK_INVALID_ARGUMENT` if they were freed before.
 */
int32_t fencelock_client_options_free(fencelock_client_options *options);

/**
 * The status that came with an error: one of the numbers from `FENCELOCK_ACQUIRE_TIMEOUT` on.
 * `FENCELOCK_INVALID_ARGUMENT` also for a handle that is none. Any thread.
 */
int32_t fencelock_error_code(const fencelock_error *error);

/**
 * What happened, to which lock, and what to do: one line of UTF-8 that ends in NUL. It belongs to
 * the error, and is there until that is freed. Never NULL: for a handle that is none a text that
 * says so. Any thread.
 */
const char *fencelock_error_message(const fencelock_error *error);

/**
 * The lock that it is about: UTF-8 of this length, without a NUL behind it; NULL and 0 if it is
 * about none. It belongs to the error, and is there until that is freed. Any thread.
 *
 * Errors: `FENCELOCK_INVALID_ARGUMENT`.
 */
int32_t fencelock_error_lock(const fencelock_error *error, const char **name, size_t *name_len);

/**
 * Whether the same call may succeed later: 1 or 0. Any thread.
 *
 * Errors: `FENCELOCK_INVALID_ARGUMENT`.
 */
int32_t fencelock_error_retryable(const fencelock_error *error, int32_t *retryable);

/**
 * Whether the command may have been carried out although its answer never came: 1 or 0. Any
 * thread.
 *
 * Errors: `FENCELOCK_INVALID_ARGUMENT`.
 */
int32_t fencelock_error_ambiguous(const fencelock_error *error, int32_t *ambiguous);

/**
 * Why the lease was lost: one of `FENCELOCK_LOSS_…`; `FENCELOCK_LOSS_NONE` unless the code is
 * `FENCELOCK_LOST`. Any thread.
 *
 * Errors: `FENCELOCK_INVALID_ARGUMENT`.
 */
int32_t fencelock_error_loss(const fencelock_error *error, int32_t *loss);

/**
 * Frees an error; NULL is none. Any thread.
 *
 * Errors: `FENCELOCK_INVALID_ARGUMENT` if it was freed before.
 */
int32_t fencelock_error_free(fencelock_error *error);

/**
 * Takes the next event of a client, without blocking: NULL in `*event` if there is none. Call it
 * when the client's descriptor is readable, until it gives none or once each time. On success
 * `*event` is to be freed with `fencelock_event_free`. Any thread.
 *
 * Errors: `FENCELOCK_INVALID_ARGUMENT`; `FENCELOCK_INTERNAL` if there are no more descriptors.
 */
int32_t fencelock_next_event(fencelock_client *client,
                             fencelock_event **event,
                             fencelock_error **error);

/**
 * What happened: one of `FENCELOCK_EVENT_…`. Any thread.
 *
 * Errors: `FENCELOCK_INVALID_ARGUMENT`.
 */
int32_t fencelock_event_kind(const fencelock_event *event, int32_t *kind, fencelock_error **error);

/**
 * The `userdata` of the call that the event is about. Any thread.
 *
 * Errors: `FENCELOCK_INVALID_ARGUMENT`.
 */
int32_t fencelock_event_userdata(const fencelock_event *event,
                                 void **userdata,
                                 fencelock_error **error);

/**
 * Answers as the call would have that the event is about, and passes its lease on: once.
 *
 * `FENCELOCK_EVENT_ACQUIRE`: as `fencelock_acquire`; on success `*lease` is a lease, to be freed
 * with `fencelock_lease_free`. `FENCELOCK_EVENT_RELEASE`: as `fencelock_release`.
 * `FENCELOCK_EVENT_LOST`: `FENCELOCK_LOST`, the reason in the error. `lease` may be NULL for the
 * latter two, which don't write to it. A lease that nobody takes is given back when the event is
 * freed. Any thread.
 *
 * Errors: those of the call; `FENCELOCK_INVALID_ARGUMENT` also if the outcome was taken before.
 */
int32_t fencelock_event_outcome(fencelock_event *event,
                                fencelock_lease **lease,
                                fencelock_error **error);

/**
 * Frees an event; NULL is none. Any thread.
 *
 * Errors: `FENCELOCK_INVALID_ARGUMENT` if it was freed before.
 */
int32_t fencelock_event_free(fencelock_event *event);

/**
 * Shows who holds a lock and how many wait, without taking part. Blocks for the response timeout
 * at most (default 5 s). `name` is as with `fencelock_acquire`. On success `*inspection` is to be
 * freed with `fencelock_inspection_free`. Any thread.
 *
 * Errors: `FENCELOCK_INVALID_ARGUMENT`, `FENCELOCK_UNAVAILABLE`, `FENCELOCK_DENIED`,
 * `FENCELOCK_CLOSED`, `FENCELOCK_BACKEND`; `FENCELOCK_WOULD_DEADLOCK` from a callback.
 */
int32_t fencelock_inspect(fencelock_client *client,
                          const char *name,
                          size_t name_len,
                          fencelock_inspection **inspection,
                          fencelock_error **error);

/**
 * Whether anybody held it: 1 or 0. Any thread.
 *
 * Errors: `FENCELOCK_INVALID_ARGUMENT`.
 */
int32_t fencelock_inspection_held(const fencelock_inspection *inspection,
                                  int32_t *held,
                                  fencelock_error **error);

/**
 * How many waited in line, the dead that were not found yet included. Any thread.
 *
 * Errors: `FENCELOCK_INVALID_ARGUMENT`.
 */
int32_t fencelock_inspection_waiters(const fencelock_inspection *inspection,
                                     uint64_t *waiters,
                                     fencelock_error **error);

/**
 * The fence of the holder's lease; 0 for a client of another library, which has none. Any thread.
 *
 * Errors: `FENCELOCK_INVALID_ARGUMENT`, also if nobody held it.
 */
int32_t fencelock_inspection_fence(const fencelock_inspection *inspection,
                                   uint64_t *fence,
                                   fencelock_error **error);

/**
 * Whether the holder is a client of another library: 1 or 0. Any thread.
 *
 * Errors: `FENCELOCK_INVALID_ARGUMENT`, also if nobody held it.
 */
int32_t fencelock_inspection_foreign(const fencelock_inspection *inspection,
                                     int32_t *foreign,
                                     fencelock_error **error);

/**
 * The TTL of the holder's lease in ms; 0 for a client of another library, whose TTL is not known.
 * Any thread.
 *
 * Errors: `FENCELOCK_INVALID_ARGUMENT`, also if nobody held it.
 */
int32_t fencelock_inspection_ttl_ms(const fencelock_inspection *inspection,
                                    uint64_t *ttl_ms,
                                    fencelock_error **error);

/**
 * How long the lock stays held unless renewed, in ms; `FENCELOCK_FOREVER` without end. Any thread.
 *
 * Errors: `FENCELOCK_INVALID_ARGUMENT`, also if nobody held it.
 */
int32_t fencelock_inspection_remaining_ms(const fencelock_inspection *inspection,
                                          uint64_t *remaining_ms,
                                          fencelock_error **error);

/**
 * The label that the holder gave: UTF-8 of this length, without a NUL behind it. It belongs to the
 * inspection, and is there until that is freed. Any thread.
 *
 * Errors: `FENCELOCK_INVALID_ARGUMENT`, also if nobody held it.
 */
int32_t fencelock_inspection_label(const fencelock_inspection *inspection,
                                   const char **label,
                                   size_t *label_len,
                                   fencelock_error **error);

/**
 * A short text that is the same for the length of one lease, and tells holders apart; not the owner
 * token. Otherwise as `fencelock_inspection_label`. Any thread.
 *
 * Errors: `FENCELOCK_INVALID_ARGUMENT`, also if nobody held it.
 */
int32_t fencelock_inspection_holder(const fencelock_inspection *inspection,
                                    const char **id,
                                    size_t *id_len,
                                    fencelock_error **error);

/**
 * Frees what was seen; NULL is none. Any thread.
 *
 * Errors: `FENCELOCK_INVALID_ARGUMENT` if it was freed before.
 */
int32_t fencelock_inspection_free(fencelock_inspection *inspection);

/**
 * The fence: larger than that of every earlier lease of this lock, and below 2^53. Give it to
 * what you write to, and let that refuse smaller ones. Any thread.
 *
 * Errors: `FENCELOCK_INVALID_ARGUMENT`.
 */
int32_t fencelock_lease_fence(const fencelock_lease *lease,
                              uint64_t *fence,
                              fencelock_error **error);

/**
 * Whether the lock is held at this moment: 1 or 0. Costs a look at the clock, no round trip. Any
 * thread.
 *
 * Errors: `FENCELOCK_INVALID_ARGUMENT`; that the lease is lost or released is none, see
 * `fencelock_lease_check`.
 */
int32_t fencelock_lease_is_held(const fencelock_lease *lease,
                                int32_t *held,
                                fencelock_error **error);

/**
 * How many whole ms the lease still lasts unless it is renewed; 0 once it is not held. Any thread.
 *
 * Errors: `FENCELOCK_INVALID_ARGUMENT`.
 */
int32_t fencelock_lease_remaining_ms(const fencelock_lease *lease,
                                     uint64_t *remaining_ms,
                                     fencelock_error **error);

/**
 * Why the lease was lost: one of `FENCELOCK_LOSS_…`, `FENCELOCK_LOSS_NONE` if it was not. Any
 * thread.
 *
 * Errors: `FENCELOCK_INVALID_ARGUMENT`.
 */
int32_t fencelock_lease_lost_reason(const fencelock_lease *lease,
                                    int32_t *reason,
                                    fencelock_error **error);

/**
 * Succeeds while the lock is held; ask before each step of the protected work. No round trip. Any
 * thread.
 *
 * Errors: `FENCELOCK_LOST`, `FENCELOCK_NOT_HELD` after a release, `FENCELOCK_INVALID_ARGUMENT`.
 */
int32_t fencelock_lease_check(const fencelock_lease *lease, fencelock_error **error);

/**
 * Renews the lease now, for its full TTL. Blocks for the response timeout at most (default 5 s).
 * Any thread.
 *
 * Errors: `FENCELOCK_LOST` if the server refused or the time was over, `FENCELOCK_UNAVAILABLE` if
 * it could not be reached (the lease is held until its deadline all the same),
 * `FENCELOCK_NOT_HELD`, `FENCELOCK_INVALID_ARGUMENT`; `FENCELOCK_WOULD_DEADLOCK` from a callback.
 */
int32_t fencelock_lease_renew(fencelock_lease *lease, fencelock_error **error);

/**
 * Gives the lock back, to the first waiter if there is one, and tells how that went. Blocks for
 * the response timeout at most (default 5 s, never longer than the TTL). The lease has to be freed
 * all the same. Any thread.
 *
 * Errors: `FENCELOCK_LOST` if it was not held any more; `FENCELOCK_UNAVAILABLE` if the server did
 * not confirm: the release is then repeated in the background until the lease ends by itself;
 * `FENCELOCK_NOT_HELD` if it was released before; `FENCELOCK_INVALID_ARGUMENT`;
 * `FENCELOCK_WOULD_DEADLOCK` from a callback.
 */
int32_t fencelock_release(fencelock_lease *lease, fencelock_error **error);

/**
 * Begins to give the lock back, and returns at once: the lease is not held any more, and how it
 * went is an event of the kind `FENCELOCK_EVENT_RELEASE` with this `userdata` from
 * `fencelock_next_event`. The lease may be freed before that. Any thread.
 *
 * Errors: `FENCELOCK_NOT_HELD` if it was released before, `FENCELOCK_LOST` in a forked child,
 * `FENCELOCK_INVALID_ARGUMENT`. There is no event then.
 */
int32_t fencelock_begin_release(fencelock_lease *lease, void *userdata, fencelock_error **error);

/**
 * Has the loss of this lease told as an event of the kind `FENCELOCK_EVENT_LOST` with this
 * `userdata` from `fencelock_next_event`: once, and not after the lease was released or freed.
 * Any thread.
 *
 * Errors: `FENCELOCK_INVALID_ARGUMENT`, `FENCELOCK_INTERNAL`.
 */
int32_t fencelock_lease_watch(fencelock_lease *lease, void *userdata, fencelock_error **error);

/**
 * Calls back once when this lease is lost, with `userdata` and one of `FENCELOCK_LOSS_…`, on a
 * thread of fencelock that does nothing else; one callback at a time. It may block, and may call
 * every function that does not block. There is no call after the lease was released. When
 * `fencelock_lease_free` has returned, none is under way either, unless that was called from
 * within it. Any thread.
 *
 * Errors: `FENCELOCK_INVALID_ARGUMENT`; `FENCELOCK_INTERNAL` if no thread can be started.
 */
int32_t fencelock_lease_on_lost(fencelock_lease *lease,
                                fencelock_lost_callback callback,
                                void *userdata,
                                fencelock_error **error);

/**
 * Stops renewing without releasing: the lock stays taken until its TTL is over. For languages
 * whose garbage collector finds a lease that nobody released: to free it would unlock what somebody
 * may still rely on. The lease has to be freed all the same. Any thread.
 *
 * Errors: `FENCELOCK_INVALID_ARGUMENT`.
 */
int32_t fencelock_lease_abandon(fencelock_lease *lease, fencelock_error **error);

/**
 * Frees a lease; NULL is none. If it was not released, it is in the background; how that goes is
 * not told. Waits for a callback of this lease that is just running; does not block otherwise. Any
 * thread.
 *
 * Errors: `FENCELOCK_INVALID_ARGUMENT` if it was freed before.
 */
int32_t fencelock_lease_free(fencelock_lease *lease);

/**
 * Takes a lock, waiting in line for it: at most `timeout_ms` ms; 0 makes one attempt,
 * `FENCELOCK_FOREVER` waits without limit. Blocks for so long. Not reentrant: a thread that has
 * the lock already waits for itself.
 *
 * `name` is UTF-8 of `name_len` bytes, 1 to 512 with the client's prefix; no NUL is needed.
 * `options` may be NULL for the defaults (TTL 10 s, renewed), and may be freed or changed
 * afterwards. On success `*lease` is a lease, to be freed with `fencelock_lease_free`. Any thread.
 *
 * Errors: `FENCELOCK_ACQUIRE_TIMEOUT`, `FENCELOCK_UNAVAILABLE`, `FENCELOCK_DENIED`,
 * `FENCELOCK_CANCELLED`, `FENCELOCK_CLOSED`, `FENCELOCK_INVALID_ARGUMENT`, `FENCELOCK_BACKEND`;
 * `FENCELOCK_WOULD_DEADLOCK` from a callback. Nothing is left behind then.
 */
int32_t fencelock_acquire(fencelock_client *client,
                          const char *name,
                          size_t name_len,
                          uint64_t timeout_ms,
                          const fencelock_options *options,
                          fencelock_lease **lease,
                          fencelock_error **error);

/**
 * Takes a lock if it is free at this moment. If somebody has it or waits for it, that is a success
 * with NULL in `*lease`. Blocks for a round trip to the server. Everything else is as with
 * `fencelock_acquire`. Any thread.
 *
 * Errors: as `fencelock_acquire`, less `FENCELOCK_ACQUIRE_TIMEOUT`.
 */
int32_t fencelock_try_acquire(fencelock_client *client,
                              const char *name,
                              size_t name_len,
                              const fencelock_options *options,
                              fencelock_lease **lease,
                              fencelock_error **error);

/**
 * Begins to take a lock, and returns at once: what comes of it is an event of the kind
 * `FENCELOCK_EVENT_ACQUIRE` with this `userdata`, exactly one, from `fencelock_next_event`. The
 * cancel token of the options ends it. Everything else is as with `fencelock_acquire`; timeout 0
 * makes one attempt. Any thread.
 *
 * Errors: `FENCELOCK_INVALID_ARGUMENT`, `FENCELOCK_CLOSED`, `FENCELOCK_INTERNAL`. There is no
 * event then.
 */
int32_t fencelock_begin_acquire(fencelock_client *client,
                                const char *name,
                                size_t name_len,
                                uint64_t timeout_ms,
                                const fencelock_options *options,
                                void *userdata,
                                fencelock_error **error);

/**
 * Writes fencelock's log through a callback: what is at least as grave as `level`, one of
 * `FENCELOCK_LOG_…`. It is called on a thread of fencelock, one line at a time, and must not call
 * functions that block. There is one such callback in a process; the next call puts another in its
 * place, and NULL none, whatever the level. When this has returned, the earlier one is not under
 * way any more, unless this was called from within it. Passwords and owner tokens are never
 * logged. A program that has forked sets it again in the child. Any thread.
 *
 * Errors: `FENCELOCK_INVALID_ARGUMENT` for a level that there is not; `FENCELOCK_INTERNAL` if no
 * thread can be started.
 */
int32_t fencelock_set_log(int32_t level,
                          fencelock_log_callback callback,
                          void *userdata,
                          fencelock_error **error);

/**
 * Makes options with nothing set; free them with `fencelock_options_free`. They may be used for
 * any number of calls and locks. Any thread; who changes them in two threads at once loses one of
 * the changes.
 *
 * Errors: `FENCELOCK_INVALID_ARGUMENT` if `options` is NULL.
 */
int32_t fencelock_options_new(fencelock_options **options, fencelock_error **error);

/**
 * How long a lease lasts without renewal, and so how long a crashed holder blocks others, in ms:
 * 50 to 86,400,000 (24 h), with renewal at most 3,600,000 (1 h); looked at when a lock is taken.
 * Default 10,000. Any thread.
 *
 * Errors: `FENCELOCK_INVALID_ARGUMENT`.
 */
int32_t fencelock_options_set_ttl_ms(fencelock_options *options,
                                     uint64_t ttl_ms,
                                     fencelock_error **error);

/**
 * Whether the lease is renewed in the background at each third of its TTL: 0 or not 0. Off, it ends
 * at its TTL. Default 1. Any thread.
 *
 * Errors: `FENCELOCK_INVALID_ARGUMENT`.
 */
int32_t fencelock_options_set_renew(fencelock_options *options,
                                    int32_t renew,
                                    fencelock_error **error);

/**
 * The longest time that a lease is kept by renewal, in ms, at least 50; then it is lost with the
 * reason `FENCELOCK_LOSS_MAX_HOLD`. `FENCELOCK_FOREVER`: no limit, the default. Any thread.
 *
 * Errors: `FENCELOCK_INVALID_ARGUMENT`.
 */
int32_t fencelock_options_set_max_hold_ms(fencelock_options *options,
                                          uint64_t max_hold_ms,
                                          fencelock_error **error);

/**
 * A text that `fencelock_inspect` shows of the holder: UTF-8 of at most 128 bytes, copied. Default
 * empty. Any thread.
 *
 * Errors: `FENCELOCK_INVALID_ARGUMENT`.
 */
int32_t fencelock_options_set_label(fencelock_options *options,
                                    const char *label,
                                    size_t label_len,
                                    fencelock_error **error);

/**
 * The token that ends waits with these options; NULL for none. It may be freed afterwards. Any
 * thread.
 *
 * Errors: `FENCELOCK_INVALID_ARGUMENT`.
 */
int32_t fencelock_options_set_cancel(fencelock_options *options,
                                     fencelock_cancel *cancel,
                                     fencelock_error **error);

/**
 * Frees options; NULL is none. Any thread.
 *
 * Errors: `FENCELOCK_INVALID_ARGUMENT` if they were freed before.
 */
int32_t fencelock_options_free(fencelock_options *options);

/**
 * The library's version, such as "0.1.0". It is there for ever. Any thread.
 */
const char *fencelock_version(void);

/**
 * The number of the library's binary interface: that of the soname. A program that loads the
 * library by itself compares it with the `FENCELOCK_ABI_VERSION` that it was compiled with. Any
 * thread.
 */
uint32_t fencelock_abi_version(void);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* FENCELOCK_H */
