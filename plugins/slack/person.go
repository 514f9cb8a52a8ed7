package slack

import (
	"context"
	"fmt"
	"regexp"
	"strings"
	"unicode"

	"parley.im/bus/event"
	"parley.im/plugins/sdk"
)

// errNobody says that a direct message names nobody.
var errNobody = fmt.Errorf("%w: it does not say whom it is for", sdk.ErrRefused)

// toPerson finds out whom a direct message to the app is for. In a thread the
// host knows the conversation; outside one the first word is an address, and
// the message begins the thread in which answers will stand. It returns the
// text without that word.
func (c *connector) toPerson(ctx context.Context, in *event.Inbound, h heard, text string) (string, error) {
	in.Recipient = ""
	if h.ThreadTS != "" {
		return text, nil
	}
	to, rest, ok := dial(text, c.set.SIPDomain)
	if !ok {
		return text, errNobody
	}
	in.Recipient, in.Thread = to, h.spot().String()
	if err := c.host.Accepts(ctx, *in); err != nil {
		return text, err
	}
	return rest, nil
}

var (
	sipUser = regexp.MustCompile(`^[A-Za-z0-9+][A-Za-z0-9+._=-]{0,63}$`)
	sipHost = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?$`)
)

// dial takes a text apart into the SIP address that is its first word, and
// what follows. A bare name or number is completed with domain, if there is
// one.
func dial(text, domain string) (to event.Address, rest string, ok bool) {
	text = strings.TrimSpace(text)
	end := strings.IndexFunc(text, unicode.IsSpace)
	if end < 0 {
		return "", text, false
	}
	word, rest := text[:end], strings.TrimSpace(text[end:])
	if len(word) > 4 && strings.EqualFold(word[:4], "sip:") {
		word = word[4:]
	}
	word = strings.TrimPrefix(strings.TrimRight(word, ":,"), "@")
	user, host, full := strings.Cut(word, "@")
	if !full {
		host = domain
	}
	if rest == "" || !sipUser.MatchString(user) || !sipHost.MatchString(host) {
		return "", text, false
	}
	return event.Address("sip:" + user + "@" + host), rest, true
}

// hint says how to write to somebody outside.
func hint(why error, domain string) string {
	example := "alice@example.com Hello"
	if domain != "" {
		example = "alice Hello"
	}
	return fmt.Sprintf("This reached nobody: %s.\nBegin with a SIP address, such as: %s\nThen go on in the thread of that message.",
		strings.TrimPrefix(why.Error(), sdk.ErrRefused.Error()+": "), example)
}
