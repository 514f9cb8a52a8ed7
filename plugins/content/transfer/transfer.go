// Package transfer reads and writes application/vnd.gsma.rcs-ft-http+xml, by
// which RCS devices and Linphone name a file on an HTTP server (GSMA RCC.07,
// section 3.2.5).
//
// It is pure, and reads bytes from outside: nothing here panics, and what it
// takes is bounded.
package transfer

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"parley.im/plugins/content/internal/xmltree"
)

// MediaType is that of such a document.
const MediaType = "application/vnd.gsma.rcs-ft-http+xml"

const namespace = "urn:gsma:params:xml:ns:rcs:rcs:fthttp"

// File is one that can be fetched.
type File struct {
	Name      string
	MediaType string
	Size      int64
	URL       string
	Until     time.Time // when it goes away; zero if that is not said
}

// Parse returns the files that a document names, without their thumbnails.
func Parse(data []byte) (list []File, err error) {
	root, err := xmltree.Parse(data)
	if err != nil {
		return nil, fmt.Errorf("file transfer: %w", err)
	}
	if root.Name != "file" {
		return nil, fmt.Errorf("file transfer: element %.40q is not file", root.Name)
	}
	for _, info := range root.Children {
		if info.Name != "file-info" || info.Attr["type"] == "thumbnail" {
			continue
		}
		f := File{Name: info.Child("file-name").Text, MediaType: info.Child("content-type").Text, URL: info.Child("data").Attr["url"]}
		if n, err := strconv.ParseInt(info.Child("file-size").Text, 10, 64); err == nil && n > 0 {
			f.Size = n
		}
		if t, err := time.Parse(time.RFC3339Nano, info.Child("data").Attr["until"]); err == nil {
			f.Until = t.UTC()
		}
		if f.URL != "" {
			list = append(list, f)
		}
	}
	if len(list) == 0 {
		return nil, errors.New("file transfer: no file")
	}
	return list, nil
}

// XML writes a document about one file.
func (f File) XML() []byte {
	var b strings.Builder
	fmt.Fprintf(&b, `<?xml version="1.0" encoding="UTF-8"?>`+"\n"+`<file xmlns="%s"><file-info type="file"><file-size>%d</file-size><file-name>%s</file-name><content-type>%s</content-type><data url="%s"`,
		namespace, f.Size, xmltree.Escape(f.Name), xmltree.Escape(f.MediaType), xmltree.Escape(f.URL))
	if !f.Until.IsZero() {
		fmt.Fprintf(&b, ` until="%s"`, f.Until.UTC().Format(time.RFC3339))
	}
	b.WriteString("/></file-info></file>")
	return []byte(b.String())
}
