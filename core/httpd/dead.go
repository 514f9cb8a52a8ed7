package httpd

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// DeadLetter is a message that failed, as operators see it.
type DeadLetter struct {
	ID           string
	Time         time.Time // when it failed
	Reason       string
	Detail       string
	Inbound      string
	Outbound     string
	NativeID     string
	Connector    string
	Conversation string
	Route        string
	Generation   int
	Sender       string
	Recipient    string
	Target       string
	MediaType    string
	Body         []byte `json:",omitempty"` // if it was asked for
}

// DeadQuery chooses open dead letters: those of which everything holds that is
// not empty.
type DeadQuery struct {
	IDs          []string // the beginning of the letter's, the Outbound's or the Inbound's id, or the whole native id
	Connector    string
	Conversation string
	Target       string
	Reason       string
	Since        time.Time
	Body         bool // with the bodies
}

// Takes tells whether q chooses l, but for the time.
func (q DeadQuery) Takes(l DeadLetter) bool {
	for _, f := range [][2]string{{q.Connector, l.Connector}, {q.Conversation, l.Conversation}, {q.Target, l.Target}, {q.Reason, l.Reason}} {
		if f[0] != "" && f[0] != f[1] {
			return false
		}
	}
	return len(q.IDs) == 0 || slices.ContainsFunc(q.IDs, func(id string) bool {
		return id != "" && (id == l.NativeID || strings.HasPrefix(l.ID, id) || strings.HasPrefix(l.Outbound, id) || strings.HasPrefix(l.Inbound, id))
	})
}

func (q DeadQuery) values() url.Values {
	v := url.Values{"id": q.IDs}
	for name, s := range map[string]string{"connector": q.Connector, "conversation": q.Conversation, "target": q.Target, "reason": q.Reason} {
		if s != "" {
			v.Set(name, s)
		}
	}
	if !q.Since.IsZero() {
		v.Set("since", q.Since.UTC().Format(time.RFC3339))
	}
	if q.Body {
		v.Set("body", "1")
	}
	return v
}

// Outcome is what was done about one dead letter.
type Outcome struct {
	ID     string
	Text   string
	Failed bool `json:",omitempty"`
}

func (o *Operator) serveDead(w http.ResponseWriter, r *http.Request) {
	v := r.URL.Query()
	q := DeadQuery{
		IDs: v["id"], Connector: v.Get("connector"), Conversation: v.Get("conversation"), Target: v.Get("target"),
		Reason: v.Get("reason"), Body: v.Get("body") != "",
	}
	if s := v.Get("since"); s != "" {
		var err error
		if q.Since, err = time.Parse(time.RFC3339, s); err != nil {
			refuse(w, http.StatusBadRequest, "give since as of RFC 3339")
			return
		}
	}
	if o.Dead == nil {
		refuse(w, http.StatusNotFound, "this host keeps no dead letters")
		return
	}
	var list []DeadLetter
	if err := o.Dead(r.Context(), q, func(l DeadLetter) { list = append(list, l) }); err != nil {
		refuse(w, http.StatusServiceUnavailable, err.Error())
		return
	}
	w.Header().Set("Content-Type", "application/x-ndjson")
	enc := json.NewEncoder(w)
	for _, l := range list {
		if enc.Encode(l) != nil {
			return
		}
	}
}

// closer is RetryDead or DropDead.
type closer func(ctx context.Context, who string, ids []string) ([]Outcome, error)

// serveClose does something about the dead letters that a JSON array names.
func (o *Operator) serveClose(do closer) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var ids []string
		err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxLine)).Decode(&ids)
		switch {
		case do == nil:
			refuse(w, http.StatusNotFound, "this host keeps no dead letters")
			return
		case err != nil:
			refuse(w, http.StatusBadRequest, "give the ids of dead letters as an array of JSON")
			return
		}
		done, err := do(r.Context(), caller(r.Context()), ids)
		if err != nil {
			refuse(w, http.StatusServiceUnavailable, err.Error())
			return
		}
		o.answer(w, done)
	}
}

// Dead returns the open dead letters that q chooses, oldest first.
func (c *Client) Dead(ctx context.Context, q DeadQuery) (list []DeadLetter, err error) {
	body, err := c.get(ctx, "/v1/dead", q.values())
	if err != nil {
		return nil, err
	}
	defer body.Close()
	for dec := json.NewDecoder(body); ; { // a body may be large, so no line is too long
		var l DeadLetter
		if err := dec.Decode(&l); errors.Is(err, io.EOF) {
			return list, nil
		} else if err != nil {
			return nil, fmt.Errorf("the host sent a dead letter that can't be read: %w", err)
		}
		list = append(list, l)
	}
}

// RetryDead has dead letters sent anew.
func (c *Client) RetryDead(ctx context.Context, ids []string) ([]Outcome, error) {
	return c.closeDead(ctx, "/v1/dead/retry", ids)
}

// DropDead gives dead letters up.
func (c *Client) DropDead(ctx context.Context, ids []string) ([]Outcome, error) {
	return c.closeDead(ctx, "/v1/dead/drop", ids)
}

func (c *Client) closeDead(ctx context.Context, path string, ids []string) (done []Outcome, err error) {
	body, err := c.post(ctx, path, ids)
	if err != nil {
		return nil, err
	}
	defer body.Close()
	return done, json.NewDecoder(body).Decode(&done)
}
