package slack

import (
	"context"
	"io"
	"log"
	"time"

	"github.com/slack-go/slack"
	"github.com/slack-go/slack/socketmode"
)

// sockets is how many Socket Mode connections are open: while Slack has one
// renewed, events come by the other.
const sockets = 2

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
		slack.New(c.set.BotToken, slack.OptionAppLevelToken(c.set.AppToken), slack.OptionAPIURL(c.set.APIURL), slack.OptionLog(quiet)),
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
	case *socketmode.ErrorBadMessage:
		c.log.Warn("slack: an event can't be read", "err", data.Cause)
		return
	case *socketmode.ConnectedEvent:
		c.log.Info("slack: events come in by Socket Mode")
		return
	}
	if e.Type != socketmode.EventTypeEventsAPI || e.Request == nil {
		return
	}
	request := *e.Request
	h, ok, err := hear(request.Payload)
	if err != nil || !ok {
		_ = client.AckCtx(ctx, request.EnvelopeID, nil) // the connection is gone: Slack sends it again
		return
	}
	c.queue.add(ctx, h.spot(), func(work context.Context) {
		if err := c.take(work, h); err != nil {
			c.log.Warn("slack: a message is not stored yet; Slack will send it again", "native", h.spot().String(), "err", err)
			return
		}
		_ = client.AckCtx(ctx, request.EnvelopeID, nil)
	})
}
