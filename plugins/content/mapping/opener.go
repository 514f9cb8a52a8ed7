package mapping

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"parley.im/plugins/content"
	"parley.im/plugins/content/internal/xmltree"
	"parley.im/plugins/content/mediatype"
	"parley.im/plugins/content/sms"
	"parley.im/plugins/content/text"
	"parley.im/plugins/content/transfer"
)

const transferType = transfer.MediaType

// An opening is what people are shown of a part that is no text itself.
type opening struct {
	words  string
	refs   []reference // behind the words
	whole  bool        // the part is worth having as a file, too
	losses content.Losses
}

// LocationAsText says that a place is shown as words.
const LocationAsText content.Loss = "location as text"

// opener returns what makes words of parts of a type, nil if nothing does. One
// that fails leaves the part a file.
func opener(kind string) func(part) (opening, error) {
	switch kind {
	case sms.MediaType:
		return shortMessage
	case transferType:
		return transferred
	case "message/external-body":
		return external
	case "text/vcard", "text/x-vcard", "text/directory":
		return contact
	case "application/pidf+xml", "application/vnd.gsma.rcspushlocation+xml", "application/geo+xml":
		return location
	}
	return nil
}

func shortMessage(p part) (opening, error) {
	m, err := sms.Parse(p.body)
	if err != nil {
		return opening{}, err
	}
	if m.Kind != sms.Submit && m.Kind != sms.Deliver {
		return opening{}, errors.New("no message, but an answer to one")
	}
	words := m.Text
	if m.Part.Of > 1 {
		words = fmt.Sprintf("(%d/%d) %s", m.Part.Number, m.Part.Of, words)
	}
	return opening{words: words, losses: m.Losses}, nil
}

// transferred reads where files of an RCS device can be fetched.
func transferred(p part) (opening, error) {
	list, err := transfer.Parse(p.body)
	if err != nil {
		return opening{}, err
	}
	var o opening
	for _, f := range list {
		at, kind := address(f.URL), text.Line(bare(f.MediaType))
		words := fmt.Sprintf("%s (%s, %s): %s", fileName(f.Name, kind), kind, amount(f.Size), at)
		if !f.Until.IsZero() {
			words += " until " + f.Until.Format("2006-01-02 15:04 MST")
		}
		o.refs = append(o.refs, reference{Reference{f.Name, kind, at}, words})
	}
	return o, nil
}

// external reads a reference by URL (RFC 2017) to a body elsewhere. Those of
// other kinds name what nobody here can reach.
func external(p part) (opening, error) {
	_, params := mediatype.Parse(p.mediaType)
	if !strings.EqualFold(params["access-type"], "url") || params["url"] == "" {
		return opening{}, errors.New("no reference by URL")
	}
	at := address(params["url"])
	about, _, _ := bytes.Cut(p.body, []byte("\n\n"))
	kind := "file"
	for field := range strings.SplitSeq(string(about), "\n") {
		if name, value, ok := strings.Cut(field, ":"); ok && strings.EqualFold(name, "content-type") {
			kind = text.Line(bare(value))
		}
	}
	return opening{refs: []reference{{Reference{p.name, kind, at}, kind + ": " + at}}}, nil
}

// address is a URL on one line: spaces are there to fold it (RFC 2017, section
// 3).
func address(raw string) string { return strings.ReplaceAll(text.Line(raw), " ", "") }

// location reads where somebody is: the latitude and longitude of gml:pos (RFC
// 5491, section 5.2.1), which RCS uses, too.
func location(p part) (opening, error) {
	root, err := xmltree.Parse(p.body)
	if err != nil {
		return opening{}, err
	}
	pos := root.Find("pos")
	if pos == nil {
		return opening{}, errors.New("no position")
	}
	numbers := strings.Fields(pos.Text)
	if len(numbers) < 2 {
		return opening{}, errors.New("no position")
	}
	lat, err1 := strconv.ParseFloat(numbers[0], 64)
	lon, err2 := strconv.ParseFloat(numbers[1], 64)
	if err := errors.Join(err1, err2); err != nil || !(lat >= -90 && lat <= 90 && lon >= -180 && lon <= 180) {
		return opening{}, errors.Join(err, errors.New("a position that is none"))
	}
	words := "Location: "
	if push := root.Find("rcspushlocation"); push != nil && push.Attr["label"] != "" {
		words += text.Line(push.Attr["label"]) + ", "
	}
	return opening{
		words:  fmt.Sprintf("%s%[2]s,%[3]s\nhttps://www.openstreetmap.org/?mlat=%[2]s&mlon=%[3]s", words, number(lat), number(lon)),
		losses: content.Losses{LocationAsText},
	}, nil
}

func number(f float64) string { return strconv.FormatFloat(f, 'f', -1, 64) }
