package main

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// all are the networks of a town, by the names of its views.
func all(but ...string) (list []string) {
	for _, n := range []string{"sip", "web", "matrix", "slack", "mail"} {
		if !slices.Contains(but, n) {
			list = append(list, n)
		}
	}
	return list
}

func TestEverybodyInARoomOfFiveNetworksSeesEachMessageOnceAndInOrder(t *testing.T) {
	t.Parallel()
	tn := newTown(t)
	const ghost = "@_parley_%s:hs.org"
	// What is said, by whom, and how each network names the author.
	type said struct {
		network, text string
		say           func(text string)
		author        map[string]string
	}
	round := func(n int) []said {
		return []said{
			{"phone", fmt.Sprintf("from a phone %d", n), func(s string) { tn.send("alice", "town", s) },
				map[string]string{"": "sip:alice@127.0.0.1", "mail": "alice@127.0.0.1", "matrix": fmt.Sprintf(ghost, "sip_alice_127.0.0.1")}},
			{"web", fmt.Sprintf("from the web %d", n), func(s string) { tn.ann.say("r:lobby", s) },
				map[string]string{"": "ann", "matrix": fmt.Sprintf(ghost, "web_u=2fann")}},
			{"matrix", fmt.Sprintf("from matrix %d", n), func(s string) { tn.mia.Say(tn.room, s) },
				map[string]string{"": "Mia"}},
			{"slack", fmt.Sprintf("from slack %d", n), func(s string) { tn.slack.Say(tn.sue, tn.channel, s, "") },
				map[string]string{"": "Sue", "matrix": fmt.Sprintf(ghost, "slack_=540=54=45=41=4d=2f=550...")}},
			{"mail", fmt.Sprintf("from mail %d", n), func(s string) { tn.answerMail("Tim", "tim@corp.test", s) },
				map[string]string{"": "Tim", "matrix": fmt.Sprintf(ghost, "mailto_tim_corp.test")}},
		}
	}
	want := map[string][]spoken{}
	expect := func(s said, networks []string) {
		for _, n := range networks {
			if n == s.network {
				continue
			}
			author := s.author[n]
			if author == "" {
				author = s.author[""]
			}
			want[n] = append(want[n], spoken{author, s.text})
		}
	}
	for n := range 2 { // each says something when everybody has seen what was said before
		for _, s := range round(n) {
			s.say(s.text)
			expect(s, all())
			tn.shown(s.text, all(s.network)...)
		}
	}

	// One network is frozen: the others go on, and it catches up.
	stored, release := tn.slack.Hold()
	for _, s := range round(2) {
		if s.network == "slack" {
			continue
		}
		s.say(s.text)
		expect(s, all())
		tn.shown(s.text, all(s.network, "slack")...)
	}
	<-stored
	if n := len(tn.views()["slack"]); n > len(want["slack"])-3 {
		t.Errorf("frozen, Slack shows %d messages", n)
	}
	release()
	tn.shown("from mail 2", "slack")

	for _, n := range all() {
		got := tn.views()[n]
		same := slices.EqualFunc(got, want[n], func(g, w spoken) bool {
			prefix, anything := strings.CutSuffix(w.author, "...:hs.org") // an id that Slack has made
			return g.text == w.text && (g.author == w.author || anything && strings.HasPrefix(g.author, prefix))
		})
		if !same {
			t.Errorf("%s shows\n%v\nwant\n%v", n, got, want[n])
		}
	}
}
