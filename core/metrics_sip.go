package core

import (
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
)

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
