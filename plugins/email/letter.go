package email

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"mime"
	"net/mail"
	"strings"
	"time"

	"golang.org/x/net/html/charset"

	"parley.im/plugins/content/text"
)

// maxReceived is how many servers a mail may have passed (RFC 5321, section
// 6.3).
const maxReceived = 50

// field is one header field of a mail: its name in lower case, its value
// unfolded and otherwise as it came.
type field struct{ name, value string }

// letter is a mail that came in, with its header read and its body not yet.
type letter struct {
	raw    []byte
	header []field // in the order of the mail, topmost first
	body   []byte
}

// readLetter never fails: what is no header field is left out of the header.
func readLetter(raw []byte) *letter {
	l := &letter{raw: raw}
	rest := raw
	for len(rest) > 0 {
		line, after, _ := bytes.Cut(rest, []byte("\n"))
		line = bytes.TrimSuffix(line, []byte("\r"))
		rest = after
		if len(line) == 0 {
			break
		}
		l.addLine(string(line))
	}
	l.body = rest
	return l
}

// addLine adds a line of the header. A line without a field name says nothing,
// and continues nothing unless it is indented.
func (l *letter) addLine(line string) {
	if line[0] == ' ' || line[0] == '\t' {
		if n := len(l.header); n > 0 {
			l.header[n-1].value += " " + strings.TrimSpace(line)
		}
		return
	}
	name, value, ok := strings.Cut(line, ":")
	name = strings.TrimRight(name, " \t")
	if !ok || !isFieldName(name) {
		l.header = append(l.header, field{}) // takes the continuations with it
		return
	}
	l.header = append(l.header, field{strings.ToLower(name), strings.TrimSpace(value)})
}

// isFieldName follows RFC 5322, section 3.6.8.
func isFieldName(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] >= 0x7f {
			return false
		}
	}
	return s != ""
}

// get returns the topmost field of a name, undecoded.
func (l *letter) get(name string) string {
	for _, f := range l.header {
		if f.name == name {
			return f.value
		}
	}
	return ""
}

func (l *letter) all(name string) (values []string) {
	for _, f := range l.header {
		if f.name == name {
			values = append(values, f.value)
		}
	}
	return values
}

// subject is the title of the mail as people read it.
func (l *letter) subject() string { return words(decodeWords(l.get("subject"))) }

// sent is when the mail says it was written; zero when it does not say, or
// says what cannot be.
func (l *letter) sent() time.Time {
	t, err := mail.ParseDate(l.get("date"))
	if err != nil || t.After(time.Now().Add(24*time.Hour)) || t.Year() < 1980 {
		return time.Time{}
	}
	return t
}

// tooFar tells whether the mail goes round in circles.
func (l *letter) tooFar() bool { return len(l.all("received")) > maxReceived }

// from returns who wrote the mail: exactly one address in exactly one From.
func (l *letter) from() (address, name string, err error) {
	all := l.all("from")
	if len(all) != 1 {
		return "", "", fmt.Errorf("the mail has %d From fields; one is needed", len(all))
	}
	list, err := parseAddresses(all[0])
	if err != nil || len(list) != 1 {
		return "", "", errors.New("the mail's From field is not one address")
	}
	return list[0].Address, words(list[0].Name), nil
}

// messageID is the mail's own id, or one made of what the mail says, which is
// the same when a server sends it again.
func (l *letter) messageID() string {
	if id := readMessageID(l.get("message-id")); id != "" && len(id) <= 250 {
		return "<" + id + ">"
	}
	h := sha256.New()
	for _, name := range []string{"message-id", "from", "to", "date", "subject"} {
		fmt.Fprintf(h, "%s:%q\n", name, l.all(name))
	}
	h.Write(l.body)
	return "<" + hex.EncodeToString(h.Sum(nil)[:20]) + "@no-message-id>"
}

// isReply tells whether the mail says that it answers one.
func (l *letter) isReply() bool { return l.get("in-reply-to") != "" || l.get("references") != "" }

// clean is the mail with a header that parsers understand.
func (l *letter) clean() []byte {
	var b bytes.Buffer
	for _, f := range l.header {
		if f.name == "content-type" || strings.HasPrefix(f.name, "content-") || f.name == "mime-version" {
			fmt.Fprintf(&b, "%s: %s\r\n", f.name, f.value)
		}
	}
	b.WriteString("\r\n")
	b.Write(l.body)
	return b.Bytes()
}

// parseAddresses reads a list of addresses, also one with raw Latin-1 in it.
func parseAddresses(s string) ([]*mail.Address, error) {
	p := mail.AddressParser{WordDecoder: decoder()}
	list, err := p.ParseList(toUTF8(s))
	if err != nil {
		return nil, err
	}
	for _, a := range list {
		a.Address = strings.TrimSpace(a.Address)
	}
	return list, nil
}

func decodeWords(s string) string {
	s = toUTF8(s)
	if d, err := decoder().DecodeHeader(s); err == nil {
		return d
	}
	return s
}

func decoder() *mime.WordDecoder { return &mime.WordDecoder{CharsetReader: charset.NewReaderLabel} }

// toUTF8 takes bytes that are not UTF-8 for Windows-1252, as most are.
func toUTF8(s string) string {
	if d := strings.ToValidUTF8(s, ""); d == s {
		return s
	}
	words, _ := text.Decode([]byte(s), "windows-1252")
	return words
}
