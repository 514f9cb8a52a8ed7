// Package xmltree reads small XML documents from outside into a tree: without
// document types, so that no entity stands for more than it is, and within
// limits of size, depth and number.
package xmltree

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strings"
)

// Limits of a document.
const (
	MaxSize     = 64 << 10 // bytes
	MaxDepth    = 16       // elements in one another
	MaxElements = 4096     // in all
)

// An Element is one with all that is in it.
type Element struct {
	Space, Name string
	Attr        map[string]string // by local name
	Text        string            // directly in it, without the spaces around it
	Children    []*Element
}

// Parse reads a document.
func Parse(data []byte) (*Element, error) {
	if len(data) > MaxSize {
		return nil, fmt.Errorf("%d bytes; at most %d are read", len(data), MaxSize)
	}
	r := reader{}
	d := xml.NewDecoder(bytes.NewReader(data))
	for {
		t, err := d.Token()
		switch {
		case errors.Is(err, io.EOF) && r.root != nil:
			return r.root, nil
		case errors.Is(err, io.EOF):
			return nil, errors.New("no element")
		case err != nil:
			return nil, err
		}
		if err := r.token(t); err != nil {
			return nil, err
		}
	}
}

type reader struct {
	root  *Element
	open  []*Element
	count int
}

func (r *reader) token(t xml.Token) error {
	switch t := t.(type) {
	case xml.Directive:
		return errors.New("a document type is not taken")
	case xml.StartElement:
		return r.begin(t)
	case xml.EndElement:
		last := r.open[len(r.open)-1]
		last.Text = strings.TrimSpace(last.Text)
		r.open = r.open[:len(r.open)-1]
	case xml.CharData:
		if len(r.open) > 0 {
			r.open[len(r.open)-1].Text += string(t)
		}
	}
	return nil
}

func (r *reader) begin(t xml.StartElement) error {
	e := &Element{Space: t.Name.Space, Name: t.Name.Local}
	for _, a := range t.Attr {
		if e.Attr == nil {
			e.Attr = map[string]string{}
		}
		e.Attr[a.Name.Local] = a.Value
	}
	r.count++
	switch {
	case len(r.open) == 0 && r.root != nil:
		return errors.New("a second document")
	case len(r.open) == MaxDepth:
		return fmt.Errorf("more than %d elements in one another", MaxDepth)
	case r.count > MaxElements:
		return fmt.Errorf("more than %d elements", MaxElements)
	case len(r.open) == 0:
		r.root = e
	default:
		parent := r.open[len(r.open)-1]
		parent.Children = append(parent.Children, e)
	}
	r.open = append(r.open, e)
	return nil
}

// Child returns the first element of a name in e, or an empty one.
func (e *Element) Child(name string) *Element {
	for _, c := range e.Children {
		if c.Name == name {
			return c
		}
	}
	return &Element{}
}

// Find returns the first element of a name in e or below it, nil if there is
// none.
func (e *Element) Find(name string) *Element {
	if e.Name == name {
		return e
	}
	for _, c := range e.Children {
		if f := c.Find(name); f != nil {
			return f
		}
	}
	return nil
}

// Escape returns text as it stands in an element or an attribute.
func Escape(s string) string {
	var b strings.Builder
	_ = xml.EscapeText(&b, []byte(s)) // into memory
	return b.String()
}
