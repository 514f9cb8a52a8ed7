package resourcelist

import (
	"slices"
	"strings"
	"testing"
)

const document = `<?xml version="1.0" encoding="UTF-8"?>
<resource-lists xmlns="urn:ietf:params:xml:ns:resource-lists" xmlns:cp="urn:ietf:params:xml:ns:copycontrol">
 <list><entry uri="sip:bill@example.com" cp:copyControl="to"/><entry uri="sip:joe@example.org"><display-name>Joe</display-name></entry>
 <list name="more"><entry uri=" sip:ted@example.net "/><entry uri="sip:bill@example.com"/></list><cp:odd/></list></resource-lists>`

func TestParse(t *testing.T) {
	got, err := Parse([]byte(document))
	if want := []string{"sip:bill@example.com", "sip:joe@example.org", "sip:ted@example.net"}; err != nil || !slices.Equal(got, want) {
		t.Errorf("%q, %v", got, err)
	}
	for name, text := range map[string]string{
		"nothing": "", "another element": "<list/>",
		"no name space":    strings.Replace(document, ` xmlns="urn:ietf:params:xml:ns:resource-lists"`, "", 1),
		"an empty entry":   strings.Replace(document, "sip:joe@example.org", " ", 1),
		"a list elsewhere": strings.Replace(document, "<cp:odd/>", `<external anchor="http://x"/>`, 1),
		"a document type":  "<!DOCTYPE x>" + document[strings.Index(document, "<res"):],
	} {
		if got, err := Parse([]byte(text)); err == nil {
			t.Errorf("%s: %q", name, got)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(document))
	f.Fuzz(func(t *testing.T, data []byte) {
		list, err := Parse(data)
		if err == nil && slices.Contains(list, "") {
			t.Fatalf("%q", list)
		}
	})
}
