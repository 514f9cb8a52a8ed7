package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"

	"parley.im/core/sipedge/uac"
	"parley.im/plugins/sdk/sdktest/counting"
)

// toPhones measures whether a rate can be kept up the other way: the connector
// writes to SIP phones, each of which answers 200 at once.
func (b *benching) toPhones(ctx context.Context) error {
	h, err := b.startBench(ctx, benchConfig{Clients: b.clients, Count: true})
	if err != nil {
		return err
	}
	defer h.stop()
	p := &benchPhones{}
	if err := p.register(ctx, h.udp, b.clients); err != nil {
		return err
	}
	defer p.close()
	began := time.Now()
	sent, err := h.send(ctx, counting.Sending{
		From: "count:u/client%d", To: "sip:client%d@127.0.0.1", People: b.clients, Rate: b.rate, Time: b.sustained, Bytes: benchBodySize,
	})
	if err != nil {
		return err
	}
	settled, err := h.settled(ctx, "sip")
	if err != nil {
		return err
	}
	if err := h.drained(ctx, "sip", sent.Stored); err != nil {
		return err
	}
	took := time.Since(began)
	got := p.result()
	title := fmt.Sprintf("To phones: %d messages a second for %v from a connector to %d phones", b.rate, b.sustained, b.clients)
	return b.table(title, "\tfigure", func(out io.Writer) error {
		fmt.Fprintf(out, "stored/s\t%.0f, %d refused\n", float64(sent.Stored)/sent.Took.Seconds(), sent.Failed)
		fmt.Fprintf(out, "until stored\tp50 %v, p99 %v\n", brief(sent.P50), brief(sent.P99))
		fmt.Fprintf(out, "to the phone\tp50 %v, p99 %v\n", brief(got.quantile(0.5)), brief(got.quantile(0.99)))
		fmt.Fprintf(out, "waiting at the end\t%d of %d\n", max(sent.Stored-settled, 0), sent.Stored)
		fmt.Fprintf(out, "delivered/s\t%.0f, the rest included\n", float64(sent.Stored)/took.Seconds())
		fmt.Fprintf(out, "received by the phones\t%d\n", len(got.waits))
		return nil
	})
}

// send has the counting connector write messages.
func (h *benchHost) send(ctx context.Context, s counting.Sending) (sent counting.Sent, err error) {
	body, err := json.Marshal(s)
	if err != nil {
		return sent, err
	}
	res, err := h.ask(ctx, http.MethodPost, "/c/count/send", bytes.NewReader(body))
	if err != nil {
		return sent, err
	}
	defer res.Body.Close()
	return sent, json.NewDecoder(res.Body).Decode(&sent)
}

// benchPhones note how long messages were under way to them.
type benchPhones struct {
	all []*uac.Client

	mu    sync.Mutex
	waits []time.Duration
}

func (p *benchPhones) register(ctx context.Context, server string, n int) error {
	for i := range n {
		user := benchUser(i)
		c, err := uac.Dial(ctx, uac.Config{
			Server: server, Network: "udp", From: "sip:" + user + "@127.0.0.1", User: user, Password: benchPassword, Receive: p.receive,
		})
		if err != nil {
			return err
		}
		p.all = append(p.all, c)
		if a, err := c.Register(ctx, time.Hour); err != nil || a.Code != http.StatusOK {
			return fmt.Errorf("register %s: %d %s %w", user, a.Code, a.Phrase, err)
		}
	}
	return nil
}

func (p *benchPhones) receive(m uac.Message) int {
	head, _, _ := bytes.Cut(m.Body, []byte(" "))
	if sent, err := strconv.ParseInt(string(head), 10, 64); err == nil {
		p.mu.Lock()
		p.waits = append(p.waits, time.Since(time.Unix(0, sent)))
		p.mu.Unlock()
	}
	return 0
}

func (p *benchPhones) result() result {
	p.mu.Lock()
	defer p.mu.Unlock()
	slices.Sort(p.waits)
	return result{waits: p.waits}
}

func (p *benchPhones) close() {
	for _, c := range p.all {
		c.Close()
	}
}
