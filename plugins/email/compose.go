package email

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"maps"
	"mime"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/emersion/go-message"
	"github.com/emersion/go-message/mail"

	"parley.im/bus/event"
)

// loopHeader marks what this bridge has sent; see letter.automatic.
const loopHeader = "X-Parley-Loop"

// maxWords bounds what becomes part of a header, in bytes.
const maxWords = 200

// A wording is what a mail says, in plain text and, if it has formats, as HTML.
type wording struct {
	text, html string
	sealed     event.Content // instead: a signed or encrypted body, which must stay as it is
}

// outgoing is a mail and its envelope.
type outgoing struct {
	id        string // of the delivery, for the log
	from      string // envelope sender; "" is the null reverse-path
	to        string
	messageID string
	delivered bool // the sender asked to be told of delivery
	utf8      bool // an address in it needs SMTPUTF8 (RFC 6531)
	data      []byte
	header    *mail.Header            // of data
	write     func(w io.Writer) error // instead of data, of a mail with files
	size      int64                   // of what write writes, about
}

// length is how large the mail is, about.
func (m outgoing) length() int64 { return max(m.size, int64(len(m.data))) }

// copyTo writes the mail.
func (m outgoing) copyTo(w io.Writer) error {
	if m.write != nil {
		return m.write(w)
	}
	_, err := w.Write(m.data)
	return err
}

// message makes the mail that a message becomes.
func (n names) message(d event.Delivery, said wording) (outgoing, error) {
	m, h, err := n.begin(d)
	if err != nil {
		return m, err
	}
	t := token(d)
	name := author(d)
	reply := n.reply(n.local, t)
	h.Set("From", mailboxOf(name, reply))
	local, direct := n.direct(d.From)
	if direct && d.Mode == event.ModeDirect {
		h.Set("From", mailboxOf(name, local+"@"+n.domain))
		if len(local)+1+len(t) <= maxLocal {
			reply = n.reply(local, t)
		}
		h.Set("Reply-To", mailboxOf(name, reply))
	}
	h.SetSubject(subject(d, t))
	m.from = n.bounce(d.ID)
	n.thread(h, t, d.InReplyTo)
	if d.Automatic {
		h.Set("Auto-Submitted", "auto-generated") // RFC 3834, section 5
	}
	for _, s := range d.Wants {
		m.delivered = m.delivered || s == event.Delivered
	}
	m.header = h
	m.data, err = finish(h, said)
	return m, err
}

// begin fills in what all mails have.
func (n names) begin(d event.Delivery) (outgoing, *mail.Header, error) {
	h := &mail.Header{}
	if !isToken(d.ID, idLength) {
		return outgoing{}, h, fmt.Errorf("the delivery's id %q can't be part of an address", d.ID)
	}
	to, err := fromMailto(d.Target)
	if err != nil {
		return outgoing{}, h, err
	}
	if n.owns(to) {
		return outgoing{}, h, errors.New("that address is the bridge's own")
	}
	date := d.Sent
	if date.IsZero() || date.After(time.Now()) {
		date = time.Now()
	}
	h.SetDate(date)
	h.Set("To", "<"+to+">")
	h.SetMessageID(n.messageID(d.ID))
	h.Set(loopHeader, n.host)
	h.Set("MIME-Version", "1.0")
	// RFC 5321, section 3.7.2: a gateway adds a trace of itself.
	h.Set("Received", fmt.Sprintf("from %s by %s (Parley) via SIP id %s; %s", n.host, n.host, d.ID, time.Now().Format(time.RFC1123Z)))
	return outgoing{id: d.ID, to: to, messageID: "<" + n.messageID(d.ID) + ">", utf8: !isASCII(to)}, h, nil
}

// thread refers to a mail that never was, the root of the conversation, so that
// clients show one thread; and to the mail that is answered, if it is known.
func (n names) thread(h *mail.Header, token, inReplyTo string) {
	var refs []string
	if token != "" {
		refs = append(refs, n.messageID(token))
	}
	if id := readMessageID(inReplyTo); id != "" {
		refs = append(refs, id)
	}
	if len(refs) == 0 {
		return
	}
	h.SetMsgIDList("References", refs)
	h.SetMsgIDList("In-Reply-To", refs[len(refs)-1:])
}

// author is the name shown beside an address that is always the bridge's own:
// writing in somebody else's domain would be forgery.
func author(d event.Delivery) string {
	for _, s := range []string{d.SenderName, d.FromName} {
		if s = words(s); s != "" {
			return s
		}
	}
	a := d.Sender
	if a == "" {
		a = d.From
	}
	return words(a.Rest())
}

// subject is the same for all mails of a thread that have no title of their
// own: some clients begin a new thread with a new subject.
func subject(d event.Delivery, token string) string {
	if t := words(d.Title); t != "" {
		return t
	}
	switch with := words(d.Correspondent.Rest()); {
	case with == "":
		return "Conversation " + token[:6]
	case d.Mode == event.ModeRoom:
		return with
	default:
		return "Message from " + with
	}
}

// mailboxOf writes a name, made by words, and an address for a header field
// (RFC 2047, section 5).
func mailboxOf(name, addr string) string {
	if name == "" {
		return "<" + addr + ">"
	}
	if !isASCII(name) {
		return mime.BEncoding.Encode("utf-8", name) + " <" + addr + ">"
	}
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(name) + `" <` + addr + ">"
}

// words makes hostile text fit for a header: one line of limited length
// without controls and invisible direction marks.
func words(s string) string {
	s = strings.Map(func(r rune) rune {
		switch {
		case unicode.IsSpace(r):
			return ' '
		case unicode.IsControl(r), unicode.Is(unicode.Bidi_Control, r), r == utf8.RuneError:
			return -1
		}
		return r
	}, s)
	s = strings.ReplaceAll(strings.Join(strings.Fields(s), " "), "=?", "= ?") // nor a word for a reader to decode
	if len(s) <= maxWords {
		return s
	}
	end := maxWords
	for end > 0 && !utf8.RuneStart(s[end]) {
		end--
	}
	return s[:end] + "…"
}

// plain makes a body of lines that every mail server takes.
func plain(text string) string {
	text = strings.ToValidUTF8(text, "\uFFFD")
	text = strings.ReplaceAll(strings.ReplaceAll(text, "\r\n", "\n"), "\r", "\n")
	text = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) && r != '\n' && r != '\t' {
			return -1
		}
		return r
	}, text)
	return strings.ReplaceAll(text, "\n", "\r\n")
}

// encoding returns the plainest transfer encoding that changes nothing.
func encoding(body string) string {
	for line := range strings.SplitSeq(body, "\r\n") {
		// Mailboxes and relays change the beginning "From ", and blanks at the end.
		if len(line) > 900 || strings.HasPrefix(line, "From ") || strings.HasSuffix(line, " ") || strings.HasSuffix(line, "\t") {
			return "quoted-printable"
		}
	}
	if !isASCII(body) {
		return "quoted-printable"
	}
	return "7bit"
}

// finish writes the mail. One with formats has two forms (RFC 2046, section
// 5.1.4), the plain one first.
func finish(h *mail.Header, said wording) ([]byte, error) {
	if said.sealed.MediaType != "" {
		return seal(h, said.sealed)
	}
	body := plain(said.text)
	if said.html != "" {
		return several(h, "multipart/alternative", nil, said.pieces())
	}
	h.SetContentType("text/plain", map[string]string{"charset": "utf-8"})
	h.Set("Content-Transfer-Encoding", encoding(body))
	h.Set("Received", h.Get("Received")) // the trace stands above all else
	var b bytes.Buffer
	w, err := mail.CreateSingleInlineWriter(&b, *h)
	if err != nil {
		return nil, fmt.Errorf("write mail: %w", err)
	}
	if _, err := io.WriteString(w, body); err != nil {
		return nil, fmt.Errorf("write mail: %w", err)
	}
	if err := w.Close(); err != nil {
		return nil, fmt.Errorf("write mail: %w", err)
	}
	return b.Bytes(), nil
}

// pieces are the forms of a wording, the plain one first.
func (w wording) pieces() []piece {
	body := plain(w.text)
	list := []piece{{"text/plain; charset=utf-8", encoding(body), body}}
	if w.html != "" {
		list = append(list, piece{"text/html; charset=utf-8", "quoted-printable", page(w.html)})
	}
	return list
}

// page makes a document of a fragment.
func page(fragment string) string {
	return plain("<!DOCTYPE html>\n<html><head><meta charset=\"utf-8\"></head><body>\n" + fragment + "\n</body></html>\n")
}

// divide makes a mail one of several parts. The trace stays above all else.
func divide(h *mail.Header, kind string, params map[string]string) {
	params = maps.Clone(params)
	if params == nil {
		params = map[string]string{}
	}
	params["boundary"] = rand.Text()
	h.SetContentType(kind, params)
	h.Set("Received", h.Get("Received"))
}

// A piece is one part of a mail.
type piece struct{ kind, transfer, body string }

// several writes a mail of several parts.
func several(h *mail.Header, kind string, params map[string]string, pieces []piece) ([]byte, error) {
	divide(h, kind, params)
	var b bytes.Buffer
	w, err := message.CreateWriter(&b, h.Header)
	if err != nil {
		return nil, fmt.Errorf("write mail: %w", err)
	}
	for _, p := range pieces {
		if err := part(w, p); err != nil {
			return nil, err
		}
	}
	if err := w.Close(); err != nil {
		return nil, fmt.Errorf("write mail: %w", err)
	}
	return b.Bytes(), nil
}

func part(w *message.Writer, piece piece) error {
	var h message.Header
	h.Set("Content-Transfer-Encoding", piece.transfer)
	h.Set("Content-Type", piece.kind)
	p, err := w.CreatePart(h)
	if err != nil {
		return fmt.Errorf("write part: %w", err)
	}
	if _, err := io.WriteString(p, piece.body); err != nil {
		return fmt.Errorf("write part: %w", err)
	}
	if err := p.Close(); err != nil {
		return fmt.Errorf("write part: %w", err)
	}
	return nil
}

// readMessageID returns the first message id in s without its brackets, "" if
// there is none that could go into a header.
func readMessageID(s string) string {
	s, _, _ = strings.Cut(strings.TrimSpace(s), " ")
	s = strings.TrimSuffix(strings.TrimPrefix(s, "<"), ">")
	left, right, ok := cutLast(s, "@")
	if !ok || len(s) > 900 || !isMessageAtom(left) || !isMessageAtom(right) {
		return ""
	}
	return s
}

// isMessageAtom is laxer than RFC 5322 about dots, and takes no quotes.
func isMessageAtom(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] >= 0x7f || strings.IndexByte(`<>@()\",`, s[i]) >= 0 {
			return false
		}
	}
	return s != ""
}
