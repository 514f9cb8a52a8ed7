package mapping

import (
	"errors"
	"strings"

	"github.com/emersion/go-vcard"

	"parley.im/plugins/content"
	"parley.im/plugins/content/mediatype"
	"parley.im/plugins/content/text"
)

// Limits of what is shown of contacts; the whole of them goes along as a file.
const (
	maxContacts = 10
	maxLines    = 20
	maxCards    = 64 << 10 // bytes; of larger ones nothing is shown
)

// contact reads vCards (RFC 6350, and those of versions 2.1 and 3.0): who it is
// and how to reach them.
func contact(p part) (opening, error) {
	if len(p.body) > maxCards {
		return opening{}, errors.New("a large vCard")
	}
	if bare(p.mediaType) == "text/directory" && !strings.Contains(strings.ToLower(p.mediaType), "vcard") {
		return opening{}, errors.New("no vCard")
	}
	src, losses := text.Read(p.mediaType, p.body)
	d := vcard.NewDecoder(strings.NewReader(modern(src)))
	var cards []string
	for len(cards) < maxContacts {
		card, err := d.Decode()
		if err != nil {
			break
		}
		if words := shown(card); words != "" {
			cards = append(cards, words)
		}
	}
	if len(cards) == 0 {
		return opening{}, errors.New("nobody is named")
	}
	losses.Add(ContactAsText)
	return opening{words: strings.Join(cards, "\n\n"), whole: true, losses: losses}, nil
}

// shown is what people read of a contact, "" if nobody is named.
func shown(card vcard.Card) string {
	name := text.Line(card.PreferredValue(vcard.FieldFormattedName))
	if n := card.Name(); name == "" && n != nil {
		name = text.Line(n.GivenName + " " + n.FamilyName)
	}
	if name == "" {
		return ""
	}
	lines := []string{"Contact: " + name}
	for _, f := range []struct{ field, label string }{
		{vcard.FieldOrganization, "Organization"}, {vcard.FieldTitle, "Title"}, {vcard.FieldTelephone, "Telephone"},
		{vcard.FieldEmail, "Mail"}, {vcard.FieldIMPP, "Chat"}, {vcard.FieldURL, "Web"},
	} {
		for _, v := range card.Values(f.field) {
			v = strings.TrimPrefix(strings.ReplaceAll(v, ";", ", "), "tel:")
			if v = strings.Trim(text.Line(v), ", "); v != "" && len(lines) < maxLines {
				lines = append(lines, f.label+": "+v)
			}
		}
	}
	return strings.Join(lines, "\n")
}

// modern rewrites what version 2.1 of the format does in other ways than the
// later ones: parameters without names, and values in quoted-printable.
func modern(src string) string {
	if !strings.Contains(src, "VERSION:2.1") {
		return src
	}
	var out []string
	lines := strings.Split(src, "\n")
	for i := 0; i < len(lines); i++ {
		head, value, ok := strings.Cut(lines[i], ":")
		if !ok || strings.HasPrefix(head, " ") {
			out = append(out, lines[i]) // of a value that goes on
			continue
		}
		name, params := mediatype.Parse(head)
		if _, quoted := params["quoted-printable"]; quoted || strings.EqualFold(params["encoding"], "quoted-printable") {
			from := i
			for strings.HasSuffix(lines[i], "=") && i+1 < len(lines) { // goes on in the next line
				i++
			}
			b, _ := Decode("quoted-printable", []byte(strings.Join(append([]string{value}, lines[from+1:i+1]...), "\n")))
			value, _ = text.Decode(b, params["charset"])
		}
		out = append(out, name+":"+text.Line(value))
	}
	return strings.Join(out, "\n")
}

// ContactAsText says that a contact is shown as words.
const ContactAsText content.Loss = "contact as text"
