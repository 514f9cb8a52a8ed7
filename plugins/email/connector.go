// Package email joins mailboxes to the bridge. A SIP user or a room writes to
// any mail address; the answer finds its way back by the address it is sent to.
//
// Out, a message becomes a mail that is handed to a submission server. In, a
// mail server hands mail over by LMTP or SMTP, or it is fetched from a mailbox
// by IMAP. Nothing is remembered here: the reply address of every mail carries
// a token of its conversation, the envelope sender the id of its delivery, and
// the Message-ID is made of that id.
//
// Where the network offers no way to ask, a window is left: the connection that
// breaks after the final dot of a mail and before the answer to it. The outcome
// is then unknown, the host repeats the delivery, and the mail may come twice,
// with the same Message-ID.
package email

import (
	"context"
	"fmt"
	"sync"

	"parley.im/bus/event"
	"parley.im/plugins/sdk"
)

// Network is the connector's network; its addresses have the scheme "mailto".
const Network = "email"

// maxText is the largest message in bytes that is sent.
const maxText = 4 << 20

// New returns the connector, to be given to sdk.Serve. Nothing runs before
// Open.
func New() sdk.Connector { return &connector{} }

type connector struct {
	settings settings
	names    names
	host     sdk.Host
	relay    *relay
	door     *door
	stop     context.CancelFunc
	running  sync.WaitGroup
}

// Describe says what mail can do. It wants to be told of failures only: an
// answer that says "accepted" would be a mail that nobody has asked for.
func (c *connector) Describe() sdk.Description {
	return sdk.Description{
		Network:  Network,
		Version:  "1",
		Schemes:  []string{"mailto"},
		Kinds:    []event.Kind{event.KindMessage, event.KindStatus},
		Types:    append([]string{"text/html", "text/plain"}, sealed...),
		MaxBytes: maxText,
		MaxFile:  maxFile,
		Gate:     sdk.Gate{Outstanding: maxLinks},
		States:   []event.State{event.Failed},
		Settings: schema,
	}
}

// Open begins to listen and to fetch. It does not connect to the submission
// server: one that is down makes deliveries wait, not the connector fail.
func (c *connector) Open(ctx context.Context, s sdk.Settings, h sdk.Host) error {
	set, err := readSettings(s)
	if err != nil {
		return event.Permanent(fmt.Errorf("email: %w", err))
	}
	c.settings, c.names, c.host = set, newNames(set), h
	if c.relay, err = newRelay(*set.SMTP, c.names.host, h.Log()); err != nil {
		return event.Permanent(fmt.Errorf("email: %w", err))
	}
	run, stop := context.WithCancel(context.WithoutCancel(ctx))
	c.stop = stop
	if set.Listen != nil {
		if err := c.listen(run, *set.Listen); err != nil {
			stop()
			return fmt.Errorf("email: %w", err)
		}
	}
	if set.IMAP != nil {
		fetch, err := newFetcher(c, *set.IMAP)
		if err != nil {
			_ = c.Close(ctx)
			return event.Permanent(fmt.Errorf("email: %w", err))
		}
		c.running.Go(func() { fetch.run(run) })
	}
	return nil
}

// Close breaks off what is coming in: whoever sends it has no answer yet and
// will repeat it.
func (c *connector) Close(context.Context) error {
	if c.stop == nil {
		return nil
	}
	c.stop()
	if c.door != nil {
		c.door.shut()
	}
	c.relay.close()
	c.running.Wait()
	return nil
}
