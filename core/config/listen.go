package config

import (
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// sipNetworks are those of sip.listen.
var sipNetworks = []string{"udp", "tcp", "tls", "ws", "wss"}

// A listener is an address that something in the configuration listens on.
type listener struct {
	path, text string
	network    string
	host, port string
}

// checkListeners looks at each address, and for two of the same port.
func (r *reader) checkListeners() {
	var taken []listener
	for _, l := range r.listeners() {
		for _, other := range taken {
			if l.clashes(other) {
				r.problem(l.path, "%s and %s of %s can't be open at once; change one port", l.text, other.text, other.path)
			}
		}
		taken = append(taken, l)
	}
	h := r.c.HTTP
	if _, _, err := split(h.Listen); err || loopback(h.Listen) || r.said("http.password") {
		return
	}
	if h.Password.Reveal() == "" {
		r.problem("http.listen", "%s can be reached by others, and there is no password; set http.password, or listen on 127.0.0.1", h.Listen)
	}
}

// listeners returns those that are well-formed and reports the others.
func (r *reader) listeners() (list []listener) {
	for _, text := range r.c.SIP.Listen {
		network, address, _ := strings.Cut(text, ":")
		host, port, bad := split(address)
		if bad || !slices.Contains(sipNetworks, network) {
			r.problem("sip.listen", "%q: give network:host:port, such as \"udp:127.0.0.1:5060\"; networks are %s", text, strings.Join(sipNetworks, ", "))
			continue
		}
		if network != "udp" {
			network = "tcp" // what is spoken on it does not matter to the port
		}
		list = append(list, listener{"sip.listen", text, network, host, port})
	}
	if text := r.c.Bus.Listen; text != "" {
		if host, port, bad := split(text); bad {
			r.problem("bus.listen", "%q is no host:port, such as \"127.0.0.1:4222\"", text)
		} else {
			list = append(list, listener{"bus.listen", text, "tcp", host, port})
		}
	}
	host, port, bad := split(r.c.HTTP.Listen)
	if bad {
		r.problem("http.listen", "%q is no host:port, such as \"127.0.0.1:8025\"", r.c.HTTP.Listen)
		return list
	}
	return append(list, listener{"http.listen", r.c.HTTP.Listen, "tcp", host, port})
}

// clashes tells whether two can't be open at once.
func (l listener) clashes(other listener) bool {
	if l.network != other.network || l.port != other.port || l.port == "0" {
		return false
	}
	return l.host == other.host || everywhere(l.host) || everywhere(other.host)
}

func everywhere(host string) bool {
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.IsUnspecified()
}

func split(address string) (host, port string, bad bool) {
	host, port, err := net.SplitHostPort(address)
	n, numeric := strconv.ParseUint(port, 10, 16)
	if err != nil || numeric != nil || host == "" {
		return "", "", true
	}
	if host == "localhost" {
		host = "127.0.0.1"
	}
	return host, strconv.FormatUint(n, 10), false
}

func loopback(address string) bool {
	host, _, bad := split(address)
	ip, err := netip.ParseAddr(host)
	return !bad && err == nil && ip.IsLoopback()
}

// openListener returns an address of SIP that others can reach, or "".
func (r *reader) openListener() string {
	for _, text := range r.c.SIP.Listen {
		if _, address, _ := strings.Cut(text, ":"); !loopback(address) {
			return text
		}
	}
	return ""
}
