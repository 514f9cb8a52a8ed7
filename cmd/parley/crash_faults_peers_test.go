//go:build linux && peers

package main

import (
	"errors"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"parley.im/plugins/email/mailtest"
)

// A fault is one row of the matrix: something that goes wrong, again and again,
// while people speak.
type fault struct {
	name     string
	external bool // the bus is a NATS server of its own
	ends     bool // the host
	small    bool // the disk of the store has little room
	strike   func(s *scene)
}

// A scene is a town in which a fault strikes.
type scene struct {
	*town
	nats   *natsNode // if the bus is external
	disk   string    // where the store is, if its disk is small
	length time.Duration
}

var connectors = []string{"matrix", "slack", "email", "web"}

func faults() []fault {
	return []fault{
		{name: "none", strike: func(s *scene) { s.lasts() }},
		{name: "host killed", ends: true, strike: (*scene).killHost},
		{name: "host stopped for a while", strike: func(s *scene) { s.freeze(s.cmd.Process.Pid) }},
		{name: "connector killed", strike: (*scene).killConnector},
		{name: "connector stopped for a while", strike: func(s *scene) { s.freeze(s.pid(anyOf(connectors))) }},
		{name: "writes to the disk fail", strike: (*scene).breakWrites},
		{name: "disk full", small: true, strike: (*scene).fillDisk},
		{name: "fsync fails", strike: (*scene).breakSync},
		{name: "far side refuses for now (429, 4xx)", strike: (*scene).limit},
		{name: "far side fails (502, 503)", strike: (*scene).fail},
		{name: "far side takes it and hangs up", strike: (*scene).loseAnswers},
		{name: "far side takes it and is silent for a while", strike: (*scene).holdAnswers},
		{name: "far side is slow", strike: (*scene).slow},
		{name: "NATS server killed", external: true, strike: func(s *scene) { s.nats.kill(); s.nats.start() }},
		{name: "NATS server stopped for a while", external: true, strike: func(s *scene) { s.freeze(s.nats.pid()) }},
		{name: "connection to NATS cut", external: true, strike: func(s *scene) { s.nats.cut(); s.lasts(); s.nats.mend() }},
	}
}

func anyOf(list []string) string { return list[rand.IntN(len(list))] }

// lasts lets a fault last.
func (s *scene) lasts() { <-time.After(s.length) }

// lastsShortly lets a fault of the far side last, not for so long that messages
// fail because of it.
func (s *scene) lastsShortly() { <-time.After(min(s.length, 3*time.Second)) }

func (s *scene) killHost() {
	s.crash()
	s.start()
}

func (s *scene) killConnector() {
	from, name := s.lineCount(), anyOf(connectors)
	kill(s.t, s.pid(name))
	s.saysAfter(from, `msg="connector is up" connector=`+name)
}

// freeze stops a process for a while.
func (s *scene) freeze(pid int) {
	_ = syscall.Kill(pid, syscall.SIGSTOP)
	s.lasts()
	_ = syscall.Kill(pid, syscall.SIGCONT)
}

// breakWrites has every write of the host fail, as on a full disk.
func (s *scene) breakWrites() {
	pid := s.cmd.Process.Pid
	var whole unix.Rlimit
	if err := unix.Prlimit(pid, unix.RLIMIT_FSIZE, nil, &whole); err != nil {
		s.t.Fatal(err)
	}
	if err := unix.Prlimit(pid, unix.RLIMIT_FSIZE, &unix.Rlimit{Cur: 1, Max: whole.Max}, nil); err != nil {
		s.t.Fatal(err)
	}
	s.lasts()
	if err := unix.Prlimit(pid, unix.RLIMIT_FSIZE, &whole, nil); err != nil {
		s.t.Fatal(err)
	}
}

// smallDisk mounts a disk with room for some minutes of talk.
func smallDisk(t *testing.T) (folder string) {
	folder = shortDir(t)
	if err := unix.Mount("tmpfs", folder, "tmpfs", 0, "size=512m"); err != nil {
		t.Fatalf("mount a small disk: %v", err)
	}
	t.Cleanup(func() {
		err := unix.EBUSY // as long as a connector is ending
		for end := time.Now().Add(patience); err == unix.EBUSY && time.Now().Before(end); <-time.After(10 * time.Millisecond) {
			err, _ = unix.Unmount(folder, 0).(unix.Errno)
		}
		if err != 0 {
			t.Errorf("unmount the small disk: %v", err)
		}
	})
	return folder
}

// refusing waits until a message is answered 503: the host looks at the free space
// once a second, and a file's last page has room until it is full.
func (s *scene) refusing() {
	got := ""
	for end := time.Now().Add(patience); time.Now().Before(end); {
		if got = s.answer("town", "while the disk is full"); strings.HasPrefix(got, "503 ") {
			return
		}
	}
	s.t.Errorf("while the disk is full it answers %q", got)
}

// fillDisk leaves no byte free for a while.
func (s *scene) fillDisk() {
	f, err := os.Create(filepath.Join(s.disk, "filler"))
	if err != nil {
		s.t.Fatal(err)
	}
	zeros := make([]byte, 1<<20)
	for size := len(zeros); size > 0; {
		if _, err := f.Write(zeros[:size]); err != nil {
			size /= 2 // what is left is smaller
		}
	}
	s.refusing()
	s.lasts()
	if got := s.answer("town", "while the disk is full"); !strings.HasPrefix(got, "503 ") {
		s.t.Errorf("once it has refused it answers %q", got)
	}
	if err := errors.Join(f.Close(), os.Remove(f.Name())); err != nil {
		s.t.Fatal(err)
	}
}

// breakSync has every fsync of the host fail.
func (s *scene) breakSync() {
	strace := start(s.t, "strace", exec.Command("strace", "-f", "-o", "/dev/null",
		"-e", "trace=fsync,fdatasync", "-e", "inject=fsync,fdatasync:error=EIO", "-p", strconv.Itoa(s.cmd.Process.Pid)))
	strace.says(`attached`)
	if got := s.answer("town", "while fsync fails"); strings.HasPrefix(got, "2") {
		s.t.Errorf("while fsync fails it answers %q", got)
	}
	strace.signal(syscall.SIGINT)
	<-strace.done
}

func (s *scene) limit() {
	s.slack.Limit(time.Second)
	s.hs.Limit(1000, 500*time.Millisecond)
	s.relay.Answer(mailtest.Rcpt, 451, [3]int{4, 7, 1}, "greylisted")
	s.lastsShortly()
	s.slack.Limit(0)
	s.hs.Restore()
}

func (s *scene) fail() {
	s.slack.Fail(503)
	s.hs.Fail(1000, 502, "")
	s.relay.Answer(mailtest.Dot, 451, [3]int{4, 3, 0}, "try again later")
	s.lastsShortly()
	s.slack.Fail(0)
	s.hs.Restore()
}

func (s *scene) loseAnswers() {
	s.slack.LoseAnswers(1)
	s.hs.Lose(1)
	s.relay.LoseAnswers(1)
	s.lastsShortly()
}

func (s *scene) holdAnswers() {
	networks := s.hold()
	s.phone.holdAnswers()
	s.lastsShortly()
	for _, n := range networks {
		n.release()
	}
	s.phone.release()
}

func (s *scene) slow() {
	s.slack.Slow("chat.postMessage", 300*time.Millisecond)
	s.hs.Slow(300 * time.Millisecond)
	s.lastsShortly()
	s.slack.Slow("chat.postMessage", 0)
	s.hs.Restore()
}
