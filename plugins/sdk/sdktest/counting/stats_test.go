package counting

import (
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"testing"
	"time"

	"parley.im/bus/event"
)

func TestItTellsHowManyCameAndHowLongTheyWereUnderWay(t *testing.T) {
	c := &connector{}
	ask := func(method string) (s Stats) {
		t.Helper()
		w := httptest.NewRecorder()
		c.serveStats(w, httptest.NewRequest(method, "/stats", nil))
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
	c.serveStats(w, httptest.NewRequest("GET", "/", nil))
	if w.Code != 404 {
		t.Errorf("another path: got %d, want 404", w.Code)
	}
}
