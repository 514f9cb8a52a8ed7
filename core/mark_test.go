package core

import (
	"fmt"
	"testing"

	"parley.im/bus"
	"parley.im/bus/event"
)

// ring is two bridges that join the same two rooms of a network.
type ring struct {
	t      *testing.T
	hosts  []*Host
	posts  map[event.Address]int // copies in each room
	phones []int                 // copies at the phones of each host
}

func newRing(t *testing.T) *ring {
	return &ring{t: t, hosts: []*Host{router(t), router(t)}, posts: map[event.Address]int{}, phones: make([]int, 2)}
}

// heard hands a message of the network to a host, twice as networks do, and
// spreads what the host makes of it.
func (r *ring) heard(to int, in event.Inbound) {
	r.t.Helper()
	h := r.hosts[to]
	before, _ := h.bus.LastSeq(r.t.Context(), bus.Inbounds)
	for range 2 {
		if _, err := h.put(r.t.Context(), &connector{name: "chat"}, in); err != nil {
			r.t.Fatal(err)
		}
	}
	r.routed(to, before)
}

// routed spreads what a host stored after a sequence.
func (r *ring) routed(of int, before uint64) {
	r.t.Helper()
	h := r.hosts[of]
	last, err := h.bus.LastSeq(r.t.Context(), bus.Inbounds)
	if err != nil {
		r.t.Fatal(err)
	}
	for seq := before + 1; seq <= last; seq++ {
		rec, err := h.bus.At(r.t.Context(), bus.Inbounds, seq)
		if err != nil {
			r.t.Fatal(err)
		}
		outs, err := h.assign(r.t.Context(), rec.Event.(event.Inbound))
		if err != nil {
			r.t.Fatal(err)
		}
		for _, o := range outs {
			r.deliver(of, o)
		}
	}
}

// deliver makes an Outbound a post in its room, which the other host hears.
func (r *ring) deliver(by int, o event.Outbound) {
	r.t.Helper()
	if o.Connector == event.BuiltinSIP {
		r.phones[by]++
		return
	}
	r.posts[o.Target]++
	r.heard(1-by, event.Inbound{Envelope: event.Envelope{
		NativeID: fmt.Sprintf("post-%s-%d", o.Target, r.posts[o.Target]), Sender: "chat:u/ghost", Recipient: o.Target, Mark: o.Mark,
	}})
}

func TestTwoBridgesInARingMakeOneCopyEach(t *testing.T) {
	r := newRing(t)
	in := event.Inbound{ID: event.InboundID("sip", "1"), Envelope: event.Envelope{
		Origin: event.BuiltinSIP, NativeID: "1", Sender: "sip:alice@example.com", Recipient: "sip:lobby@example.com", Hops: maxHops,
	}}
	if err := (edgeHost{r.hosts[0]}).Put(t.Context(), in); err != nil {
		t.Fatal(err)
	}
	r.routed(0, 0)
	if r.posts["chat:r/lobby"] != 1 || r.posts["chat:r/yard"] != 1 {
		t.Errorf("copies in the rooms: %v", r.posts)
	}
	if r.phones[0] != 0 || r.phones[1] != 1 {
		t.Errorf("copies at the phones: %v; want none where it came from, one at the other bridge", r.phones)
	}
	if n := r.hosts[0].returned.Load(); n != 0 {
		t.Errorf("%d came back", n)
	}
}

func TestAMessageThatComesBackIsPassedOver(t *testing.T) {
	h := router(t)
	first := event.Inbound{Envelope: event.Envelope{NativeID: "n1", Sender: "chat:u/eve", Recipient: "chat:r/lobby"}}
	id, err := h.put(t.Context(), &connector{name: "chat"}, first)
	if err != nil {
		t.Fatal(err)
	}
	back := first
	back.NativeID, back.Recipient = "n2", "chat:r/yard"
	back.Mark = event.Mark{ID: id, Hops: 14}.String()
	if again, err := h.put(t.Context(), &connector{name: "chat"}, back); err != nil || again != id {
		t.Errorf("put %q, %v; want %q", again, err, id)
	}
	if last, _ := h.bus.LastSeq(t.Context(), bus.Inbounds); last != 1 {
		t.Errorf("%d messages are stored", last)
	}
}

func TestAMarkCanOnlyLowerTheHops(t *testing.T) {
	h := router(t)
	for hops, want := range map[int]int{3: 3, 99: maxHops} {
		in := event.Inbound{Envelope: event.Envelope{Hops: maxHops, Mark: event.Mark{ID: event.InboundID("other", fmt.Sprint(hops)), Hops: hops}.String()}}
		if h.recognise(&in); in.Hops != want {
			t.Errorf("a mark with %d hops gives %d, want %d", hops, in.Hops, want)
		}
	}
}

func TestWhatIsNoMarkIsDropped(t *testing.T) {
	h := router(t)
	in := event.Inbound{ID: "own", Envelope: event.Envelope{Hops: maxHops, Mark: "rubbish;;\r\n"}}
	if h.recognise(&in) || in.ID != "own" || in.Mark != "" {
		t.Errorf("%+v", in.Envelope)
	}
}
