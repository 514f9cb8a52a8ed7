package core

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"parley.im/bus"
	"parley.im/bus/event"
	"parley.im/core/deliver"
)

// metrics returns the registry behind /metrics. The names are part of the
// operators' interface.
func (h *Host) metrics() (*prometheus.Registry, error) {
	r := prometheus.NewRegistry()
	for _, c := range []prometheus.Collector{
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		&figures{h},
	} {
		if err := r.Register(c); err != nil {
			return nil, err
		}
	}
	return r, nil
}

// figures collects the stages' counters when it is asked.
type figures struct{ h *Host }

var (
	connectorLabel = []string{"connector"}

	inTakenDesc = prometheus.NewDesc("parley_inbound_taken_total",
		"Inbounds read for routing since the start, by where they came from.", connectorLabel, nil)
	inRoutedDesc = prometheus.NewDesc("parley_inbound_routed_total",
		"Inbounds assigned to their targets since the start.", connectorLabel, nil)
	inRefusedDesc = prometheus.NewDesc("parley_inbound_refused_total",
		"Stored Inbounds that no route takes any more.", connectorLabel, nil)
	inUnderWayDesc = prometheus.NewDesc("parley_inbound_under_way",
		"Inbounds being routed now.", connectorLabel, nil)
	inMissingDesc = prometheus.NewDesc("parley_inbound_missing",
		"Inbounds taken less those routed, refused, kept or under way; anything but 0 is a mistake in the program.", connectorLabel, nil)
	takenDesc = prometheus.NewDesc("parley_outbound_taken_total",
		"Outbounds taken from the log since the start.", connectorLabel, nil)
	beforeDesc = prometheus.NewDesc("parley_outbound_settled_before_total",
		"Outbounds taken that an earlier run had settled.", connectorLabel, nil)
	keptDesc = prometheus.NewDesc("parley_outbound_kept_total",
		"Outbounds taken that this version does not understand.", connectorLabel, nil)
	goneDesc = prometheus.NewDesc("parley_outbound_gone_total",
		"Outbounds taken that were erased while their lane waited.", connectorLabel, nil)
	asideDesc = prometheus.NewDesc("parley_outbound_parked",
		"Outbounds in the log of lanes that are parked now.", connectorLabel, nil)
	missingDesc = prometheus.NewDesc("parley_outbound_missing",
		"Outbounds taken less those settled, held, parked, kept or gone; anything but 0 is a mistake in the program.", connectorLabel, nil)
	settledDesc = prometheus.NewDesc("parley_outbound_settled_total",
		"Outbounds settled since the start, by outcome.", []string{"connector", "state"}, nil)
	retriesDesc = prometheus.NewDesc("parley_delivery_retries_total",
		"Delivery attempts that have to be repeated.", connectorLabel, nil)
	deadDesc = prometheus.NewDesc("parley_dead_letters_total",
		"Dead letters stored since the start.", connectorLabel, nil)
	foundDesc = prometheus.NewDesc("parley_delivery_found_total",
		"Interrupted deliveries that were found to have arrived.", connectorLabel, nil)
	repeatsDesc = prometheus.NewDesc("parley_delivery_possible_duplicates_total",
		"Deliveries repeated without knowing whether an earlier attempt arrived.", connectorLabel, nil)
	parkedDesc = prometheus.NewDesc("parley_lanes_parked",
		"Lanes that are parked now.", connectorLabel, nil)
	heldDesc = prometheus.NewDesc("parley_outbound_held",
		"Outbounds in memory now, waiting or being delivered.", connectorLabel, nil)
	circuitDesc = prometheus.NewDesc("parley_connector_circuit_open",
		"1 while nothing can be delivered through the connector.", connectorLabel, nil)
	restartsDesc = prometheus.NewDesc("parley_connector_restarts_total",
		"Restarts of the connector's process.", connectorLabel, nil)
	upDesc = prometheus.NewDesc("parley_connector_up",
		"1 while the connector's process runs and is open.", connectorLabel, nil)
	messagesDesc = prometheus.NewDesc("parley_stream_messages",
		"Events in the stream.", []string{"stream"}, nil)
	bytesDesc = prometheus.NewDesc("parley_stream_bytes",
		"Size of the stream in bytes.", []string{"stream"}, nil)
	pendingDesc = prometheus.NewDesc("parley_consumer_pending",
		"Events a consumer has not yet been offered, or not acknowledged.", []string{"consumer"}, nil)
	returnedDesc = prometheus.NewDesc("parley_inbound_returned_total",
		"Messages passed over because they went out from here.", nil, nil)
	trimmedDesc = prometheus.NewDesc("parley_stream_trimmed_total",
		"Events removed from the stream since the start because they were old, or it was near its size.", []string{"stream"}, nil)
	idsDesc = prometheus.NewDesc("parley_bus_ids", "Ids in the index of stored events.", nil, nil)
)

// Describe sends the descriptions of all figures.
func (f *figures) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		settledDesc, retriesDesc, deadDesc, foundDesc, repeatsDesc, parkedDesc, heldDesc, circuitDesc,
		restartsDesc, upDesc, messagesDesc, bytesDesc, pendingDesc, idsDesc, returnedDesc, trimmedDesc,
		inTakenDesc, inRoutedDesc, inRefusedDesc, inUnderWayDesc, inMissingDesc,
		takenDesc, beforeDesc, keptDesc, goneDesc, asideDesc, missingDesc, sipOpenDesc, sipRefusedDesc,
	} {
		ch <- d
	}
}

// Collect sends the figures of the moment.
func (f *figures) Collect(ch chan<- prometheus.Metric) {
	f.stage(ch, event.BuiltinSIP, f.h.sip.Stats())
	collectSockets(ch, f.h.edge.Stats())
	collectReach(ch, f.h.edge)
	for name, c := range f.h.now().connectors {
		f.stage(ch, name, c.stage.Stats())
		state := c.process.State()
		ch <- prometheus.MustNewConstMetric(restartsDesc, prometheus.CounterValue, float64(state.Restarts), name)
		ch <- prometheus.MustNewConstMetric(upDesc, prometheus.GaugeValue, yes(state.Up()), name)
	}
	ch <- prometheus.MustNewConstMetric(returnedDesc, prometheus.CounterValue, float64(f.h.returned.Load()))
	for name, a := range f.h.books.read() {
		a.collect(ch, name)
	}
	for _, s := range bus.Streams() {
		ch <- prometheus.MustNewConstMetric(trimmedDesc, prometheus.CounterValue, float64(f.h.trimmed.of(s)), string(s))
	}
	f.bus(ch)
}

func (a account) collect(ch chan<- prometheus.Metric, origin string) {
	send := func(d *prometheus.Desc, t prometheus.ValueType, n int64) {
		ch <- prometheus.MustNewConstMetric(d, t, float64(n), origin)
	}
	send(inTakenDesc, prometheus.CounterValue, a.taken)
	send(inRoutedDesc, prometheus.CounterValue, a.routed)
	send(inRefusedDesc, prometheus.CounterValue, a.refused)
	send(inUnderWayDesc, prometheus.GaugeValue, a.underWay)
	send(inMissingDesc, prometheus.GaugeValue, a.missing())
}

func (f *figures) stage(ch chan<- prometheus.Metric, name string, s deliver.Stats) {
	for state, n := range map[event.State]int64{event.Accepted: s.Accepted, event.Delivered: s.Delivered, event.Failed: s.Failed} {
		ch <- prometheus.MustNewConstMetric(settledDesc, prometheus.CounterValue, float64(n), name, string(state))
	}
	count := func(d *prometheus.Desc, n int64) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(n), name)
	}
	count(takenDesc, s.Taken)
	count(beforeDesc, s.Before)
	count(keptDesc, s.Kept)
	count(goneDesc, s.Gone)
	count(retriesDesc, s.Retries)
	count(deadDesc, s.Dead)
	count(foundDesc, s.Found)
	count(repeatsDesc, s.Repeats)
	ch <- prometheus.MustNewConstMetric(parkedDesc, prometheus.GaugeValue, float64(s.Lanes), name)
	ch <- prometheus.MustNewConstMetric(asideDesc, prometheus.GaugeValue, float64(s.Parked), name)
	ch <- prometheus.MustNewConstMetric(missingDesc, prometheus.GaugeValue, float64(s.Missing()), name)
	ch <- prometheus.MustNewConstMetric(heldDesc, prometheus.GaugeValue, float64(s.Held), name)
	ch <- prometheus.MustNewConstMetric(circuitDesc, prometheus.GaugeValue, yes(s.Circuit != ""), name)
}

func (f *figures) bus(ch chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	s, err := f.h.bus.Stats(ctx)
	if err != nil {
		return
	}
	for _, st := range s.Streams {
		ch <- prometheus.MustNewConstMetric(messagesDesc, prometheus.GaugeValue, float64(st.Messages), string(st.Stream))
		ch <- prometheus.MustNewConstMetric(bytesDesc, prometheus.GaugeValue, float64(st.Bytes), string(st.Stream))
	}
	for _, c := range s.Consumers {
		ch <- prometheus.MustNewConstMetric(pendingDesc, prometheus.GaugeValue, float64(c.Pending)+float64(c.AckPending), c.Name)
	}
	ch <- prometheus.MustNewConstMetric(idsDesc, prometheus.GaugeValue, float64(s.IDs))
}

func yes(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
