package web

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"sync"
	"time"

	"parley.im/plugins/sdk"
)

// clockStep is how far ahead the sequence is reserved in State, in
// microseconds: one write a minute, and a restart never reuses a number even
// when the machine's clock was set back.
const clockStep = int64(time.Minute / time.Microsecond)

// queueLength bounds what waits for one slow page. It is dropped when its
// queue is full, and resumes.
const queueLength = 256

// A hub numbers changes and shows them to the open pages.
//
// A change is begun, made durable and then finished; several may be under way
// and finish in another order. The id that goes with an event is therefore the
// number up to which everything has been shown, not the event's own: a page
// that resumes from it may see a change twice but never misses one.
type hub struct {
	state    sdk.State
	mu       sync.Mutex
	last     int64 // highest number given out
	reserved int64 // highest number that may be given out
	revision uint64
	flight   map[int64]bool // begun and not finished
	pages    map[*page]bool
	closed   bool
}

// A page is one open event stream.
type page struct {
	person string
	since  int64 // when the person claimed the name: nothing before is theirs
	queue  chan notice
	gone   chan struct{} // closed when the hub drops the page
}

// A notice is one thing to show. ID is 0 when it need not be resumed.
type notice struct {
	ID   int64
	Kind string
	Data []byte
}

const clockKey = "clock"

// openHub continues the numbering where State says it may have ended.
func openHub(ctx context.Context, s sdk.State) (*hub, error) {
	h := &hub{state: s, flight: map[int64]bool{}, pages: map[*page]bool{}}
	e, err := s.Get(ctx, clockKey)
	if errors.Is(err, sdk.ErrNotFound) {
		return h, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read clock: %w", err)
	}
	h.revision = e.Revision
	if h.reserved, err = strconv.ParseInt(string(e.Value), 10, 64); err != nil {
		return nil, fmt.Errorf("read clock: %w", err)
	}
	h.last = h.reserved
	return h, nil
}

// begin gives out the next number: microseconds since 1970, or one more than
// the last. Whoever begins must finish.
func (h *hub) begin(ctx context.Context) (int64, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	n := max(h.last+1, time.Now().UnixMicro())
	if n > h.reserved {
		if err := h.reserve(ctx, n+clockStep); err != nil {
			return 0, fmt.Errorf("reserve numbers: %w", err)
		}
	}
	h.last = n
	h.flight[n] = true
	return n, nil
}

func (h *hub) reserve(ctx context.Context, upTo int64) error {
	rev, err := overwrite(ctx, h.state, clockKey, []byte(strconv.FormatInt(upTo, 10)), h.revision)
	if err == nil {
		h.revision, h.reserved = rev, upTo
	}
	return err
}

// finish ends change n and shows m, unless it is nil, to those it concerns.
func (h *hub) finish(n int64, m *message) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.flight, n)
	if m == nil {
		return
	}
	data := m.view()
	for p := range h.pages {
		if m.visibleTo(p.person, p.since) {
			h.give(p, notice{h.shown(), "message", data})
		}
	}
}

// shown returns the number up to which every change has been shown.
func (h *hub) shown() int64 {
	low := h.last + 1
	for n := range h.flight {
		low = min(low, n)
	}
	return low - 1
}

// cursor is shown, for a page that now loads everything.
func (h *hub) cursor() int64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.shown()
}

// give queues n for p, or drops p when it doesn't keep up.
func (h *hub) give(p *page, n notice) {
	select {
	case p.queue <- n:
	default:
		h.drop(p)
	}
}

func (h *hub) drop(p *page) {
	if h.pages[p] {
		delete(h.pages, p)
		close(p.gone)
	}
}

// join opens a page and returns the number from which on it is shown
// everything. ok is false when the person has too many pages or the hub is
// closed.
func (h *hub) join(person string, since int64) (p *page, from int64, ok bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	open := 0
	for q := range h.pages {
		if q.person == person {
			open++
		}
	}
	if h.closed || open >= maxPages {
		return nil, 0, false
	}
	p = &page{person: person, since: since, queue: make(chan notice, queueLength), gone: make(chan struct{})}
	h.pages[p] = true
	h.tellPresence()
	return p, h.shown(), true
}

// leave closes a page.
func (h *hub) leave(p *page) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.drop(p)
	h.tellPresence()
}

// expel closes all pages of a person.
func (h *hub) expel(person string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for p := range h.pages {
		if p.person == person {
			h.drop(p)
		}
	}
	h.tellPresence()
}

// tell shows n to all pages of one person.
func (h *hub) tell(person string, n notice) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for p := range h.pages {
		if p.person == person {
			h.give(p, n)
		}
	}
}

// present returns who has a page open, sorted.
func (h *hub) present() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.names()
}

func (h *hub) names() []string {
	set := map[string]bool{}
	for p := range h.pages {
		set[p.person] = true
	}
	return slices.AppendSeq(make([]string, 0, len(set)), slices.Values(slices.Sorted(maps.Keys(set))))
}

func (h *hub) tellPresence() {
	data, _ := json.Marshal(h.names())
	for p := range h.pages {
		h.give(p, notice{0, "presence", data})
	}
}

// close drops all pages, and those that come later.
func (h *hub) close() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.closed = true
	for p := range h.pages {
		h.drop(p)
	}
}

// maxPages is how many pages one person may have open.
const maxPages = 12
