package sipedge

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"parley.im/bus/event"
)

// maxURI is the longest URI in bytes that is looked at. Those of phones that are
// woken by push are long (RFC 8599).
const maxURI = 1024

// maxAOR is the longest address in bytes that somebody can have.
const maxAOR = 512

var errScheme = errors.New("only sip:, sips: and im: URIs are known here")

// AOR returns the canonical address of a SIP URI, "sip:alice@example.com":
// sips and im become sip (RFC 3428, section 5), a domain alias the first domain, the host lower case;
// port, password, parameters and headers are left out. The user part keeps its
// case; what is percent-encoded without need is decoded, so that URIs that are
// equal by RFC 3261, section 19.1.4, give one address. A URI in a domain that
// is not ours is canonical in its own domain.
func (e *Edge) AOR(uri string) (event.Address, error) { return e.domains.aor(uri) }

// domains is the set of names of our one domain.
type domains struct {
	first string
	all   map[string]bool
}

func newDomains(names []string) (domains, error) {
	d := domains{all: map[string]bool{}}
	for _, n := range names {
		h, err := canonicalHost(n)
		if err != nil {
			return d, fmt.Errorf("domain %q: %w", n, err)
		}
		if d.first == "" {
			d.first = h
		}
		d.all[h] = true
	}
	if d.first == "" {
		return d, errors.New("no domain")
	}
	return d, nil
}

func (d domains) aor(uri string) (event.Address, error) {
	user, host, err := d.parts(uri)
	if err != nil {
		return "", err
	}
	if user == "" {
		return "", fmt.Errorf("SIP URI %.64q has no user", uri)
	}
	a := event.Address("sip:" + user + "@" + host)
	if len(a) > maxAOR {
		return "", fmt.Errorf("an address of %d bytes", len(a))
	}
	return a, a.Check()
}

// parts returns the canonical user, which may be empty, and host of a URI.
func (d domains) parts(uri string) (user, host string, err error) {
	if len(uri) > maxURI {
		return "", "", fmt.Errorf("SIP URI of %d bytes", len(uri))
	}
	scheme, rest, _ := strings.Cut(uri, ":")
	if s := strings.ToLower(scheme); s != "sip" && s != "sips" && s != "im" {
		return "", "", errScheme
	}
	if i := strings.LastIndexByte(rest, '@'); i >= 0 {
		raw, _, _ := strings.Cut(rest[:i], ":") // what follows is a password
		if user, err = canonicalUser(raw); err != nil {
			return "", "", err
		}
		rest = rest[i+1:]
	}
	if i := strings.IndexAny(rest, ";?"); i >= 0 {
		rest = rest[:i]
	}
	if host, err = canonicalHost(rest); err != nil {
		return "", "", err
	}
	if d.all[host] {
		host = d.first
	}
	return user, host, nil
}

// ours tells whether an address is in our domain.
func (d domains) ours(a event.Address) bool {
	_, host, _ := strings.Cut(a.Rest(), "@")
	return host == d.first
}

// canonicalUser decodes what need not be encoded and encodes what must be. A
// control character is refused in any form: it has no place in a name.
func canonicalUser(raw string) (string, error) {
	var b strings.Builder
	for i := 0; i < len(raw); i++ {
		c, encoded := raw[i], false
		if c == '%' {
			if i+2 >= len(raw) {
				return "", errors.New("SIP URI ends within a percent-encoding")
			}
			n, err := strconv.ParseUint(raw[i+1:i+3], 16, 8)
			if err != nil {
				return "", fmt.Errorf("SIP URI has the percent-encoding %q", raw[i:i+3])
			}
			c, encoded, i = byte(n), true, i+2
		}
		switch {
		case c < ' ' || c == 0x7f || c == ' ' && !encoded:
			return "", errors.New("SIP URI has a control character or space in its user")
		case unreserved(c) || !encoded && strings.IndexByte("&=+$,;?/", c) >= 0:
			b.WriteByte(c)
		default:
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String(), nil
}

// unreserved follows RFC 3261, section 25.1.
func unreserved(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' ||
		strings.IndexByte("-_.!~*'()", c) >= 0
}

// canonicalHost returns a host name or IP address in lower case, without port.
func canonicalHost(s string) (string, error) {
	if strings.HasPrefix(s, "[") {
		inner, port, ok := strings.Cut(s[1:], "]")
		ip, err := netip.ParseAddr(strings.Replace(inner, ":::", "::", 1)) // RFC 5118, section 4.10
		if !ok || err != nil || !ip.Is6() || ip.Zone() != "" || port != "" && !isPort(strings.TrimPrefix(port, ":")) {
			return "", errors.New("not an IPv6 address in brackets")
		}
		return "[" + ip.String() + "]", nil
	}
	host, port, found := strings.Cut(s, ":")
	if found && !isPort(port) {
		return "", errors.New("not a port")
	}
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	if host == "" || len(host) > 255 {
		return "", errors.New("no host")
	}
	if strings.Contains("."+host+".", "..") {
		return "", errors.New("a host name with an empty label")
	}
	for _, c := range []byte(host) {
		if !(c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '-' || c == '.' || c == '_') {
			return "", errors.New("not a host name")
		}
	}
	return host, nil
}

func isPort(s string) bool {
	n, err := strconv.ParseUint(s, 10, 16)
	return err == nil && n > 0
}
