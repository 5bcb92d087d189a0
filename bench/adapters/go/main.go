// Command fencelock-bench has Go's locks on Redis as contenders; the line protocol is in
// bench/README.md.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/redis/go-redis/v9"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(arguments []string) error {
	if len(arguments) != 2 {
		return errors.New("usage: go-peers redsync|redislock URL")
	}
	options, err := redis.ParseURL(arguments[1])
	if err != nil {
		return err
	}
	client := redis.NewClient(options)
	defer client.Close()
	switch arguments[0] {
	case "redsync":
		return serve(newRedsync(client))
	case "redislock":
		farEnd, cancel := context.WithTimeout(context.Background(), 24*time.Hour)
		defer cancel()
		return serve(newRedislock(farEnd, client))
	default:
		return fmt.Errorf("no such contender: %s", arguments[0])
	}
}
