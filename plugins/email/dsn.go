package email

import (
	"fmt"
	"mime"
	"strings"
	"time"

	"parley.im/bus/event"
)

// notice makes the delivery status notification (RFC 3464) that tells somebody
// that a mail of theirs failed. It is never answered and never comes back (RFC
// 3834, section 5; RFC 5321, section 4.5.5).
func (n names) notice(d event.Delivery, said wording) (outgoing, error) {
	m, h, err := n.begin(d)
	if err != nil {
		return m, err
	}
	root := ""
	if isToken(d.Anchor, tokenLength) {
		root = d.Anchor
	}
	h.SetDate(time.Now()) // what was sent at d.Sent is the mail that failed
	h.Set("From", mailboxOf("Parley", n.voice(d.Anchor)))
	h.SetSubject("Not delivered")
	h.Set("Auto-Submitted", "auto-replied")
	n.thread(h, root, d.InReplyTo)
	// RFC 6522, section 3. The mail that it is about is named by In-Reply-To and
	// not returned.
	body := plain(explained(d, said.text))
	m.data, err = several(h, "multipart/report", map[string]string{"report-type": "delivery-status"}, []piece{
		{"text/plain; charset=utf-8", encoding(body), body}, {"message/delivery-status", "7bit", n.deliveryStatus(d, said.text)},
	})
	return m, err
}

// voice is the address that speaks for a conversation, or for the bridge if
// the anchor is none of ours.
func (n names) voice(anchor string) string {
	if !isToken(anchor, tokenLength) {
		return n.local + "@" + n.host
	}
	return n.reply(n.local, anchor)
}

// explained is the part of a report that people read.
func explained(d event.Delivery, text string) string {
	when := ""
	if !d.Sent.IsZero() {
		when = " of " + d.Sent.Format(time.RFC1123Z)
	}
	return "Your message" + when + " was not delivered.\n\n" + text + "\n"
}

// deliveryStatus is the part of a report that machines read: a group of fields
// about the mail, and one about its recipient.
func (n names) deliveryStatus(d event.Delivery, text string) string {
	to, status := n.written(d), "5.0.0"
	if addr, err := fromMailto(d.Sender); err == nil { // a member of a room; the room itself is well
		to, status = addr, statusCode(strings.TrimPrefix(text, string(d.Sender)+": "))
	}
	return strings.Join([]string{
		"Reporting-MTA: dns; " + n.host,
		"",
		"Final-Recipient: " + typed(to),
		"Action: failed",
		"Status: " + status,
		"Diagnostic-Code: x-parley; " + mime.QEncoding.Encode("utf-8", words(text)),
		"",
	}, "\r\n")
}

// written is the address that the mail was sent to, as its native id tells.
func (n names) written(d event.Delivery) string {
	_, addr, _ := strings.Cut(d.InReplyTo, " ")
	local, _, _ := splitAddress(addr)
	if r, ok := n.read(addr); ok && r.kind != kindBounce && isDotAtom(local) {
		return local + "@" + n.host
	}
	return n.voice(d.Anchor)
}

// statusCode returns the first enhanced status code of a failure in what a mail
// server has said (RFC 3463), or that nothing more is known.
func statusCode(said string) string {
	for word := range strings.FieldsSeq(said) {
		if word = strings.Trim(word, "(),;:"); isFailureCode(word) {
			return word
		}
	}
	return "5.0.0"
}

// isFailureCode follows RFC 3463, section 2.
func isFailureCode(s string) bool {
	parts := strings.Split(s, ".")
	if len(parts) != 3 || parts[0] != "4" && parts[0] != "5" {
		return false
	}
	for _, p := range parts[1:] {
		if p == "" || len(p) > 3 || strings.Trim(p, "0123456789") != "" || p[0] == '0' && p != "0" {
			return false
		}
	}
	return true
}

// typed is an address with its type; one with letters beyond ASCII is written
// as RFC 6533, section 3, has it for reports in ASCII.
func typed(addr string) string {
	if isASCII(addr) {
		return "rfc822; " + addr
	}
	var b strings.Builder
	for _, r := range addr {
		if r > ' ' && r < 0x7f && !strings.ContainsRune(`+=\`, r) {
			b.WriteRune(r)
			continue
		}
		fmt.Fprintf(&b, `\x{%02X}`, r)
	}
	return "utf-8; " + b.String()
}
