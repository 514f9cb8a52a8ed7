package config

import (
	"fmt"
	"net/netip"
)

func (r *reader) trunk(t *table) {
	var trunk Trunk
	t.text("name", &trunk.Name)
	r.prefixes(t, "peers", &trunk.Peers)
	t.done()
	r.c.SIP.Trunks = append(r.c.SIP.Trunks, trunk)
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

func (r *reader) checkTrunks() {
	names := map[string]int{}
	for i, t := range r.c.SIP.Trunks {
		path := fmt.Sprintf("sip.trunk[%d]", i)
		if !instanceName.MatchString(t.Name) && !r.said(path+".name") {
			r.problem(path+".name", "%q; use lower-case letters, digits and -", t.Name)
		}
		r.unique(names, t.Name, i, path+".name", "trunk")
		if len(t.Peers) == 0 && !r.said(path+".peers") {
			r.problem(path+".peers", "empty; give the addresses that it sends from: what they say about a sender is believed")
		}
		for _, p := range t.Peers {
			if p.Bits() == 0 {
				r.problem(path+".peers", "%s is everybody; what a trunk says about a sender is believed", p)
			}
		}
	}
}
