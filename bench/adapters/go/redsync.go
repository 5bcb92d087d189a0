package main

import (
	"math"

	"github.com/go-redsync/redsync/v4"
	"github.com/go-redsync/redsync/v4/redis/goredis/v9"
	"github.com/redis/go-redis/v9"
)

// newRedsync is redsync on one server at its defaults, but without an end to the attempts.
func newRedsync(client *redis.Client) contender {
	locks := redsync.New(goredis.NewPool(client))
	return contender{
		name: "redsync",
		// A waiter sleeps for a random time of 50 to 250 ms between two attempts.
		pollMs: 250,
		describe: func(name string) lock {
			mutex := locks.NewMutex(name, redsync.WithExpiry(ttl), redsync.WithTries(math.MaxInt))
			unlock := func() error {
				_, err := mutex.Unlock()
				return err
			}
			return func() (release, error) { return unlock, mutex.Lock() }
		},
	}
}
