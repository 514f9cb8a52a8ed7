package sipedge

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"parley.im/bus/event"
)

// TrunkStatus is what is known of a trunk's servers.
type TrunkStatus struct {
	Name    string         `json:"name"`
	Domains []string       `json:"domains"`
	Servers []ServerStatus `json:"servers"`          // that were used or asked so far
	Trouble string         `json:"trouble,omitzero"` // why no server was found, if they were looked for in vain
	Waiting int            `json:"waiting"`          // addresses whose messages wait for it
}

// ServerStatus is what is known of one server.
type ServerStatus struct {
	Address string        `json:"address"` // such as "tcp:192.0.2.10:5060"
	Up      bool          `json:"up"`
	Since   time.Time     `json:"since"`           // it is up or down
	RTT     time.Duration `json:"rtt_ns,omitzero"` // of the last OPTIONS; 0 if it was not asked
	Why     string        `json:"why,omitzero"`    // it is down
	Until   time.Time     `json:"until,omitzero"`  // it asked to be left alone; zero if it did not
}

// Trunks returns the state of all trunks to which messages are sent, in their
// order. It may be called at any time.
func (e *Edge) Trunks() []TrunkStatus {
	all := []TrunkStatus{}
	for _, t := range *e.trunks.Load() {
		if len(t.Domains) > 0 {
			all = append(all, t.status())
		}
	}
	return all
}

func (t *trunk) status() TrunkStatus {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := TrunkStatus{Name: t.Name, Domains: t.Domains, Trouble: t.lost, Waiting: len(t.waiting)}
	for _, x := range t.state {
		one := ServerStatus{Address: x.target.String(), Up: x.up, Since: x.since, RTT: x.rtt, Why: x.why}
		if x.closed {
			one.Until = x.until
		}
		s.Servers = append(s.Servers, one)
	}
	slices.SortFunc(s.Servers, func(a, b ServerStatus) int { return cmp.Compare(a.Address, b.Address) })
	return s
}

// PhoneStatus is what is known of one binding of an account.
type PhoneStatus struct {
	AOR       event.Address `json:"aor"`
	Contact   string        `json:"contact"`
	Network   string        `json:"network"` // as of a Listener
	Source    string        `json:"source"`  // where it is reached
	Routes    []string      `json:"routes,omitzero"`
	Expires   time.Time     `json:"expires"`
	Reachable bool          `json:"reachable"` // it is tried: neither its connection is gone nor did it fail to answer
	Push      bool          `json:"push"`      // it could be woken (RFC 8599)
}

// Phones returns the bindings of all accounts, by AOR. It may be called at any
// time.
func (e *Edge) Phones() []PhoneStatus {
	all := []PhoneStatus{}
	now := time.Now()
	for _, p := range e.phones.everybody() {
		p.mu.Lock()
		for _, b := range p.all {
			if b.Expires.After(now) {
				all = append(all, PhoneStatus{
					AOR: p.aor, Contact: b.Contact, Network: b.Path.Network, Source: b.Path.Source, Routes: b.Routes,
					Expires: b.Expires, Reachable: b.Path.alive() && !b.suspended, Push: hasPush(b.Contact),
				})
			}
		}
		p.mu.Unlock()
	}
	slices.SortStableFunc(all, func(a, b PhoneStatus) int { return cmp.Compare(a.AOR, b.AOR) })
	return all
}

// hasPush tells whether a Contact has the parameters of a push service.
func hasPush(contact string) bool {
	c := strings.ToLower(contact)
	return strings.Contains(c, ";pn-provider=") && strings.Contains(c, ";pn-prid=")
}

// RegistrationStatus is what is known of one Registration.
type RegistrationStatus struct {
	AOR        event.Address `json:"aor"`
	To         event.Address `json:"to"`
	Trunk      string        `json:"trunk"`
	Registered bool          `json:"registered"`
	Until      time.Time     `json:"until,omitzero"`  // it holds; zero if it never did
	Server     string        `json:"server,omitzero"` // where it was registered last
	Why        string        `json:"why,omitzero"`    // it failed last
}

// Registrations returns the state of all registrations at trunks, in their
// order. It may be called at any time.
func (e *Edge) Registrations() (all []RegistrationStatus) {
	all = []RegistrationStatus{}
	for _, w := range *e.registrations.Load() {
		w.mu.Lock()
		all = append(all, RegistrationStatus{
			AOR: w.aor, To: w.to, Trunk: w.Trunk, Registered: time.Now().Before(w.granted), Until: w.granted, Server: w.server, Why: w.why,
		})
		w.mu.Unlock()
	}
	return all
}
