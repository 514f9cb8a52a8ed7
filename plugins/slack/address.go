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

// What follows the spot of a message in a native id or a remote id names what
// belongs to it, or was done about it:
//
//	C024BE91L/1700000000.000100/2            its second file, if a person has said it
//	C024BE91L/1700000000.000100/react/tada/… the app's reaction, and for which delivery; earlier versions left that out
//	C024BE91L/1700000000.000100/edit/…       how something from outside changed it
//	C024BE91L/1700000000.000100/edit@17…     how its author in Slack changed it, and when
//
// A file of the app's is file/F024BE91L: Slack does not say as which message it
// is shown.
var slackSpot = regexp.MustCompile(`^([CGD][A-Z0-9]{1,30})/([0-9]{1,16}\.[0-9]{1,10})(?:/(.+))?$`)

func (s spot) String() string { return s.channel + "/" + s.ts }

// readSpot reads the name of a message.
func readSpot(text string) (spot, bool) {
	s, rest, ok := readName(text)
	return s, ok && rest == ""
}

// readName reads the name of a message, or of what concerns it, which is rest.
func readName(text string) (s spot, rest string, ok bool) {
	m := slackSpot.FindStringSubmatch(text)
	if m == nil {
		return spot{}, "", false
	}
	return spot{m[1], m[2]}, m[3], true
}

// partName is the native id of a message's file, counted from 0.
func partName(message string, i int) string { return message + "/" + strconv.Itoa(i+1) }

// isPart tells whether what follows the spot of a message names a file of it.
func isPart(rest string) bool {
	_, err := strconv.ParseUint(rest, 10, 16)
	return err == nil
}

const (
	filePrefix  = "file/"
	reactPrefix = "react/"
)

// fileName is the remote id of a file of the app's.
func fileName(id string) string { return filePrefix + id }

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
