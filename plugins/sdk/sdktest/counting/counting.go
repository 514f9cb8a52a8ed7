// Package counting is a connector for tests and benches: it acknowledges every
// message, counts it, and stores nothing. Its network is "count".
//
// Its HTTP door says at /stats how many came and how long they had been under
// way, for bodies that begin with the time of sending: nanoseconds since 1970
// and a space. A POST to it begins anew. A POST of a Sending to /send has it
// write messages itself.
package counting

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync/atomic"
	"time"

	"parley.im/bus/event"
	"parley.im/plugins/sdk"
)

// Network is the connector's network and the scheme of its addresses.
const Network = "count"

const schema = `{
  "$schema": "https://json-schema.org/draft/2020-12/schema",
  "type": "object",
  "additionalProperties": false,
  "properties": {
    "delay_ms": {"description": "the milliseconds that a delivery takes", "type": "integer", "minimum": 0, "maximum": 60000},
    "fail_every": {"description": "which delivery fails for a moment: 10 is every tenth", "type": "integer", "minimum": 0}
  }
}`

// settings are those of bridge.toml.
type settings struct {
	DelayMS   int   `json:"delay_ms"`
	FailEvery int64 `json:"fail_every"`
}

// New returns the connector, to be given to sdk.Serve.
func New() sdk.Connector { return &connector{} }

type connector struct {
	settings settings
	host     sdk.Host
	count    atomic.Int64
	delays   delays
}

// Describe says that anything is taken.
func (c *connector) Describe() sdk.Description {
	return sdk.Description{
		Network: Network, Version: "1", Schemes: []string{Network},
		Kinds: []event.Kind{event.KindMessage, event.KindStatus}, Types: []string{"*/*"}, Settings: schema,
		HTTP: true,
	}
}

// Open reads the settings; there is nothing to connect to.
func (c *connector) Open(_ context.Context, s sdk.Settings, h sdk.Host) error {
	if err := s.Decode(&c.settings); err != nil {
		return event.Permanent(fmt.Errorf("settings: %w", err))
	}
	c.host = h
	return h.Serve(c.door())
}

func (c *connector) door() http.Handler {
	m := http.NewServeMux()
	m.HandleFunc("/stats", c.serveStats)
	m.HandleFunc("POST /send", c.serveSend)
	return m
}

// Deliver counts. The receipt's remote id is the count.
func (c *connector) Deliver(ctx context.Context, d event.Delivery) (event.Receipt, error) {
	n := c.count.Add(1)
	c.delays.note(d.Data, time.Now())
	if d := time.Duration(c.settings.DelayMS) * time.Millisecond; d > 0 {
		select {
		case <-time.After(d):
		case <-ctx.Done():
			return event.Receipt{}, ctx.Err()
		}
	}
	if every := c.settings.FailEvery; every > 0 && n%every == 0 {
		return event.Receipt{}, event.Retry(event.ScopeMessage, 0, errors.New("one of those that fail"))
	}
	return event.Receipt{State: event.Delivered, RemoteIDs: []string{fmt.Sprint(n)}}, nil
}

// Close has nothing to leave.
func (c *connector) Close(context.Context) error { return nil }
