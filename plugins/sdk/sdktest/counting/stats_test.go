package counting

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"parley.im/bus/event"
	"parley.im/plugins/sdk"
)

func TestItTellsHowManyCameAndHowLongTheyWereUnderWay(t *testing.T) {
	c := &connector{}
	ask := func(method string) (s Stats) {
		t.Helper()
		w := httptest.NewRecorder()
		c.door().ServeHTTP(w, httptest.NewRequest(method, "/stats", nil))
		if err := json.Unmarshal(w.Body.Bytes(), &s); err != nil {
			t.Fatalf("%d %q: %v", w.Code, w.Body, err)
		}
		return s
	}
	take := func(body string) {
		t.Helper()
		d := event.Delivery{}
		d.Data = []byte(body)
		if _, err := c.Deliver(t.Context(), d); err != nil {
			t.Fatal(err)
		}
	}
	take("no time at all")
	if s := ask("GET"); s != (Stats{Count: 1}) {
		t.Errorf("a message that does not say when it was sent: got %+v", s)
	}
	for range 3 {
		take(fmt.Sprint(time.Now().Add(-time.Minute).UnixNano(), " ..."))
	}
	if s := ask("GET"); s.Count != 4 || s.P50 < time.Minute || s.P99 < s.P50 || s.Max > time.Hour {
		t.Errorf("three that took a minute: got %+v", s)
	}
	if s := ask("POST"); s != (Stats{}) {
		t.Errorf("begun anew: got %+v", s)
	}
	w := httptest.NewRecorder()
	c.door().ServeHTTP(w, httptest.NewRequest("GET", "/", nil))
	if w.Code != 404 {
		t.Errorf("another path: got %d, want 404", w.Code)
	}
}

// taker is a host that takes messages and refuses the first.
type taker struct {
	sdk.Host
	mu  sync.Mutex
	got []event.Inbound
	ids map[string]bool
}

func (h *taker) Put(_ context.Context, in event.Inbound) (string, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.got = append(h.got, in)
	h.ids[in.NativeID] = true
	if len(h.got) == 1 {
		return "", errors.New("not this one")
	}
	return in.NativeID, nil
}

func TestItSendsAsLongAndAsFastAsItIsTold(t *testing.T) {
	h := &taker{ids: map[string]bool{}}
	c := &connector{host: h}
	w := httptest.NewRecorder()
	c.door().ServeHTTP(w, httptest.NewRequest("POST", "/send",
		strings.NewReader(`{"from": "count:u/%d", "to": "sip:u%d@x", "people": 3, "rate": 300, "time": 100000000, "bytes": 50}`)))
	var s Sent
	if err := json.Unmarshal(w.Body.Bytes(), &s); err != nil {
		t.Fatalf("%d %q: %v", w.Code, w.Body, err)
	}
	if n := int64(len(h.got)); s.Stored != n-1 || s.Failed != 1 || n < 3 || n > 33 || len(h.ids) != len(h.got) || s.Took < 100*time.Millisecond {
		t.Errorf("%+v of %d messages with %d ids", s, n, len(h.ids))
	}
	for _, in := range h.got {
		if in.Sender.Rest() != "u/"+string(in.Recipient[5]) || len(in.Data) != 50 {
			t.Errorf("%s to %s: %q", in.Sender, in.Recipient, in.Data)
		}
	}
	w = httptest.NewRecorder()
	if c.door().ServeHTTP(w, httptest.NewRequest("POST", "/send", strings.NewReader(`{"people": 0}`))); w.Code != 400 {
		t.Errorf("nobody: got %d, want 400", w.Code)
	}
}
