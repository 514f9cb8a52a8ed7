package main

import (
	"context"
	"fmt"
	"io"
	"time"
)

// recovery kills a host that has a backlog and measures until it is back, and
// until the backlog is delivered.
func (b *benching) recovery(ctx context.Context) error {
	stuck := benchConfig{Clients: b.clients, Count: true, DelayMS: 60_000} // delivers nothing
	h, err := b.startBench(ctx, stuck)
	if err != nil {
		return err
	}
	defer h.stop()
	r, err := drive(ctx, load{
		network: "udp", server: h.udp, to: "sip:count-u%d@127.0.0.1", password: benchPassword,
		clients: b.clients, count: (b.backlog + b.clients - 1) / b.clients,
	})
	if err != nil {
		return err
	}
	h.kill()
	began := time.Now()
	if err := h.start(ctx, b.executable, benchConfig{Clients: b.clients, Count: true}); err != nil {
		return err
	}
	if err := h.drained(ctx, "count", r.accepted); err != nil {
		return err
	}
	took := time.Since(began)
	at, err := h.counted(ctx)
	if err != nil {
		return err
	}
	return b.table(fmt.Sprintf("Killed with %d messages waiting", r.accepted), "\tfigure", func(out io.Writer) error {
		fmt.Fprintf(out, "start until ready\t%v\n", brief(h.ready))
		fmt.Fprintf(out, "start until all is delivered\t%v\n", brief(took))
		fmt.Fprintf(out, "seen by the connector after it\t%d\n", at.Count)
		return nil
	})
}
