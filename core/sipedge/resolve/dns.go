package resolve

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/miekg/dns"
)

// How DNS is asked.
const (
	askFor     = 2 * time.Second  // one server, once
	rounds     = 2                // over all servers
	maxAge     = time.Hour        // however long a record says that it lives
	noneAge    = 30 * time.Second // for "there is none", without a SOA that says
	staleFor   = 24 * time.Hour   // an old answer serves while DNS does not (RFC 8767)
	retryStale = 30 * time.Second // before DNS is asked again meanwhile
	maxCached  = 4096
)

// errAnswer says that a DNS server answers, but can't or won't look it up.
var errAnswer = errors.New("DNS server without an answer")

// Resolver asks DNS and keeps what it says for as long as it says. Its methods
// are safe for concurrent use.
type Resolver struct {
	servers []string // host:port; empty: those of the system
	now     func() time.Time
	random  func(n int) int

	mu    sync.Mutex
	cache map[question]*answer
}

// New returns a Resolver that asks these servers, "host:port" each, or those
// of /etc/resolv.conf if there are none. Only then names that DNS does not know
// are looked for as the system does, in /etc/hosts for one.
func New(servers ...string) *Resolver {
	return &Resolver{servers: servers, now: time.Now, random: rand.IntN, cache: map[question]*answer{}}
}

type question struct {
	name string
	kind uint16
}

// answer is what is kept of one question. Those who ask while it is under way
// wait for it.
type answer struct {
	done    chan struct{}
	records []dns.RR
	err     error
	until   time.Time
}

type naptr struct {
	order, preference           uint16
	flags, service, replacement string
}

type srv struct {
	priority, weight, port uint16
	target                 string // empty: none
}

func (r *Resolver) naptr(ctx context.Context, name string) (all []naptr, err error) {
	records, err := r.ask(ctx, name, dns.TypeNAPTR)
	for _, rr := range records {
		if n, ok := rr.(*dns.NAPTR); ok {
			all = append(all, naptr{n.Order, n.Preference, n.Flags, n.Service, n.Replacement})
		}
	}
	return all, err
}

func (r *Resolver) srv(ctx context.Context, name string) (all []srv, err error) {
	records, err := r.ask(ctx, name, dns.TypeSRV)
	for _, rr := range records {
		if s, ok := rr.(*dns.SRV); ok {
			all = append(all, srv{s.Priority, s.Weight, s.Port, strings.TrimSuffix(s.Target, ".")})
		}
	}
	return all, err
}

// addresses returns those of IPv6 first (RFC 6724). An error of one kind does
// not hide the other kind.
func (r *Resolver) addresses(ctx context.Context, name string) ([]netip.Addr, error) {
	var all []netip.Addr
	var failed []error
	for _, kind := range []uint16{dns.TypeAAAA, dns.TypeA} {
		records, err := r.ask(ctx, name, kind)
		failed = append(failed, err)
		for _, rr := range records {
			switch rr := rr.(type) {
			case *dns.AAAA:
				all = appendAddr(all, rr.AAAA)
			case *dns.A:
				all = appendAddr(all, rr.A)
			}
		}
	}
	if len(all) == 0 && len(r.servers) == 0 {
		ips, err := net.DefaultResolver.LookupNetIP(ctx, "ip", name)
		var unknown *net.DNSError
		if errors.As(err, &unknown) && unknown.IsNotFound {
			err = nil
		}
		for i := range ips {
			ips[i] = ips[i].Unmap()
		}
		return ips, err
	}
	if len(all) == 0 {
		return nil, errors.Join(failed...)
	}
	return all, nil
}

func appendAddr(all []netip.Addr, ip net.IP) []netip.Addr {
	if a, ok := netip.AddrFromSlice(ip); ok {
		all = append(all, a.Unmap())
	}
	return all
}

// ask returns the records of a name, from what is kept or from DNS. None is no
// error.
func (r *Resolver) ask(ctx context.Context, name string, kind uint16) ([]dns.RR, error) {
	q := question{strings.ToLower(dns.Fqdn(name)), kind}
	if _, ok := dns.IsDomainName(q.name); !ok {
		return nil, fmt.Errorf("%w: %.64q is no domain name", ErrNowhere, name)
	}
	r.mu.Lock()
	a, old := r.cache[q], (*answer)(nil)
	if a != nil && isDone(a) && !r.now().Before(a.until) {
		a, old = nil, a
	}
	if a == nil {
		a = &answer{done: make(chan struct{})}
		r.makeRoom()
		r.cache[q] = a
		go r.fill(context.WithoutCancel(ctx), q, a, old)
	}
	r.mu.Unlock()
	select {
	case <-a.done:
		return a.records, a.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func isDone(a *answer) bool {
	select {
	case <-a.done:
		return true
	default:
		return false
	}
}

// makeRoom forgets something when the cache is full, and needs mu.
func (r *Resolver) makeRoom() {
	for q, a := range r.cache {
		if len(r.cache) < maxCached {
			return
		}
		if isDone(a) {
			delete(r.cache, q)
		}
	}
}

// fill asks DNS. While that fails, what was known before goes on to serve.
func (r *Resolver) fill(ctx context.Context, q question, a, old *answer) {
	defer close(a.done)
	records, lasts, err := r.query(ctx, q)
	now := r.now()
	a.records, a.err, a.until = records, err, now.Add(lasts)
	if err == nil {
		return
	}
	a.until = now // ask again at once
	if old != nil && old.err == nil && now.Before(old.until.Add(staleFor)) {
		a.records, a.err, a.until = old.records, nil, now.Add(retryStale)
	}
}

// query asks the servers one after the other.
func (r *Resolver) query(ctx context.Context, q question) ([]dns.RR, time.Duration, error) {
	servers, err := r.upstream()
	if err != nil {
		return nil, 0, err
	}
	m := new(dns.Msg).SetQuestion(q.name, q.kind)
	m.SetEdns0(1232, false)
	for range rounds {
		for _, s := range servers {
			var in *dns.Msg
			if in, err = exchange(ctx, m, s); err != nil {
				continue
			}
			if in.Rcode != dns.RcodeSuccess && in.Rcode != dns.RcodeNameError {
				err = fmt.Errorf("%w: %s answers %s for %s", errAnswer, s, dns.RcodeToString[in.Rcode], q.name)
				continue
			}
			return relevant(in, q.kind), lifetime(in, q.kind), nil
		}
	}
	return nil, 0, fmt.Errorf("DNS: %w", err)
}

// exchange asks one server, by TCP when the answer is too long for UDP.
func exchange(ctx context.Context, m *dns.Msg, server string) (*dns.Msg, error) {
	c := dns.Client{Timeout: askFor, UDPSize: 1232}
	in, _, err := c.ExchangeContext(ctx, m.Copy(), server)
	if err == nil && in.Truncated {
		c.Net = "tcp"
		in, _, err = c.ExchangeContext(ctx, m.Copy(), server)
	}
	return in, err
}

func (r *Resolver) upstream() ([]string, error) {
	if len(r.servers) > 0 {
		return r.servers, nil
	}
	c, err := dns.ClientConfigFromFile("/etc/resolv.conf")
	if err != nil {
		return nil, fmt.Errorf("which DNS servers to ask: %w", err)
	}
	var all []string
	for _, s := range c.Servers {
		all = append(all, net.JoinHostPort(s, c.Port))
	}
	if len(all) == 0 {
		return nil, errors.New("/etc/resolv.conf names no DNS server")
	}
	return all, nil
}

// relevant are the records of the kind that was asked for, behind any aliases.
func relevant(m *dns.Msg, kind uint16) (all []dns.RR) {
	for _, rr := range m.Answer {
		if rr.Header().Rrtype == kind {
			all = append(all, rr)
		}
	}
	return all
}

// lifetime is that of the shortest-lived record, or of there being none (RFC
// 2308, section 5).
func lifetime(m *dns.Msg, kind uint16) time.Duration {
	lasts := maxAge
	for _, rr := range m.Answer {
		lasts = min(lasts, time.Duration(rr.Header().Ttl)*time.Second)
	}
	if len(relevant(m, kind)) > 0 {
		return lasts
	}
	for _, rr := range m.Ns {
		if soa, ok := rr.(*dns.SOA); ok {
			return min(lasts, time.Duration(min(soa.Minttl, soa.Hdr.Ttl))*time.Second)
		}
	}
	return min(lasts, noneAge)
}
