// Package resolve finds the servers of a SIP URI by RFC 3263: NAPTR, SRV, A
// and AAAA records, in the order in which they are to be tried.
package resolve

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// URI is the part of a SIP URI that says where it leads.
type URI struct {
	Secure    bool   // sips:
	Host      string // name or IP address, IPv6 with or without brackets; of maddr, where a URI has one
	Port      int    // 0 if there is none
	Transport string // "udp", "tcp" or "tls"; empty if the URI does not say
}

// Target is one server to try.
type Target struct {
	Network string // udp, tcp or tls
	Addr    netip.AddrPort
	Domain  string // that a TLS certificate must be for: what was asked for, not what DNS made of it (RFC 5922, section 4)
}

func (t Target) String() string { return t.Network + ":" + t.Addr.String() }

// maxTargets is how many targets of one URI are returned at most: a domain's
// records must not make us call half the world.
const maxTargets = 16

// ErrNowhere is wrapped by the errors that asking again soon does not change.
var ErrNowhere = errors.New("DNS knows no SIP server")

// Resolve returns the targets of a URI, best first; there is at least one
// unless it returns an error. It is safe for concurrent use.
func (r *Resolver) Resolve(ctx context.Context, u URI) ([]Target, error) {
	host := strings.ToLower(strings.TrimSuffix(strings.Trim(u.Host, "[]"), "."))
	network, err := network(u)
	if err != nil {
		return nil, err
	}
	s := &search{r: r, ctx: ctx, domain: host, secure: u.Secure}
	switch ip, err := netip.ParseAddr(host); {
	case err == nil && ip.Zone() == "":
		network = first(network, plain(u.Secure))
		return []Target{{network, netip.AddrPortFrom(ip.Unmap(), port(u.Port, network)), host}}, nil
	case u.Port != 0:
		network = first(network, plain(u.Secure))
		s.host(host, network, port(u.Port, network))
	case network != "":
		s.service(network)
	default:
		s.domainOf()
	}
	return s.targets()
}

// network returns the transport that a URI names, as it is used: sips: over TCP
// is TLS (RFC 3261, section 26.2.2).
func network(u URI) (string, error) {
	switch t := strings.ToLower(u.Transport); {
	case t == "udp" && u.Secure:
		return "", fmt.Errorf("%w: sips: does not go over UDP", ErrNowhere)
	case t == "tcp" && u.Secure:
		return "tls", nil
	case t == "" || t == "udp" || t == "tcp" || t == "tls":
		return t, nil
	default:
		return "", fmt.Errorf("%w: the transport %.20q is not spoken here; udp, tcp and tls are", ErrNowhere, t)
	}
}

// plain is the transport where neither URI nor DNS name one (RFC 3263, section
// 4.1).
func plain(secure bool) string {
	if secure {
		return "tls"
	}
	return "udp"
}

func first(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

func port(n int, network string) uint16 {
	switch {
	case n > 0 && n <= 65535:
		return uint16(n)
	case network == "tls":
		return 5061
	}
	return 5060
}

// search collects the targets of one domain.
type search struct {
	r      *Resolver
	ctx    context.Context
	domain string
	secure bool
	found  []Target
	err    error // why something could not be looked up
}

func (s *search) targets() ([]Target, error) {
	switch {
	case len(s.found) > 0:
		return s.found, nil
	case s.err != nil:
		return nil, s.err
	}
	return nil, fmt.Errorf("%w for %s", ErrNowhere, s.domain)
}

// failed notes that DNS can't be asked. A server that answers, but not this
// question, counts as one that knows no such record: many at the edge of a
// network know nothing of NAPTR and SRV.
func (s *search) failed(err error) bool {
	if err == nil || errors.Is(err, errAnswer) {
		return false
	}
	s.err = err
	return true
}

// services are the NAPTR services that lead to a transport (RFC 3263, section
// 4.1), the one with congestion control first where an order leaves the choice
// (RFC 3428, section 8).
var services = []struct{ service, network, srv string }{
	{"SIPS+D2T", "tls", "_sips._tcp."},
	{"SIP+D2T", "tcp", "_sip._tcp."},
	{"SIP+D2U", "udp", "_sip._udp."},
}

// domainOf looks for what a domain says of itself: NAPTR records, else SRV
// records of each transport, else its address.
func (s *search) domainOf() {
	if s.byNAPTR() {
		return
	}
	decided := false
	for _, v := range services {
		if v.network == "tls" == s.secure && s.srv(v.srv+s.domain, v.network) {
			decided = true
		}
	}
	if !decided {
		network := plain(s.secure)
		s.host(s.domain, network, port(0, network))
	}
}

// byNAPTR tells whether NAPTR records decide.
func (s *search) byNAPTR() bool {
	records, err := s.r.naptr(s.ctx, s.domain)
	if s.failed(err) {
		return true
	}
	type choice struct {
		naptr
		rank int
	}
	var usable []choice
	for _, n := range records {
		for i, v := range services {
			if strings.EqualFold(n.service, v.service) && (v.network == "tls" || !s.secure) {
				usable = append(usable, choice{n, i})
			}
		}
	}
	slices.SortStableFunc(usable, func(a, b choice) int {
		if a.order != b.order {
			return int(a.order) - int(b.order)
		}
		if a.rank != b.rank {
			return a.rank - b.rank
		}
		return int(a.preference) - int(b.preference)
	})
	for _, n := range usable {
		network := services[n.rank].network
		switch strings.ToLower(n.flags) {
		case "s":
			s.srv(n.replacement, network)
		case "a":
			s.host(n.replacement, network, port(0, network))
		}
	}
	return len(usable) > 0
}

// service looks for the servers of one transport: SRV records, else the
// domain's address.
func (s *search) service(network string) {
	for _, v := range services {
		if v.network == network && s.srv(v.srv+s.domain, network) {
			return
		}
	}
	s.host(s.domain, network, port(0, network))
}

// srv tells whether SRV records of a name decide. A single record with the
// target "." says that the service does not exist (RFC 2782).
func (s *search) srv(name, network string) bool {
	records, err := s.r.srv(s.ctx, name)
	if s.failed(err) {
		return true
	}
	for _, v := range ordered(records, s.r.random) {
		if v.target != "" {
			s.host(v.target, network, v.port)
		}
	}
	return len(records) > 0
}

// host adds the addresses of a name, those of IPv6 first.
func (s *search) host(name, network string, port uint16) {
	if len(s.found) >= maxTargets {
		return
	}
	addresses, err := s.r.addresses(s.ctx, name)
	if err != nil {
		s.err = fmt.Errorf("address of %s: %w", name, err)
		return
	}
	for _, a := range addresses {
		t := Target{network, netip.AddrPortFrom(a, port), s.domain}
		if len(s.found) < maxTargets && !slices.Contains(s.found, t) {
			s.found = append(s.found, t)
		}
	}
}

// ordered sorts SRV records by priority, and those of one priority at random
// by their weights (RFC 2782).
func ordered(records []srv, random func(n int) int) []srv {
	left := slices.Clone(records)
	slices.SortStableFunc(left, func(a, b srv) int {
		if a.priority != b.priority {
			return int(a.priority) - int(b.priority)
		}
		return min(int(a.weight), 1) - min(int(b.weight), 1) // weight 0 first
	})
	var all []srv
	for len(left) > 0 {
		same, sum := 0, 0
		for same < len(left) && left[same].priority == left[0].priority {
			sum += int(left[same].weight)
			same++
		}
		pick, run := 0, random(sum+1)
		for i := range same {
			if run -= int(left[i].weight); run <= 0 {
				pick = i
				break
			}
		}
		all = append(all, left[pick])
		left = slices.Delete(left, pick, pick+1)
	}
	return all
}

// ParseServer reads a URI such as "sip:pbx.example.com:5070;transport=tcp" in a
// configuration: scheme, host, port and transport and nothing else.
func ParseServer(text string) (URI, error) {
	scheme, rest, _ := strings.Cut(text, ":")
	u := URI{Secure: strings.EqualFold(scheme, "sips")}
	if !u.Secure && !strings.EqualFold(scheme, "sip") {
		return u, fmt.Errorf("%q is no SIP URI", text)
	}
	rest, params, _ := strings.Cut(rest, ";")
	if strings.ContainsAny(rest, "@?") {
		return u, fmt.Errorf("%q names somebody; a server is a host, with a port or without", text)
	}
	u.Host = rest
	if i := strings.LastIndexByte(rest, ':'); i > strings.LastIndexByte(rest, ']') {
		n, err := strconv.ParseUint(rest[i+1:], 10, 16)
		if err != nil || n == 0 {
			return u, fmt.Errorf("%q has no port between 1 and 65535", text)
		}
		u.Host, u.Port = rest[:i], int(n)
	}
	if u.Host == "" || strings.ContainsAny(u.Host, " \t/") {
		return u, fmt.Errorf("%q has no host", text)
	}
	for p := range strings.SplitSeq(params, ";") {
		k, v, _ := strings.Cut(p, "=")
		switch {
		case strings.EqualFold(k, "transport"):
			u.Transport = strings.ToLower(v)
		case p != "" && !strings.EqualFold(k, "lr"):
			return u, fmt.Errorf("%q has the parameter %s; only transport is known here", text, k)
		}
	}
	_, err := network(u)
	return u, err
}
