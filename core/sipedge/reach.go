package sipedge

import (
	"context"
	"net"
	"net/netip"
	"slices"

	"github.com/emiago/sipgo/sip"

	"parley.im/bus/event"
	"parley.im/core/sipedge/resolve"
)

// reach returns the path to a server: a listening socket for UDP, else a
// connection. One of no trunk is shown nothing, and what it sends is a stranger's.
func (e *Edge) reach(ctx context.Context, x resolve.Target, t *trunk) (path, error) {
	if x.Network == "udp" {
		return path{Network: "udp", Source: x.Addr.String(), Local: e.socketFor(x.Addr.Addr())}, nil
	}
	if t == nil {
		return e.dialled.connect(ctx, x, "", nil, ClientTLS{})
	}
	return e.dialled.connect(ctx, x, t.Name, t.Domains, t.TLS)
}

// socketFor returns the local address of the UDP socket from which an address
// can be reached, or nothing.
func (e *Edge) socketFor(to netip.Addr) string {
	e.mu.Lock()
	defer e.mu.Unlock()
	best, found := 0, ""
	for _, c := range e.udp {
		at, err := netip.ParseAddrPort(c.LocalAddr().String())
		if err != nil {
			continue
		}
		from, fits := at.Addr().Unmap(), 0
		switch {
		case from == netip.IPv6Unspecified(): // takes both
			fits = 2
		case from.Is4() != to.Is4():
		case from.IsUnspecified():
			fits = 3
		case from.IsLoopback() == to.IsLoopback():
			fits = 4
		default:
			fits = 1
		}
		if fits > best {
			best, found = fits, c.LocalAddr().String()
		}
	}
	return found
}

// SetSafePaths replaces the networks behind whose servers and proxies all of
// the way is known to take large requests (RFC 3428, section 8).
func (e *Edge) SetSafePaths(list []netip.Prefix) {
	list = slices.Clone(list)
	e.safe.Store(&list)
}

// large tells whether requests of any size may go by an address.
func (e *Edge) large(to netip.Addr) bool {
	return slices.ContainsFunc(*e.safe.Load(), func(p netip.Prefix) bool { return p.Contains(to.Unmap()) })
}

// identifyTo tells a trunk that is trusted with it who sends, and anyone that
// it is to be kept from others (RFC 3325, sections 5 and 9.3).
func (e *Edge) identifyTo(req *sip.Request, t *trunk, d event.Delivery) {
	if d.From == event.Anonymous {
		req.AppendHeader(sip.NewHeader("Privacy", "id"))
		return
	}
	if t == nil || !t.Assert {
		return
	}
	value := "<" + req.From().Address.String() + ">"
	if name := quoted(d.FromName); name != "" {
		value = `"` + name + `" ` + value
	}
	req.AppendHeader(sip.NewHeader("P-Asserted-Identity", value))
}

// hostOf is the address of a path's far end.
func hostOf(p path) netip.Addr {
	host, _, err := net.SplitHostPort(p.Source)
	if err != nil {
		return netip.Addr{}
	}
	return addressOf(net.JoinHostPort(host, "0"))
}
