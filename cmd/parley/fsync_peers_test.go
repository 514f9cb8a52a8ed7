//go:build linux && peers

package main

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"parley.im/core/sipedge/uac"
)

// The kernel's own account of it: strace sees each write to the log, each
// fsync and each 202 that leaves.
func TestPeerNo202LeavesBeforeItsEventIsOnDisk(t *testing.T) {
	b := newBridge(t)
	traced := filepath.Join(b.dir, "trace")
	strace := start(t, "strace", exec.Command("strace", "-f", "-y", "-s", "1000000", "-o", traced,
		"-e", "trace=write,pwrite64,fsync,fdatasync,sendto,sendmsg", "-p", strconv.Itoa(b.cmd.Process.Pid)))
	strace.says(`attached`)

	const clients, each = 64, 5
	var all sync.WaitGroup
	for i := range clients {
		all.Go(func() { b.accepts(fmt.Sprintf("client %d", i), each) })
	}
	all.Wait()
	strace.signal(syscall.SIGINT)
	<-strace.done

	f, err := os.Open(traced)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r := newSyncReader()
	lines := bufio.NewReaderSize(f, 1<<20)
	for {
		line, err := lines.ReadString('\n')
		if err != nil {
			break
		}
		r.line(line)
	}
	if len(r.answered) != clients*each {
		t.Errorf("%d messages got a 202, %d were sent", len(r.answered), clients*each)
	}
	for _, early := range r.early {
		t.Errorf("a 202 left before its event was synced: Call-ID %s", early)
	}
	t.Logf("%d answers after %d syncs of the log, %d early", len(r.answered), r.syncs, len(r.early))
}

// accepts sends n messages as alice and wants 202 for each.
func (b *bridge) accepts(text string, n int) {
	c, err := uac.Dial(b.t.Context(), uac.Config{
		Server: at(b.sip), Network: "udp", From: "sip:alice@127.0.0.1", User: "alice", Password: password("alice"),
	})
	if err != nil {
		b.t.Error(err)
		return
	}
	defer c.Close()
	for i := range n {
		a, err := c.Send(b.t.Context(), "sip:lobby@127.0.0.1", "text/plain", fmt.Appendf(nil, "%s, %d", text, i))
		if err != nil || a.Code != 202 {
			b.t.Errorf("%s, %d: %v %v", text, i, a, err)
		}
	}
}

// A syncReader follows the system calls of a trace in their order.
type syncReader struct {
	begun    map[string]string // of each thread: its call that is under way
	written  map[string]int    // Call-ID of each event in the log: sync number that must be reached
	started  map[string]int    // of each thread: the number of its sync under way
	syncs    int               // begun so far
	synced   int               // the highest number that has ended well
	answered map[string]bool   // Call-IDs
	early    []string
}

func newSyncReader() *syncReader {
	return &syncReader{
		begun: map[string]string{}, written: map[string]int{}, started: map[string]int{}, answered: map[string]bool{},
	}
}

var (
	call      = regexp.MustCompile(`^(\d+) +(\w+)\(\d+<([^>]*)>`)
	resumed   = regexp.MustCompile(`^(\d+) +<\.\.\. (\w+) resumed>`)
	nativeIDs = regexp.MustCompile(`ce-nativeid: ([A-Z0-9]+)`)
	callID    = regexp.MustCompile(`Call-ID: ([A-Z0-9]+)`)
)

// line reads one line: a call, the beginning of one, or the end of one.
func (r *syncReader) line(s string) {
	if m := resumed.FindStringSubmatch(s); m != nil {
		begun := r.begun[m[1]]
		delete(r.begun, m[1])
		if begun != "" {
			r.ended(m[1], begun, s)
		}
		return
	}
	m := call.FindStringSubmatch(s)
	if m == nil {
		return
	}
	r.began(m[1], s)
	if strings.Contains(s, "<unfinished ...>") {
		r.begun[m[1]] = s
		return
	}
	r.ended(m[1], s, s)
}

// began takes a call as soon as it begins: an answer has left by then, a sync
// takes what was written before.
func (r *syncReader) began(thread, s string) {
	switch {
	case isSync(s):
		r.syncs++
		r.started[thread] = r.syncs
	case strings.Contains(s, `"SIP/2.0 202`):
		m := callID.FindStringSubmatch(s)
		if m == nil {
			return
		}
		r.answered[m[1]] = true
		if need, ok := r.written[m[1]]; !ok || r.synced < need {
			r.early = append(r.early, m[1])
		}
	}
}

// ended takes a call when it has ended: a write is followed by the next sync
// that begins.
func (r *syncReader) ended(thread, begun, end string) {
	switch {
	case isSync(begun):
		if strings.Contains(end, "= 0") {
			r.synced = max(r.synced, r.started[thread])
		}
	case isLog(begun):
		for _, m := range nativeIDs.FindAllStringSubmatch(begun, -1) {
			if _, known := r.written[m[1]]; !known {
				r.written[m[1]] = r.syncs + 1
			}
		}
	}
}

// isLog tells whether a call is about the log of what came in.
func isLog(s string) bool { return strings.Contains(s, "/PARLEY_INBOUND/msgs/") }

func isSync(s string) bool {
	return isLog(s) && (strings.Contains(s, " fsync(") || strings.Contains(s, " fdatasync("))
}
