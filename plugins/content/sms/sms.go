// Package sms reads application/vnd.3gpp.sms, by which phones send and receive
// short messages over IMS (3GPP TS 24.341): an RP-DATA of TS 24.011 that holds
// an SMS-SUBMIT or an SMS-DELIVER of TS 23.040. It builds the RP-ACK and
// RP-ERROR that answer them.
//
// It is pure, and reads bytes from outside: nothing here panics, and what is
// cut short or contradicts itself is an error.
package sms

import (
	"errors"
	"fmt"
	"time"

	"parley.im/plugins/content"
)

// MediaType is that of the bodies.
const MediaType = "application/vnd.3gpp.sms"

// ErrMalformed tells of a body that is no message of this kind.
var ErrMalformed = errors.New("sms: malformed")

// What reading can lose.
const (
	Binary     content.Loss = "8-bit data as text"
	Compressed content.Loss = "compressed text not shown"
	Language   content.Loss = "characters of a national language table replaced"
	Invalid    content.Loss = "characters without meaning replaced"
)

// A Kind says what a body is.
type Kind uint8

// The kinds.
const (
	Submit   Kind = iota + 1 // a phone sends a message: RP-DATA with SMS-SUBMIT
	Deliver                  // a phone is sent a message: RP-DATA with SMS-DELIVER
	Accepted                 // RP-ACK
	Refused                  // RP-ERROR
	Ready                    // RP-SMMA: a phone has memory again
)

// A Message is a body of MediaType.
type Message struct {
	Kind      Kind
	FromPhone bool // the direction: from a phone to the network
	Reference byte // RP-Message-Reference, which an answer repeats
	Cause     byte // of Refused: RP-Cause (TS 24.011, section 8.2.5.4)

	Center string    // the service centre, "+4917…", or ""
	Peer   string    // to whom a Submit goes, from whom a Deliver comes: a number, "+…" when it is international, or a name
	Number byte      // of Submit: TP-Message-Reference
	Time   time.Time // of Deliver: when the service centre had it
	Report bool      // the sender wants to be told of the outcome
	Text   string    // the words, clean; of one part only when Part.Of is not 0
	Part   Part
	Losses content.Losses

	// Alphabet and Data are what Text was read from: septets, one a byte,
	// octets, or UTF-16 in big-endian order. Join needs them.
	Alphabet Alphabet
	Data     []byte
}

// A Part says which part of a longer message a message is (TS 23.040, section
// 9.2.3.24.1). The zero Part is no part.
type Part struct {
	Reference uint16 // the same in all parts from one sender
	Number    byte   // from 1
	Of        byte   // how many there are
}

// Parse reads a body.
func Parse(body []byte) (Message, error) {
	r := reader{rest: body}
	kind := r.octet() & 7
	m := Message{FromPhone: kind%2 == 0, Reference: r.octet()}
	switch kind { // TS 24.011, table 8.3
	case 0, 1:
		m.data(&r)
	case 2, 3:
		m.Kind = Accepted
	case 4, 5:
		m.Kind = Refused
		if cause := r.counted(); len(cause) > 0 {
			m.Cause = cause[0] & 0x7F
		} else {
			r.fail("no cause")
		}
	case 6:
		m.Kind = Ready
	default:
		r.fail("message type 7")
	}
	if r.err != nil {
		return Message{}, r.err
	}
	return m, nil
}

// data reads an RP-DATA (TS 24.011, section 7.3.1).
func (m *Message) data(r *reader) {
	from, to := r.counted(), r.counted()
	if !m.FromPhone {
		to = from
	}
	m.Center = center(to)
	t := reader{rest: r.counted()}
	if r.err == nil {
		m.transfer(&t)
		r.err = t.err
	}
}

// A reader takes a body apart. After the first mistake it gives zeros.
type reader struct {
	rest []byte
	err  error
}

func (r *reader) fail(why string) {
	if r.err == nil {
		r.err = fmt.Errorf("%w: %s", ErrMalformed, why)
	}
	r.rest = nil
}

func (r *reader) octets(n int) []byte {
	if n > len(r.rest) {
		r.fail("it ends too early")
		return make([]byte, n)
	}
	b := r.rest[:n]
	r.rest = r.rest[n:]
	return b
}

func (r *reader) octet() byte { return r.octets(1)[0] }

// counted reads as many octets as the first one says.
func (r *reader) counted() []byte { return r.octets(int(r.octet())) }
