// A push hand-off: waiters stand in a list, and the script that releases grants to the first of
// them and tells it, on the channel of its process. No lease, no fence, and a waiter that crashed
// is granted the lock all the same: the least that a fair lock can cost, not a safe one.
#include "floor.h"
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const ACQUIRE =
    "if redis.call('set', KEYS[1], ARGV[1], 'nx', 'px', ARGV[2]) then return 1 end\n"
    "redis.call('rpush', KEYS[2], ARGV[1]) return 0";
// A token begins with the 16 digits of its thread, which are its channel.
static const char *const RELEASE = "if redis.call('get', KEYS[1]) ~= ARGV[1] then return 0 end\n"
                                   "local head = redis.call('lpop', KEYS[2])\n"
                                   "if head then\n"
                                   "  redis.call('set', KEYS[1], head, 'px', ARGV[2])\n"
                                   "  redis.call('publish', string.sub(head, 1, 16), head)\n"
                                   "else redis.call('del', KEYS[1]) end\n"
                                   "return 1";
static const char *const TTL_MS = "10000";

static char acquire_sha[SHA_ROOM], release_sha[SHA_ROOM];
static _Thread_local char token[TOKEN_ROOM];

static void listen_for_grants(void) {
  signals = connected();
  new_token(token);
  char channel[17];
  snprintf(channel, sizeof channel, "%.16s", token);
  const char *argv[] = {"SUBSCRIBE", channel};
  if (redisAppendCommandArgv(signals, 2, argv, NULL) != REDIS_OK)
    die("SUBSCRIBE: %s", signals->errstr);
  freeReplyObject(reply_of(signals, "SUBSCRIBE"));
}

void push_start(void) {
  load(ACQUIRE, acquire_sha);
  load(RELEASE, release_sha);
  listen_for_grants();
}

static void name_queue(char queue[KEY_ROOM], const char *lock) {
  snprintf(queue, KEY_ROOM, "%s:queue", lock);
}

// The grant that comes next; whose it is.
static void await_grant(char owner[TOKEN_ROOM]) {
  redisReply *message = reply_of(signals, "SUBSCRIBE");
  if (message->type != REDIS_REPLY_ARRAY || message->elements != 3)
    die("not a message");
  snprintf(owner, TOKEN_ROOM, "%s", message->element[2]->str);
  freeReplyObject(message);
}

// Whether it was granted at once; else the token stands in line.
static int ask(const char *lock, const char *owner) {
  char queue[KEY_ROOM];
  name_queue(queue, lock);
  const char *argv[] = {"EVALSHA", acquire_sha, "2", lock, queue, owner, TTL_MS};
  return call_for_number(7, argv) == 1;
}

static void give_back(const char *lock, const char *owner) {
  char queue[KEY_ROOM];
  name_queue(queue, lock);
  const char *argv[] = {"EVALSHA", release_sha, "2", lock, queue, owner, TTL_MS};
  if (call_for_number(7, argv) != 1)
    die("the lock was lost before its release");
}

static void acquire(const char *lock) {
  new_token(token);
  if (!ask(lock, token)) {
    char granted[TOKEN_ROOM];
    await_grant(granted);
    if (strcmp(granted, token) != 0)
      die("granted to somebody else");
  }
}

static void release(const char *lock) { give_back(lock, token); }

// All wait on the one connection, and each gives the lock back as soon as it is told.
static void crowd(const char *lock, int waiters, struct section *sections) {
  char owner[TOKEN_ROOM];
  for (int i = 0; i < waiters; i++) {
    sections[i].requested = now_ns();
    new_token(owner);
    if (ask(lock, owner))
      die("nobody held the lock");
  }
  say_waiting();
  for (int i = 0; i < waiters; i++) {
    await_grant(owner);
    sections[i].acquired = sections[i].released = now_ns();
    give_back(lock, owner);
  }
}

struct waiter {
  pthread_t thread;
  pthread_barrier_t *connected;
  const char *lock;
  struct section *section;
};

static void *one_section(void *argument) {
  const struct waiter *waiter = argument;
  conn = connected();
  listen_for_grants();
  pthread_barrier_wait(waiter->connected);
  waiter->section->requested = now_ns();
  acquire(waiter->lock);
  waiter->section->acquired = waiter->section->released = now_ns();
  release(waiter->lock);
  redisFree(conn);
  redisFree(signals);
  return NULL;
}

// Each waits in a thread of its own, which the grant has to wake.
static void crowd_of_threads(const char *lock, int waiters, struct section *sections) {
  struct waiter *all = calloc((size_t)waiters, sizeof *all);
  pthread_barrier_t connected;
  if (all == NULL || pthread_barrier_init(&connected, NULL, (unsigned)waiters + 1) != 0)
    die("out of memory");
  for (int i = 0; i < waiters; i++) {
    all[i].connected = &connected;
    all[i].lock = lock;
    all[i].section = &sections[i];
    if (pthread_create(&all[i].thread, NULL, one_section, &all[i]) != 0)
      die("no thread");
  }
  pthread_barrier_wait(&connected);
  say_waiting();
  for (int i = 0; i < waiters; i++)
    pthread_join(all[i].thread, NULL);
  pthread_barrier_destroy(&connected);
  free(all);
}

const struct contender PUSH = {.name = "push",
                               .operations = "pair,handoff,loop,cycle,crowd",
                               .hold = acquire,
                               .wait = acquire,
                               .release = release,
                               .crowd = crowd};
const struct contender PUSH_THREADS = {.name = "push-threads",
                                       .operations = "crowd",
                                       .hold = acquire,
                                       .wait = acquire,
                                       .release = release,
                                       .crowd = crowd_of_threads};
