package main

import (
	"fmt"
	"slices"
	"testing"
)

// kills is how often each process is killed between a send and its answer.
const kills = 30

func TestAPhoneShowsAMessageOnceAlthoughTheHostDiedBeforeTheAnswer(t *testing.T) {
	b := newBridge(t)
	bob := newUDPPhone(b, "bob")
	var want []string
	for i := range kills {
		text := fmt.Sprintf("round %02d", i)
		want = append(want, text)
		bob.holdAnswers()
		b.send("alice", "bob", text)
		bob.sees(text)
		b.crash()
		bob.release() // the answer goes to nobody
		b.start()
		b.says(`msg=delivered .*`)
	}
	if got := bob.texts(); !slices.Equal(got, want) {
		t.Errorf("the phone shows %q", got)
	}
}
