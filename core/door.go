package core

import (
	"context"
	"fmt"
	"path/filepath"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"parley.im/bus"
	"parley.im/bus/event"
	"parley.im/core/httpd"
)

// wireDoor makes the HTTP door and the operators' socket.
func (h *Host) wireDoor() error {
	h.door = httpd.New(httpd.Config{Listen: h.Config.HTTP.Listen, Password: h.Config.HTTP.Password.Reveal(), Log: h.Log})
	h.door.Connectors(h.socket)
	h.door.Health(h.live, h.fit)
	registry, err := h.metrics()
	if err != nil {
		return err
	}
	h.door.Handle("/metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	h.operator = httpd.NewOperator(filepath.Join(h.Config.Bus.Data, "parley.sock"), h.tail, h.Log)
	return nil
}

// socket returns where a connector serves HTTP at the moment.
func (h *Host) socket(name string) (path string, known bool, changed <-chan struct{}) {
	c := h.connectors[name]
	if c == nil || !c.describe().HTTP {
		return "", false, nil
	}
	return c.process.HTTPSocket(), true, c.process.Changed()
}

// live tells whether the process works at all.
func (h *Host) live(context.Context) error { return nil }

// fit tells whether messages can be stored now.
func (h *Host) fit(ctx context.Context) error {
	if h.draining.Load() {
		return fmt.Errorf("stopping")
	}
	select {
	case <-h.ready:
		return h.bus.Healthy(ctx)
	default:
		return fmt.Errorf("starting")
	}
}

// tail yields live events until ctx ends.
func (h *Host) tail(ctx context.Context, f func(seq uint64, e event.Event)) error {
	o := bus.TailOptions{Streams: []bus.Stream{bus.Inbounds, bus.Outbounds, bus.Statuses, bus.Deads}, Signals: true}
	return h.bus.Tail(ctx, o, func(r bus.Record) { f(r.Seq, r.Event) })
}
