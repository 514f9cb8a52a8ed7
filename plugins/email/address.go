package email

import (
	"crypto/sha256"
	"encoding/base32"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/net/idna"

	"parley.im/bus/event"
)

// maxLocal is the longest local part in bytes (RFC 5321, section 4.5.3.1.1).
const maxLocal = 64

// tokenLength is that of a conversation token, idLength that of a delivery's id.
const (
	tokenLength = 26
	idLength    = 32
)

// A kind says what one of our addresses is for.
type kind int

const (
	kindBridge kind = iota // the bridge's address alone
	kindToken              // an answer in a conversation
	kindBounce             // a report about a delivery
	kindDirect             // a SIP user
)

// recipient is one of our addresses, read.
type recipient struct {
	kind    kind
	token   string // of kindToken
	id      string // of kindBounce
	user    string // of kindDirect
	address string // as it came
}

// key is the address in one spelling, for ids.
func (r recipient) key() string { return strings.ToLower(r.address) }

// names are the addresses that are ours.
type names struct {
	local     string // local part of the bridge's address, lower case
	host      string // its domain
	domain    string // domain that is wholly ours, or ""
	sipDomain string
}

func newNames(s settings) names {
	local, host, _ := splitAddress(s.Address)
	return names{
		local: strings.ToLower(local), host: asciiDomain(host),
		domain: asciiDomain(s.Domain), sipDomain: strings.ToLower(s.SIPDomain),
	}
}

// owns tells whether addr is an address of the bridge, valid or not.
func (n names) owns(addr string) bool {
	local, domain, ok := splitAddress(addr)
	if !ok || asciiDomain(domain) != n.host {
		return false
	}
	base, _, _ := strings.Cut(strings.ToLower(local), "+")
	return n.domain != "" || base == n.local
}

// read tells what addr is for. It is false for an address that is not ours and
// for one that stands for nothing.
func (n names) read(addr string) (recipient, bool) {
	if !n.owns(addr) {
		return recipient{}, false
	}
	local, _, _ := splitAddress(addr)
	lower := strings.ToLower(local)
	r := recipient{address: addr}
	before, tag, _ := cutLast(lower, "+")
	switch {
	case lower == n.local:
		r.kind = kindBridge
	case tag != "" && isToken(tag, tokenLength):
		r.kind, r.token = kindToken, tag
	case before == "bounce" && n.domain != "" && isToken(tag, idLength):
		r.kind, r.id = kindBounce, tag
	case before == n.local && strings.HasPrefix(tag, "bounce-") && isToken(tag[len("bounce-"):], idLength):
		r.kind, r.id = kindBounce, tag[len("bounce-"):]
	case n.sipDomain != "" && n.isUser(local):
		r.kind, r.user = kindDirect, local
	default:
		return recipient{}, false
	}
	return r, true
}

// isUser tells whether local can be a SIP user's address and nothing else.
func (n names) isUser(local string) bool {
	base, _, _ := strings.Cut(strings.ToLower(local), "+")
	if local == "" || len(local) > maxLocal || base == n.local || base == "bounce" || base == "postmaster" || base == "abuse" || base == "mailer-daemon" {
		return false
	}
	return isDotAtom(local) && strings.Trim(local, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.+=~") == ""
}

// direct returns the local part by which a SIP user has an address of their
// own, if they can have one.
func (n names) direct(a event.Address) (local string, ok bool) {
	if n.sipDomain == "" || a.Scheme() != "sip" {
		return "", false
	}
	user, domain, ok := splitAddress(a.Rest())
	if !ok || !strings.EqualFold(domain, n.sipDomain) || !n.isUser(user) {
		return "", false
	}
	r, ok := n.read(user + "@" + n.domain)
	return user, ok && r.kind == kindDirect
}

// sip is the SIP address of a direct recipient.
func (n names) sip(user string) event.Address {
	return event.Address("sip:" + user + "@" + n.sipDomain)
}

func (n names) reply(local, token string) string { return local + "+" + token + "@" + n.host }

// bounce is the envelope sender of a delivery, so that what comes back names it.
func (n names) bounce(id string) string {
	if n.domain != "" {
		return "bounce+" + id + "@" + n.domain
	}
	return n.local + "+bounce-" + id + "@" + n.host
}

func (n names) messageID(id string) string { return id + "@" + n.host }

// token names what d belongs to at its target, so that an answer needs no
// memory of ours. Two mailboxes of one conversation have different ones: an
// answer tells where it was written. Nobody can guess it who does not know the
// conversation's own token.
func token(d event.Delivery) string {
	if isToken(d.Anchor, tokenLength) {
		return d.Anchor
	}
	sum := sha256.Sum256([]byte("parley mail thread\x00" + d.Conversation + "\x00" + strings.ToLower(string(d.Target))))
	return strings.ToLower(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(sum[:]))[:tokenLength]
}

func isToken(s string, length int) bool {
	return len(s) == length && strings.Trim(s, "abcdefghijklmnopqrstuvwxyz234567") == ""
}

// splitAddress cuts an address at its last "@".
func splitAddress(addr string) (local, domain string, ok bool) {
	local, domain, ok = cutLast(addr, "@")
	return local, domain, ok && local != "" && domain != ""
}

func cutLast(s, sep string) (before, after string, found bool) {
	i := strings.LastIndex(s, sep)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+len(sep):], true
}

// asciiDomain returns a domain as DNS writes it, in lower case; "" if it is
// none.
func asciiDomain(d string) string {
	a, err := idna.Lookup.ToASCII(strings.TrimSuffix(d, "."))
	if err != nil || len(a) > 253 {
		return ""
	}
	return strings.ToLower(a)
}

// isDotAtom follows RFC 5322, section 3.2.3, and RFC 6531, section 3.3.
func isDotAtom(s string) bool {
	if s == "" || strings.HasPrefix(s, ".") || strings.HasSuffix(s, ".") || strings.Contains(s, "..") || !utf8.ValidString(s) {
		return false
	}
	for _, r := range s {
		plain := r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9'
		if !plain && !strings.ContainsRune("!#$%&'*+-/=?^_`{|}~.", r) && (r < 0x80 || !unicode.IsPrint(r)) {
			return false
		}
	}
	return true
}

// fromMailto returns the mail address of a target, in the form that goes on the
// wire.
func fromMailto(a event.Address) (string, error) {
	if err := a.Check(); err != nil {
		return "", err
	}
	if a.Scheme() != "mailto" {
		return "", fmt.Errorf("%q is no mail address", string(a))
	}
	addr, err := url.PathUnescape(a.Rest())
	local, domain, ok := splitAddress(addr)
	switch {
	case err != nil || !ok || !isDotAtom(local) || len(local) > maxLocal:
		return "", fmt.Errorf("%q is no mail address", string(a))
	case asciiDomain(domain) == "" || !strings.Contains(domain, ".") && domain != "localhost":
		return "", fmt.Errorf("%q has no mail domain", string(a))
	}
	return local + "@" + asciiDomain(domain), nil
}

// toMailto returns the URI of a mailbox address (RFC 6068).
func toMailto(addr string) (event.Address, error) {
	local, domain, ok := splitAddress(addr)
	if !ok || !isDotAtom(local) || len(local) > maxLocal || asciiDomain(domain) == "" {
		return "", errors.New("the sender's address is none that can be answered")
	}
	var b strings.Builder
	b.WriteString("mailto:")
	for _, r := range local {
		if strings.ContainsRune("%/?#&", r) {
			fmt.Fprintf(&b, "%%%02X", r)
			continue
		}
		b.WriteRune(r)
	}
	a := event.Address(b.String() + "@" + asciiDomain(domain))
	return a, a.Check()
}

func isASCII(s string) bool {
	return strings.IndexFunc(s, func(r rune) bool { return r >= utf8.RuneSelf }) < 0
}
