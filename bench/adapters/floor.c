// The floors: the least that a lock on Redis can cost, in C on hiredis. Protocol: bench/README.md.
//   floor  SET NX PX and compare-and-delete by EVALSHA; a waiter retries without a pause
//   trip   one GET there and back, no lock at all
//   commands  the two commands that fencelock's clients send, with nothing around them
//   wake   BLPOP and RPUSH: a bare hand-off woken by the server (a crash would lose the lock)
// hiredis sets TCP_NODELAY on every TCP connection itself, as all contenders do.
#include "serve.h"
#include <errno.h>
#include <hiredis/hiredis.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

static const char *const RELEASE =
    "if redis.call('get', KEYS[1]) == ARGV[1] then return redis.call('del', KEYS[1]) end return 0";

static redisContext *conn;
static char release_sha[41], acquire_sha[41], our_release_sha[41];
static char token[64];

// Argument vectors, not format strings: parsing a format would be a cost of ours, not of the lock.
static redisReply *call(int argc, const char **argv) {
  redisReply *reply = redisCommandArgv(conn, argc, argv, NULL);
  if (reply == NULL)
    die("%s: %s", argv[0], conn->errstr);
  if (reply->type == REDIS_REPLY_ERROR)
    die("%s: %s", argv[0], reply->str);
  return reply;
}

// A file of fencelock's scripts.
static char *file(const char *name) {
  char path[1024], *text = calloc(1, 1 << 16);
  snprintf(path, sizeof path, LUA "/%s.lua", name);
  FILE *opened = fopen(path, "r");
  if (opened == NULL || text == NULL || fread(text, 1, (1 << 16) - 1, opened) == 0)
    die("%s: %s", path, strerror(errno));
  fclose(opened);
  return text;
}

static void call_and_drop(int argc, const char **argv) { freeReplyObject(call(argc, argv)); }

// A fresh token for every acquisition, as every safe lock has; a counter behind random bits is the
// cheapest way to get one.
static void new_token(void) {
  static unsigned long long prefix, count;
  if (count == 0 && getrandom(&prefix, sizeof prefix, 0) != sizeof prefix)
    die("getrandom failed");
  snprintf(token, sizeof token, "%016llx-%016llx", prefix, ++count);
}

static void floor_acquire(const char *lock) {
  const char *argv[] = {"SET", lock, token, "NX", "PX", "10000"};
  new_token();
  for (int taken = 0; !taken;) {
    redisReply *reply = call(6, argv);
    taken = reply->type == REDIS_REPLY_STATUS;
    freeReplyObject(reply);
  }
}

static void floor_release(const char *lock) {
  const char *argv[] = {"EVALSHA", release_sha, "1", lock, token};
  redisReply *reply = call(5, argv);
  if (reply->type != REDIS_REPLY_INTEGER || reply->integer != 1)
    die("the lock was lost before its release");
  freeReplyObject(reply);
}

static void floor_start(void) {
  const char *argv[] = {"SCRIPT", "LOAD", RELEASE};
  redisReply *reply = call(3, argv);
  snprintf(release_sha, sizeof release_sha, "%s", reply->str);
  freeReplyObject(reply);
}

// One of fencelock's scripts as its clients put it together (core/src/backend/redis/scripts.rs).
static char *script(const char *name) {
  static const char *const parts[] = {"quick", "common"};
  char mark[32], *text = file(name);
  for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
    snprintf(mark, sizeof mark, "--@%s", parts[i]);
    char *at = strstr(text, mark), *part = file(parts[i]);
    if (at != NULL) {
      size_t room = strlen(text) + strlen(part) + 1;
      char *whole = malloc(room);
      if (whole == NULL)
        die("out of memory");
      snprintf(whole, room, "%.*s%s%s", (int)(at - text), text, part, at + strlen(mark));
      free(text);
      text = whole;
    }
    free(part);
  }
  return text;
}

static void load(const char *name, char sha[41]) {
  char *text = script(name);
  const char *argv[] = {"SCRIPT", "LOAD", text};
  redisReply *reply = call(3, argv);
  snprintf(sha, 41, "%s", reply->str);
  freeReplyObject(reply);
  free(text);
}

static char fence[300], queue[300], waiters[300];

static void name_keys(const char *lock) {
  snprintf(fence, sizeof fence, "{%s}:fl:f", lock);
  snprintf(queue, sizeof queue, "{%s}:fl:q", lock);
  snprintf(waiters, sizeof waiters, "{%s}:fl:w", lock);
}

static void commands_acquire(const char *lock) {
  name_keys(lock);
  const char *argv[] = {"EVALSHA",
                        acquire_sha,
                        "4",
                        lock,
                        fence,
                        queue,
                        waiters,
                        token,
                        "10000",
                        "1",
                        "qVtsgJ3mn03AjNBjUCl2tC",
                        "P",
                        "10000",
                        "0",
                        ""};
  new_token();
  redisReply *reply = call(15, argv);
  if (reply->type != REDIS_REPLY_STRING && reply->type != REDIS_REPLY_INTEGER)
    die("somebody else holds the lock");
  freeReplyObject(reply);
}

static void commands_release(const char *lock) {
  name_keys(lock);
  const char *argv[] = {"EVALSHA", our_release_sha, "4", lock, fence, queue, waiters, token};
  redisReply *reply = call(8, argv);
  if (reply->type != REDIS_REPLY_INTEGER || reply->integer != 1)
    die("the lock was lost before its release");
  freeReplyObject(reply);
}

static void trip_there(const char *lock) {
  const char *argv[] = {"GET", lock};
  call_and_drop(2, argv);
}

// The token is an element of a list: there is none while the lock is held.
static void wake_hold(const char *lock) {
  const char *argv[] = {"DEL", lock};
  call_and_drop(2, argv);
}

static void wake_wait(const char *lock) {
  const char *argv[] = {"BLPOP", lock, "0"};
  call_and_drop(3, argv);
}

static void wake_release(const char *lock) {
  const char *argv[] = {"RPUSH", lock, "1"};
  call_and_drop(3, argv);
}

static void nothing(const char *lock) { (void)lock; }

static const struct contender CONTENDERS[] = {
    {"floor", "pair,handoff", floor_acquire, floor_acquire, floor_release},
    {"trip", "pair", trip_there, trip_there, nothing},
    {"commands", "pair", commands_acquire, commands_acquire, commands_release},
    {"wake", "handoff", wake_hold, wake_wait, wake_release},
};

int main(int argc, char **argv) {
  char host[64];
  int port;
  if (argc != 3 || sscanf(argv[2], "redis://%63[^:]:%d", host, &port) != 2)
    die("usage: floor CONTENDER redis://HOST:PORT");
  conn = redisConnect(host, port);
  if (conn == NULL || conn->err)
    die("connect: %s", conn ? conn->errstr : strerror(errno));
  floor_start();
  load("acquire", acquire_sha);
  load("release", our_release_sha);
  for (size_t i = 0; i < sizeof CONTENDERS / sizeof *CONTENDERS; i++) {
    if (strcmp(CONTENDERS[i].name, argv[1]) == 0) {
      serve(&CONTENDERS[i]);
      redisFree(conn);
      return 0;
    }
  }
  die("no contender %s", argv[1]);
}
