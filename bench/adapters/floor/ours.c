// The two commands that fencelock's clients send for a pair, with no client around them.
#include "floor.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char acquire_sha[SHA_ROOM], release_sha[SHA_ROOM], token[TOKEN_ROOM];

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

// One of fencelock's scripts as its clients put it together (core/src/backend/redis/scripts.rs).
static void load_ours(const char *name, char sha[SHA_ROOM]) {
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
  load(text, sha);
  free(text);
}

void ours_start(void) {
  load_ours("acquire", acquire_sha);
  load_ours("release", release_sha);
}

void name_keys(struct our_lock *lock, const char *name) {
  snprintf(lock->name, KEY_ROOM, "%s", name);
  snprintf(lock->fence, KEY_ROOM, "{%s}:fl:f", name);
  snprintf(lock->queue, KEY_ROOM, "{%s}:fl:q", name);
  snprintf(lock->waiters, KEY_ROOM, "{%s}:fl:w", name);
}

struct words our_acquire(const struct our_lock *lock, const char *owner) {
  return (struct words){10,
                        {"EVALSHA", acquire_sha, "4", lock->name, lock->fence, lock->queue,
                         lock->waiters, owner, "10000", "qVtsgJ3mn03AjNBjUCl2tC P 10000 0"}};
}

struct words our_release(const struct our_lock *lock, const char *owner) {
  return (struct words){
      8, {"EVALSHA", release_sha, "4", lock->name, lock->fence, lock->queue, lock->waiters, owner}};
}

int our_grant(const redisReply *reply) {
  return reply->type == REDIS_REPLY_STRING || reply->type == REDIS_REPLY_INTEGER;
}

static void acquire(const char *name) {
  struct our_lock lock;
  name_keys(&lock, name);
  new_token(token);
  struct words words = our_acquire(&lock, token);
  redisReply *reply = call(words.count, words.word);
  if (!our_grant(reply))
    die("somebody else holds the lock");
  freeReplyObject(reply);
}

static void release(const char *name) {
  struct our_lock lock;
  name_keys(&lock, name);
  struct words words = our_release(&lock, token);
  if (call_for_number(words.count, words.word) != 1)
    die("the lock was lost before its release");
}

const struct contender COMMANDS = {
    .name = "commands", .operations = "pair", .hold = acquire, .release = release};
