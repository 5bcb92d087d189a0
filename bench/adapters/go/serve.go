package main

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

const ttl = 10 * time.Second

type release func() error

// A contender acquires by name and waits without limit.
type contender struct {
	name    string
	pollMs  int
	acquire func(name string) (release, error)
}

// serve answers the runner until it closes our standard input.
func serve(who contender) error {
	held := map[string]release{}
	requests := bufio.NewScanner(os.Stdin)
	for requests.Scan() {
		answer, err := who.answer(strings.Fields(requests.Text()), held)
		if err != nil {
			return err
		}
		fmt.Println(answer)
	}
	return requests.Err()
}

func (who contender) answer(words []string, held map[string]release) (string, error) {
	switch {
	case len(words) == 1 && words[0] == "hello":
		return fmt.Sprintf("ok name=%s ops=pair,handoff,flight poll_ms=%d", who.name, who.pollMs), nil
	case len(words) == 3 && words[0] == "pair":
		return who.pairs(words[1], words[2])
	case len(words) == 4 && words[0] == "flight":
		return who.flight(words[1], words[2], words[3])
	case len(words) == 2 && words[0] == "hold":
		free, err := who.acquire(words[1])
		held[words[1]] = free
		return "ok", err
	case len(words) == 2 && words[0] == "wait":
		fmt.Println("waiting")
		free, err := who.acquire(words[1])
		acquired := now()
		held[words[1]] = free
		return fmt.Sprintf("ok %d", acquired), err
	case len(words) == 2 && words[0] == "free" && held[words[1]] != nil:
		free := held[words[1]]
		delete(held, words[1])
		start := now()
		err := free()
		return fmt.Sprintf("ok %d", start), err
	}
	return "err not understood: " + strings.Join(words, " "), nil
}

func (who contender) section(lock string) error {
	free, err := who.acquire(lock)
	if err != nil {
		return err
	}
	return free()
}

func (who contender) pairs(lock, count string) (string, error) {
	pairs, err := strconv.Atoi(count)
	if err != nil {
		return "", err
	}
	samples := make([]time.Duration, pairs)
	for i := range samples {
		start := time.Now()
		if err := who.section(lock); err != nil {
			return "", err
		}
		samples[i] = time.Since(start)
	}
	answer := []byte("ok")
	for _, took := range samples {
		answer = strconv.AppendInt(append(answer, ' '), took.Nanoseconds(), 10)
	}
	return string(answer), nil
}

// flight runs so many goroutines at once, each with a lock of its own.
func (who contender) flight(lock, tasks, count string) (string, error) {
	running, err := strconv.Atoi(tasks)
	if err != nil {
		return "", err
	}
	sections, err := strconv.Atoi(count)
	if err != nil {
		return "", err
	}
	failures := make(chan error, running)
	start := time.Now()
	for number := range running {
		name := fmt.Sprintf("%s:%d", lock, number)
		go func() {
			var failure error
			for range sections {
				failure = errors.Join(failure, who.section(name))
			}
			failures <- failure
		}()
	}
	for range running {
		err = errors.Join(err, <-failures)
	}
	return fmt.Sprintf("ok %d", time.Since(start).Nanoseconds()), err
}

// now is CLOCK_MONOTONIC, which all processes share; time.Now does not give its number.
func now() int64 {
	var clock unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &clock); err != nil {
		panic(err)
	}
	return clock.Nano()
}
