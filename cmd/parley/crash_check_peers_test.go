//go:build linux && peers

package main

import (
	"fmt"
	"regexp"
	"time"
)

// A tally is what became of the texts of one direction. Each text is counted
// once for each network that it was meant for.
type tally struct {
	taken int // the bridge has said that it has them
	lost  int // of these
	twice int // any that is shown more than once
	mails int // that came twice, with one Message-ID: SMTP's window
	order int // shown after one that was said later
}

// directions are the columns of the table.
var directions = []string{"SIP → chat", "chat → SIP", "chat → chat", "SIP → SIP"}

func direction(from, to string) string {
	switch {
	case from == "sip" && to == "sip":
		return directions[3]
	case from == "sip":
		return directions[0]
	case to == "sip":
		return directions[1]
	}
	return directions[2]
}

var numbered = regexp.MustCompile(`^[a-z]\d \d{6}$`)

// shows returns the numbered texts that each network shows, in order.
func (tn *town) shows() map[string][]string {
	shown := map[string][]string{}
	for network, list := range tn.views() {
		for _, s := range list {
			if numbered.MatchString(s.text) {
				shown[network] = append(shown[network], s.text)
			}
		}
	}
	return shown
}

// settle waits until every network shows every text that was taken, or for
// limit, and counts.
func (tn *town) settle(c *crowd, limit time.Duration) map[string]*tally {
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	end := time.After(limit)
	for {
		sums := c.count(tn.shows())
		lost := 0
		for _, s := range sums {
			lost += s.lost
		}
		if lost == 0 {
			return sums
		}
		select {
		case <-end:
			tn.t.Logf("still missing after %v: %v", limit, c.missing(tn.shows()))
			return sums
		case <-tick.C:
		}
	}
}

// count holds what the networks show against what was said.
func (c *crowd) count(shown map[string][]string) map[string]*tally {
	sums := map[string]*tally{}
	for _, d := range directions {
		sums[d] = &tally{}
	}
	for _, network := range all() {
		times := map[string]int{}
		for _, text := range shown[network] {
			times[text]++
		}
		for _, s := range c.speakers {
			if s.network != network || network == "sip" {
				s.count(sums[direction(s.network, network)], network, times, shown[network])
			}
		}
	}
	return sums
}

// count adds one speaker's texts on one network.
func (s *speaker) count(t *tally, network string, times map[string]int, shown []string) {
	for text, taken := range s.taken {
		n := times[text]
		if taken {
			t.taken++
		}
		switch {
		case taken && n == 0:
			t.lost++
		case n > 1 && network == "mail":
			t.mails += n - 1
		case n > 1:
			t.twice += n - 1
		}
	}
	last, seen := "", map[string]bool{}
	for _, text := range shown {
		if text[:2] != s.name || seen[text] {
			continue
		}
		seen[text] = true
		if text < last {
			t.order++
		}
		last = max(last, text)
	}
}

// missing names what each network does not show, for a test that fails.
func (c *crowd) missing(shown map[string][]string) (list []string) {
	for _, network := range all() {
		has := map[string]bool{}
		for _, text := range shown[network] {
			has[text] = true
		}
		for _, s := range c.speakers {
			for _, text := range s.inOrder {
				if s.taken[text] && !has[text] && (s.network != network || network == "sip") {
					list = append(list, fmt.Sprintf("%s: %s", network, text))
				}
			}
		}
	}
	return list[:min(len(list), 40)]
}
