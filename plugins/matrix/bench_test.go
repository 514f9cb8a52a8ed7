package matrix

import (
	"fmt"
	"testing"

	"parley.im/bus/event"
	"parley.im/plugins/matrix/matrixtest"
	"parley.im/plugins/sdk/sdktest"
)

// The connector and the homeserver in memory are in one process, and the host
// stores nothing: these are the costs of the connector and of HTTP alone.

func BenchmarkDeliver(b *testing.B) {
	hs := matrixtest.New(b, matrixtest.Options{})
	hs.Human("bob", "").Create(matrixtest.Room{Alias: "ops", Public: true})
	br := start(b, hs, sdktest.NewBackend())
	n := 0
	for b.Loop() {
		n++
		br.deliver(to("matrix:r/ops:hs.org", event.ModeRoom, fmt.Sprint("d", n), "hello"))
	}
}

func BenchmarkTransaction(b *testing.B) {
	hs := matrixtest.New(b, matrixtest.Options{})
	bob := hs.Human("bob", "")
	br := start(b, hs, sdktest.NewBackend())
	room := direct(b, hs, bob)
	for b.Loop() {
		bob.Say(room, "hello")
		br.settled()
	}
}
