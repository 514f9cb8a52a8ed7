package mapping

import (
	"cmp"
	"net/url"
	"path"

	"parley.im/bus/event"
)

// A Reference is a file that a message names, and does not have: of a document
// for file transfer (RCS, Linphone), or message/external-body.
type Reference struct {
	Name      string // as its sender says; may be ""
	MediaType string
	URL       string // as its sender says: anything
}

// A reference is one with the words for it where it stays elsewhere.
type reference struct {
	Reference
	words string
}

// References returns the files elsewhere that a message names, for a taker that
// could have them as files.
func References(m Message, t Taker) []Reference {
	if t.MaxFile == 0 || t.raw(m.MediaType) || isText(bare(m.MediaType)) { // text names none
		return nil
	}
	r := reader{rich: true}
	_ = r.message(m) // what can't be read names nothing
	return r.named
}

// references notes files elsewhere, and returns the words for those that stay
// there.
func (r *reader) references(list []reference) (words []string) {
	for _, f := range list {
		r.named = append(r.named, f.Reference)
		body, fetched := r.fetched[f.URL]
		if !fetched {
			words = append(words, f.words)
			continue
		}
		r.files = append(r.files, file{
			File: event.File{Name: fileName(cmp.Or(f.Name, lastOf(f.URL)), body.MediaType), Content: body}, url: f.URL,
		})
	}
	return words
}

// lastOf is the last segment of a URL's path.
func lastOf(raw string) string {
	u, err := url.Parse(raw)
	if err != nil || u.Path == "" {
		return ""
	}
	return path.Base(u.Path)
}
