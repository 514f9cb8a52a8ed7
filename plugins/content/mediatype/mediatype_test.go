package mediatype

import (
	"maps"
	"testing"
	"unicode/utf8"
)

func TestParse(t *testing.T) {
	type params = map[string]string
	for _, tc := range []struct {
		raw, kind string
		params    params
	}{
		{"", "", nil},
		{"Text/Plain", "text/plain", nil},
		{`text/plain; charset="UTF-8"; Format=flowed`, "text/plain", params{"charset": "UTF-8", "format": "flowed"}},
		{"text/plain; charset=iso-8859-1; name=my file.txt", "text/plain", params{"charset": "iso-8859-1", "name": "my file.txt"}},
		{"multipart/mixed; boundary=----=_Part_1; x", "multipart/mixed", params{"boundary": "----=_Part_1", "x": ""}},
		{`attachment; filename="a;b \"c\".txt"; size=3=`, "attachment", params{"filename": `a;b "c".txt`, "size": "3="}},
		{`attachment; filename="open; x=1`, "attachment", params{"filename": "open", "x": "1"}},
		{"attachment; filename*=utf-8''K%C3%B6ln.pdf", "attachment", params{"filename": "Köln.pdf"}},
		{"attachment; filename*=iso-8859-1'de'K%F6ln.pdf", "attachment", params{"filename": "Köln.pdf"}},
		{"attachment; filename*=iso-8859-1''%zz", "attachment", params{"filename": "iso-8859-1''%zz"}},
		{`attachment; filename="=?ISO-2022-JP?B?GyRCRnxLXBsoQg==?="`, "attachment", params{"filename": "日本"}},
		{`attachment; filename="=?windows-1252?Q?K=F6ln.pdf?="`, "attachment", params{"filename": "Köln.pdf"}},
		{"text/html charset=utf-8", "text/html", params{}},
		{"text/plain; charset=iso-8859-1 (Latin 1)", "text/plain", params{"charset": "iso-8859-1"}},
		{`multipart/mixed; boundary="=?us-ascii?q?abc?="`, "multipart/mixed", params{"boundary": "=?us-ascii?q?abc?="}},
		{"attachment; filename=K\xf6ln.pdf", "attachment", params{"filename": "K\uFFFDln.pdf"}},
		{";;;=;", "", params{}},
	} {
		kind, got := Parse(tc.raw)
		if kind != tc.kind || !maps.Equal(got, tc.params) {
			t.Errorf("%q: %q %q, want %q %q", tc.raw, kind, got, tc.kind, tc.params)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(`attachment; filename*=utf-8''x; a="b;\"`)
	f.Add("multipart/mixed; boundary=a=b; =?utf-8?q?x?=")
	f.Fuzz(func(t *testing.T, raw string) {
		_, params := Parse(raw)
		if len(params) > maxParams && len(raw) < 2*maxParams {
			t.Fatalf("%d parameters", len(params))
		}
		for name, value := range params {
			if utf8.ValidString(raw) && !utf8.ValidString(value) || len(value) > 3*len(raw) {
				t.Fatalf("%q is %q in %q", name, value, raw)
			}
		}
	})
}
