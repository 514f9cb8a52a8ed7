// Package resourcelist reads application/resource-lists+xml (RFC 4826), by which
// a message names several recipients (RFC 5363, RFC 5365).
//
// It is pure, and reads bytes from outside: nothing here panics, and what it
// takes is bounded.
package resourcelist

import (
	"fmt"
	"strings"

	"parley.im/plugins/content/internal/xmltree"
)

// MediaType is that of such a document.
const MediaType = "application/resource-lists+xml"

const namespace = "urn:ietf:params:xml:ns:resource-lists"

// Parse returns the URIs of all entries, in order, each spelling once. Entries
// that refer to lists elsewhere are an error: nobody here fetches them.
func Parse(data []byte) (uris []string, err error) {
	root, err := xmltree.Parse(data)
	if err != nil {
		return nil, fmt.Errorf("resource list: %w", err)
	}
	if root.Name != "resource-lists" || root.Space != namespace {
		return nil, fmt.Errorf("resource list: element %.40q is not resource-lists", root.Name)
	}
	seen := map[string]bool{}
	err = each(root, func(uri string) {
		if !seen[uri] {
			seen[uri] = true
			uris = append(uris, uri)
		}
	})
	return uris, err
}

// each goes through lists within lists.
func each(e *xmltree.Element, add func(uri string)) error {
	for _, c := range e.Children {
		if c.Space != namespace {
			continue // an extension
		}
		switch c.Name {
		case "list":
			if err := each(c, add); err != nil {
				return err
			}
		case "entry":
			uri := strings.TrimSpace(c.Attr["uri"])
			if uri == "" {
				return fmt.Errorf("resource list: an entry without a uri")
			}
			add(uri)
		case "entry-ref", "external":
			return fmt.Errorf("resource list: %s: lists elsewhere are not fetched", c.Name)
		}
	}
	return nil
}
