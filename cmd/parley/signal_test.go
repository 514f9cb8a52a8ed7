package main

import (
	"syscall"
	"testing"
)

func TestTheFirstSignalEndsTheWorkAndTheSecondTheProgram(t *testing.T) {
	for _, s := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM} {
		codes := make(chan int)
		ctx, release := untilSignalled(t.Context(), func(code int) { codes <- code })
		raise(t, s)
		<-ctx.Done()
		select {
		case code := <-codes:
			t.Errorf("%s: the first one exits with %d", s, code)
		default:
		}
		raise(t, s)
		if code := <-codes; code != exitInterrupted {
			t.Errorf("%s: the second one exits with %d, want %d", s, code, exitInterrupted)
		}
		release()
	}
}

func raise(t *testing.T, s syscall.Signal) {
	t.Helper()
	if err := syscall.Kill(syscall.Getpid(), s); err != nil {
		t.Fatal(err)
	}
}
