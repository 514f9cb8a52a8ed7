package sipedge

import (
	"bytes"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/emiago/sipgo/sip"
)

// An answer over UDP is kept for timer J, 32 s (RFC 3261, section 17.2.2), in
// slots that are forgotten whole.
const (
	repeatSlots = 5
	repeatSlot  = 8 * time.Second
)

// repeats keeps the answers of UDP requests, so that a repetition of a request
// has the same one. The library would keep whole transactions, which are eight
// times as large.
type repeats struct {
	mu    sync.Mutex
	slots [repeatSlots]map[string]repeat // the newest first
	until time.Time                      // of the newest
	count int
}

// repeat is an answer as it went out.
type repeat struct {
	to   netip.AddrPort
	text string
}

// get returns the answer of the request with a key.
func (r *repeats) get(key string, now time.Time) (repeat, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.turn(now)
	for _, s := range r.slots {
		if a, ok := s[key]; ok {
			return a, true
		}
	}
	return repeat{}, false
}

func (r *repeats) put(key string, a repeat, now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.turn(now)
	if _, again := r.slots[0][key]; !again {
		r.count++
	}
	r.slots[0][key] = a
}

func (r *repeats) size(now time.Time) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.turn(now)
	return r.count
}

// turn forgets what is old. It needs mu.
func (r *repeats) turn(now time.Time) {
	for i := 0; i < repeatSlots && !now.Before(r.until); i++ {
		r.count -= len(r.slots[repeatSlots-1])
		copy(r.slots[1:], r.slots[:])
		r.slots[0] = map[string]repeat{}
		r.until = r.until.Add(repeatSlot)
	}
	if !now.Before(r.until) {
		r.until = now.Add(repeatSlot) // after a long silence
	}
}

// repetitionKey names the transaction of a request (RFC 3261, section 17.2.3). A
// request whose branch may not be unique has none.
func repetitionKey(method, source, branch string) (key string, ok bool) {
	return method + " " + source + " " + branch, len(branch) > len(sip.RFC3261BranchMagicCookie) && strings.HasPrefix(branch, sip.RFC3261BranchMagicCookie) && isToken(branch)
}

// keyOf reads the key of a tidy request before the library does.
func keyOf(head []byte, source string) (key string, ok bool) {
	line, rest := nextLine(head)
	method, _, _ := bytes.Cut(line, []byte(" "))
	for len(rest) > 0 {
		if line, rest = nextLine(rest); len(line) == 0 {
			break // the body
		}
		name, value, _ := bytes.Cut(line, []byte(":"))
		if name = bytes.TrimRight(name, " \t"); !bytes.EqualFold(name, []byte("via")) && !bytes.EqualFold(name, []byte("v")) {
			continue
		}
		top, _, _ := bytes.Cut(value, []byte(","))
		_, branch, found := strings.Cut(string(top), ";branch=")
		branch, more, _ := strings.Cut(branch, ";")
		if !found || strings.Contains(";"+more, ";branch=") { // of two, who knows which counts
			return "", false
		}
		return repetitionKey(string(method), source, strings.TrimSpace(branch))
	}
	return "", false
}

// keep keeps the answer of a UDP request, if its repetitions can be known. Then
// the library need not keep its transaction.
func (r *repeats) keep(req request, res *sip.Response, now time.Time) bool {
	if req.path.Network != "udp" {
		return false
	}
	key, ok := repetitionKey(string(req.Method), req.Source(), req.branch())
	to, err := netip.ParseAddrPort(res.Destination())
	if !ok || err != nil {
		return false
	}
	r.put(key, repeat{to, res.String()}, now)
	return true
}
