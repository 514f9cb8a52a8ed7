package httpd

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"parley.im/bus/event"
)

// tailBuffer is how many events a reader may lag behind before it is dropped:
// the bus never waits for an operator's terminal.
const tailBuffer = 1024

// Filter chooses events; empty fields choose all.
type Filter struct {
	Stream    string // inbound, outbound, status, dead, signal
	Connector string // instance name, or "sip"
	Type      string // inbound, outbound, accepted, delivered, displayed, failed, dead, typing
	State     string // accepted, delivered, displayed, failed
	ID        string // beginning of the id of the event, or of its Outbound or Inbound
	Body      bool   // events come with the message's body
}

// streams and their events' short types.
var streamTypes = map[string][]string{
	"inbound":  {"inbound"},
	"outbound": {"outbound"},
	"status":   {"accepted", "delivered", "displayed", "failed"},
	"dead":     {"dead"},
	"signal":   {"typing"},
}

// Check says which field has a value that no event can match.
func (f Filter) Check() error {
	var types []string
	for _, t := range streamTypes {
		types = append(types, t...)
	}
	slices.Sort(types)
	switch {
	case f.Stream != "" && streamTypes[f.Stream] == nil:
		return fmt.Errorf("unknown stream %q: it is inbound, outbound, status, dead or signal", f.Stream)
	case f.Type != "" && !slices.Contains(types, f.Type):
		return fmt.Errorf("unknown type %q: it is one of %s", f.Type, strings.Join(types, ", "))
	case f.State != "" && !slices.Contains(streamTypes["status"], f.State):
		return fmt.Errorf("unknown state %q: it is one of %s", f.State, strings.Join(streamTypes["status"], ", "))
	}
	return nil
}

func (f Filter) query() url.Values {
	q := url.Values{}
	for name, v := range map[string]string{"stream": f.Stream, "connector": f.Connector, "type": f.Type, "state": f.State, "id": f.ID} {
		if v != "" {
			q.Set(name, v)
		}
	}
	if f.Body {
		q.Set("body", "true")
	}
	return q
}

func filterOf(q url.Values) (Filter, error) {
	f := Filter{
		Stream: q.Get("stream"), Connector: q.Get("connector"), Type: q.Get("type"),
		State: q.Get("state"), ID: q.Get("id"), Body: q.Get("body") == "true",
	}
	return f, f.Check()
}

// ShortType returns the word of a CloudEvents type that tells it from the
// others: "im.parley.message.inbound.v1" gives "inbound".
func ShortType(t string) string {
	t = strings.TrimPrefix(strings.TrimPrefix(t, "im.parley."), "message.")
	if i := strings.LastIndex(t, ".v"); i >= 0 {
		t = t[:i]
	}
	return t
}

func (f Filter) match(e event.Event) bool {
	short := ShortType(e.Type())
	return (f.Stream == "" || slices.Contains(streamTypes[f.Stream], short)) &&
		(f.Type == "" || f.Type == short) &&
		(f.State == "" || f.State == short) &&
		(f.Connector == "" || f.Connector == connectorOf(e)) &&
		(f.ID == "" || slices.ContainsFunc(idsOf(e), func(id string) bool { return strings.HasPrefix(id, f.ID) }))
}

func connectorOf(e event.Event) string {
	switch e := e.(type) {
	case event.Inbound:
		return e.Origin
	case event.Outbound:
		return e.Connector
	case event.Status:
		return e.Connector
	case event.Dead:
		return e.Connector
	case event.Typing:
		return e.Connector
	}
	return ""
}

func idsOf(e event.Event) []string {
	switch e := e.(type) {
	case event.Outbound:
		return []string{e.ID, e.Inbound}
	case event.Status:
		return []string{e.ID, e.Outbound, e.Inbound}
	case event.Dead:
		return []string{e.DeadID, e.ID, e.Inbound}
	}
	return []string{e.EventID()}
}

var errSlow = errors.New("this reader is too slow; some events were left out")

// serveTail streams what matches until the reader or the host goes. The last
// line of a stream that ended otherwise is {"error": "…"}.
func (o *Operator) serveTail(w http.ResponseWriter, r *http.Request) {
	f, err := filterOf(r.URL.Query())
	if err != nil {
		refuse(w, http.StatusBadRequest, err.Error())
		return
	}
	w.Header().Set("Content-Type", "application/x-ndjson")
	flush := http.NewResponseController(w)

	ctx, cancel := context.WithCancelCause(r.Context())
	defer cancel(nil)
	lines := make(chan []byte, tailBuffer)
	go func() {
		defer close(lines)
		// The answer begins when nothing can be missed any more: with no line.
		ready := func() { lines <- nil }
		err := o.source(ctx, ready, func(seq uint64, e event.Event) { o.offer(cancel, lines, f, seq, e) })
		if err == nil {
			err = errors.New("the host ended the stream")
		}
		cancel(err)
	}()
	for line := range lines {
		if _, err := w.Write(line); err != nil {
			cancel(err)
			break
		}
		if len(lines) == 0 {
			_ = flush.Flush()
		}
	}
	for range lines { // until the source has returned
	}
	last := context.Cause(ctx).Error()
	if r.Context().Err() != nil {
		last = "the host is stopping" // or nobody reads any more
	}
	_ = json.NewEncoder(w).Encode(map[string]string{"error": last})
}

// offer queues an event that matches, and ends the stream when the queue is
// full.
func (o *Operator) offer(cancel context.CancelCauseFunc, lines chan<- []byte, f Filter, seq uint64, e event.Event) {
	if e == nil || !f.match(e) {
		return
	}
	line, err := structured(seq, e, f.Body)
	if err != nil {
		o.log.Warn("operator: tail leaves an event out", "id", e.EventID(), "error", err)
		return
	}
	select {
	case lines <- append(line, '\n'):
	default:
		cancel(errSlow)
	}
}
