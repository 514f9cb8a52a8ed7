package matrix

import (
	"context"
	"errors"
	"net/url"
	"strings"

	"maunium.net/go/mautrix/id"

	"parley.im/bus/event"
	"parley.im/plugins/content/markup"
)

// fill says what a message contains: its words, with their formats if it has
// any, and its file.
func (c *connector) fill(ctx context.Context, h happening, m message, insider id.UserID, in *event.Inbound) error {
	if m.isFile() && m.URL != "" {
		f, err := c.file(ctx, insider, m)
		if err == nil {
			in.Files = []event.File{f}
			in.Content = plainContent(m.caption())
			return nil
		}
		if !h.goesWithout(err) {
			return err
		}
		c.log.Info("a file was not fetched", "message", h.ID, "err", err)
	}
	in.Content = plainContent(m.words(h.Type, in.SenderName))
	if html, ok := c.formatted(ctx, h.Room, insider, m); ok {
		in.Content = event.Content{MediaType: "text/html;charset=utf-8", Data: []byte(html)}
	}
	return nil
}

func plainContent(words string) event.Content {
	return event.Content{MediaType: "text/plain;charset=utf-8", Data: []byte(words)}
}

// isFile tells of messages that are files.
func (m message) isFile() bool {
	return m.Type == "m.image" || m.Type == "m.video" || m.Type == "m.audio" || m.Type == "m.file"
}

// caption is what is said of a file (Matrix specification, client API, "Media
// captions").
func (m message) caption() string {
	if m.File == "" || m.File == m.Body {
		return ""
	}
	return clean(m.Body, true)
}

// formatted returns the words of a message with their formats as HTML; ok is
// false if it has none. Whoever is mentioned is shown by name.
func (c *connector) formatted(ctx context.Context, at id.RoomID, insider id.UserID, m message) (html string, ok bool) {
	if m.Format != "org.matrix.custom.html" || m.Type != "m.text" && m.Type != "m.notice" {
		return "", false
	}
	doc, err := markup.Read(m.HTML, markup.Matrix)
	if err != nil || !doc.Formatted() {
		return "", false
	}
	doc.Resolve(func(user, text string) (string, bool) {
		if name := c.nameOf(ctx, at, insider, id.UserID(user)); strings.HasPrefix(user, "@") && name != "" {
			return "@" + name, false
		}
		return text, false
	})
	html, err = doc.Write(markup.HTML)
	return html, err == nil && strings.TrimSpace(html) != ""
}

// location is a link to a place on a map, "" for no place (RFC 5870).
func location(geo string) string {
	at, ok := strings.CutPrefix(geo, "geo:")
	at, _, _ = strings.Cut(at, ";")
	lat, lon, both := strings.Cut(at, ",")
	lon, _, _ = strings.Cut(lon, ",")
	if !ok || !both || errors.Join(isNumber(lat), isNumber(lon)) != nil {
		return ""
	}
	return "https://www.openstreetmap.org/?" + url.Values{"mlat": {lat}, "mlon": {lon}}.Encode()
}

func isNumber(s string) error {
	if s == "" || len(s) > 20 || strings.Trim(s, "0123456789.-") != "" {
		return errors.New("no number")
	}
	return nil
}
