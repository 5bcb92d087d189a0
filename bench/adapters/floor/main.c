// The floors: the least that a lock on Redis can cost, in C on hiredis. Protocol: bench/README.md.
//   floor           SET NX PX and compare-and-delete by EVALSHA; a waiter retries without a pause
//   push            waiters in a list, and a release that grants to the first and tells it
//   push-threads    the same with a thread and two connections for each waiter
//   pipelined       floor's two commands for many locks at once, pipelined
//   pipelined-ours  the same with fencelock's own scripts
//   commands        the two commands that fencelock's clients send, with nothing around them
//   trip            one GET there and back, no lock at all
//   wake            BLPOP and RPUSH: a bare hand-off woken by the server (a crash would lose it)
#include "floor.h"
#include <string.h>

int main(int argc, char **argv) {
  static const struct contender *const contenders[] = {
      &FLOOR, &PUSH, &PUSH_THREADS, &PIPELINED, &PIPELINED_OURS, &COMMANDS, &TRIP, &WAKE};
  if (argc != 3)
    die("usage: floor CONTENDER redis://HOST:PORT");
  connect_by(argv[2]);
  bare_start();
  ours_start();
  for (size_t i = 0; i < sizeof contenders / sizeof *contenders; i++) {
    if (strcmp(contenders[i]->name, argv[1]) == 0) {
      if (contenders[i] == &PUSH || contenders[i] == &PUSH_THREADS)
        push_start();
      serve(contenders[i]);
      redisFree(conn);
      redisFree(signals);
      return 0;
    }
  }
  die("no contender %s", argv[1]);
}
