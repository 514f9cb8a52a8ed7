package core

import (
	"strconv"

	"github.com/prometheus/client_golang/prometheus"

	"parley.im/core/sipedge"
)

var (
	sipOpenDesc = prometheus.NewDesc("parley_sip_connections",
		"SIP connections now, those in a handshake too.", nil, nil)
	sipTransactionsDesc = prometheus.NewDesc("parley_sip_transactions",
		"UDP requests whose answers are kept for repetitions.", nil, nil)
	sipBannedDesc = prometheus.NewDesc("parley_sip_banned_sources",
		"Sources from which nothing is taken now.", nil, nil)
	sipRefusedDesc = prometheus.NewDesc("parley_sip_refused_total",
		"What the SIP edge refused since the start, before it was looked at further.", []string{"reason"}, nil)
	sipPhonesDesc = prometheus.NewDesc("parley_sip_phones",
		"Registered phones, by whether a message would be sent to them now.", []string{"network", "reachable"}, nil)
	sipServerDesc = prometheus.NewDesc("parley_sip_trunk_up",
		"Whether a server of a trunk can be used: 1 or 0.", []string{"trunk", "server"}, nil)
	sipServerRTTDesc = prometheus.NewDesc("parley_sip_trunk_rtt_seconds",
		"How long a server of a trunk took to answer the last OPTIONS.", []string{"trunk", "server"}, nil)
	sipTrunkWaitingDesc = prometheus.NewDesc("parley_sip_trunk_waiting",
		"Addresses whose messages wait for a trunk.", []string{"trunk"}, nil)
	sipRegisteredDesc = prometheus.NewDesc("parley_sip_registered",
		"Whether Parley is registered at a trunk under an address: 1 or 0.", []string{"trunk", "aor"}, nil)
)

// collectReach sends whom the SIP edge can reach.
func collectReach(ch chan<- prometheus.Metric, e *sipedge.Edge) {
	type kind struct {
		network   string
		reachable bool
	}
	phones := map[kind]int{}
	for _, p := range e.Phones() {
		phones[kind{p.Network, p.Reachable}]++
	}
	for k, n := range phones {
		ch <- prometheus.MustNewConstMetric(sipPhonesDesc, prometheus.GaugeValue, float64(n), k.network, strconv.FormatBool(k.reachable))
	}
	for _, t := range e.Trunks() {
		ch <- prometheus.MustNewConstMetric(sipTrunkWaitingDesc, prometheus.GaugeValue, float64(t.Waiting), t.Name)
		for _, s := range t.Servers {
			ch <- prometheus.MustNewConstMetric(sipServerDesc, prometheus.GaugeValue, one(s.Up), t.Name, s.Address)
			if s.RTT > 0 {
				ch <- prometheus.MustNewConstMetric(sipServerRTTDesc, prometheus.GaugeValue, s.RTT.Seconds(), t.Name, s.Address)
			}
		}
	}
	for _, r := range e.Registrations() {
		ch <- prometheus.MustNewConstMetric(sipRegisteredDesc, prometheus.GaugeValue, one(r.Registered), r.Trunk, string(r.AOR))
	}
}

func one(yes bool) float64 {
	if yes {
		return 1
	}
	return 0
}

// collectSockets sends what the SIP edge counts of strangers.
func collectSockets(ch chan<- prometheus.Metric, s sipedge.Stats) {
	ch <- prometheus.MustNewConstMetric(sipOpenDesc, prometheus.GaugeValue, float64(s.Open))
	ch <- prometheus.MustNewConstMetric(sipTransactionsDesc, prometheus.GaugeValue, float64(s.Transactions))
	ch <- prometheus.MustNewConstMetric(sipBannedDesc, prometheus.GaugeValue, float64(s.Banned))
	for reason, n := range map[string]uint64{
		"too_many": s.TooMany, "handshake": s.Handshakes, "slow": s.Slow, "idle": s.Idle, "stuck": s.Stuck, "malformed": s.Malformed,
		"banned": s.Shunned, "overload": s.Overload, "source_rate": s.Source, "account_rate": s.Account,
		"wrong_password": s.Guesses, "guess_rate": s.Throttled, "broken": s.Broken,
	} {
		ch <- prometheus.MustNewConstMetric(sipRefusedDesc, prometheus.CounterValue, float64(n), reason)
	}
}
