// Package markup maps formatted text between plain text, Markdown, HTML, Slack
// mrkdwn and Matrix custom HTML.
//
// Every form is read into one small tree (Doc), and every form is written from
// it. The tree is what makes the output safe: it has no place for a tag, an
// attribute or a token of the source, only for words, a few kinds of format and
// checked addresses, and each writer escapes the words for its own form. HTML
// as the form in the middle would need two sanitisers, before and after, and
// would still have no place for a spoiler or a mention.
//
// A message never notifies anybody by its words: "@channel", "<!here>" and the
// like come out as words, and a mention is written as a live token only when a
// connector has resolved it on the network written to (see Doc.Resolve).
//
// The package is pure, and reads text from outside: nothing panics, depth and
// size are limited, and the output has at most Growth times the bytes of the
// input (and Spare).
package markup

import (
	"errors"
	"fmt"

	"parley.im/plugins/content"
)

// A Form is a way to write formatted text.
type Form string

// The forms, by their media types. All are UTF-8 with lines that end in "\n".
const (
	Plain    Form = "text/plain"
	Markdown Form = "text/markdown"         // CommonMark, with GitHub's strikethrough, tables and bare links
	HTML     Form = "text/html"             // a document or a fragment is read; a fragment of the tags in the package's allowed set is written
	Slack    Form = "text/vnd.slack.mrkdwn" // the text of a Slack message, with &, < and > escaped
	Matrix   Form = "text/vnd.matrix.html"  // the formatted_body of a Matrix message: org.matrix.custom.html
)

// Known tells whether f is one of the forms.
func (f Form) Known() bool { return writers[f] != nil }

const (
	// MaxSize is the largest source that is read, in bytes.
	MaxSize = 256 << 10
	// MaxDepth is how deep quotes, lists and their items are nested in a
	// document; what is deeper is kept, on the last level.
	MaxDepth = 12
	// Growth and Spare bound the output: at most Growth times the bytes of the
	// source and Spare bytes.
	Growth = 8
	Spare  = 1024
)

// ErrTooLarge tells of a source with more than MaxSize bytes.
var ErrTooLarge = errors.New("markup: the text is too large")

// What a conversion can lose or show in another way.
const (
	ActiveRemoved    content.Loss = "active content removed"
	CodeChanged      content.Loss = "backtick in code replaced"
	EmphasisRemoved  content.Loss = "emphasis removed"
	FormRemoved      content.Loss = "form field removed"
	HTMLAsText       content.Loss = "HTML as text"
	HeadingAsBold    content.Loss = "heading as bold"
	HiddenRemoved    content.Loss = "hidden text removed"
	ImageAsLink      content.Loss = "image as link"
	ImageRemoved     content.Loss = "image removed"
	LinkAsText       content.Loss = "link as text"
	LinkRemoved      content.Loss = "link removed"
	LinkDoubtful     content.Loss = "address of a link shown behind its words"
	LinkMisleads     content.Loss = "link text replaced by its address"
	MentionAsText    content.Loss = "mention as text"
	NestingFlattened content.Loss = "nesting flattened"
	ReplyRemoved     content.Loss = "quotation of what is answered removed"
	RuleAsText       content.Loss = "rule as text"
	SpoilerShown     content.Loss = "spoiler shown"
	StructureRemoved content.Loss = "structure removed"
	TableFlattened   content.Loss = "table flattened"
	WordsRemoved     content.Loss = "words removed"
)

// Convert reads src in one form and writes it in another. The losses are named
// once each.
func Convert(src string, from, to Form) (string, content.Losses, error) {
	d, err := Read(src, from)
	if err != nil {
		return "", nil, err
	}
	out, err := d.Write(to)
	return out, d.Losses, err
}

// Read returns the document that src is in a form. Bytes that are not UTF-8
// and controls are replaced. The error tells of an unknown form or of
// ErrTooLarge.
func Read(src string, from Form) (*Doc, error) {
	if len(src) > MaxSize {
		return nil, fmt.Errorf("%w: %d bytes of at most %d", ErrTooLarge, len(src), MaxSize)
	}
	b := builder{size: len(src)}
	switch from {
	case Plain:
		b.plain(src)
	case Markdown:
		b.markdown(src)
	case HTML:
		b.html(src, false)
	case Matrix:
		b.html(src, true)
	case Slack:
		b.mrkdwn(src)
	default:
		return nil, fmt.Errorf("markup: no form %q", from)
	}
	return b.doc(), nil
}

// Write returns the document in a form, and adds to its losses. A document may
// be written several times. The error tells of an unknown form.
func (d *Doc) Write(to Form) (string, error) {
	write, known := writers[to]
	if !known {
		return "", fmt.Errorf("markup: no form %q", to)
	}
	out := write(d, d.Blocks)
	if len(out) <= room(d.size) {
		return out, nil
	}
	d.Losses.Add(StructureRemoved)
	said := words(d.Blocks)
	for out = write(d, flat(said)); len(out) > room(d.size); out = write(d, flat(said)) {
		d.Losses.Add(WordsRemoved)
		said = said[:len(said)/2]
	}
	return out, nil
}

// room is how many bytes may come of a source. Writers stop soon behind them.
func room(size int) int { return Growth*size + Spare }

var writers = map[Form]func(*Doc, []Node) string{
	Plain: writePlain, Markdown: writeMarkdown, HTML: writeHTML, Slack: writeSlack, Matrix: writeMatrix,
}
