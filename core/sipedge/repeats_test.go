package sipedge

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"
)

// S03: the answer is kept for as long as a repetition may come, and not much
// longer.
func TestAnswersAreKeptForTheirTime(t *testing.T) {
	h, s, now := guarded(t, Limits{})
	p := dial(t, s, "udp")
	d := p.message("sip:bob@example.com", "once")
	d.auth = login(p.challenge(), "alice", "wonderland", d.method, d.uri, 1)
	first := p.ask(d.String())
	if code(first) != "202" {
		t.Fatalf("got %s", first)
	}
	now.pass(32 * time.Second)
	if res := p.ask(d.String()); res != first {
		t.Errorf("got %s\nwant %s", res, first)
	}
	other := dial(t, s, "udp") // the same branch of another is another transaction
	if res := other.insist(d.String()); code(res) != "202" || res == first {
		t.Errorf("another has got %s", res)
	}
	soon(t, func() bool { return s.warden.kept.Load() == 0 }) // or the library answers for us, by its own clock
	now.pass(9 * time.Second)
	if res := p.insist(d.String()); code(res) != "202" || res == first {
		t.Errorf("long after: %s", res)
	}
	if n := len(h.stored()); n != 1 {
		t.Errorf("%d stored", n)
	}
	soon(t, func() bool { return s.warden.kept.Load() == 0 })
	now.pass(time.Minute)
	if n := s.Stats().Transactions; n != 0 {
		t.Errorf("%d are kept", n)
	}
}

// insist repeats a request until it is answered, as clients do over UDP: the
// library lets go of an earlier one of this branch only after its answer.
func (p *probe) insist(msg string) (res string) {
	p.t.Helper()
	soon(p.t, func() bool {
		p.send(msg)
		res = p.read(50 * time.Millisecond)
		return res != ""
	})
	return res
}

// Repetitions count as requests of their source.
func TestRepetitionsAreCounted(t *testing.T) {
	_, s, now := guarded(t, Limits{Requests: 3})
	p := dial(t, s, "udp")
	msg := p.message("sip:bob@example.com", "x").String()
	first := p.ask(msg)
	for range 20 {
		p.send(msg)
	}
	soon(t, func() bool { return s.Stats().Source == 18 })
	for range 2 {
		if res := p.mustRead(); res != first {
			t.Errorf("got %s", res)
		}
	}
	now.pass(time.Second)
	if res := p.ask(msg); res != first {
		t.Errorf("later: %s", res)
	}
}

func TestRepeatsAreForgotten(t *testing.T) {
	var r repeats
	now := time.Now()
	for i := range 100 {
		r.put(fmt.Sprint(i), repeat{netip.AddrPort{}, "x"}, now)
		now = now.Add(time.Second)
		for _, age := range []int{1, 30, 32} {
			if _, ok := r.get(fmt.Sprint(i+1-age), now); !ok && i >= age {
				t.Fatalf("one of %d s is forgotten", age)
			}
		}
		if _, ok := r.get(fmt.Sprint(i-41), now); ok {
			t.Fatal("one of 41 s is kept")
		}
		if n := r.size(now); n > 41 {
			t.Fatalf("%d are kept", n)
		}
	}
	if n := r.size(now.Add(time.Hour)); n != 0 {
		t.Errorf("%d are kept for an hour", n)
	}
}

func TestKeyOf(t *testing.T) {
	for _, tc := range []struct{ head, want string }{
		{"MESSAGE sip:a SIP/2.0\r\nX: y\r\nVia: SIP/2.0/UDP a;rport;branch=z9hG4bK1;x=y\r\n\r\n", "MESSAGE from z9hG4bK1"},
		{"MESSAGE sip:a SIP/2.0\r\nv:SIP/2.0/UDP a;branch=z9hG4bK1,SIP/2.0/UDP b;branch=z9hG4bK2\r\nVia: SIP/2.0/UDP a;branch=z9hG4bK3\r\n\r\n", "MESSAGE from z9hG4bK1"},
		{"MESSAGE sip:a SIP/2.0\r\nVia: SIP/2.0/UDP a;branch=z9hG4bK\r\n\r\n", ""},
		{"MESSAGE sip:a SIP/2.0\r\nVia: SIP/2.0/UDP a;branch=old\r\n\r\n", ""},
		{"MESSAGE sip:a SIP/2.0\r\nVia: SIP/2.0/UDP a\r\n\r\n", ""},
		{"MESSAGE sip:a SIP/2.0\r\n\r\nVia: SIP/2.0/UDP a;branch=z9hG4bK1\r\n", ""},
	} {
		if got, ok := keyOf([]byte(tc.head), "from"); ok != (tc.want != "") || ok && got != tc.want {
			t.Errorf("%s: got %q; want %q", strings.TrimSpace(tc.head), got, tc.want)
		}
	}
}
