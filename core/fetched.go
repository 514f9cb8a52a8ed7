package core

import (
	"context"
	"errors"
	"net/url"
	"time"

	"parley.im/bus/event"
	"parley.im/core/fetch"
	"parley.im/plugins/sdk/wire"
)

// newFetcher makes what gets files that messages name, from where the
// configuration says.
func (h *Host) newFetcher() *fetch.Fetcher {
	return fetch.New(fetch.Config{
		Sources: func() []string { return h.now().config.Files.Fetch },
		Max:     func() int64 { return h.now().config.Files.Max },
		Store:   h.bus.Media().Store,
		Discard: func(c event.Content) {
			ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
			defer cancel()
			_ = h.bus.Media().Discard(ctx, c) // or the sweep does
		},
	})
}

// fetch gets a file elsewhere that a message names. It is kept for the
// deliveries only: no event refers to it. The log has its host only: URLs of
// files are often secrets.
func (h *Host) fetch(ctx context.Context, o event.Outbound, raw string) (event.Content, error) {
	c, err := h.fetcher.Fetch(ctx, raw)
	host := ""
	if u, err := url.Parse(raw); err == nil {
		host = u.Host
	}
	switch {
	case errors.Is(err, fetch.ErrSource):
		h.Log.Debug("file not fetched", "message", o.ID, "host", host, "err", err)
	case err != nil:
		h.Log.Warn("file not fetched: the message goes with its link", "message", o.ID, "host", host, "err", err)
	default:
		h.Log.Info("file fetched", "message", o.ID, "host", host, "type", c.MediaType, "size", c.Size)
		c.Ref = wire.DeliveryRef + c.Ref
	}
	return c, err
}
