package httpd

import (
	"crypto/sha256"
	"crypto/subtle"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// guard decides who may come in.
type guard struct {
	local    bool     // the listener is loopback
	password [32]byte // SHA-256
	set      bool
	throttle *throttle
}

// verdict is a refusal; the zero verdict lets the request in.
type verdict struct {
	code int
	text string
	wait time.Duration // until another try is worth it
}

func newGuard(password string) *guard {
	return &guard{
		password: sha256.Sum256([]byte(password)), set: password != "",
		throttle: newThrottle(time.Now),
	}
}

func (g *guard) hasPassword() bool { return g.set }

func (g *guard) check(r *http.Request) verdict {
	if g.set {
		return g.checkPassword(r)
	}
	return g.checkLoopback(r)
}

// checkLoopback is the rule without a password. A browser that a hostile site
// has sent here through a name of its own still carries that name in Host.
func (g *guard) checkLoopback(r *http.Request) verdict {
	switch {
	case !g.local:
		return verdict{code: http.StatusForbidden, text: "No password is set, so the HTTP door only works on this machine: set http.password in bridge.toml, or let http.listen be a loopback address such as 127.0.0.1:8025."}
	case !isLoopback(r.RemoteAddr):
		return verdict{code: http.StatusForbidden, text: "No password is set, so only this machine may come in: set http.password in bridge.toml."}
	case !isLoopbackName(r.Host):
		return verdict{code: http.StatusForbidden, text: "No password is set, so the door must be called localhost or by a loopback address: open http://127.0.0.1 with its port, or set http.password in bridge.toml."}
	}
	return verdict{}
}

// checkPassword compares in constant time and counts wrong tries per peer. A
// request without credentials is asked for them and costs no try.
func (g *guard) checkPassword(r *http.Request) verdict {
	_, given, ok := r.BasicAuth()
	if !ok {
		return verdict{code: http.StatusUnauthorized, text: "The password of the bridge is needed; any user name will do."}
	}
	peer := peerOf(r.RemoteAddr)
	sum := sha256.Sum256([]byte(given))
	wait, right := g.throttle.try(peer, func() bool {
		return subtle.ConstantTimeCompare(sum[:], g.password[:]) == 1
	})
	switch {
	case wait > 0:
		return verdict{code: http.StatusTooManyRequests, text: "Too many wrong passwords; wait and try again.", wait: wait}
	case !right:
		return verdict{code: http.StatusUnauthorized, text: "That is not the password of the bridge."}
	}
	return verdict{}
}

func (v verdict) answer(w http.ResponseWriter) {
	switch v.code {
	case http.StatusUnauthorized:
		w.Header().Set("WWW-Authenticate", `Basic realm="Parley", charset="UTF-8"`)
	case http.StatusTooManyRequests:
		w.Header().Set("Retry-After", strconv.Itoa(int(v.wait/time.Second)+1))
	}
	refuse(w, v.code, v.text)
}

// isLoopback tells whether an ip:port is of this machine.
func isLoopback(address string) bool {
	a, err := netip.ParseAddrPort(address)
	return err == nil && a.Addr().Unmap().IsLoopback()
}

// isLoopbackName tells whether a Host header names this machine: localhost or
// a loopback address, with or without a port.
func isLoopbackName(host string) bool {
	name := host
	if h, _, err := net.SplitHostPort(host); err == nil {
		name = h
	} else if strings.HasPrefix(host, "[") && strings.HasSuffix(host, "]") {
		name = host[1 : len(host)-1]
	}
	if strings.EqualFold(name, "localhost") {
		return true
	}
	a, err := netip.ParseAddr(name)
	return err == nil && a.Zone() == "" && a.Unmap().IsLoopback()
}

// peerOf returns what wrong tries are counted by: the address, or for IPv6 the
// /64 that one user commands.
func peerOf(address string) netip.Prefix {
	a, err := netip.ParseAddrPort(address)
	if err != nil {
		return netip.Prefix{}
	}
	ip := a.Addr().Unmap()
	bits := ip.BitLen()
	if ip.Is6() {
		bits = 64
	}
	p, _ := ip.WithZone("").Prefix(bits)
	return p
}
