package main

import (
	"context"
	"time"

	"github.com/bsm/redislock"
	"github.com/redis/go-redis/v9"
)

// newRedislock is bsm/redislock with the pause between attempts that its documentation shows: at
// its defaults it tries once. A context without an end would have it give up after the TTL.
func newRedislock(farEnd context.Context, client *redis.Client) contender {
	const pause = 100 * time.Millisecond
	locks := redislock.New(client)
	options := &redislock.Options{RetryStrategy: redislock.LinearBackoff(pause)}
	return contender{
		name:   "redislock",
		pollMs: int(pause.Milliseconds()),
		describe: func(name string) lock {
			return func() (release, error) {
				held, err := locks.Obtain(farEnd, name, ttl, options)
				return func() error { return held.Release(farEnd) }, err
			}
		},
	}
}
