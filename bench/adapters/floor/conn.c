// One connection and what goes over it. hiredis sets TCP_NODELAY itself, as all contenders do.
#include "floor.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

_Thread_local redisContext *conn, *signals;
static char host[64];
static int port;

void connect_by(const char *url) {
  if (sscanf(url, "redis://%63[^:]:%d", host, &port) != 2)
    die("not a URL: %s", url);
  conn = connected();
}

redisContext *connected(void) {
  redisContext *made = redisConnect(host, port);
  if (made == NULL || made->err)
    die("connect: %s", made ? made->errstr : strerror(errno));
  return made;
}

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
  static _Thread_local unsigned long long prefix, count;
  if (count == 0 && getrandom(&prefix, sizeof prefix, 0) != sizeof prefix)
    die("getrandom failed");
  snprintf(token, TOKEN_ROOM, "%016llx-%016llx", prefix, ++count);
}
