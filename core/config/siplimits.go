package config

import (
	"net/netip"
	"time"
)

// SIPLimits is the [sip.limits] table: what strangers may cost. A source is
// one IPv4 address or one IPv6 /64.
type SIPLimits struct {
	Connections int           // at once, in all
	PerSource   int           // connections at once from one source
	Handshake   time.Duration // for TLS and WebSocket to be ready
	Header      time.Duration // for a header to end, and again for a body
	Idle        time.Duration // between two messages
	Write       time.Duration // for a peer to take what we write

	Body         int64 // bytes of a request's body
	Headers      int   // header fields of a request
	Transactions int   // UDP requests whose answers are kept
	Sources      int   // UDP addresses remembered at once

	Requests        int           // a second from one source
	AccountRequests int           // a second of one account
	Guesses         int           // wrong passwords a minute for one account from one source
	Ban             time.Duration // 0: nobody is banned

	Exempt []netip.Prefix // sources that the last four don't hold for
}

// maxBody is the largest body that a SIP request may have, in bytes.
const maxBody = 64 << 10

func defaultLimits() SIPLimits {
	return SIPLimits{
		Connections: 8192, PerSource: 1024,
		Handshake: 10 * time.Second, Header: 30 * time.Second, Idle: 70 * time.Minute, Write: 10 * time.Second,
		Body: maxBody, Headers: 256, Transactions: 1 << 17, Sources: 1 << 14,
		Requests: 200, AccountRequests: 100, Guesses: 10, Ban: 10 * time.Minute,
		Exempt: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")},
	}
}

func (r *reader) sipLimits(t *table) {
	l := &r.c.SIP.Limits
	t.number("connections", &l.Connections)
	t.number("connections_per_source", &l.PerSource)
	t.duration("handshake", &l.Handshake)
	t.duration("header", &l.Header)
	t.duration("idle", &l.Idle)
	t.duration("write", &l.Write)
	t.size("body", &l.Body)
	t.number("headers", &l.Headers)
	t.number("transactions", &l.Transactions)
	t.number("udp_sources", &l.Sources)
	t.number("requests_per_source", &l.Requests)
	t.number("requests_per_account", &l.AccountRequests)
	t.number("wrong_passwords", &l.Guesses)
	orNone(t, "ban", &l.Ban, t.duration)
	r.prefixes(t, "exempt", &l.Exempt)
	t.done()
}

// prefixes takes a list of addresses and networks.
func (r *reader) prefixes(t *table, key string, p *[]netip.Prefix) {
	if _, given := t.values[key]; given {
		*p = []netip.Prefix{}
	}
	var list []string
	t.texts(key, &list)
	for _, text := range list {
		prefix, err := peer(text)
		if err != nil {
			r.problem(t.at(key), "%q is no address; give one, or a network such as \"192.0.2.0/28\"", text)
			continue
		}
		*p = append(*p, prefix)
	}
}

func (r *reader) checkSIPLimits() {
	l := r.c.SIP.Limits
	for _, n := range []struct {
		key   string
		value int
	}{
		{"connections", l.Connections}, {"connections_per_source", l.PerSource}, {"headers", l.Headers}, {"transactions", l.Transactions},
		{"udp_sources", l.Sources}, {"requests_per_source", l.Requests}, {"requests_per_account", l.AccountRequests}, {"wrong_passwords", l.Guesses},
	} {
		if n.value <= 0 {
			r.problem("sip.limits."+n.key, "%d lets nothing in; give 1 or more", n.value)
		}
	}
	if l.Body > maxBody {
		r.problem("sip.limits.body", "%d bytes; at most %d can be carried", l.Body, maxBody)
	}
}
