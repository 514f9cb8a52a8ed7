package connectorpython_test

import (
	"context"
	"log/slog"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"parley.im/bus/event"
	"parley.im/plugins/sdk"
	"parley.im/plugins/sdk/client"
	"parley.im/plugins/sdk/sdktest"
)

// services is a running connector that tries what it is told to.
type services struct {
	*client.Process
	backend *sdktest.Backend
}

func startServices(t *testing.T) services {
	t.Helper()
	dir, err := os.MkdirTemp("", "py")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	p, err := client.Start(t.Context(), client.Command{
		Name: "services", Path: "testdata/services.py", SocketDir: dir,
	}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Kill)
	b := sdktest.NewBackend()
	b.Refuse("s:nobody")
	if err := p.Open(t.Context(), sdk.Settings{Instance: "services"}, b); err != nil {
		t.Fatal(err)
	}
	return services{p, b}
}

func (s services) try(ctx context.Context, id, text string) ([]string, error) {
	d := event.Delivery{ID: id, Kind: event.KindMessage, Target: "s:room", Attempt: 1}
	d.MediaType, d.Data = "text/plain", []byte(text)
	r, err := s.Deliver(ctx, d)
	return r.RemoteIDs, err
}

func TestPythonUsesWhatTheBridgeLends(t *testing.T) {
	s := startServices(t)
	for _, tc := range []struct {
		name, text string
		want       []string
	}{
		{"a durable store with revisions", "state", []string{"True", "True", "['a/2']", "conflict", "not found"}},
		{"a large delivery", "length " + strings.Repeat("z", 2<<20), []string{"2097152"}},
		{"large bodies of its own", "keep", []string{"700000", "True", "not found"}},
		{"a message", "put 10", []string{event.InboundID("services", "n10")}},
		{"a large message", "put 600000", []string{event.InboundID("services", "n600000")}},
		{"what is refused", "refused", []string{"refused", "refused", "refused", "accepted"}},
		{"signals and reports", "tell", []string{"told"}},
	} {
		if got, err := s.try(t.Context(), "id", tc.text); err != nil || !slices.Equal(got, tc.want) {
			t.Errorf("%s: got %q, %v; want %q", tc.name, got, err, tc.want)
		}
	}
	in := s.backend.Inbounds()
	if len(in) != 2 || len(in[0].Data) != 10 || in[1].Ref == "" || in[1].Size != 600000 {
		t.Errorf("the host has %d messages: %+v", len(in), in)
	}
	if r := s.backend.Reports(); len(r) != 1 || r[0].Outbound != "id" || r[0].State != event.Displayed {
		t.Errorf("the host has the reports %+v", r)
	}
	if c := s.backend.Signals(); len(c) != 1 || !c[0].Active {
		t.Errorf("the host has the signals %+v", c)
	}
}

func TestPythonsErrorsKeepTheirMeaning(t *testing.T) {
	s := startServices(t)
	_, err := s.try(t.Context(), "id", "later")
	if scope, after, ok := event.AsRetry(err); !ok || scope != event.ScopeTarget || after != 1500*time.Millisecond {
		t.Errorf("later: got %v (%v, %v)", err, scope, after)
	}
	for text, reason := range map[string]event.Reason{"never": event.ReasonPermanent, "no": event.ReasonRefused} {
		if _, err := s.try(t.Context(), "id", text); !event.IsPermanent(err) || event.ReasonOf(err) != reason {
			t.Errorf("%s: got %v, %s", text, err, event.ReasonOf(err))
		}
	}
	_, err = s.try(t.Context(), "id", "stumble")
	if _, _, later := event.AsRetry(err); err == nil || later || event.IsPermanent(err) {
		t.Errorf("an exception that nobody expects: got %v; want an unknown outcome", err)
	}
	s.backend.SetBusy(sdk.ErrBusy)
	_, err = s.try(t.Context(), "id", "put 1")
	if err == nil || event.IsPermanent(err) {
		t.Errorf("a host that is busy: got %v", err)
	}
}

func TestPythonFinds(t *testing.T) {
	s := startServices(t)
	first := time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)
	ask := func(id string) (event.Receipt, bool, error) {
		return s.Find(t.Context(), event.Delivery{ID: id, Kind: event.KindMessage}, first)
	}
	if !s.Description().Find {
		t.Error("the description does not say that it finds")
	}
	if r, found, err := ask("sent"); !found || err != nil || !slices.Equal(r.RemoteIDs, []string{"2030-01-02T03:04:05"}) {
		t.Errorf("sent: got %+v, %v, %v", r, found, err)
	}
	if _, found, err := ask("other"); found || err != nil {
		t.Errorf("not sent: got %v, %v", found, err)
	}
	if _, _, err := ask("unsure"); err == nil {
		t.Error("unsure: got no error")
	}
}
