package sms

import (
	"encoding/binary"
	"time"
)

// transfer reads the TPDU within an RP-DATA (TS 23.040, sections 9.2.2.1 and
// 9.2.2.2).
func (m *Message) transfer(r *reader) {
	first := r.octet()
	switch kind := first & 3; {
	case kind == 1 && m.FromPhone:
		m.Kind = Submit
		m.Number = r.octet()
		m.Report = first&0x20 != 0
	case kind == 0 && !m.FromPhone:
		m.Kind = Deliver
		m.Report = first&0x20 != 0
	default:
		r.fail("neither SMS-SUBMIT nor SMS-DELIVER")
		return
	}
	m.Peer = peer(r)
	r.octet() // TP-PID: what it is for; text is shown whatever it says
	coding := r.octet()
	if m.Kind == Deliver {
		m.Time = stamp(r.octets(7))
	} else {
		r.octets([]int{0, 7, 1, 7}[first>>3&3]) // TP-VP, of the format in TP-VPF
	}
	alphabet, compressed := codingOf(coding)
	m.Alphabet = alphabet
	m.userData(r, first&0x40 != 0, compressed)
}

// codingOf reads TP-DCS (TS 23.038, section 4). What is reserved is the default
// alphabet.
func codingOf(c byte) (a Alphabet, compressed bool) {
	switch {
	case c < 0x80: // general data coding, with or without automatic deletion
		return []Alphabet{GSM, Octets, UCS2, GSM}[c>>2&3], c&0x20 != 0
	case c >= 0xE0 && c < 0xF0: // a message waits, in UCS2
		return UCS2, false
	case c >= 0xF0 && c&4 != 0:
		return Octets, false
	}
	return GSM, false
}

// userData reads TP-UDL and TP-UD (TS 23.040, sections 9.2.3.16 and 9.2.3.24).
func (m *Message) userData(r *reader, headed, compressed bool) {
	length := int(r.octet()) // in septets or octets
	size := length
	if m.Alphabet == GSM && !compressed {
		size = (length*7 + 7) / 8
	}
	data := r.octets(size)
	if r.err != nil {
		return
	}
	skip := 0
	if headed {
		h := reader{rest: data}
		header := h.counted()
		if h.err != nil {
			r.err = h.err
			return
		}
		m.header(header)
		skip = len(header) + 1
	}
	switch {
	case compressed:
		m.Losses.Add(Compressed)
		m.Data = data[skip:]
		return
	case m.Alphabet == GSM:
		before := (skip*8 + 6) / 7 // septets that the header takes
		if before > length {
			r.fail("the header is longer than the message")
			return
		}
		m.Data = unpack(data, length)[before:]
	default:
		m.Data = data[skip:]
	}
	text, losses := decode(m.Alphabet, m.Data)
	m.Text = text
	m.Losses.Add(losses...)
}

// header reads the elements of a TP-UD header. Those of no interest, and those
// that are cut short, are passed over.
func (m *Message) header(h []byte) {
	r := reader{rest: h}
	for len(r.rest) > 0 {
		id := r.octet()
		v := r.counted()
		if r.err != nil {
			return
		}
		switch {
		case id == 0x00 && len(v) == 3:
			m.part(uint16(v[0]), v[1], v[2])
		case id == 0x08 && len(v) == 4:
			m.part(binary.BigEndian.Uint16(v), v[2], v[3])
		case id == 0x24 || id == 0x25:
			m.Losses.Add(Language)
		}
	}
}

// part notes which part it is. What can't be is ignored, as the standard says.
func (m *Message) part(reference uint16, of, number byte) {
	if number > 0 && number <= of {
		m.Part = Part{Reference: reference, Number: number, Of: of}
	}
}

// stamp reads TP-SCTS: digits in pairs, the lower first, and the distance from
// UTC in quarters of an hour (TS 23.040, section 9.2.3.11). A time that can't
// be is the zero time.
func stamp(b []byte) time.Time {
	var v [6]int
	for i := range v {
		low, high := int(b[i]&15), int(b[i]>>4)
		if low > 9 || high > 9 {
			return time.Time{}
		}
		v[i] = low*10 + high
	}
	quarters := int(b[6]&7)*10 + int(b[6]>>4)
	if b[6]&8 != 0 {
		quarters = -quarters
	}
	zone := time.FixedZone("", quarters*15*60)
	t := time.Date(2000+v[0], time.Month(v[1]), v[2], v[3], v[4], v[5], 0, zone)
	if v[1] < 1 || int(t.Month()) != v[1] || t.Day() != v[2] || t.Hour() != v[3] || t.Minute() != v[4] {
		return time.Time{}
	}
	return t
}

// putStamp is the reverse of stamp.
func putStamp(t time.Time) []byte {
	_, offset := t.Zone()
	quarters, sign := offset/(15*60), byte(0)
	if quarters < 0 {
		quarters, sign = -quarters, 8
	}
	b := make([]byte, 0, 7)
	for _, v := range []int{t.Year() % 100, int(t.Month()), t.Day(), t.Hour(), t.Minute(), t.Second(), quarters} {
		b = append(b, byte(v%10<<4|v/10))
	}
	b[6] |= sign
	return b
}
