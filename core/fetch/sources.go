package fetch

import (
	"net/netip"
	"net/url"
	"strings"

	"code.dny.dev/ssrf"
)

// sources are the hosts that may be asked, and the networks whose addresses may
// be private.
type sources struct {
	hosts    []host
	networks []netip.Prefix
}

// A host is a name, "*.name" for all below it, or "*"; without a port those of
// HTTP and HTTPS are meant.
type host struct{ name, port string }

// parseSources reads a list. What is wrong in it allows nothing: the
// configuration was checked.
func parseSources(list []string) (s sources) {
	for _, entry := range list {
		if n, err := netip.ParsePrefix(entry); err == nil {
			s.networks = append(s.networks, n.Masked())
			continue
		}
		if u, err := url.Parse("//" + entry); err == nil {
			s.hosts = append(s.hosts, host{plainName(u.Hostname()), u.Port()})
		}
	}
	return s
}

func plainName(s string) string { return strings.TrimSuffix(strings.ToLower(s), ".") }

// allows tells whether a URL may be asked for.
func (s sources) allows(u *url.URL) error {
	port := u.Port()
	switch {
	case u.User != nil || u.Opaque != "":
		return ErrSource
	case u.Scheme == "https" && port == "":
		port = "443"
	case u.Scheme == "http" && port == "":
		port = "80"
	case u.Scheme != "https" && u.Scheme != "http":
		return ErrSource
	}
	for _, h := range s.hosts {
		if h.names(plainName(u.Hostname())) && (h.port == port || h.port == "" && (port == "443" || port == "80")) {
			return nil
		}
	}
	return ErrSource
}

func (h host) names(name string) bool {
	below, wild := strings.CutPrefix(h.name, "*")
	return name != "" && (h.name == name || wild && strings.HasSuffix(name, below))
}

// guard refuses connections to addresses that are not public, as the IANA
// registries of special addresses have them, and whose network is not listed.
func (s sources) guard() *ssrf.Guardian {
	var v4, v6 []netip.Prefix
	for _, n := range s.networks {
		if n.Addr().Is4() {
			v4 = append(v4, n)
		} else {
			v6 = append(v6, n)
		}
	}
	return ssrf.New(ssrf.WithAnyPort(), ssrf.WithAllowedV4Prefixes(v4...), ssrf.WithAllowedV6Prefixes(v6...))
}
