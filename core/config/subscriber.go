package config

import (
	"crypto/tls"
	"fmt"
	"strings"

	"parley.im/bus"
)

// checkSubscribers looks at who may read the bus, and over what.
func (r *reader) checkSubscribers() {
	b := r.c.Bus
	switch {
	case b.URL != "" && b.Listen != "":
		r.problem("bus.listen", "is for the embedded server; subscribers connect to the servers of bus.url: take it away, and give them the users that \"parley bus permissions\" prints")
	case b.URL == "" && b.Listen == "" && len(b.Subscribers) > 0:
		r.problem("bus.subscriber[0]", "can't connect; set bus.listen, such as \"127.0.0.1:4222\"")
	}
	r.checkTLS()
	names, keys := map[string]int{}, map[string]int{}
	for i, s := range b.Subscribers {
		path := fmt.Sprintf("bus.subscriber[%d]", i)
		r.checkSubscriber(path, s)
		r.unique(names, s.Name, i, path+".name", "subscriber")
		if other, ok := keys[s.NKey]; ok && s.NKey != "" {
			r.problem(path+".nkey", "is that of subscriber %d already; each needs its own", other+1)
		}
		keys[s.NKey] = i
	}
}

func (r *reader) checkSubscriber(path string, s Subscriber) {
	if err := bus.CheckSubscriberName(s.Name); err != nil && !r.said(path+".name") {
		r.problem(path+".name", "%v", err)
	}
	if err := bus.CheckSubscriberKey(s.NKey); err != nil && !r.said(path+".nkey") {
		r.problem(path+".nkey", "%v", err)
	}
	for _, subject := range s.Subjects {
		if err := bus.CheckPublicSubject(subject); err != nil {
			r.problem(path+".subjects", "%v", err)
		}
	}
}

// checkTLS wants a certificate where others could listen in.
func (r *reader) checkTLS() {
	b := r.c.Bus
	_, _, bad := split(b.Listen)
	switch {
	case b.TLS == TLS{}:
		if b.Listen != "" && !bad && !loopback(b.Listen) {
			r.problem("bus.listen", "%s can be reached by others, and bus.tls is empty; give cert and key there, or listen on 127.0.0.1", b.Listen)
		}
		return
	case b.Listen == "":
		r.problem("bus.tls", "is for bus.listen, which is empty; give both or none")
	case b.TLS.Cert == "":
		r.problem("bus.tls.cert", "missing; give the file with the certificate chain, PEM")
	case b.TLS.Key == "":
		r.problem("bus.tls.key", "missing; give the file with the private key of the certificate, PEM")
	default:
		if _, err := tls.LoadX509KeyPair(b.TLS.Cert, b.TLS.Key); err != nil {
			r.problem("bus.tls", "can't be used: %v; give PEM files of a certificate chain and its private key", err)
		}
	}
}

// Readers returns the subscribers as the bus knows them.
func (b Bus) Readers() []bus.Subscriber {
	var list []bus.Subscriber
	for _, s := range b.Subscribers {
		list = append(list, bus.Subscriber{Name: s.Name, Key: s.NKey, Subjects: s.Subjects})
	}
	return list
}

// Permissions returns the subscribers as "users" of a NATS server's
// configuration, each with exactly what it needs.
func (b Bus) Permissions() string {
	var text strings.Builder
	for _, s := range b.Readers() {
		fmt.Fprintf(&text, "# %s\n%s\n", s.Name, s.Permissions())
	}
	return text.String()
}

// NewSubscriberKey makes a key pair: the seed is the subscriber's secret, the
// public key is for bridge.toml.
func NewSubscriberKey() (seed []byte, public string, err error) { return bus.NewSubscriberKey() }
