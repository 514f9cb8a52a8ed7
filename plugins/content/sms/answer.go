package sms

import "time"

// The causes of an RP-ERROR (TS 24.011, section 8.2.5.4).
const (
	Unassigned  byte = 1   // the number is nobody's
	Barred      byte = 10  // the sender may not send there
	Unreachable byte = 27  // the recipient is out of service
	OutOfOrder  byte = 38  // the network is; try later
	Congestion  byte = 42  // too much at once; try later
	NotRead     byte = 96  // what has to be there is not
	Internal    byte = 111 // protocol error, unspecified
)

// userData begins the TPDU in an answer (TS 24.011, section 8.2.5.3).
const userData = 0x41

// Ack returns the RP-ACK that answers m, which is a Submit or a Deliver: the
// message has been taken. The answer to a Submit says when (TS 23.040, sections
// 9.2.2.1a and 9.2.2.2a).
func (m Message) Ack(at time.Time) []byte {
	if m.Kind == Submit {
		return append([]byte{3, m.Reference, userData, 9, 1, 0}, putStamp(at)...)
	}
	return []byte{2, m.Reference, userData, 2, 0, 0}
}

// Refuse returns the RP-ERROR that answers m, which is a Submit or a Deliver.
func (m Message) Refuse(cause byte) []byte {
	kind := byte(5)
	if m.Kind == Deliver {
		kind = 4
	}
	return []byte{kind, m.Reference, 1, cause & 0x7F}
}
