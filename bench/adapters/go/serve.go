package main

import (
	"bufio"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

const ttl = 10 * time.Second

type release func() error

// A lock is acquired by calling it, which waits without limit.
type lock func() (release, error)

type contender struct {
	name   string
	pollMs int
	// describe makes a lock of this name, for one goroutine at a time.
	describe func(name string) lock
}

type server struct {
	who   contender
	known map[string]lock
	held  map[string]release
}

// serve answers the runner until it closes our standard input.
func serve(who contender) error {
	s := server{who, map[string]lock{}, map[string]release{}}
	requests := bufio.NewScanner(os.Stdin)
	for requests.Scan() {
		words := strings.Fields(requests.Text())
		if len(words) == 0 {
			continue
		}
		answer, err := s.answer(words)
		if err != nil {
			return err
		}
		fmt.Println(answer)
	}
	return requests.Err()
}

// described gives the lock of a name, the same one each time.
func (s *server) described(name string) lock {
	if s.known[name] == nil {
		s.known[name] = s.who.describe(name)
	}
	return s.known[name]
}

func (s *server) answer(words []string) (string, error) {
	if len(words) == 1 && words[0] == "hello" {
		const ops = "pair,handoff,loop,flight,cycle,crowd"
		return fmt.Sprintf("ok name=%s ops=%s poll_ms=%d", s.who.name, ops, s.who.pollMs), nil
	}
	if len(words) > 1 {
		numbers, err := parse(words[2:])
		if err != nil {
			return "", err
		}
		name := words[1]
		switch request := words[0]; {
		case request == "pair" && len(numbers) == 1:
			return pairs(s.described(name), numbers[0])
		case request == "cycle" && len(numbers) == 1:
			return cycles(s.described(name), numbers[0])
		case request == "loop" && len(numbers) == 2:
			hold := time.Duration(numbers[1]) * time.Microsecond
			return loop(s.described(name), numbers[0], hold)
		case request == "crowd" && len(numbers) == 1:
			return s.crowd(name, numbers[0])
		case request == "flight" && len(numbers) == 2:
			return s.flight(name, numbers[0], numbers[1])
		case request == "hold" && len(numbers) == 0:
			_, err := s.hold(name)
			return "ok", err
		case request == "wait" && len(numbers) == 0:
			fmt.Println("waiting")
			acquired, err := s.hold(name)
			return fmt.Sprintf("ok %d", acquired), err
		case request == "free" && s.held[name] != nil:
			free := s.held[name]
			delete(s.held, name)
			start := now()
			err := free()
			return fmt.Sprintf("ok %d", start), err
		}
	}
	return "err not understood: " + strings.Join(words, " "), nil
}

func parse(words []string) ([]int64, error) {
	numbers := make([]int64, len(words))
	for i, word := range words {
		number, err := strconv.ParseInt(word, 10, 64)
		if err != nil {
			return nil, err
		}
		numbers[i] = number
	}
	return numbers, nil
}

// hold acquires and keeps; when acquire had returned.
func (s *server) hold(name string) (int64, error) {
	free, err := s.described(name)()
	acquired := now()
	s.held[name] = free
	return acquired, err
}
