package main

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
)

// A text that is too long for a phone goes in parts. The host is killed when the
// first has arrived and the second has not: the phone shows each once, in order,
// since what is sent again are the same requests.
func TestALongTextOverARestart(t *testing.T) {
	b := newBridge(t)
	bob := newUDPPhone(b, "bob")
	ann := joinChat(t, b.web, "ann")
	var text strings.Builder
	for i := range 60 {
		fmt.Fprintf(&text, "%d. Nobody knows what a phone makes of a long text. ", i)
	}
	long := strings.TrimSpace(text.String())
	bob.holdAnswers()
	ann.say("r:lobby", long)
	bob.contains("(1/4) ")
	bob.release()
	bob.holdAnswers()
	bob.contains("(2/4) ")
	b.crash()
	b.start()
	bob.release()
	bob.contains("(4/4) ")
	b.says(`msg=delivered connector=sip`)
	label := regexp.MustCompile(`^\([1-4]/4\) `)
	together := ""
	for _, part := range bob.texts() {
		together += label.ReplaceAllString(part, "")
	}
	if n := len(bob.texts()); n != 4 || together != long {
		t.Errorf("the phone shows %d parts, %q", n, bob.texts())
	}
}
