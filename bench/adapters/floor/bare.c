// The barest commands: a lock of SET NX PX and compare-and-delete, a round trip, and BLPOP.
#include "floor.h"

static const char *const RELEASE =
    "if redis.call('get', KEYS[1]) == ARGV[1] then return redis.call('del', KEYS[1]) end return 0";

static char release_sha[SHA_ROOM], token[TOKEN_ROOM];

void bare_start(void) { load(RELEASE, release_sha); }

struct words bare_acquire(const char *lock, const char *owner) {
  return (struct words){6, {"SET", lock, owner, "NX", "PX", "10000"}};
}

struct words bare_release(const char *lock, const char *owner) {
  return (struct words){5, {"EVALSHA", release_sha, "1", lock, owner}};
}

static void acquire(const char *lock) {
  new_token(token);
  struct words words = bare_acquire(lock, token);
  for (int taken = 0; !taken;) {
    redisReply *reply = call(words.count, words.word);
    taken = reply->type == REDIS_REPLY_STATUS;
    freeReplyObject(reply);
  }
}

static void release(const char *lock) {
  struct words words = bare_release(lock, token);
  if (call_for_number(words.count, words.word) != 1)
    die("the lock was lost before its release");
}

static void there_and_back(const char *lock) {
  const char *argv[] = {"GET", lock};
  freeReplyObject(call(2, argv));
}

// The token is an element of a list: there is none while the lock is held.
static void take_away(const char *lock) {
  const char *argv[] = {"DEL", lock};
  freeReplyObject(call(2, argv));
}

static void take(const char *lock) {
  const char *argv[] = {"BLPOP", lock, "0"};
  freeReplyObject(call(3, argv));
}

static void put_back(const char *lock) {
  const char *argv[] = {"RPUSH", lock, "1"};
  freeReplyObject(call(3, argv));
}

static void nothing(const char *lock) { (void)lock; }

const struct contender FLOOR = {.name = "floor",
                                .operations = "pair,handoff,loop,cycle",
                                .hold = acquire,
                                .wait = acquire,
                                .release = release};
const struct contender TRIP = {
    .name = "trip", .operations = "pair", .hold = there_and_back, .release = nothing};
const struct contender WAKE = {
    .name = "wake", .operations = "handoff", .hold = take_away, .wait = take, .release = put_back};
