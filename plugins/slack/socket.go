package slack

import (
	"context"
	"encoding/json"
	"io"
	"log"
	"time"

	"github.com/slack-go/slack"
	"github.com/slack-go/slack/socketmode"
)

// sockets is how many Socket Mode connections are open: while Slack has one
// renewed, events come by the other.
const sockets = 2

// ackPatience is how long an acknowledgement waits for a connection.
const ackPatience = 500 * time.Millisecond

// listen keeps one Socket Mode connection until ctx ends.
// https://docs.slack.dev/apis/events-api/using-socket-mode
func (c *connector) listen(ctx context.Context) {
	for wait := time.Second; ctx.Err() == nil; wait = min(2*wait, time.Minute) {
		began := time.Now()
		err := c.connect(ctx)
		if ctx.Err() != nil {
			return
		}
		if time.Since(began) > time.Minute {
			wait = time.Second
		}
		c.log.Error("slack: no events come in", "err", answeredBy(err), "again", wait.String())
		select {
		case <-time.After(wait):
		case <-ctx.Done():
		}
	}
}

// answeredBy adds to an error of Slack's what to do about it.
func answeredBy(err error) error {
	if err == nil {
		return nil
	}
	return explain(verdict(err, true))
}

// connect returns when Slack refuses the app. Renewals and lost connections
// are slack-go's to mend.
func (c *connector) connect(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	quiet := log.New(io.Discard, "", 0)
	client := socketmode.New(
		slack.New(c.set.BotToken, slack.OptionAppLevelToken(c.set.AppToken), slack.OptionAPIURL(c.set.APIURL),
			slack.OptionHTTPClient(c.api.http), slack.OptionLog(quiet)),
		socketmode.OptionLog(quiet))
	ended := make(chan error, 1)
	go func() { ended <- client.RunContext(ctx) }()
	for {
		select {
		case err := <-ended:
			return err
		case e := <-client.Events:
			c.happened(ctx, client, e)
		}
	}
}

// happened deals with one event of a connection.
func (c *connector) happened(ctx context.Context, client *socketmode.Client, e socketmode.Event) {
	switch data := e.Data.(type) {
	case *slack.ConnectionErrorEvent:
		c.log.Warn("slack: a connection for events failed", "err", answeredBy(data.ErrorObj), "again", data.Backoff.String())
		return
	case *socketmode.ErrorBadMessage: // slack-go is stricter than is good for what people say
		var request socketmode.Request
		if json.Unmarshal(data.Message, &request) != nil || request.Type != socketmode.RequestTypeEventsAPI {
			c.log.Warn("slack: an event can't be read", "err", data.Cause)
			return
		}
		c.received(ctx, client, request)
		return
	case *socketmode.ConnectedEvent:
		c.log.Info("slack: events come in by Socket Mode")
		return
	}
	if e.Type != socketmode.EventTypeEventsAPI || e.Request == nil {
		return
	}
	c.received(ctx, client, *e.Request)
}

// received takes the event of a request, and acknowledges it when it is taken.
func (c *connector) received(ctx context.Context, client *socketmode.Client, request socketmode.Request) {
	h, ok, err := hear(request.Payload)
	if err != nil || !ok {
		if err != nil {
			c.log.Warn("slack: an event was passed over", "err", err)
		}
		acknowledge(ctx, client, request.EnvelopeID)
		return
	}
	c.queue.add(h.spot(), func(work context.Context) {
		if err := c.take(work, h); err != nil {
			c.log.Warn("slack: a message is not stored yet; Slack will send it again", "native", h.spot().String(), "err", err)
			return
		}
		acknowledge(ctx, client, request.EnvelopeID)
	})
}

// acknowledge tells Slack that an event was taken. Where that can't be done
// soon, because there is no connection, Slack sends the event again.
func acknowledge(ctx context.Context, client *socketmode.Client, envelope string) {
	ctx, cancel := context.WithTimeout(ctx, ackPatience)
	defer cancel()
	_ = client.AckCtx(ctx, envelope, nil)
}
