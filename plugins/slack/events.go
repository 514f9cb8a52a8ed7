package slack

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"time"

	"github.com/slack-go/slack"
)

const (
	eventsPath = "/events"
	maxEvent   = 1 << 20
	// answerWithin leaves Slack's three seconds some air.
	answerWithin = 2500 * time.Millisecond
)

// events serves Slack's requests: the caller is authenticated by the signature
// over the body. https://docs.slack.dev/authentication/verifying-requests-from-slack
func (c *connector) events() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST "+eventsPath, c.serveEvent)
	return mux
}

func (c *connector) serveEvent(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxEvent))
	if err != nil {
		http.Error(w, "the body can't be read, or is too large", http.StatusRequestEntityTooLarge)
		return
	}
	if err := c.verify(r.Header, body); err != nil {
		if c.strangers.due() {
			c.log.Warn("slack: a request without a valid signature was refused; others of this minute are not logged", "err", err)
		}
		http.Error(w, "this is not signed with the app's signing secret, or not now", http.StatusUnauthorized)
		return
	}
	var cb callback
	if json.Unmarshal(body, &cb) == nil && cb.Type == "url_verification" {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		_, _ = io.WriteString(w, cb.Challenge)
		return
	}
	h, ok, err := hear(body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	if !ok {
		return
	}
	if err := c.takeSoon(r.Context(), h); err != nil {
		c.log.Warn("slack: a message is not stored yet; Slack will send it again", "native", h.spot().String(), "err", err)
		http.Error(w, "not stored yet; send it again", http.StatusServiceUnavailable)
	}
}

func (c *connector) verify(header http.Header, body []byte) error {
	v, err := slack.NewSecretsVerifier(header, c.set.SigningSecret)
	if err != nil {
		return err
	}
	_, _ = v.Write(body) // into a hash
	return v.Ensure()
}

var (
	errSlow = errors.New("the host takes longer than Slack waits")
	errFull = errors.New("too much waits in this channel")
)

// takeSoon takes h in its channel's turn, and gives up before Slack does. What
// goes on then is stored all the same, and its repetition known.
func (c *connector) takeSoon(ctx context.Context, h heard) error {
	ctx, cancel := context.WithTimeoutCause(ctx, answerWithin, errSlow)
	defer cancel()
	done := make(chan error, 1)
	if !c.queue.add(h.spot(), func(work context.Context) { done <- c.take(work, h) }) {
		return errFull
	}
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
