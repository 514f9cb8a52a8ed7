package deliver

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"parley.im/bus/event"
	"parley.im/plugins/content/mapping"
)

// What a target does not know is told in words, if that is wanted, and else
// settled without a word.
func TestKindsThatATargetDoesNotKnow(t *testing.T) {
	all := []event.Kind{event.KindMessage, event.KindEdit, event.KindRedact, event.KindReact}
	words, raw := mapping.Taker{Types: []string{"text/plain"}}, mapping.Taker{}
	m1 := []string{"m1", "m2"}
	for name, tc := range map[string]struct {
		kind    event.Kind
		kinds   []event.Kind
		taker   mapping.Taker
		native  []string // what the message concerned is called there
		degrade bool
		want    event.Kind
		text    string
		losses  []string
		err     error
	}{
		"an edit of what is known":   {event.KindEdit, all, words, m1, true, event.KindEdit, "new", nil, nil},
		"an edit of what is unknown": {event.KindEdit, all, words, nil, true, event.KindMessage, "[corrected]\n\nnew", []string{"edit as text"}, nil},
		"no edits there":             {event.KindEdit, all[:1], raw, m1, true, event.KindMessage, "[corrected]\n\nnew", []string{"edit as text"}, nil},
		"edits are not told":         {event.KindEdit, all[:1], words, m1, false, "", "", []string{"edit not shown"}, errNotTold},
		"a reaction":                 {event.KindReact, all, words, m1, true, event.KindReact, "new", nil, nil},
		"a reaction in words":        {event.KindReact, all[:1], words, m1, true, event.KindMessage, "[reaction]\n\nnew", []string{"react as text"}, nil},
		"a deletion that is told":    {event.KindRedact, all[:1], words, m1, true, event.KindMessage, "[a message was deleted]\n\nnew", []string{"redact as text"}, nil},
		"a deletion":                 {event.KindRedact, all, words, m1, true, event.KindRedact, "new", nil, nil},
		"a deletion of the unknown":  {event.KindRedact, all, words, nil, true, event.KindMessage, "[a message was deleted]\n\nnew", []string{"redact as text"}, nil},
		"a reply to the unknown":     {event.KindMessage, all, words, nil, true, event.KindMessage, "new", nil, nil},
		"a reply":                    {event.KindMessage, all, words, m1, true, event.KindMessage, "new", nil, nil},
	} {
		s := &Stage{Config: Config{
			Native:  func(context.Context, string, event.Address) ([]string, error) { return tc.native, nil },
			Degrade: func(event.Kind) bool { return tc.degrade },
		}}
		it := item{Outbound: event.Outbound{
			ID: "o1", Envelope: event.Envelope{Kind: tc.kind, Concerns: "in1"}, Content: event.Content{MediaType: "text/plain", Data: []byte("new")},
		}}
		d, losses, err := s.mapped(t.Context(), it, Abilities{Kinds: tc.kinds, Taker: tc.taker})
		if !errors.Is(err, tc.err) || !slices.Equal(losses, tc.losses) {
			t.Errorf("%s: %q, %v", name, losses, err)
		}
		if err == nil && (d.Kind != tc.want || string(d.Data) != tc.text) {
			t.Errorf("%s: %s %q", name, d.Kind, d.Data)
		}
		first, every := "", []string(nil) // ids: all of them for a deletion, which needs all
		if d.Kind == tc.kind && len(tc.native) > 0 {
			first = tc.native[0]
		}
		if d.Kind == event.KindRedact {
			every = tc.native
		}
		if err == nil && (d.InReplyTo != first || !slices.Equal(d.RemoteIDs, every)) {
			t.Errorf("%s: about %q, %q", name, d.InReplyTo, d.RemoteIDs)
		}
	}
}

// A file that a message names goes along where it can be had; where it can't,
// and where no files go, the reader is told where it is.
func TestFilesElsewhere(t *testing.T) {
	doc := `<file><file-info type="file"><file-size>3</file-size><file-name>a.txt</file-name><content-type>text/plain</content-type><data url="https://f.example/1"/></file-info></file>`
	for name, tc := range map[string]struct {
		taker mapping.Taker
		fail  error
		asked int
		files int
		text  string
	}{
		"had":            {mapping.Taker{Types: []string{"text/plain"}, MaxFile: 10}, nil, 1, 1, ""},
		"not to be had":  {mapping.Taker{Types: []string{"text/plain"}, MaxFile: 10}, errors.New("no"), 1, 0, "a.txt (text/plain, 3 bytes): https://f.example/1"},
		"too large":      {mapping.Taker{Types: []string{"text/plain"}, MaxFile: 2}, nil, 1, 0, "a.txt (text/plain, 3 bytes): https://f.example/1"},
		"no files there": {mapping.Taker{Types: []string{"text/plain"}}, nil, 0, 0, "a.txt (text/plain, 3 bytes): https://f.example/1"},
		"as it came":     {mapping.Taker{}, nil, 0, 0, doc},
	} {
		asked := 0
		s := &Stage{Config: Config{Policy: Policy{}.withDefaults(), Fetch: func(_ context.Context, o event.Outbound, url string) (event.Content, error) {
			if asked++; url != "https://f.example/1" || o.ID != "o1" {
				t.Errorf("%s: %s for %s", name, url, o.ID)
			}
			return event.Content{MediaType: "text/plain", Ref: "media.1", Size: 3}, tc.fail
		}}}
		it := item{Outbound: event.Outbound{
			ID: "o1", Envelope: event.Envelope{Kind: event.KindMessage},
			Content: event.Content{MediaType: "application/vnd.gsma.rcs-ft-http+xml", Data: []byte(doc)},
		}}
		d, _, err := s.mapped(t.Context(), it, Abilities{Kinds: []event.Kind{event.KindMessage}, Taker: tc.taker})
		if err != nil || asked != tc.asked || len(d.Files) != tc.files || string(d.Data) != tc.text {
			t.Errorf("%s: asked %d times; %d files, %q, %v", name, asked, len(d.Files), d.Data, err)
		}
		if len(d.Files) == 1 && (d.Files[0].Name != "a.txt" || d.Files[0].Ref != "media.1") {
			t.Errorf("%s: %+v", name, d.Files[0])
		}
	}
}

// Servers that don't answer are all asked at the same time, for so long only,
// and the delivery begins with all its time before it.
func TestDeadFileServersHoldUpNoDelivery(t *testing.T) {
	const n = maxFetched
	body := ""
	for i := range n {
		body += fmt.Sprintf("--b\r\nContent-Type: application/vnd.gsma.rcs-ft-http+xml\r\n\r\n"+
			`<file><file-info type="file"><file-size>3</file-size><content-type>text/plain</content-type><data url="https://f.example/%d"/></file-info></file>`+"\r\n", i)
	}
	var (
		asking sync.WaitGroup
		mu     sync.Mutex
		last   time.Time // when the last was given up
	)
	asking.Add(n)
	seen := make(chan event.Delivery, 1)
	f := newFar(nil)
	b := newBench(t, f, func(b *bench) {
		b.policy.Fetch = time.Millisecond
		b.able.Types, b.able.MaxFile = []string{"text/plain"}, 10
		b.fetch = func(ctx context.Context, _ event.Outbound, _ string) (event.Content, error) {
			asking.Done()
			asking.Wait()
			<-ctx.Done()
			mu.Lock()
			defer mu.Unlock()
			last = time.Now()
			return event.Content{}, ctx.Err()
		}
		f.watch = func(ctx context.Context, d event.Delivery) {
			until, _ := ctx.Deadline()
			mu.Lock()
			defer mu.Unlock()
			if ctx.Err() != nil || until.Before(last.Add(b.stage.Policy.Timeout)) {
				t.Errorf("it was fetched until %s, and is delivered until %s", last, until)
			}
			seen <- d
		}
	})
	b.message("m", "c", "room", func(o *event.Outbound) {
		o.Content = event.Content{MediaType: "multipart/mixed; boundary=b", Data: []byte(body + "--b--\r\n")}
	})
	d := <-seen
	for i := range n {
		if url := fmt.Sprint("https://f.example/", i); !strings.Contains(string(d.Data), url) {
			t.Errorf("%s is not in %q", url, d.Data)
		}
	}
	if len(d.Files) > 0 {
		t.Errorf("files %v", d.Files)
	}
}
