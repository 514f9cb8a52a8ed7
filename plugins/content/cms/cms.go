// Package cms finds what somebody has signed in an S/MIME message that keeps
// text and signature in one body ("opaque", RFC 8551, section 3.5.2). It checks
// no signature: whoever opens such a message loses it, and says so.
//
// It is pure, and reads bytes from outside: depth and work are limited. The
// libraries for this format recurse as deep as the bytes say.
package cms

import (
	"bytes"
	"errors"
)

// Is tells whether a media type, in lower case and without parameters, is that
// of an S/MIME message in one body, signed or encrypted (RFC 8551, section 3.2),
// or its name of before the registration.
func Is(mediaType string) bool {
	return mediaType == "application/pkcs7-mime" || mediaType == "application/x-pkcs7-mime"
}

// ErrNotSigned tells of a body that is no signed message, but perhaps an
// encrypted one, or of one without its content.
var ErrNotSigned = errors.New("no signed message with its content")

// signedData is the type of a signed message (RFC 5652, section 5.1).
var signedData = []byte{0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 0x01, 0x07, 0x02}

// Tags of ASN.1.
const (
	tagOID         = 0x06
	tagOctets      = 0x04
	tagSequence    = 0x30
	tagExplicit    = 0xA0
	constructed    = 0x20
	indefiniteSize = 0x80
	maxDepth       = 8 // of values in values
)

// Content returns what was signed, a MIME entity, of a body of the type
// application/pkcs7-mime. The error is ErrNotSigned.
func Content(body []byte) ([]byte, error) {
	info := reader{rest: body}.enter(tagSequence) // ContentInfo, RFC 5652, section 3
	if !bytes.Equal(info.take(tagOID), signedData) {
		return nil, ErrNotSigned
	}
	signed := info.enter(tagExplicit).enter(tagSequence) // section 5.1
	signed.skip()                                        // version
	signed.skip()                                        // digestAlgorithms
	inner := signed.enter(tagSequence)                   // encapContentInfo, section 5.2
	inner.skip()                                         // eContentType
	explicit := inner.enter(tagExplicit)
	text, ok := explicit.octets(0)
	if !ok || explicit.failed {
		return nil, ErrNotSigned
	}
	return text, nil
}

// A reader takes values of ASN.1 from bytes, in BER. What fails once stays
// failed and empty.
type reader struct {
	rest   []byte
	failed bool
}

// enter takes the next value, which has a tag, and returns a reader of what is
// in it.
func (r reader) enter(tag byte) reader {
	got, in, _, ok := value(r.rest, 0)
	if !ok || got != tag {
		return reader{failed: true}
	}
	return reader{rest: in}
}

// take takes the next value, which has a tag.
func (r *reader) take(tag byte) []byte {
	got, in, rest, ok := value(r.rest, 0)
	if !ok || got != tag {
		*r = reader{failed: true}
		return nil
	}
	r.rest = rest
	return in
}

// skip takes the next value.
func (r *reader) skip() {
	_, _, rest, ok := value(r.rest, 0)
	*r = reader{rest: rest, failed: r.failed || !ok}
}

// octets takes the next value, a string that may come in pieces.
func (r reader) octets(depth int) (all []byte, ok bool) {
	tag, in, _, ok := value(r.rest, 0)
	switch {
	case !ok || depth > maxDepth:
		return nil, false
	case tag == tagOctets:
		return in, true
	case tag != tagOctets|constructed:
		return nil, false
	}
	for pieces := in; len(pieces) > 0; {
		_, _, rest, ok := value(pieces, 0)
		if !ok {
			return nil, false
		}
		piece, ok := reader{rest: pieces[:len(pieces)-len(rest)]}.octets(depth + 1)
		if !ok {
			return nil, false
		}
		all, pieces = append(all, piece...), rest
	}
	return all, true
}

// value takes the first value from bytes: its tag, what is in it, and what is
// behind it.
func value(b []byte, depth int) (tag byte, in, rest []byte, ok bool) {
	if len(b) < 2 || b[0]&0x1F == 0x1F || depth > maxDepth { // tags of several bytes are not used here
		return 0, nil, nil, false
	}
	tag, size, b := b[0], int(b[1]), b[2:]
	switch {
	case size == indefiniteSize:
		in, rest, ok = unsized(b, depth+1)
		return tag, in, rest, ok && tag&constructed != 0
	case size > indefiniteSize:
		if size, b, ok = length(b, size-indefiniteSize); !ok {
			return 0, nil, nil, false
		}
	}
	if size < 0 || size > len(b) {
		return 0, nil, nil, false
	}
	return tag, b[:size], b[size:], true
}

// length reads a length of n bytes.
func length(b []byte, n int) (size int, rest []byte, ok bool) {
	if n > 4 || n > len(b) {
		return 0, nil, false
	}
	for _, c := range b[:n] {
		size = size<<8 | int(c)
	}
	return size, b[n:], true
}

// unsized splits bytes at the two zeros that end a value without a length.
func unsized(b []byte, depth int) (in, rest []byte, ok bool) {
	for at := b; len(at) >= 2; {
		if at[0] == 0 && at[1] == 0 {
			return b[:len(b)-len(at)], at[2:], true
		}
		if _, _, at, ok = value(at, depth); !ok {
			return nil, nil, false
		}
	}
	return nil, nil, false
}
