package core

import (
	"fmt"
	"testing"

	"parley.im/bus/event"
)

func TestTheNewestIdsOnNetworksAreRemembered(t *testing.T) {
	r := newRemotes()
	for i := range maxRemote + 10 {
		r.add(event.Status{Connector: "chat", RemoteIDs: []string{fmt.Sprint(i)}}, uint64(i+1))
	}
	if len(r.at) != maxRemote || len(r.order) != maxRemote {
		t.Errorf("%d and %d are remembered", len(r.at), len(r.order))
	}
	if _, ok := r.find("chat", "9"); ok {
		t.Error("the oldest is still there")
	}
	if seq, ok := r.find("chat", fmt.Sprint(maxRemote+9)); !ok || seq != maxRemote+10 {
		t.Errorf("the newest: %d, %v", seq, ok)
	}
	if _, ok := r.find("mail", "100"); ok {
		t.Error("an id of another network is found")
	}
	r.add(event.Status{Connector: "chat", RemoteIDs: []string{"100"}}, 7) // a later fact about the same
	if seq, _ := r.find("chat", "100"); seq != 7 || len(r.at) != maxRemote {
		t.Errorf("%d, %d", seq, len(r.at))
	}
}
