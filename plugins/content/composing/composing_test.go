package composing

import (
	"strings"
	"testing"
	"time"
)

const document = `<?xml version="1.0" encoding="UTF-8"?>
<isComposing xmlns="urn:ietf:params:xml:ns:im-iscomposing" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">
  <state>active</state><contenttype>text/plain</contenttype><refresh>90</refresh><x:odd xmlns:x="urn:x"/>
</isComposing>`

func TestParse(t *testing.T) {
	for name, tc := range map[string]struct {
		text string
		want State
	}{
		"active":                   {document, State{true, 90 * time.Second}},
		"idle":                     {strings.Replace(document, "active", "idle", 1), State{}},
		"a state of tomorrow":      {strings.Replace(document, "active", "yawning", 1), State{}},
		"no refresh":               {strings.Replace(document, "<refresh>90</refresh>", "", 1), State{true, Refresh}},
		"a refresh that is short":  {strings.Replace(document, "90", "5", 1), State{true, MinRefresh}},
		"a refresh that is a word": {strings.Replace(document, "90", "soon", 1), State{true, Refresh}},
	} {
		if got, err := Parse([]byte(tc.text)); got != tc.want || err != nil {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
	for name, text := range map[string]string{
		"nothing":         "",
		"no name space":   strings.Replace(document, ` xmlns="urn:ietf:params:xml:ns:im-iscomposing"`, "", 1),
		"no state":        strings.Replace(document, "<state>active</state>", "", 1),
		"another element": `<imdn xmlns="urn:ietf:params:xml:ns:im-iscomposing"/>`,
		"a document type": `<!DOCTYPE x [<!ENTITY a "active">]>` + document[strings.Index(document, "<isC"):],
		"cut off":         document[:len(document)-4],
	} {
		if got, err := Parse([]byte(text)); err == nil {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

func TestWhatIsWrittenIsReadAgain(t *testing.T) {
	for _, s := range []State{{}, {true, Refresh}, {true, 5 * time.Minute}} {
		if got, err := Parse(s.XML("text/plain; x=\"<\"")); got != s || err != nil {
			t.Errorf("%+v became %+v, %v", s, got, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(document))
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := Parse(data)
		if err != nil {
			return
		}
		if again, err := Parse(s.XML("text/plain")); again != s || err != nil {
			t.Fatalf("%+v became %+v, %v", s, again, err)
		}
	})
}
