package event

import (
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Address is a URI in its network's registered or customary scheme:
// "sip:alice@example.com", "matrix:r/room:hs.org", "slack:T0/C0",
// "mailto:bob@example.com", "web:room/lobby".
type Address string

// Anonymous is the sender of a message whose author wants to be unknown (RFC
// 3323, section 4.1.1.3). Nothing can be sent to it.
const Anonymous = Address("sip:anonymous@anonymous.invalid")

// MaxAddress is the longest address in bytes.
const MaxAddress = 1024

// Scheme returns what stands before the first colon, in lower case.
func (a Address) Scheme() string {
	s, _, _ := strings.Cut(string(a), ":")
	return strings.ToLower(s)
}

// Rest returns what stands after the first colon.
func (a Address) Rest() string {
	_, r, _ := strings.Cut(string(a), ":")
	return r
}

// Check says what is wrong with a as an address: it must be valid UTF-8
// without controls or spaces, at most MaxAddress bytes, and have a scheme
// and a rest.
func (a Address) Check() error {
	scheme, rest, ok := strings.Cut(string(a), ":")
	switch {
	case a == "":
		return errors.New("empty address")
	case len(a) > MaxAddress:
		return fmt.Errorf("address of %d bytes; at most %d are allowed", len(a), MaxAddress)
	case !ok || !isScheme(scheme):
		return fmt.Errorf("address %q has no scheme (sip, mailto)", string(a))
	case rest == "":
		return fmt.Errorf("address %q has nothing after its scheme", string(a))
	case !utf8.ValidString(string(a)):
		return errors.New("address is not valid UTF-8")
	}
	for _, r := range rest {
		if unicode.IsControl(r) || unicode.IsSpace(r) || unicode.Is(unicode.Bidi_Control, r) {
			return fmt.Errorf("address %q contains a space or control character", string(a))
		}
	}
	return nil
}

// isScheme follows RFC 3986, section 3.1.
func isScheme(s string) bool {
	for i, r := range s {
		letter := r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z'
		if !letter && (i == 0 || !(r >= '0' && r <= '9' || r == '+' || r == '-' || r == '.')) {
			return false
		}
	}
	return s != ""
}
