package sipedge

import (
	"errors"
	"strings"
	"testing"
)

// S03: the transaction repeats its response.
func TestRetransmissionOverUDP(t *testing.T) {
	h := newHost()
	s := run(t, config(h), h)
	p := dial(t, s, "udp")
	d := p.message("sip:bob@example.com", "once")
	first := p.say(d)
	if code(first) != "202" {
		t.Fatalf("got %s", first)
	}
	for range 5 {
		if res := p.ask(d.String()); res != first {
			t.Errorf("got %s\nwant %s", res, first)
		}
	}
	if n := len(h.stored()); n != 1 {
		t.Errorf("%d stored", n)
	}
}

// S03: on TCP there is no transaction left; the message is known nevertheless.
func TestDuplicateOverTCP(t *testing.T) {
	h := newHost()
	s := run(t, config(h), h)
	p := dial(t, s, "tcp")
	d := p.message("sip:bob@example.com", "once")
	if res := p.say(d); code(res) != "202" {
		t.Fatalf("got %s", res)
	}
	for range 3 {
		if res := p.ask(d.String()); code(res) != "202" {
			t.Errorf("got %s", res)
		}
	}
	if n := len(h.stored()); n != 1 {
		t.Errorf("%d stored", n)
	}
}

// S04: a copy that comes on another way while the first is in work waits for the
// first one's answer: it is merged, or as refused as the first.
func TestCopyWaitsForTheFirst(t *testing.T) {
	t.Run("stored", func(t *testing.T) { copied(t, nil, "202", "482") })
	t.Run("not stored", func(t *testing.T) { copied(t, errors.New("disk full"), "503", "503") })
}

func copied(t *testing.T, failure error, first, second string) {
	h := newHost()
	h.block, h.putErr = make(chan struct{}), failure
	s := run(t, config(h), h)
	one, two := dial(t, s, "tcp"), dial(t, s, "tcp")
	d := one.message("sip:bob@example.com", "once")
	d.auth = login(one.challenge(), "alice", "wonderland", d.method, d.uri, 1)
	one.send(d.String())
	h.waitPut(t)
	d.via = strings.Replace(d.via, "z9hG4bK", "z9hG4bKother", 1)
	two.send(d.String())
	if res := two.ask(two.message("sip:bob@example.com", "x").String()); code(res) != "401" { // read after the copy
		t.Fatalf("got %s", res)
	}
	soon(t, func() bool {
		s.inWork.mu.Lock()
		defer s.inWork.mu.Unlock()
		for _, first := range s.inWork.all {
			return first.copies == 1
		}
		return false
	})
	close(h.block)
	for p, want := range map[*probe]string{one: first, two: second} {
		if res := p.mustRead(); code(res) != want {
			t.Errorf("got %s\nwant %s", res, want)
		}
	}
	if n := len(h.stored()); n != 1 && failure == nil {
		t.Errorf("%d stored", n)
	}
}

// A stored request is never challenged again: after a restart the nonce is
// unknown, but the same bytes have the same answer.
func TestRetransmissionOverARestart(t *testing.T) {
	for _, network := range []string{"udp", "tcp"} {
		t.Run(network, func(t *testing.T) {
			h := newHost()
			before := run(t, config(h), h)
			p := dial(t, before, network)
			d := p.message("sip:bob@example.com", "once")
			if res := p.say(d); code(res) != "202" {
				t.Fatalf("got %s", res)
			}
			before.stop()
			after := run(t, config(h), h)
			p = dial(t, after, network)
			if res := p.ask(d.String()); code(res) != "202" {
				t.Errorf("stored: got %s", res)
			}
			if n := len(h.stored()); n != 1 {
				t.Errorf("%d stored", n)
			}
			// Nobody gets that answer who does not know the password.
			forged := *d
			forged.auth = strings.Replace(d.auth, `response="`, `response="0`, 1)
			forged.via = strings.Replace(d.via, "z9hG4bK", "z9hG4bKforged", 1)
			if res := p.ask(forged.String()); code(res) != "401" {
				t.Errorf("forged: got %s", res)
			}
			// What was not stored is asked for again.
			d.callID, d.via = "another", strings.Replace(d.via, "z9hG4bK", "z9hG4bKanother", 1)
			if res := p.ask(d.String()); code(res) != "401" || !strings.Contains(res, "stale=true") {
				t.Errorf("not stored: got %s", res)
			}
		})
	}
}
