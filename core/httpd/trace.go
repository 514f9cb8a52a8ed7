package httpd

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"parley.im/bus/event"
)

// serveTrace answers with the life of a message.
func (o *Operator) serveTrace(w http.ResponseWriter, r *http.Request) {
	id := r.URL.Query().Get("id")
	since, err := time.Parse(time.RFC3339, r.URL.Query().Get("since"))
	switch {
	case o.Trace == nil:
		refuse(w, http.StatusNotFound, "this host traces nothing")
		return
	case id == "" || err != nil:
		refuse(w, http.StatusBadRequest, "give id, and since as of RFC 3339")
		return
	}
	var lines [][]byte
	err = o.Trace(r.Context(), id, since, func(seq uint64, e event.Event) {
		line, err := structured(seq, e, false)
		if err != nil {
			o.log.Warn("operator: trace leaves an event out", "id", e.EventID(), "error", err)
			return
		}
		lines = append(lines, line)
	})
	if err != nil {
		refuse(w, http.StatusServiceUnavailable, err.Error())
		return
	}
	w.Header().Set("Content-Type", "application/x-ndjson")
	for _, line := range lines {
		if _, err := fmt.Fprintf(w, "%s\n", line); err != nil {
			return
		}
	}
}

// Trace calls each with every event of the messages that go by an id, since a
// time, as one line of CloudEvents JSON without the body, in the order of time.
func (c *Client) Trace(ctx context.Context, id string, since time.Time, each func(line []byte) error) error {
	body, err := c.get(ctx, "/v1/trace", url.Values{"id": {id}, "since": {since.UTC().Format(time.RFC3339)}})
	if err != nil {
		return err
	}
	defer body.Close()
	s := bufio.NewScanner(body)
	s.Buffer(nil, maxLine)
	for s.Scan() {
		if err := each(s.Bytes()); err != nil {
			return err
		}
	}
	return s.Err()
}
