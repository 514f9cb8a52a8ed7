package core

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"parley.im/bus/event"
	"parley.im/plugins/sdk/wire"
)

// A fetched file is there for its deliveries only: a connector that keeps files
// can tell, and makes a copy.
func TestAFetchedFileIsOfItsDeliveries(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "plan") }))
	defer s.Close()
	h := router(t)
	h.now().config.Files.Max = 1000
	h.now().config.Files.Fetch = []string{strings.TrimPrefix(s.URL, "http://"), "127.0.0.0/8"}
	h.fetcher = h.newFetcher()
	for range 2 { // also for the second target
		c, err := h.fetch(t.Context(), event.Outbound{ID: "o1"}, s.URL)
		if err != nil {
			t.Fatal(err)
		}
		ref, ok := strings.CutPrefix(c.Ref, wire.DeliveryRef)
		if !ok || strings.HasPrefix(ref, wire.DeliveryRef) {
			t.Fatalf("ref %q", c.Ref)
		}
		c.Ref = ref
		r, err := h.bus.Media().Open(t.Context(), c)
		if err != nil {
			t.Fatal(err)
		}
		if data, err := io.ReadAll(r); string(data) != "plan" || err != nil {
			t.Errorf("%q, %v", data, err)
		}
		r.Close()
	}
}
