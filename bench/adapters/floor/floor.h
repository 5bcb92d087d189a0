// What the floors share: one connection, scripts, tokens.
#ifndef FLOOR_H
#define FLOOR_H

#include "../serve.h"
#include <hiredis/hiredis.h>

enum { SHA_ROOM = 41, TOKEN_ROOM = 64, KEY_ROOM = 300 };

// Each thread has its own.
extern _Thread_local redisContext *conn;
// For what is told unasked.
extern _Thread_local redisContext *signals;

void connect_by(const char *url);
redisContext *connected(void);

// The next reply, or the end of the program if it is an error.
redisReply *reply_of(redisContext *from, const char *command);
// Argument vectors, not format strings: parsing a format would be a cost of ours, not of the lock.
redisReply *call(int argc, const char **argv);
long long call_for_number(int argc, const char **argv);
void load(const char *text, char sha[SHA_ROOM]);

// A fresh token for every acquisition, as every safe lock has; a counter behind random bits is the
// cheapest way to get one. All tokens of a thread begin with its 16 digits.
void new_token(char token[TOKEN_ROOM]);

extern const struct contender FLOOR, TRIP, WAKE, COMMANDS, PUSH, PUSH_THREADS, PIPELINED,
    PIPELINED_OURS;

// One command of a lock, as the words that are sent.
struct words {
  int count;
  const char *word[16];
};

// fencelock's own two commands.
struct our_lock {
  char name[KEY_ROOM], fence[KEY_ROOM], queue[KEY_ROOM], waiters[KEY_ROOM];
};
void name_keys(struct our_lock *lock, const char *name);
struct words our_acquire(const struct our_lock *lock, const char *token);
struct words our_release(const struct our_lock *lock, const char *token);
int our_grant(const redisReply *reply);

// SET NX PX, and compare-and-delete.
struct words bare_acquire(const char *lock, const char *token);
struct words bare_release(const char *lock, const char *token);

void bare_start(void);
void ours_start(void);
void push_start(void);

#endif
