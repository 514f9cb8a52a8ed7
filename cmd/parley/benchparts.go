package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"parley.im/core/sipedge/uac"
)

// bursts measures the time to the 202 that promises a message is stored, as
// fast as clients can send that wait for each answer, and then how long it
// takes until all of it is delivered.
func (b *benching) bursts(ctx context.Context) error {
	columns := "\tclients\taccepted/s\tp50\tp99\tnot 2xx\tdelivered/s"
	return b.table("Time to the 202, and rate until the last one is delivered", columns, func(out io.Writer) error {
		for _, network := range []string{"udp", "tcp"} {
			if err := b.bare(ctx, out, network); err != nil {
				return err
			}
		}
		for _, durability := range []string{"fsync", "interval"} {
			if err := b.parley(ctx, out, durability); err != nil {
				return err
			}
		}
		return nil
	})
}

// bare drives a server that answers 202 and stores nothing.
func (b *benching) bare(ctx context.Context, out io.Writer, network string) error {
	server, err := uac.StartBare(ctx, network, "127.0.0.1:0")
	if err != nil {
		return err
	}
	defer server.Close()
	for _, clients := range []int{1, b.clients} {
		r, err := drive(ctx, load{network: network, server: server.Addr(), to: "sip:count-%d@127.0.0.1", clients: clients, time: b.time})
		if err != nil {
			return err
		}
		r.row(out, "bare server, "+network, clients, "")
	}
	return nil
}

// parley drives a host over UDP and TCP, and towards both of its connectors.
func (b *benching) parley(ctx context.Context, out io.Writer, durability string) error {
	h, err := b.startBench(ctx, benchConfig{Durability: durability, Clients: b.clients, Count: true, Web: true})
	if err != nil {
		return err
	}
	defer h.stop()
	sent := map[string]int64{}
	for _, l := range []struct {
		network, connector string
		clients            int
	}{
		{"udp", "count", 1}, {"udp", "count", b.clients}, {"tcp", "count", 1}, {"tcp", "count", b.clients}, {"udp", "web", b.clients},
	} {
		began := time.Now()
		r, err := drive(ctx, load{
			network: l.network, server: h.server(l.network), to: "sip:" + l.connector + "-u%d@127.0.0.1",
			password: benchPassword, clients: l.clients, time: b.time,
		})
		if err != nil {
			return err
		}
		sent[l.connector] += r.accepted
		if err := h.drained(ctx, l.connector, sent[l.connector]); err != nil {
			return err
		}
		delivered := fmt.Sprintf("%.0f", float64(r.accepted)/time.Since(began).Seconds())
		r.row(out, fmt.Sprintf("Parley, %s, %s, to %s", durability, l.network, l.connector), l.clients, delivered)
	}
	return nil
}

func (r result) row(out io.Writer, what string, clients int, delivered string) {
	fmt.Fprintf(out, "%s\t%d\t%.0f\t%v\t%v\t%d\t%s\n", what, clients, r.rate(), brief(r.quantile(0.5)), brief(r.quantile(0.99)), r.refused, delivered)
}

// latency measures the way from SIP to the connector when there is little to
// do: 200 messages a second.
func (b *benching) latency(ctx context.Context) error {
	const rate, clients = 200, 8
	return b.steady(ctx, "Latency at 200 messages a second", min(clients, b.clients), rate, b.time)
}

// sustain measures whether a rate can be kept up end to end.
func (b *benching) sustain(ctx context.Context) error {
	return b.steady(ctx, fmt.Sprintf("Sustained: %d messages a second for %v", b.rate, b.sustained), b.clients, b.rate, b.sustained)
}

// steady offers messages at a rate and watches what waits.
func (b *benching) steady(ctx context.Context, title string, clients, rate int, d time.Duration) error {
	h, err := b.startBench(ctx, benchConfig{Clients: clients, Count: true})
	if err != nil {
		return err
	}
	defer h.stop()
	began := time.Now()
	r, err := drive(ctx, load{
		network: "udp", server: h.udp, to: "sip:count-u%d@127.0.0.1", password: benchPassword,
		clients: clients, time: d, every: time.Second * time.Duration(clients) / time.Duration(rate),
	})
	if err != nil {
		return err
	}
	settled, err := h.settled(ctx, "count")
	if err != nil {
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
	return b.table(title, "\tfigure", func(out io.Writer) error {
		fmt.Fprintf(out, "accepted/s\t%.0f, %d not 2xx\n", r.rate(), r.refused)
		fmt.Fprintf(out, "to the 202\tp50 %v, p99 %v\n", brief(r.quantile(0.5)), brief(r.quantile(0.99)))
		fmt.Fprintf(out, "to the connector\tp50 %v, p99 %v, longest %v\n", brief(at.P50), brief(at.P99), brief(at.Max))
		fmt.Fprintf(out, "waiting at the end\t%d of %d\n", max(r.accepted-settled, 0), r.accepted)
		fmt.Fprintf(out, "delivered/s\t%.0f, the rest included\n", float64(r.accepted)/took.Seconds())
		return nil
	})
}
