package core

import (
	"context"
	"errors"
	"slices"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"parley.im/bus"
	"parley.im/bus/event"
	"parley.im/core/deliver"
	"parley.im/core/httpd"
	"parley.im/core/plughost"
)

// wireDoor makes the HTTP door and the operators' socket.
func (h *Host) wireDoor() error {
	c := h.Config.HTTP
	h.door = httpd.New(httpd.Config{Listen: c.Listen, Password: c.Password.Reveal(), TLS: c.TLS.Given(), Log: h.Log})
	h.door.SetCertificate(c.TLS.Pair)
	h.door.Connectors(h.socket)
	h.door.Public(h.public)
	h.door.Pages(h.pages)
	h.door.Health(h.live, h.fit)
	h.door.Files(h.file)
	registry, err := h.metrics()
	if err != nil {
		return err
	}
	h.door.Handle("/metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	h.operator = httpd.NewOperator(h.Config.OperatorSocket(), h.tail, h.Log)
	h.operator.Status = h.status
	h.operator.Trace = h.trace
	h.operator.Reload = h.reload
	h.operator.Erase = h.erase
	h.operator.Dead, h.operator.RetryDead, h.operator.DropDead = h.deadLetters, h.retryDead, h.dropDead
	return nil
}

// socket returns where a connector serves HTTP at the moment.
func (h *Host) socket(name string) (path string, known bool, changed <-chan struct{}) {
	c := h.now().connectors[name]
	if c == nil || !c.describe().HTTP {
		return "", false, nil
	}
	return c.process.HTTPSocket(), true, c.process.Changed()
}

// public returns the paths at which a connector itself asks who calls.
func (h *Host) public(name string) []string {
	if c := h.now().connectors[name]; c != nil {
		return c.describe().Public
	}
	return nil
}

// pages lists the connectors that have a page.
func (h *Host) pages() (names []string) {
	for name, c := range h.now().connectors {
		if c.describe().HTTP {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// live tells whether the process works at all.
func (h *Host) live(context.Context) error { return nil }

// fit tells whether messages can be stored now.
func (h *Host) fit(ctx context.Context) error {
	if h.draining.Load() {
		return errors.New("stopping")
	}
	select {
	case <-h.ready:
		return h.bus.Healthy(ctx)
	default:
		return errors.New("starting")
	}
}

// tail yields live events until ctx ends.
func (h *Host) tail(ctx context.Context, ready func(), f func(seq uint64, e event.Event)) error {
	o := bus.TailOptions{Signals: true, Ready: ready}
	return h.bus.Tail(ctx, o, func(r bus.Record) { f(r.Seq, r.Event) })
}

// maxShown is how many waiting targets of a connector the status has.
const maxShown = 100

// status is what the operators' API tells of the host at the moment.
func (h *Host) status(ctx context.Context) (any, error) {
	type connectorStatus struct {
		Process plughost.State         `json:"process,omitzero"`
		Deliver deliver.Stats          `json:"deliver"`
		Waiting []deliver.TargetStatus `json:"waiting"`
	}
	all := map[string]connectorStatus{event.BuiltinSIP: {Deliver: h.sip.Stats(), Waiting: h.sip.Waiting(maxShown)}}
	for name, c := range h.now().connectors {
		all[name] = connectorStatus{c.process.State(), c.stage.Stats(), c.stage.Waiting(maxShown)}
	}
	stats, err := h.bus.Stats(ctx)
	return map[string]any{"version": h.Version, "started": h.started, "bus": stats, "connectors": all, "sip": h.sipStatus()}, err
}

// sipStatus is what the SIP edge knows of those it can reach.
func (h *Host) sipStatus() any {
	return map[string]any{"phones": h.edge.Phones(), "trunks": h.edge.Trunks(), "registrations": h.edge.Registrations()}
}
