package sms

import (
	"parley.im/plugins/content/text"
)

// center reads the address of an RP-DATA: its type, and digits (TS 24.011,
// section 8.2.5.1).
func center(b []byte) string {
	if len(b) < 2 {
		return ""
	}
	return number(b[0], b[1:], 2*len(b[1:]))
}

// peer reads TP-OA or TP-DA (TS 23.040, section 9.1.2.5): how many half octets
// its value has, its type, and the value, which may be a name.
func peer(r *reader) string {
	n := int(r.octet())
	if n > 20 {
		r.fail("an address of more than 20 digits")
		return ""
	}
	kind := r.octet()
	value := r.octets((n + 1) / 2)
	if r.err == nil && kind>>4&7 == 5 {
		return text.Line(fromGSM(unpack(value, n*4/7)))
	}
	return number(kind, value, n)
}

// number reads n digits, the lower half of each octet first. An international
// number begins with "+".
func number(kind byte, b []byte, n int) string {
	const digits = "0123456789*#abc"
	out := make([]byte, 0, n+1)
	if kind>>4&7 == 1 {
		out = append(out, '+')
	}
	for i := range n {
		d := b[i/2] >> (4 * (i % 2)) & 15
		if int(d) >= len(digits) {
			break
		}
		out = append(out, digits[d])
	}
	if string(out) == "+" {
		return ""
	}
	return string(out)
}
