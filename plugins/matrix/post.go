package matrix

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"strconv"
	"strings"
	"time"

	"maunium.net/go/mautrix/id"

	"parley.im/bus/event"
)

// late is how old a message is that is shown with the time it was sent at.
const late = time.Minute

// outboundKey is the key of a message's content that holds Delivery.ID.
const outboundKey = "im.parley.outbound"

// markKey is the key of a message's content that holds its mark.
const markKey = "im.parley.mark"

// A post is a message on its way into a room.
type post struct {
	as      id.UserID
	txn     string // the same for the same delivery
	key     string // by which Find knows it again
	kind    string // "" is m.room.message
	content map[string]any
	file    *attachment // or what becomes the content
	mark    string
	sent    time.Time // when it was written, if that is worth showing
	reply   id.EventID
	root    id.EventID
	desk    bool      // without a root it begins a thread
	again   bool      // a part of it may be there
	rest    []post    // what follows in the same thread
	until   time.Time // how long files are uploaded
}

// compose makes the events that a message becomes: one of its words, if it has
// any, and one of each file. What is said does not wait for the files: they are
// uploaded one by one when it is there.
func (c *connector) compose(ctx context.Context, d event.Delivery) (post, error) {
	words, html, err := text(ctx, c.host.Media(), d.Content)
	if err != nil {
		return post{}, err
	}
	var list []post
	if !onlyFiles(d, words) {
		content, err := saying(d, words, html)
		if err != nil {
			return post{}, err
		}
		list = append(list, post{content: content})
	}
	for _, f := range d.Files {
		list = append(list, post{file: &attachment{File: f}})
	}
	for i, key := range keys(d, words) {
		list[i].key, list[i].txn = key, "parley-"+strings.ReplaceAll(key, "/", "-")
		if f := list[i].file; f != nil {
			f.key = key
		}
		if !d.Sent.IsZero() && time.Since(d.Sent) > late {
			list[i].sent = d.Sent
		}
	}
	m := list[0]
	m.rest, m.mark, m.desk, m.reply = list[1:], d.Mark, d.Mode == event.ModeDesk, id.EventID(d.InReplyTo)
	m.again, m.until = len(d.Files) > 0 && d.Attempt > 1, filesUntil(ctx)
	return m, nil
}

// filesUntil is how long files are uploaded in a Deliver that begins now.
func filesUntil(ctx context.Context) time.Time {
	until := time.Now().Add(filesPatience)
	if end, ok := ctx.Deadline(); ok && end.Before(until) {
		return end
	}
	return until
}

// onlyFiles tells whether a message has nothing to say beside its files.
func onlyFiles(d event.Delivery, words string) bool {
	return len(d.Files) > 0 && strings.TrimSpace(words) == ""
}

// keys are those of the events that a message becomes, in order: the first has
// the message's id, each further file is numbered.
func keys(d event.Delivery, words string) []string {
	list := []string{d.ID}
	for i := range d.Files {
		if i > 0 || !onlyFiles(d, words) {
			list = append(list, d.ID+"/f"+strconv.Itoa(i+1))
		}
	}
	return list
}

// outbound is the Delivery.ID that a key belongs to.
func outbound(key string) string {
	id, _, _ := strings.Cut(key, "/")
	return id
}

// saying is the content of an event that says something.
func saying(d event.Delivery, words, html string) (map[string]any, error) {
	kind := "m.text"
	if d.Automatic {
		kind = "m.notice" // no bot answers it
	}
	content := map[string]any{"msgtype": kind, "body": words, "m.mentions": map[string]any{}} // what looks like "@room" calls nobody
	if html != "" {
		content["format"], content["formatted_body"] = "org.matrix.custom.html", html
	}
	if size(content) > maxContent {
		unformat(content)
	}
	return content, checkSize(content)
}

func unformat(content map[string]any) {
	delete(content, "format")
	delete(content, "formatted_body")
}

func checkSize(content map[string]any) error {
	if n := size(content); n > maxContent {
		return event.Permanent(fmt.Errorf("the message would make an event with a content of %d bytes; Matrix allows 65536 with all around it", n))
	}
	return nil
}

// losses are what was not shown of a message that was sent.
func (m post) losses() (list []string) {
	for _, p := range append([]post{m}, m.rest...) {
		if p.file != nil && p.file.lost {
			list = append(list, string(notUploaded))
		}
	}
	return list
}

// whole is the content with all that belongs to it; the mark, where there is
// room for it.
func (m post) whole(content map[string]any) map[string]any {
	content = maps.Clone(content)
	if m.key != "" {
		content[outboundKey] = m.key
	}
	if r := m.relation(); r != nil {
		content["m.relates_to"] = r
	}
	if m.mark == "" {
		return content
	}
	content[markKey] = mark{m.mark, m.as}
	if size(content) > maxContent {
		delete(content, markKey)
	}
	return content
}

// size is the length of an event's content as it is counted: canonical JSON.
func size(content map[string]any) int {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(content) // maps of strings
	return b.Len()
}

// relation says which thread m is part of, and what it answers; nil for none.
func (m post) relation() map[string]any {
	switch {
	case m.root != "" && m.reply != "":
		return inThread(m.root, m.reply, false)
	case m.root != "":
		return inThread(m.root, m.root, true)
	case m.reply != "":
		return map[string]any{"m.in_reply_to": map[string]any{"event_id": m.reply}}
	}
	return nil
}

// inThread relates to a thread, and within it to a message. Matrix
// specification, client API, "Threading".
func inThread(root, message id.EventID, fallback bool) map[string]any {
	return map[string]any{
		"rel_type": "m.thread", "event_id": root, "is_falling_back": fallback,
		"m.in_reply_to": map[string]any{"event_id": message},
	}
}
