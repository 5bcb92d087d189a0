// The floors: the least that a lock on Redis can cost, in C on hiredis. Protocol: bench/README.md.
//   floor  SET NX PX and compare-and-delete by EVALSHA; a waiter retries without a pause
//   trip   one GET there and back, no lock at all
//   wake   BLPOP and RPUSH: a bare hand-off woken by the server (a crash would lose the lock)
// hiredis sets TCP_NODELAY on every TCP connection itself, as all contenders do.
#include <errno.h>
#include <hiredis/hiredis.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

static const char *const RELEASE =
    "if redis.call('get', KEYS[1]) == ARGV[1] then return redis.call('del', KEYS[1]) end return 0";

static redisContext *conn;
static char release_sha[41];
static char token[64];

static void die(const char *format, ...) {
  va_list args;
  va_start(args, format);
  vfprintf(stderr, format, args);
  va_end(args);
  fputc('\n', stderr);
  exit(1);
}

static long long now_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1000000000LL + t.tv_nsec;
}

// Argument vectors, not format strings: parsing a format would be a cost of ours, not of the lock.
static redisReply *call(int argc, const char **argv) {
  redisReply *reply = redisCommandArgv(conn, argc, argv, NULL);
  if (reply == NULL)
    die("%s: %s", argv[0], conn->errstr);
  if (reply->type == REDIS_REPLY_ERROR)
    die("%s: %s", argv[0], reply->str);
  return reply;
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

struct contender {
  const char *name, *operations;
  void (*hold)(const char *), (*wait)(const char *), (*release)(const char *);
};

static const struct contender CONTENDERS[] = {
    {"floor", "pair,handoff", floor_acquire, floor_acquire, floor_release},
    {"trip", "pair", trip_there, trip_there, nothing},
    {"wake", "handoff", wake_hold, wake_wait, wake_release},
};

static void pairs(const struct contender *c, const char *lock, int n) {
  long long *samples = calloc((size_t)n + 1, sizeof *samples);
  if (samples == NULL)
    die("out of memory");
  for (int i = 0; i < n; i++) {
    long long start = now_ns();
    c->hold(lock);
    c->release(lock);
    samples[i] = now_ns() - start;
  }
  printf("ok");
  for (int i = 0; i < n; i++)
    printf(" %lld", samples[i]);
  printf("\n");
  free(samples);
}

static void serve(const struct contender *c) {
  char line[512], op[16], lock[256];
  while (fgets(line, sizeof line, stdin) != NULL) {
    int n = 0;
    int fields = sscanf(line, "%15s %255s %d", op, lock, &n);
    if (fields == 1 && strcmp(op, "hello") == 0) {
      printf("ok name=%s ops=%s poll_ms=0\n", c->name, c->operations);
    } else if (fields == 3 && strcmp(op, "pair") == 0 && n > 0) {
      pairs(c, lock, n);
    } else if (fields == 2 && strcmp(op, "hold") == 0) {
      c->hold(lock);
      printf("ok\n");
    } else if (fields == 2 && strcmp(op, "wait") == 0) {
      printf("waiting\n");
      fflush(stdout);
      c->wait(lock);
      printf("ok %lld\n", now_ns());
    } else if (fields == 2 && strcmp(op, "free") == 0) {
      long long start = now_ns();
      c->release(lock);
      printf("ok %lld\n", start);
    } else {
      printf("err not understood: %s", line);
    }
    fflush(stdout);
  }
}

int main(int argc, char **argv) {
  char host[64];
  int port;
  if (argc != 3 || sscanf(argv[2], "redis://%63[^:]:%d", host, &port) != 2)
    die("usage: floor CONTENDER redis://HOST:PORT");
  conn = redisConnect(host, port);
  if (conn == NULL || conn->err)
    die("connect: %s", conn ? conn->errstr : strerror(errno));
  floor_start();
  for (size_t i = 0; i < sizeof CONTENDERS / sizeof *CONTENDERS; i++) {
    if (strcmp(CONTENDERS[i].name, argv[1]) == 0) {
      serve(&CONTENDERS[i]);
      redisFree(conn);
      return 0;
    }
  }
  die("no contender %s", argv[1]);
}
