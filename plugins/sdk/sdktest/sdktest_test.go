package sdktest_test

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"parley.im/bus/event"
	"parley.im/plugins/sdk"
	"parley.im/plugins/sdk/sdktest"
	"parley.im/plugins/sdk/sdktest/counting"
)

// TestMain serves a connector when the suite has started this program as one.
func TestMain(m *testing.M) {
	if len(os.Args) > 2 && os.Args[1] == "serve" {
		sdk.Serve(connectors()[os.Args[2]])
	}
	os.Exit(m.Run())
}

func connectors() map[string]sdk.Connector {
	return map[string]sdk.Connector{
		"counting":  counting.New(),
		"folder":    &folder{},
		"forgetful": &forgetful{},
		"lax":       &lax{},
		"stubborn":  &stubborn{},
		"fatalist":  &fatalist{},
		"reverser":  &reverser{},
		"blabber":   &blabber{},
		"silent":    &silent{},
		"parrot":    &parrot{},
	}
}

func options(t *testing.T, name string) sdktest.Options {
	dir := t.TempDir()
	settings, err := json.Marshal(map[string]string{"dir": dir, "token": "open sesame now"})
	if err != nil {
		t.Fatal(err)
	}
	return sdktest.Options{
		Command: []string{os.Args[0], "serve", name}, Settings: settings, Target: "folder:room", Network: watcher{dir},
	}
}

func TestCountingKeepsTheContract(t *testing.T) {
	o := options(t, "counting")
	o.Settings, o.Target, o.Network = nil, "count:room", nil
	sdktest.Run(t, o)
}

func TestFolderKeepsTheContract(t *testing.T) { sdktest.Run(t, options(t, "folder")) }

// forgetful acknowledges a delivery and shows nothing, and finds it anyway.
type forgetful struct{ folder }

func (f *forgetful) Deliver(context.Context, event.Delivery) (event.Receipt, error) {
	return event.Receipt{State: event.Delivered}, nil
}

// lax lets any setting pass.
type lax struct{ folder }

func (l *lax) Describe() sdk.Description {
	d := l.folder.Describe()
	d.Settings = `{"type":"object"}`
	return d
}

// stubborn does not leave.
type stubborn struct{ folder }

func (s *stubborn) Close(context.Context) error { select {} }

// fatalist gives up at the first difficulty.
type fatalist struct{ folder }

func (f *fatalist) Deliver(ctx context.Context, d event.Delivery) (event.Receipt, error) {
	r, err := f.folder.Deliver(ctx, d)
	if err != nil {
		err = event.Permanent(errors.New(err.Error()))
	}
	return r, err
}

// reverser shows what comes later first.
type reverser struct {
	folder
	count atomic.Int64
}

func (r *reverser) Deliver(ctx context.Context, d event.Delivery) (event.Receipt, error) {
	receipt, err := r.folder.Deliver(ctx, d)
	if err == nil {
		earlier := time.Unix(1e9-r.count.Add(1), 0)
		err = os.Chtimes(r.path(d), earlier, earlier)
	}
	return receipt, err
}

// blabber logs its settings.
type blabber struct{ folder }

func (b *blabber) Open(ctx context.Context, s sdk.Settings, h sdk.Host) error {
	h.Log().Debug("starting", "with", string(s.JSON))
	return b.folder.Open(ctx, s, h)
}

// silent needs a key that its schema does not ask for.
type silent struct{ folder }

func (s *silent) Open(ctx context.Context, set sdk.Settings, h sdk.Host) error {
	if !strings.Contains(string(set.JSON), "token") {
		return errors.New("something is missing")
	}
	return s.folder.Open(ctx, set, h)
}

// parrot answers a status, of all things.
type parrot struct{ folder }

func (p *parrot) Describe() sdk.Description {
	d := p.folder.Describe()
	d.Kinds = append(d.Kinds, event.KindStatus)
	return d
}

func (p *parrot) Deliver(ctx context.Context, d event.Delivery) (event.Receipt, error) {
	if d.Kind == event.KindStatus {
		_, err := p.host.Put(ctx, event.Inbound{
			Envelope: event.Envelope{NativeID: d.ID, Sender: "folder:u/bob", Recipient: d.From},
			Content:  event.Content{MediaType: "text/plain", Data: []byte("thank you")},
		})
		return event.Receipt{State: event.Delivered}, err
	}
	return p.folder.Deliver(ctx, d)
}

func TestTheSuiteNoticesWhoBreaksTheContract(t *testing.T) {
	for _, tc := range []struct{ name, check, why string }{
		{"forgetful", "a delivery gives a receipt", "shows"},
		{"lax", "it describes itself, and its schema refuses an unknown key", "unknown key"},
		{"stubborn", "it ends within three seconds when it is asked to", "deadline"},
		{"stubborn", "it ends within three seconds in the middle of deliveries", "deadline"},
		{"fatalist", "asked for a pause it has sent nothing, and says how long", "want event.Retry"},
		{"fatalist", "a network that is away fails nothing, and works again when it is back", "refuses for good"},
		{"reverser", "messages arrive in the order of their deliveries", "should be"},
		{"blabber", "its log holds no secret of its settings", "the secret token"},
		{"silent", "a missing key is told by its name, and the schema takes its own examples", "something is missing"},
		{"parrot", "each kind it knows, and each state, is taken or refused for good", "of its own"},
	} {
		t.Run(tc.name+": "+tc.check, func(t *testing.T) {
			t.Parallel()
			ran := false
			for _, c := range sdktest.Checks(options(t, tc.name)) {
				if c.Name != tc.check {
					continue
				}
				ran = true
				if err := c.Run(t.Context()); err == nil || !strings.Contains(err.Error(), tc.why) {
					t.Errorf("%s: %s: got error %v; want one about %q", tc.name, c.Name, err, tc.why)
				}
			}
			if !ran {
				t.Errorf("there is no check %q", tc.check)
			}
		})
	}
}
