package transfer

import (
	"strings"
	"testing"
	"time"
)

// document is as phones write it, with a preview in front.
const document = `<?xml version="1.0" encoding="UTF-8"?>
<file xmlns="urn:gsma:params:xml:ns:rcs:rcs:fthttp">
<file-info type="thumbnail"><file-size>6208</file-size><content-type>image/jpeg</content-type><data url="https://f.example/t"/></file-info>
<file-info type="file"><file-size>183524</file-size><file-name>a &amp; b.jpg</file-name><content-type>image/jpeg</content-type>
<data url="https://f.example/1?a=1&amp;b=2" until="2026-01-09T04:04:05+01:00"/></file-info></file>`

func TestParse(t *testing.T) {
	got, err := Parse([]byte(document))
	want := File{"a & b.jpg", "image/jpeg", 183524, "https://f.example/1?a=1&b=2", time.Date(2026, 1, 9, 3, 4, 5, 0, time.UTC)}
	if err != nil || len(got) != 1 || got[0] != want {
		t.Errorf("%+v, %v", got, err)
	}
	for name, text := range map[string]string{
		"nothing":         "",
		"another element": "<imdn/>",
		"only a preview":  strings.Replace(document, `type="file"`, `type="thumbnail"`, 1),
		"no address":      strings.ReplaceAll(document, "url=", "uri="),
		"a document type": "<!DOCTYPE file>" + document[strings.Index(document, "<file "):],
	} {
		if got, err := Parse([]byte(text)); err == nil {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(document))
	f.Fuzz(func(t *testing.T, data []byte) {
		list, err := Parse(data)
		if err != nil {
			return
		}
		for _, one := range list {
			again, err := Parse(one.XML())
			if err != nil || len(again) != 1 || again[0].URL != one.URL || again[0].Size != one.Size {
				t.Fatalf("%+v became %+v, %v", one, again, err)
			}
		}
	})
}
