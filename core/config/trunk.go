package config

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"time"
)

// Trunk is one [[sip.trunk]]: a PBX, a carrier or a proxy.
type Trunk struct {
	Name         string
	Peers        []netip.Prefix // addresses it sends from
	Certificates []string       // names in the TLS certificate that it shows
	Account      string         // user of the account by which it proves itself
	Domains      []string       // addresses of these are sent to it
	Servers      []string       // SIP URIs of the next hop, best first
	Route        []string       // SIP URIs of the proxies on the way
	User, Realm  string
	Password     Secret
	Digest       []string // algorithms by which we prove ourselves
	Assert       bool     // tell it who sends
	Qualify      time.Duration
	Pace         Pace
	TLS          ClientTLS
	In, Out      []NumberPattern
}

// ClientTLS is what is shown and asked for where we connect by TLS: files,
// relative to the file's folder, and what was read from them.
type ClientTLS struct {
	Certificate, Key, CA string

	Pair tls.Certificate
	CAs  *x509.CertPool // nil: those of the system
}

// NumberPattern rewrites the user part of addresses that match as a whole.
type NumberPattern struct {
	Match *regexp.Regexp
	Put   string // $1 and so on stand for the groups of Match
}

// Registration is one [[sip.registration]]: an address under which we register
// at a trunk.
type Registration struct {
	Trunk    string
	AOR      string // a SIP URI in a domain of the trunk
	To       string // the SIP address here that its messages are for
	User     string // of the credentials; the trunk's if empty
	Password Secret
	Expires  time.Duration
}

// Alias is one line of [sip.aliases]: a number that stands for an address.
type Alias struct{ Number, Address string }

func (r *reader) trunk(t *table) {
	x := Trunk{Qualify: 30 * time.Second}
	t.text("name", &x.Name)
	r.prefixes(t, "peers", &x.Peers)
	t.texts("certificates", &x.Certificates)
	t.text("account", &x.Account)
	t.texts("domains", &x.Domains)
	t.texts("servers", &x.Servers)
	t.texts("route", &x.Route)
	t.text("user", &x.User)
	t.text("realm", &x.Realm)
	t.secret("password", &x.Password)
	t.texts("digest", &x.Digest)
	t.yes("assert", &x.Assert)
	orNone(t, "qualify", &x.Qualify, t.duration)
	t.pace(&x.Pace)
	files := t.table("tls")
	files.text("certificate", &x.TLS.Certificate)
	files.text("key", &x.TLS.Key)
	files.text("ca", &x.TLS.CA)
	files.done()
	numbers := t.table("numbers")
	x.In, x.Out = numbers.patterns("in"), numbers.patterns("out")
	numbers.done()
	t.done()
	for _, f := range []*string{&x.TLS.Certificate, &x.TLS.Key, &x.TLS.CA} {
		*f = r.file(*f)
	}
	r.c.SIP.Trunks = append(r.c.SIP.Trunks, x)
}

func (t *table) pace(p *Pace) {
	sub := t.table("pace")
	sub.number("outstanding", &p.Outstanding)
	sub.duration("every", &p.Every)
	sub.done()
}

func (t *table) patterns(key string) (list []NumberPattern) {
	for _, x := range t.tables(key) {
		var match string
		var p NumberPattern
		x.text("match", &match)
		x.text("put", &p.Put)
		x.done()
		var err error
		if p.Match, err = regexp.Compile(`^(?:` + match + `)$`); err != nil || match == "" {
			t.r.problem(x.at("match"), "%q is no regular expression; give one for the whole number, such as '0([1-9]\\d+)'", match)
			continue
		}
		list = append(list, p)
	}
	return list
}

func (r *reader) registration(t *table) {
	x := Registration{Expires: 10 * time.Minute}
	t.text("trunk", &x.Trunk)
	t.text("aor", &x.AOR)
	t.text("to", &x.To)
	t.text("user", &x.User)
	t.secret("password", &x.Password)
	t.duration("expires", &x.Expires)
	t.done()
	r.c.SIP.Registrations = append(r.c.SIP.Registrations, x)
}

func (r *reader) aliases(t *table) {
	for _, number := range slices.Sorted(maps.Keys(t.values)) {
		a := Alias{Number: number}
		t.text(number, &a.Address)
		r.c.SIP.Aliases = append(r.c.SIP.Aliases, a)
	}
}

// peer reads an address, or a network with a mask.
func peer(text string) (netip.Prefix, error) {
	if a, err := netip.ParseAddr(text); err == nil && a.Zone() == "" {
		a = a.Unmap()
		return netip.PrefixFrom(a, a.BitLen()), nil
	}
	p, err := netip.ParsePrefix(text)
	return p.Masked(), err
}

var (
	serverURI = regexp.MustCompile(`(?i)^sips?:([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?(;lr|;transport=(udp|tcp|tls))*$`)
	sipURI    = regexp.MustCompile(`(?i)^sips?:[^@\s]+@[^@\s;]+$`)
)

func (r *reader) checkTrunks() {
	names, domains := map[string]int{}, map[string]int{}
	for i := range r.c.SIP.Trunks {
		t, path := &r.c.SIP.Trunks[i], fmt.Sprintf("sip.trunk[%d]", i)
		if !instanceName.MatchString(t.Name) && !r.said(path+".name") {
			r.problem(path+".name", "%q; use lower-case letters, digits and -", t.Name)
		}
		r.unique(names, t.Name, i, path+".name", "trunk")
		for _, d := range t.Domains {
			r.unique(domains, strings.ToLower(d), i, path+".domains", "a domain of trunk")
		}
		r.checkTrunkSender(path, *t)
		r.checkTrunkServers(path, *t)
		r.checkTrunkLogin(path, *t)
		r.readClientTLS(path+".tls", &t.TLS)
	}
}

// checkTrunkSender looks at how a trunk is known.
func (r *reader) checkTrunkSender(path string, t Trunk) {
	if len(t.Peers) == 0 && len(t.Certificates) == 0 && t.Account == "" && len(t.Domains) == 0 && !r.said(path+".peers") {
		r.problem(path+".peers", "empty; give the addresses that it sends from (what they say about a sender is believed), or the domains whose messages go to it")
	}
	for _, p := range t.Peers {
		if p.Bits() == 0 {
			r.problem(path+".peers", "%s is everybody; what a trunk says about a sender is believed", p)
		}
	}
	if len(t.Certificates) > 0 && r.c.SIP.TLS.ClientCA == "" {
		r.problem(path+".certificates", "nobody is asked for one; give client_ca in [sip.tls]")
	}
	if t.Account != "" && !slices.ContainsFunc(r.c.SIP.Accounts, func(a Account) bool { return a.User == t.Account }) {
		r.problem(path+".account", "there is no account %q; give the user of a [[sip.account]]", t.Account)
	}
}

// checkTrunkServers looks at where a trunk's messages go.
func (r *reader) checkTrunkServers(path string, t Trunk) {
	for _, d := range t.Domains {
		host := strings.ToLower(strings.Trim(d, "[]"))
		if !domainName.MatchString(d) && net.ParseIP(host) == nil {
			r.problem(path+".domains", "%q is no domain; give a host name or an IP address", d)
		}
		if slices.ContainsFunc(r.c.SIP.Domains, func(o string) bool { return strings.EqualFold(o, d) }) {
			r.problem(path+".domains", "%s is in sip.domains: its addresses are here", d)
		}
	}
	if len(t.Domains) == 0 && len(t.Servers)+len(t.Route) > 0 {
		r.problem(path+".domains", "missing; give the domains whose addresses are reached by these servers")
	}
	for key, list := range map[string][]string{".servers": t.Servers, ".route": t.Route} {
		for _, s := range list {
			if !serverURI.MatchString(s) {
				r.problem(path+key, "%q is no server; give a SIP URI such as \"sip:pbx.example.com\" or \"sip:192.0.2.1:5070;transport=tcp\"", s)
			}
		}
	}
}

// checkTrunkLogin looks at the credentials that a trunk may ask for.
func (r *reader) checkTrunkLogin(path string, t Trunk) {
	given := t.Password.Reveal() != ""
	if given && (t.User == "" || t.Realm == "") {
		r.problem(path+".password", "needs user and realm beside it; only that realm's challenges are answered, and the challenge of the server names it")
	}
	if !given && t.User != "" {
		r.problem(path+".user", "needs a password beside it")
	}
	for _, d := range t.Digest {
		if !slices.Contains([]string{"MD5", "SHA-256", "SHA-512-256"}, d) {
			r.problem(path+".digest", "%q is unknown; give some of \"SHA-512-256\", \"SHA-256\" and \"MD5\"", d)
		}
	}
	if t.Pace.Outstanding < 0 {
		r.problem(path+".pace.outstanding", "%d requests at once can't be; give 1 or more, or leave it out", t.Pace.Outstanding)
	}
}

func (r *reader) readClientTLS(path string, t *ClientTLS) {
	if (t.Certificate == "") != (t.Key == "") {
		r.problem(path, "certificate and key need each other")
		return
	}
	t.Pair = r.readPair(path, t.Certificate, t.Key, "servers")
	if t.CA == "" {
		return
	}
	if pem, ok := r.readable(path+".ca", t.CA); ok {
		if t.CAs = x509.NewCertPool(); !t.CAs.AppendCertsFromPEM(pem) {
			r.problem(path+".ca", "has no certificate; give a PEM file with those that sign the servers' ones")
		}
	}
}

func (r *reader) checkRegistrations() {
	aors := map[string]int{}
	for i, x := range r.c.SIP.Registrations {
		path := fmt.Sprintf("sip.registration[%d]", i)
		at := slices.IndexFunc(r.c.SIP.Trunks, func(t Trunk) bool { return t.Name == x.Trunk })
		if at < 0 {
			r.problem(path+".trunk", "there is no trunk %q; give the name of a [[sip.trunk]]", x.Trunk)
			continue
		}
		_, host, _ := strings.Cut(x.AOR, "@")
		if t := r.c.SIP.Trunks[at]; !sipURI.MatchString(x.AOR) || !slices.ContainsFunc(t.Domains, func(d string) bool { return strings.EqualFold(d, host) }) {
			r.problem(path+".aor", "%q; give a SIP address in one of the domains of the trunk %q", x.AOR, t.Name)
		} else if t.Password.Reveal() == "" && x.Password.Reveal() != "" && t.Realm == "" {
			r.problem(path+".password", "the trunk %q has no realm; give it there", t.Name)
		}
		r.unique(aors, strings.ToLower(x.AOR), i, path+".aor", "registered address")
		if !sipURI.MatchString(x.To) {
			r.problem(path+".to", "%q; give the SIP address here that its messages are for", x.To)
		}
		if x.Expires < time.Minute {
			r.problem(path+".expires", "%s; give a minute or more", x.Expires)
		}
	}
}

func (r *reader) checkDNS() {
	for _, text := range r.c.SIP.DNS {
		if _, port, bad := split(text); bad || port == "0" {
			r.problem("sip.dns", "%q is no server; give host:port, such as \"192.0.2.53:53\"", text)
		}
	}
}

func (r *reader) checkAliases() {
	for _, a := range r.c.SIP.Aliases {
		path := "sip.aliases." + a.Number
		if !regexp.MustCompile(`^\+?[0-9*#]{1,32}$`).MatchString(a.Number) {
			r.problem(path, "%q is no number; give digits, in quotes", a.Number)
		}
		if !sipURI.MatchString(a.Address) {
			r.problem(path, "%q is no SIP address; give one such as \"sip:support@example.com\"", a.Address)
		}
	}
}
