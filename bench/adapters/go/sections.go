package main

import (
	"errors"
	"fmt"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// now is CLOCK_MONOTONIC, which all processes share; time.Now does not give its number.
func now() int64 {
	var clock unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &clock); err != nil {
		panic(err)
	}
	return clock.Nano()
}

// A section is when acquire was called, when it had returned, and when release was called.
type section [3]int64

func (wanted lock) section(hold time.Duration) (section, error) {
	requested := now()
	free, err := wanted()
	acquired := now()
	if err != nil {
		return section{}, err
	}
	if hold > 0 {
		// The thread, and not the goroutine alone.
		pause := unix.NsecToTimespec(hold.Nanoseconds())
		if err := unix.Nanosleep(&pause, nil); err != nil && !errors.Is(err, unix.EINTR) {
			return section{}, err
		}
	}
	released := now()
	return section{requested, acquired, released}, free()
}

func (wanted lock) pass() error {
	free, err := wanted()
	if err != nil {
		return err
	}
	return free()
}

func pairs(wanted lock, count int64) (string, error) {
	samples := make([]int64, count)
	for i := range samples {
		start := now()
		if err := wanted.pass(); err != nil {
			return "", err
		}
		samples[i] = now() - start
	}
	return listed(samples), nil
}

func cycles(wanted lock, count int64) (string, error) {
	start := now()
	for range count {
		if err := wanted.pass(); err != nil {
			return "", err
		}
	}
	return fmt.Sprintf("ok %d", now()-start), nil
}

func loop(wanted lock, until int64, hold time.Duration) (string, error) {
	var moments []int64
	for now() < until {
		done, err := wanted.section(hold)
		if err != nil {
			return "", err
		}
		moments = append(moments, done[:]...)
	}
	return listed(moments), nil
}

// crowd has so many goroutines wait for one lock, each with its own description of it.
func (s *server) crowd(name string, waiters int64) (string, error) {
	begun := make(chan struct{}, waiters)
	sections, failures := make(chan section, waiters), make(chan error, waiters)
	for range waiters {
		wanted := s.who.describe(name)
		go func() {
			begun <- struct{}{}
			done, err := wanted.section(0)
			sections <- done
			failures <- err
		}()
	}
	for range waiters {
		<-begun
	}
	fmt.Println("waiting")
	var moments []int64
	var err error
	for range waiters {
		done := <-sections
		moments = append(moments, done[:]...)
		err = errors.Join(err, <-failures)
	}
	return listed(moments), err
}

// flight runs so many goroutines at once, each with a lock of its own.
func (s *server) flight(name string, tasks, count int64) (string, error) {
	failures := make(chan error, tasks)
	locks := make([]lock, tasks)
	for number := range locks {
		locks[number] = s.described(fmt.Sprintf("%s:%d", name, number))
	}
	start := now()
	for _, wanted := range locks {
		go func() {
			var failure error
			for range count {
				failure = errors.Join(failure, wanted.pass())
			}
			failures <- failure
		}()
	}
	var err error
	for range tasks {
		err = errors.Join(err, <-failures)
	}
	return fmt.Sprintf("ok %d", now()-start), err
}

func listed(numbers []int64) string {
	answer := []byte("ok")
	for _, number := range numbers {
		answer = strconv.AppendInt(append(answer, ' '), number, 10)
	}
	return string(answer)
}
