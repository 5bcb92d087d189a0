// One connection and what goes over it. hiredis sets TCP_NODELAY itself, as all contenders do.
#include "floor.h"
#include <stdio.h>
#include <sys/random.h>

redisContext *conn, *signals;

redisReply *reply_of(redisContext *from, const char *command) {
  void *reply;
  if (redisGetReply(from, &reply) != REDIS_OK)
    die("%s: %s", command, from->errstr);
  if (((redisReply *)reply)->type == REDIS_REPLY_ERROR)
    die("%s: %s", command, ((redisReply *)reply)->str);
  return reply;
}

redisReply *call(int argc, const char **argv) {
  if (redisAppendCommandArgv(conn, argc, argv, NULL) != REDIS_OK)
    die("%s: %s", argv[0], conn->errstr);
  return reply_of(conn, argv[0]);
}

long long call_for_number(int argc, const char **argv) {
  redisReply *reply = call(argc, argv);
  if (reply->type != REDIS_REPLY_INTEGER)
    die("%s: not a number", argv[0]);
  long long number = reply->integer;
  freeReplyObject(reply);
  return number;
}

void load(const char *text, char sha[SHA_ROOM]) {
  const char *argv[] = {"SCRIPT", "LOAD", text};
  redisReply *reply = call(3, argv);
  snprintf(sha, SHA_ROOM, "%s", reply->str);
  freeReplyObject(reply);
}

void new_token(char token[TOKEN_ROOM]) {
  static unsigned long long prefix, count;
  if (count == 0 && getrandom(&prefix, sizeof prefix, 0) != sizeof prefix)
    die("getrandom failed");
  snprintf(token, TOKEN_ROOM, "%016llx-%016llx", prefix, ++count);
}
