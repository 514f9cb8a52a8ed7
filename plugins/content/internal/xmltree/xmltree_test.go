package xmltree

import (
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	root, err := Parse([]byte(`<?xml version="1.0"?><!-- c --><a xmlns="urn:x" k="v"> one <b>two</b><c><d>three</d></c></a>`))
	if err != nil || root.Name != "a" || root.Space != "urn:x" || root.Attr["k"] != "v" || root.Text != "one" ||
		root.Child("b").Text != "two" || root.Child("none").Text != "" || root.Find("d").Text != "three" || root.Find("none") != nil {
		t.Errorf("%+v, %v", root, err)
	}
	deep := strings.Repeat("<a>", MaxDepth+1) + strings.Repeat("</a>", MaxDepth+1)
	for name, text := range map[string]string{
		"nothing": "", "only words": "hello", "a document type": "<!DOCTYPE a><a/>", "an entity": "<a>&b;</a>", "two roots": "<a/><b/>",
		"deep": deep, "many": "<a>" + strings.Repeat("<b/>", MaxElements) + "</a>", "large": "<a>" + strings.Repeat("x", MaxSize) + "</a>",
		"cut off": "<a><b>", "crossed": "<a><b></a></b>", "no UTF-8": "<a>\xff</a>",
	} {
		if got, err := Parse([]byte(text)); err == nil {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

func TestEscapedTextIsReadAgain(t *testing.T) {
	for _, s := range []string{`<&>"'`, "a]]>b", "ü"} {
		if root, err := Parse([]byte(`<a k="` + Escape(s) + `">` + Escape(s) + `</a>`)); err != nil || root.Text != s || root.Attr["k"] != s {
			t.Errorf("%q: %+v, %v", s, root, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(`<a k="v">x<b/></a>`))
	f.Fuzz(func(_ *testing.T, data []byte) { _, _ = Parse(data) })
}
