package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"

	"parley.im/plugins/sdk/sdktest/counting"
)

// frozen measures whether a connector notices that another one, beside it in
// the same host, has stopped moving while messages for it come in.
func (b *benching) frozen(ctx context.Context) error {
	const rate = 200 // to each connector
	h, err := b.startBench(ctx, benchConfig{Clients: b.clients, Count: true, Web: true})
	if err != nil {
		return err
	}
	defer h.stop()
	web, err := h.connector("web")
	if err != nil {
		fmt.Fprintf(b.out, "A frozen connector is not measured: %v\n", err)
		return nil
	}
	columns := "\tto the 202: p50\tp99\tto the connector: p50\tp99\tlongest\tnot 2xx\tarrived"
	title := fmt.Sprintf("A connector at %d messages a second, beside another at %d", rate, rate)
	return b.table(title, columns, func(out io.Writer) error {
		for _, row := range []struct {
			name string
			set  func(*os.Process) error
		}{{"both healthy", nil}, {"the other frozen", freeze}, {"the other thawed", thaw}} {
			if row.set != nil {
				if err := row.set(web); err != nil {
					return err
				}
			}
			r, at, err := b.beside(ctx, h, rate)
			if err != nil {
				return err
			}
			fmt.Fprintf(out, "%s\t%v\t%v\t%v\t%v\t%v\t%d\t%d of %d\n", row.name, brief(r.quantile(0.5)), brief(r.quantile(0.99)),
				brief(at.P50), brief(at.P99), brief(at.Max), r.refused, at.Count, r.accepted)
		}
		return nil
	})
}

// beside drives both connectors at a rate, and returns what the clients of the
// counting one and this connector itself saw.
func (b *benching) beside(ctx context.Context, h *benchHost, rate int) (r result, at counting.Stats, err error) {
	if _, err := h.stats(ctx, http.MethodPost); err != nil {
		return r, at, err
	}
	before, err := h.settled(ctx, "count")
	if err != nil {
		return r, at, err
	}
	clients := min(8, b.clients)
	l := load{
		network: "udp", server: h.udp, password: benchPassword, clients: clients, time: b.time,
		every: time.Second * time.Duration(clients) / time.Duration(rate),
	}
	count, web := l, l
	count.to, web.to = "sip:count-u%d@127.0.0.1", "sip:web-u%d@127.0.0.1"
	var both sync.WaitGroup
	var other error
	both.Go(func() { _, other = drive(ctx, web) })
	r, err = drive(ctx, count)
	both.Wait()
	if err := errors.Join(err, other); err != nil {
		return r, at, err
	}
	if err := h.drained(ctx, "count", before+r.accepted); err != nil {
		return r, at, err
	}
	at, err = h.counted(ctx)
	return r, at, err
}

// connector returns the process of a built-in connector.
func (h *benchHost) connector(name string) (*os.Process, error) {
	for _, pid := range family(h.cmd.Process.Pid) {
		line, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
		if pid != h.cmd.Process.Pid && strings.Contains(string(line), "\x00serve\x00"+name) {
			return os.FindProcess(pid)
		}
	}
	return nil, errors.New("its process is not found on this system")
}
