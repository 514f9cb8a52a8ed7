package sipedge

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"parley.im/bus/event"
	"parley.im/plugins/content/composing"
	"parley.im/plugins/content/imdn"
)

const agentA, agentB, instance = "User-Agent: Phone/1.0", "User-Agent: Other/2.0", `;+sip.instance="<urn:uuid:0>"`

// comes registers a phone of bob's on a connection of its own.
func comes(t *testing.T, s *started, network, params string, headers ...string) *probe {
	t.Helper()
	p := dial(t, s, network)
	if res := p.register("bob", "builder", "<sip:bob@"+p.local()+";transport="+network+">"+params, "600", headers...); code(res) != "200" {
		t.Fatal(res)
	}
	return p
}

// goes closes a phone's connection.
func (p *probe) goes(s *started) {
	p.t.Helper()
	p.conn.Close()
	soon(p.t.(*testing.T), func() bool { return s.flows.open() == 0 })
}

// rejects has the phone refuse a sign of typing, which it might know.
func (p *probe) rejects(s *started, id string) {
	p.t.Helper()
	sent := make(chan error, 1)
	go func() { sent <- s.Typing(context.Background(), typingTo(id)) }()
	p.reply(p.mustRead(), "415 No")
	if err := <-sent; err == nil {
		p.t.Error("nobody is told that it was refused")
	}
}

func typingTo(id string) event.Delivery {
	return event.Delivery{ID: id, Kind: event.KindTyping, Target: "sip:bob@example.com", From: "sip:lobby@example.com", Sender: "web:u/eve", Active: true, Attempt: 1}
}

// tastes are what is known of bob's phones that can be reached.
func tastes(s *started) (all []*taste) {
	for _, b := range s.phones.of("sip:bob@example.com").current(time.Now()) {
		all = append(all, b.taste)
	}
	return all
}

// C09: what a device has refused is not sent to it any more, whatever comes between:
// another connection, a goodbye, other phones, a restart.
func TestADeviceIsKnownWhenItIsBack(t *testing.T) {
	const talks = "Accept: text/plain, message/imdn+xml"
	for name, tc := range map[string]struct {
		params string
		agents [2]string // before and after
		known  bool
	}{
		"by its instance":                      {instance, [2]string{agentA, agentB}, true},
		"by its program":                       {"", [2]string{agentA, agentA}, true},
		"another program":                      {"", [2]string{agentA, agentB}, false},
		"programs that don't name themselves":  {"", [2]string{"X: y", "X: y"}, false},
		"by its instance and with its program": {instance, [2]string{agentA, agentA}, true},
	} {
		for way, between := range map[string]func(*started, *fakeHost, *probe) *started{
			"a new connection":               func(s *started, _ *fakeHost, p *probe) *started { p.goes(s); return s },
			"the old one is thought to live": func(s *started, _ *fakeHost, p *probe) *started { return s },
			"a goodbye": func(s *started, _ *fakeHost, p *probe) *started {
				p.register("bob", "builder", "*", "0")
				return s
			},
			"another phone": func(s *started, _ *fakeHost, p *probe) *started {
				p.goes(s)
				comes(p.t.(*testing.T), s, "tcp", `;+sip.instance="<urn:uuid:7>"`, "User-Agent: Third").goes(s)
				return s
			},
			"a restart": func(s *started, h *fakeHost, p *probe) *started {
				s.stop()
				return run(p.t.(*testing.T), config(h), h)
			},
		} {
			t.Run(name+"/"+way, func(t *testing.T) {
				h := newHost()
				s := run(t, config(h), h)
				p := comes(t, s, "tcp", tc.params, tc.agents[0], talks)
				p.rejects(s, "t1")
				s = between(s, h, p)
				comes(t, s, "tcp", tc.params, tc.agents[1], talks)
				all := tastes(s)
				if known := all[len(all)-1]; known.rejects(composing.MediaType) != tc.known || known.talks() == tc.known || !known.takes(imdn.MediaType) {
					takes, refuses := known.known()
					t.Errorf("it takes %v and refuses %v", takes, refuses)
				}
			})
		}
	}
}

// What a device has sent itself is known when it is back, too.
func TestWhatADeviceHasSentIsKnownWhenItIsBack(t *testing.T) {
	h := newHost()
	s := run(t, config(h), h)
	p := comes(t, s, "tcp", instance)
	d := &device{p, t, s}
	if res := d.speaks("<b>hi</b>", "Content-Type: text/html"); code(res) != "202" {
		t.Fatal(res)
	}
	p.goes(s)
	comes(t, s, "tcp", instance)
	if known := tastes(s)[0]; !known.takes("text/html") {
		t.Error("it is not known to take HTML")
	}
}

// What one phone of an account has refused says nothing of the others.
func TestTastesOfTwoPhones(t *testing.T) {
	h := newHost()
	s := run(t, config(h), h)
	p := comes(t, s, "tcp", instance, agentA, "Accept: message/imdn+xml")
	p.rejects(s, "t1")
	comes(t, s, "tcp", `;+sip.instance="<urn:uuid:1>"`, agentA, "Accept: message/imdn+xml")
	all := tastes(s)
	if all[0].talks() || !all[1].talks() {
		t.Errorf("%v", all)
	}
}

// A refusal is stored when it comes: there may be no REGISTER before a restart.
func TestRefusalsAreStoredAtOnce(t *testing.T) {
	for name, refuse := range map[string]func(*device){
		"of a message": func(d *device) {
			if _, r := d.gets(saying("o1", "text/html", "<b>hi</b>"), "415 No", "200 OK"); r.err != nil {
				d.t.Fatal(r.err)
			}
		},
		"of typing": func(d *device) { d.rejects(d.s, "t1") },
	} {
		h := newHost()
		s := run(t, config(h), h)
		d := &device{comes(t, s, "udp", "", "Accept: text/html, "+composing.MediaType), t, s}
		refuse(d)
		s.stop()
		known := tastes(run(t, config(h), h))
		if len(known) != 1 || known[0].takes("text/html") && known[0].talks() {
			t.Errorf("%s: nothing is known of %d phones", name, len(known))
		}
	}
}

// A refusal that can't be stored is no reason for a message not to arrive.
func TestARefusalThatIsNotStored(t *testing.T) {
	p, h := newDevice(t, "text/html")
	h.mu.Lock()
	h.saveErr = errors.New("disk full")
	h.mu.Unlock()
	if _, r := p.gets(saying("o1", "text/html", "<b>hi</b>"), "415 No", "200 OK"); r.err != nil {
		t.Error(r.err)
	}
}

// Of an account that is gone nothing is stored, not even what is learned of its
// phones afterwards.
func TestNothingIsKeptOfAnAccountThatIsGone(t *testing.T) {
	p, h := newDevice(t, "text/html")
	c := deliver(p.s, saying("o1", "text/html", "<b>hi</b>"))
	req := p.mustRead()
	if err := p.s.SetAccounts(t.Context(), []Account{{User: "alice", Password: "wonderland"}}); err != nil {
		t.Fatal(err)
	}
	p.reply(req, "415 No")
	p.reply(p.mustRead(), "200 OK")
	await(t, c)
	h.mu.Lock()
	defer h.mu.Unlock()
	if v := h.saved["sip:bob@example.com"]; len(v) != 0 {
		t.Errorf("stored: %s", v)
	}
}

// Only so many devices are remembered, the latest; and one of which nothing is
// known not at all.
func TestOnlySoManyDevicesAreRemembered(t *testing.T) {
	p := &phones{}
	device := func(i int, refused ...string) *binding {
		return &binding{hop: hop{Contact: fmt.Sprint("sip:bob@192.0.2.1:", i)}, Instance: fmt.Sprint(i, ";1"), taste: newTaste(nil, refused)}
	}
	for i := range 3 * maxBindings {
		all := []*binding{device(i, "text/html"), device(1000 + i)}
		p.set(all, p.leaves(all))
	}
	if last := p.past[len(p.past)-1]; len(p.past) != maxBindings || last.Instance != fmt.Sprint(3*maxBindings-2, ";1") {
		t.Errorf("%d remembered, the last is %+v", len(p.past), last)
	}
	p.past = nil
	for i := range 3 * maxBindings { // one that says not which it is
		b := &binding{hop: hop{Contact: fmt.Sprint("sip:bob@192.0.2.1:", i)}, Agent: "Phone/1.0", taste: newTaste(nil, []string{"text/html"})}
		p.set([]*binding{b}, p.leaves([]*binding{b}))
	}
	if p.past = p.leaves(nil); len(p.past) != 1 {
		t.Errorf("%d remembered of one phone", len(p.past))
	}
}

// What somebody sends can't make a phone's refusals of our own types forgotten.
func TestOnlySoManyRefusals(t *testing.T) {
	known := newTaste(nil, nil)
	for _, kind := range ours {
		known.refuses(kind, nil)
	}
	for i := range 10 * maxNamed {
		known.refuses(fmt.Sprint("application/x-", i), nil)
	}
	if len(known.refused) != 2*maxNamed {
		t.Errorf("%d types", len(known.refused))
	}
	for _, kind := range ours {
		if !known.rejects(kind) {
			t.Errorf("%s is forgotten", kind)
		}
	}
}
