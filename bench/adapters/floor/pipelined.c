// Many locks in flight over one connection, by pipelining: each lock's next command is appended as
// soon as the reply to its last one is read, and what was appended is written when all that came
// has been read. The replies come in the commands' order, so each belongs to the next lock in turn.
#include "floor.h"
#include <stdio.h>
#include <stdlib.h>

struct task {
  struct our_lock lock;
  char token[TOKEN_ROOM];
};

// How a lock is asked for; the reply that grants it.
struct commands {
  struct words (*acquire)(const struct task *), (*release)(const struct task *);
  int (*granted)(const redisReply *);
};

static struct words acquire_ours(const struct task *t) { return our_acquire(&t->lock, t->token); }
static struct words release_ours(const struct task *t) { return our_release(&t->lock, t->token); }
static struct words acquire_bare(const struct task *t) {
  return bare_acquire(t->lock.name, t->token);
}
static struct words release_bare(const struct task *t) {
  return bare_release(t->lock.name, t->token);
}
static int bare_grant(const redisReply *reply) { return reply->type == REDIS_REPLY_STATUS; }

static void append(struct words words) {
  if (redisAppendCommandArgv(conn, words.count, words.word, NULL) != REDIS_OK)
    die("%s: %s", words.word[0], conn->errstr);
}

// The next reply that is here already; if there is none, first writes what waits to be written.
static redisReply *next_reply(void) {
  void *reply = NULL;
  if (redisGetReplyFromReader(conn, &reply) == REDIS_OK && reply == NULL)
    return reply_of(conn, "EVALSHA");
  if (reply == NULL)
    die("read: %s", conn->errstr);
  return reply;
}

static void flight(const struct commands *with, const char *lock, int tasks, int sections) {
  struct task *all = calloc((size_t)tasks, sizeof *all);
  if (all == NULL)
    die("out of memory");
  for (int i = 0; i < tasks; i++) {
    char name[KEY_ROOM];
    snprintf(name, sizeof name, "%s:%d", lock, i);
    name_keys(&all[i].lock, name);
    new_token(all[i].token);
    append(with->acquire(&all[i]));
  }
  for (int round = 0; round < 2 * sections; round++) {
    int releasing = round % 2;
    for (int i = 0; i < tasks; i++) {
      redisReply *reply = next_reply();
      int good = releasing ? reply->type == REDIS_REPLY_INTEGER && reply->integer == 1
                           : with->granted(reply);
      if (!good)
        die("%s: %s", releasing ? "lost" : "not granted", reply->str ? reply->str : "");
      freeReplyObject(reply);
      if (!releasing) {
        append(with->release(&all[i]));
      } else if (round < 2 * sections - 1) {
        new_token(all[i].token);
        append(with->acquire(&all[i]));
      }
    }
  }
  free(all);
}

static void flight_bare(const char *lock, int tasks, int sections) {
  static const struct commands with = {acquire_bare, release_bare, bare_grant};
  flight(&with, lock, tasks, sections);
}

static void flight_ours(const char *lock, int tasks, int sections) {
  static const struct commands with = {acquire_ours, release_ours, our_grant};
  flight(&with, lock, tasks, sections);
}

const struct contender PIPELINED = {
    .name = "pipelined", .operations = "flight", .flight = flight_bare};
const struct contender PIPELINED_OURS = {
    .name = "pipelined-ours", .operations = "flight", .flight = flight_ours};
