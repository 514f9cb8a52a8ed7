package main

import (
	"errors"
	"fmt"
	"net/url"
	"strings"

	"parley.im/bus/event"
)

// sipURI is as much of a SIP URI as the command line needs; the user part is
// decoded.
type sipURI struct{ user, host, port string }

func (u sipURI) portOr(standard string) string {
	if u.port != "" {
		return u.port
	}
	return standard
}

// parseURI takes a sip: or sips: URI with a user apart.
func parseURI(s string) (u sipURI, err error) {
	if err := event.Address(s).Check(); err != nil {
		return u, err
	}
	a := event.Address(s)
	if a.Scheme() != "sip" && a.Scheme() != "sips" {
		return u, fmt.Errorf("%s is no SIP address such as sip:alice@example.com", quote(s))
	}
	rest, _, _ := strings.Cut(a.Rest(), "?")
	at := strings.LastIndex(rest, "@")
	if at <= 0 {
		return u, fmt.Errorf("%s has no user, such as alice in sip:alice@example.com", quote(s))
	}
	user, _, _ := strings.Cut(rest[:at], ":") // a password in a URI is never used
	if u.user, err = url.PathUnescape(user); err != nil {
		return u, fmt.Errorf("%s: %w", quote(s), err)
	}
	hostport, _, _ := strings.Cut(rest[at+1:], ";")
	if u.host, u.port, err = splitHost(hostport); err != nil {
		return u, fmt.Errorf("%s: %w", quote(s), err)
	}
	return u, nil
}

func splitHost(s string) (host, port string, err error) {
	if rest, ok := strings.CutPrefix(s, "["); ok {
		host, port, ok = strings.Cut(rest, "]")
		if !ok || port != "" && port[0] != ':' {
			return "", "", errors.New("the IPv6 address has no end")
		}
		port = strings.TrimPrefix(port, ":")
	} else {
		host, port, _ = strings.Cut(s, ":")
	}
	if host == "" {
		return "", "", errors.New("there is no host")
	}
	return host, port, nil
}
