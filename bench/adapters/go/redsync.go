package main

import (
	"math"
	"sync"

	"github.com/go-redsync/redsync/v4"
	"github.com/go-redsync/redsync/v4/redis/goredis/v9"
	"github.com/redis/go-redis/v9"
)

// newRedsync is redsync on one server at its defaults, but without an end to the attempts.
func newRedsync(client *redis.Client) contender {
	locks := redsync.New(goredis.NewPool(client))
	var known sync.Map
	described := func(name string) *redsync.Mutex {
		mutex, found := known.Load(name)
		if !found {
			made := locks.NewMutex(name, redsync.WithExpiry(ttl), redsync.WithTries(math.MaxInt))
			mutex, _ = known.LoadOrStore(name, made)
		}
		return mutex.(*redsync.Mutex)
	}
	return contender{
		name: "redsync",
		// A waiter sleeps for a random time of 50 to 250 ms between two attempts.
		pollMs: 250,
		acquire: func(name string) (release, error) {
			mutex := described(name)
			err := mutex.Lock()
			return func() error {
				_, err := mutex.Unlock()
				return err
			}, err
		},
	}
}
