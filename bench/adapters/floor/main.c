// The floors: the least that a lock on Redis can cost, in C on hiredis. Protocol: bench/README.md.
//   floor           SET NX PX and compare-and-delete by EVALSHA; a waiter retries without a pause
//   push            waiters in a list, and a release that grants to the first and tells it
//   pipelined       floor's two commands for many locks at once, pipelined
//   pipelined-ours  the same with fencelock's own scripts
//   commands        the two commands that fencelock's clients send, with nothing around them
//   trip            one GET there and back, no lock at all
//   wake            BLPOP and RPUSH: a bare hand-off woken by the server (a crash would lose it)
#include "floor.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>

static redisContext *connect_to(const char *host, int port) {
  redisContext *made = redisConnect(host, port);
  if (made == NULL || made->err)
    die("connect: %s", made ? made->errstr : strerror(errno));
  return made;
}

int main(int argc, char **argv) {
  static const struct contender *const contenders[] = {
      &FLOOR, &PUSH, &PIPELINED, &PIPELINED_OURS, &COMMANDS, &TRIP, &WAKE};
  char host[64];
  int port;
  if (argc != 3 || sscanf(argv[2], "redis://%63[^:]:%d", host, &port) != 2)
    die("usage: floor CONTENDER redis://HOST:PORT");
  conn = connect_to(host, port);
  bare_start();
  ours_start();
  for (size_t i = 0; i < sizeof contenders / sizeof *contenders; i++) {
    if (strcmp(contenders[i]->name, argv[1]) == 0) {
      if (contenders[i] == &PUSH) {
        signals = connect_to(host, port);
        push_start();
      }
      serve(contenders[i]);
      redisFree(conn);
      redisFree(signals);
      return 0;
    }
  }
  die("no contender %s", argv[1]);
}
