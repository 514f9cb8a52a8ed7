package mapping

import (
	"strings"
	"testing"
)

func TestContacts(t *testing.T) {
	for name, tc := range map[string]struct{ typ, card, want string }{
		"version 4": {"text/vcard", "BEGIN:VCARD\nVERSION:4.0\nFN:Zoë\\, M.D.\nTEL;VALUE=uri;TYPE=cell:tel:+43-1-234\nORG:Clinic;Second Floor\nEND:VCARD\n",
			"Contact: Zoë, M.D.\nOrganization: Clinic, Second Floor\nTelephone: +43-1-234"},
		"version 3, folded": {"text/x-vcard; charset=utf-8", "BEGIN:VCARD\nVERSION:3.0\nN:Lee;Ann;;;\nEMAIL:ann@exam\n ple.com\nEND:VCARD\n", "Contact: Ann Lee\nMail: ann@example.com"},
		"version 2.1, as telephones write it": {"text/x-vcard",
			"BEGIN:VCARD\nVERSION:2.1\nN;CHARSET=UTF-8;ENCODING=QUOTED-PRINTABLE:M=C3=BCller;J=C3=B6rg;;;\nFN;CHARSET=UTF-8;ENCODING=QUOTED-PRINTABLE:J=C3=B6rg =\nM=C3=BCller\nTEL;CELL:+431234\nEND:VCARD\n",
			"Contact: Jörg Müller\nTelephone: +431234"},
		"another charset": {"text/vcard; charset=iso-8859-1", "BEGIN:VCARD\nFN:J\xfcrgen\nEND:VCARD\n", "Contact: Jürgen"},
		"two of them":     {"text/vcard", "BEGIN:VCARD\nFN:Ann\nEND:VCARD\nBEGIN:VCARD\nFN:Bob\nURL:https://b.example/\nEND:VCARD\n", "Contact: Ann\n\nContact: Bob\nWeb: https://b.example/"},
		"hostile":         {"text/vcard", "BEGIN:VCARD\nFN:Ann\\nTelephone: 666\u202E\nEND:VCARD\n", "Contact: Ann Telephone: 666"},
	} {
		m := entity("Content-Type: " + tc.typ + "\n\n" + tc.card)
		out, _, err := Map(m, files)
		if got := string(out.Data); err != nil || got != tc.want || len(out.Files) != 1 || out.Files[0].Name != "file.vcf" {
			t.Errorf("%s: %q, %d files, %v; want %q", name, got, len(out.Files), err, tc.want)
		}
	}
	many := strings.Repeat("BEGIN:VCARD\nFN:Ann\nEND:VCARD\n", 2*maxContacts)
	out, _, err := Map(entity("Content-Type: text/vcard\n\n"+many), words)
	if n := strings.Count(string(out.Data), "Contact: Ann"); err != nil || n != maxContacts {
		t.Errorf("%d contacts, %v", n, err)
	}
}
