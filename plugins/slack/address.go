package slack

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"parley.im/bus/event"
)

// A target is a Slack address taken apart.
type target struct{ team, id string }

// person tells whether it is a user, else it is a channel.
func (t target) person() bool { return t.id[0] == 'U' || t.id[0] == 'W' }

var slackAddress = regexp.MustCompile(`^([TE][A-Z0-9]{1,30})/([CGUW][A-Z0-9]{1,30})$`)

// readAddress takes an address apart: slack:T024BE7LD/C024BE91L is a channel,
// with U… or W… it is a person.
func readAddress(a event.Address) (target, error) {
	m := slackAddress.FindStringSubmatch(a.Rest())
	if a.Scheme() != Network || m == nil {
		return target{}, fmt.Errorf("%q is no Slack address; write slack:TEAM/CHANNEL or slack:TEAM/USER with their ids", string(a))
	}
	return target{m[1], m[2]}, nil
}

func address(team, id string) event.Address { return event.Address(Network + ":" + team + "/" + id) }

// A spot is one message in a channel. As text, "C024BE91L/1700000000.000100",
// it is a native id, a remote id, and the anchor of the thread it begins.
type spot struct{ channel, ts string }

var slackSpot = regexp.MustCompile(`^([CGD][A-Z0-9]{1,30})/([0-9]{1,16}\.[0-9]{1,10})$`)

func (s spot) String() string { return s.channel + "/" + s.ts }

func readSpot(text string) (spot, bool) {
	m := slackSpot.FindStringSubmatch(text)
	if m == nil {
		return spot{}, false
	}
	return spot{m[1], m[2]}, true
}

// moment is the time that a timestamp says; zero if it is none.
func moment(ts string) time.Time {
	whole, part, _ := strings.Cut(ts, ".")
	s, err := strconv.ParseInt(whole, 10, 64)
	if err != nil {
		return time.Time{}
	}
	micros, _ := strconv.ParseInt((part + "000000")[:6], 10, 64)
	return time.Unix(s, micros*1000)
}

// stamp is the timestamp of a moment.
func stamp(t time.Time) string { return fmt.Sprintf("%d.%06d", t.Unix(), t.Nanosecond()/1000) }
