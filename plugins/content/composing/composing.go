// Package composing reads and writes application/im-iscomposing+xml (RFC 3994),
// by which a device tells that somebody is writing.
//
// It is pure, and reads bytes from outside: nothing here panics, and what it
// takes is bounded.
package composing

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"parley.im/plugins/content/internal/xmltree"
)

// MediaType is that of such a document.
const MediaType = "application/im-iscomposing+xml"

const namespace = "urn:ietf:params:xml:ns:im-iscomposing"

// Times of RFC 3994, section 3.
const (
	Refresh    = 120 * time.Second // how long an active state holds that does not say
	MinRefresh = 60 * time.Second  // the shortest that may be asked for
	Idle       = 15 * time.Second  // without a key, until somebody counts as idle
)

// State says whether somebody is composing.
type State struct {
	Active  bool
	Refresh time.Duration // how long Active holds without another document; 0 when idle
}

// Parse reads a document. States that nobody knows are idle, as section 3.2
// asks; a refresh shorter than MinRefresh counts as that.
func Parse(data []byte) (State, error) {
	root, err := xmltree.Parse(data)
	if err != nil {
		return State{}, fmt.Errorf("iscomposing: %w", err)
	}
	if root.Name != "isComposing" || root.Space != namespace {
		return State{}, fmt.Errorf("iscomposing: element %.40q is not isComposing", root.Name)
	}
	state := root.Child("state").Text
	switch {
	case state == "":
		return State{}, errors.New("iscomposing: no state")
	case state != "active":
		return State{}, nil
	}
	s := State{Active: true, Refresh: Refresh}
	if n, err := strconv.ParseUint(root.Child("refresh").Text, 10, 31); err == nil && n > 0 {
		s.Refresh = max(time.Duration(n)*time.Second, MinRefresh)
	}
	return s, nil
}

// XML writes a document about content of a type, such as "text/plain".
func (s State) XML(contentType string) []byte {
	var b strings.Builder
	b.WriteString(`<?xml version="1.0" encoding="UTF-8"?>` + "\n" + `<isComposing xmlns="` + namespace + `"><state>`)
	if !s.Active {
		return []byte(b.String() + "idle</state><contenttype>" + xmltree.Escape(contentType) + "</contenttype></isComposing>")
	}
	refresh := s.Refresh
	if refresh == 0 {
		refresh = Refresh
	}
	fmt.Fprintf(&b, "active</state><contenttype>%s</contenttype><refresh>%d</refresh></isComposing>",
		xmltree.Escape(contentType), max(refresh, MinRefresh)/time.Second)
	return []byte(b.String())
}
