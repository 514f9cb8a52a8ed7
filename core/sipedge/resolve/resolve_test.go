package resolve

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"

	"parley.im/core/sipedge/internal/dnstest"
)

func resolver(z *dnstest.Server) *Resolver {
	r := New(z.Address)
	r.random = func(int) int { return 0 }
	return r
}

func resolve(t *testing.T, r *Resolver, uri string) (string, error) {
	t.Helper()
	u, err := ParseServer(uri)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	targets, err := r.Resolve(ctx, u)
	var all []string
	for _, x := range targets {
		all = append(all, x.String())
		if want := strings.ToLower(strings.Trim(u.Host, "[]")); x.Domain != want {
			t.Errorf("%s: the certificate must be for %s, not for %s", uri, x.Domain, want)
		}
	}
	return strings.Join(all, " "), err
}

const two = `
both   NAPTR 10 50 "s" "SIP+D2U"  "" _sip._udp.both
both   NAPTR 10 60 "s" "SIP+D2T"  "" _sip._tcp.both
both   NAPTR 10 90 "s" "SIPS+D2T" "" _sips._tcp.both
both   NAPTR 10 10 "u" "E2U+sip"  "!^.*$!sip:x@evil!" .
_sip._udp.both  SRV 10 0 5060 a
_sip._tcp.both  SRV 10 0 5062 a
_sip._tcp.both  SRV 20 0 5063 b
_sips._tcp.both SRV 10 0 5071 a
order  NAPTR 10 50 "s" "SIP+D2U" "" _sip._udp.both
order  NAPTR 20 10 "s" "SIP+D2T" "" _sip._tcp.both
flagA  NAPTR 10 10 "A" "sip+d2t" "" a
alien  NAPTR 10 10 "s" "SIP+D2S" "" _sip._sctp.both
alien  A 192.0.2.9
a      A 192.0.2.1
b      A 192.0.2.2
b      AAAA 2001:db8::2
_sip._tcp.srv SRV 5 0 5080 b
_sip._udp.srv SRV 1 0 5081 a
_sips._tcp.srv SRV 1 0 5082 a
none   A 192.0.2.3
_sip._udp.gone SRV 0 0 0 .
_sip._tcp.gone SRV 0 0 0 .
gone   A 192.0.2.4
`

// T04 M16: NAPTR, then SRV, then addresses, as RFC 3263 says in section 4.
func TestT04Targets(t *testing.T) {
	z := dnstest.New(t, two)
	for _, c := range []struct{ name, uri, want string }{
		{"M16 of one order TCP is taken before UDP", "sip:both.example.com", "tls:192.0.2.1:5071 tcp:192.0.2.1:5062 tcp:[2001:db8::2]:5063 tcp:192.0.2.2:5063 udp:192.0.2.1:5060"},
		{"the order of the domain counts more", "sip:order.example.com", "udp:192.0.2.1:5060 tcp:192.0.2.1:5062 tcp:[2001:db8::2]:5063 tcp:192.0.2.2:5063"},
		{"sips drops all but SIPS", "sips:both.example.com", "tls:192.0.2.1:5071"},
		{"a flag A leads to an address", "sip:flagA.example.com", "tcp:192.0.2.1:5060"},
		{"a service that we don't speak", "sip:alien.example.com", "udp:192.0.2.9:5060"},
		{"without NAPTR the SRV records, TCP first", "sip:srv.example.com", "tcp:[2001:db8::2]:5080 tcp:192.0.2.2:5080 udp:192.0.2.1:5081"},
		{"of sips", "sips:srv.example.com", "tls:192.0.2.1:5082"},
		{"a transport that is named", "sip:srv.example.com;transport=udp", "udp:192.0.2.1:5081"},
		{"TLS that is named", "sip:srv.example.com;transport=tls", "tls:192.0.2.1:5082"},
		{"sips over tcp is TLS", "sips:srv.example.com;transport=tcp", "tls:192.0.2.1:5082"},
		{"neither NAPTR nor SRV: UDP", "sip:none.example.com", "udp:192.0.2.3:5060"},
		{"of sips: TLS", "sips:none.example.com", "tls:192.0.2.3:5061"},
		{"a transport, but no SRV", "sip:none.example.com;transport=tcp", "tcp:192.0.2.3:5060"},
		{"a port: no SRV, UDP", "sip:srv.example.com:5099", ""},
		{"a port with a transport", "sip:b.example.com:5099;transport=tcp", "tcp:[2001:db8::2]:5099 tcp:192.0.2.2:5099"},
		{"a port: UDP", "sip:a.example.com:5099", "udp:192.0.2.1:5099"},
		{"a port of sips: TLS", "sips:a.example.com:5099", "tls:192.0.2.1:5099"},
		{"a number", "sip:192.0.2.77", "udp:192.0.2.77:5060"},
		{"a number with port and transport", "sip:192.0.2.77:99;transport=tcp", "tcp:192.0.2.77:99"},
		{"a number of sips", "sips:192.0.2.77", "tls:192.0.2.77:5061"},
		{"a number of IPv6", "sip:[2001:db8::7]:5070", "udp:[2001:db8::7]:5070"},
		{"SRV says that there is none", "sip:gone.example.com", ""},
		{"nobody", "sip:nobody.example.com", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := resolve(t, resolver(z), c.uri)
			if got != c.want {
				t.Errorf("%s\n got %s\nwant %s", c.uri, got, c.want)
			}
			if (err != nil) != (c.want == "") || err != nil && !errors.Is(err, ErrNowhere) {
				t.Errorf("%s: %v", c.uri, err)
			}
		})
	}
	for _, q := range z.Questions() {
		if strings.HasPrefix(q, "192.") || strings.Contains(q, "2001:db8") {
			t.Errorf("a number was looked up: %s", q)
		}
	}
}

func TestServers(t *testing.T) {
	for text, want := range map[string]string{
		"sip:pbx.example.com":                  "{false pbx.example.com 0 }",
		"SIPS:pbx.example.com:5071":            "{true pbx.example.com 5071 }",
		"sip:[2001:db8::1]:5060;transport=TCP": "{false [2001:db8::1] 5060 tcp}",
		"sip:pbx.example.com;lr":               "{false pbx.example.com 0 }",
		"pbx.example.com":                      "no SIP URI",
		"sip:alice@pbx.example.com":            "names somebody",
		"sip:pbx.example.com:0":                "port",
		"sip:pbx.example.com;transport=sctp":   "not spoken",
		"sip:pbx.example.com;maddr=192.0.2.1":  "maddr",
		"sips:pbx.example.com;transport=udp":   "UDP",
		"sip:":                                 "no host",
	} {
		u, err := ParseServer(text)
		if got := fmt.Sprint(u); err == nil && got != want || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %s, %v", text, got, err)
		}
	}
}

// RFC 2782: priorities first, and within one the weights decide how often a
// server comes first.
func TestT04Weights(t *testing.T) {
	records := []srv{{20, 0, 1, "last"}, {10, 90, 1, "often"}, {10, 10, 1, "seldom"}, {10, 0, 1, "never"}}
	random := rand.New(rand.NewPCG(1, 2))
	first := map[string]int{}
	for range 10000 {
		all := ordered(records, random.IntN)
		if len(all) != 4 || all[3].target != "last" {
			t.Fatal(all)
		}
		first[all[0].target]++
	}
	if n := first["often"]; n < 8700 || n > 9200 {
		t.Error(first)
	}
	if n := first["seldom"]; n < 800 || n > 1200 {
		t.Error(first)
	}
	if n := first["never"]; n > 200 { // RFC 2782 gives it "a very small chance"
		t.Error(first)
	}
}

func TestT04AnswersAreKept(t *testing.T) {
	z := dnstest.New(t, "x A 192.0.2.1")
	r := resolver(z)
	now := time.Now()
	r.now = func() time.Time { return now }
	ask := func(want string) {
		t.Helper()
		if got, err := resolve(t, r, "sip:x.example.com:5060"); got != want {
			t.Fatalf("%s, %v, wanted %s", got, err, want)
		}
	}
	ask("udp:192.0.2.1:5060")
	asked := len(z.Questions())
	z.Set("x A 192.0.2.2")
	ask("udp:192.0.2.1:5060")
	if all := z.Questions(); len(all) != asked {
		t.Error("DNS was asked again while its answer lives:", all)
	}
	now = now.Add(61 * time.Second)
	ask("udp:192.0.2.2:5060")

	now = now.Add(61 * time.Second)
	z.Refuse(dns.RcodeServerFailure, dns.TypeA, dns.TypeAAAA)
	ask("udp:192.0.2.2:5060") // what was known serves while DNS does not
	now = now.Add(staleFor + time.Minute)
	if _, err := resolve(t, r, "sip:x.example.com:5060"); err == nil || errors.Is(err, ErrNowhere) {
		t.Error("without DNS there may be one, but nobody knows:", err)
	}
	z.Refuse(0)
	ask("udp:192.0.2.2:5060") // an error is not kept
}

// A server that knows nothing of NAPTR and SRV, as in many routers, is no
// hindrance.
func TestT04ServersThatRefuseSRV(t *testing.T) {
	z := dnstest.New(t, "x A 192.0.2.1")
	z.Refuse(dns.RcodeNotImplemented, dns.TypeNAPTR, dns.TypeSRV)
	if got, err := resolve(t, resolver(z), "sip:x.example.com"); got != "udp:192.0.2.1:5060" {
		t.Error(got, err)
	}
}

func TestT04LongAnswersComeByTCP(t *testing.T) {
	var text strings.Builder
	for i := range 200 {
		fmt.Fprintf(&text, "_sip._tcp.big SRV %d 0 5060 host-with-a-long-name-%d\nhost-with-a-long-name-%d A 192.0.2.%d\n", i, i, i, i+1)
	}
	got, err := resolve(t, resolver(dnstest.New(t, text.String())), "sip:big.example.com")
	if n := len(strings.Fields(got)); n != maxTargets || !strings.HasPrefix(got, "tcp:192.0.2.1:5060 tcp:192.0.2.2:5060 ") {
		t.Error(n, got, err)
	}
}

// Those who ask at once share one answer.
func TestT04OneQuestionAtATime(t *testing.T) {
	z := dnstest.New(t, "x A 192.0.2.1")
	r := resolver(z)
	var all sync.WaitGroup
	for range 50 {
		all.Go(func() {
			if got, err := resolve(t, r, "sip:x.example.com:5060"); got == "" {
				t.Error(err)
			}
		})
	}
	all.Wait()
	asked := z.Questions()
	slices.Sort(asked)
	if n := len(asked); len(slices.Compact(asked)) != n {
		t.Error(n, "questions, some of them twice")
	}
}

func TestT04TheSystemsNames(t *testing.T) {
	got, err := resolve(t, New(), "sip:localhost:5060")
	if !strings.Contains(got, "udp:127.0.0.1:5060") && !strings.Contains(got, "udp:[::1]:5060") {
		t.Error(got, err)
	}
}
