package sipedge

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/textproto"
	"slices"
	"strings"

	"parley.im/bus/event"
	"parley.im/plugins/content/resourcelist"
)

// listExtension is what a MESSAGE to a list of recipients requires (RFC 5365).
const listExtension = "recipient-list-message"

// maxRecipients is how many one MESSAGE can have.
const maxRecipients = 20

// isList tells whether a request names its recipients in its body.
func (r request) isList() bool {
	return slices.Contains(slices.Collect(r.members("Require")), listExtension)
}

// list takes a MESSAGE to several recipients, for each of whom it is a message
// like one to them alone: all are stored, or none is asked to be (RFC 5365,
// section 7). Nobody is written to to whom the sender may not write, so that
// the consent that a list service has to ask for is that of the routes.
func (e *Edge) list(r request, who sender) answer {
	if _, host, err := e.domains.parts(r.Recipient.String()); err != nil || host != e.domains.first {
		return say(404, "Not Found: lists of recipients are taken at this domain only")
	}
	content, uris, err := divideList(mediaType(r.ContentType()), r.Body())
	switch {
	case err != nil:
		return say(400, "Unreadable recipient list: "+plain(err.Error(), 200))
	case len(uris) > maxRecipients:
		return say(413, fmt.Sprintf("Request Entity Too Large: at most %d recipients", maxRecipients))
	}
	all, a := e.copies(r, who, content, uris)
	if a.code != 0 {
		return a
	}
	first, a := e.inWork.do(all[0].ID, r.branch(), func() answer { return e.takeAll(r, who, all) })
	if !first && a.code/100 == 2 {
		return say(482, "Loop Detected: the same request came on another way")
	}
	return a
}

// copies returns the message for each recipient, once.
func (e *Edge) copies(r request, who sender, content event.Content, uris []string) (all []event.Inbound, a answer) {
	for _, uri := range uris {
		to, err := e.unalias(e.AOR(uri))
		if err != nil {
			return nil, say(400, "Unreadable recipient: "+plain(uri, 100))
		}
		if !e.domains.ours(to) && !e.mayDial(who, to) {
			return nil, say(404, "Not Found: no way leads to "+plain(string(to), 100))
		}
		in := e.inbound(r, who, to)
		in.Content = content
		if a := open(r, who, &in); a.code != 0 {
			return nil, a
		}
		if !slices.ContainsFunc(all, func(o event.Inbound) bool { return o.Recipient == to }) {
			all = append(all, in)
		}
	}
	return all, answer{}
}

// takeAll uses the copies of one message. Each is asked about before the first
// is stored.
func (e *Edge) takeAll(r request, who sender, all []event.Inbound) answer {
	if who.account != (claim{}) && !e.guard.spend(who.account) {
		if e.host.Stored(all[len(all)-1].ID) {
			return say(202, "Accepted")
		}
		return e.challenge(r, true)
	}
	e.heard(who.account.aor, r.path)
	ctx, cancel := context.WithTimeout(context.Background(), putPatience)
	defer cancel()
	for _, in := range all {
		if a := e.check(ctx, in); a.code != 0 {
			a.phrase = plain(a.phrase+" ("+string(in.Recipient)+")", 300)
			return a
		}
	}
	for _, in := range all {
		if a := e.use(ctx, who, in); a.code/100 != 2 {
			return a
		}
	}
	return say(202, "Accepted")
}

// divideList takes a body apart into the list of recipients and what they are
// to get: what is left of the multipart, or its only part.
func divideList(mediaType string, body []byte) (content event.Content, uris []string, err error) {
	kind, params, err := mime.ParseMediaType(mediaType)
	if err != nil || !strings.HasPrefix(kind, "multipart/") || params["boundary"] == "" {
		return content, nil, errors.New("the body is no multipart")
	}
	var rest []listPart
	for m := multipart.NewReader(bytes.NewReader(body), params["boundary"]); len(rest) < maxRecipients; {
		p, err := m.NextRawPart()
		if errors.Is(err, io.EOF) {
			break
		}
		var data []byte
		if err == nil {
			data, err = io.ReadAll(p)
		}
		if err != nil {
			return content, nil, err
		}
		disposition, _, _ := mime.ParseMediaType(p.Header.Get("Content-Disposition"))
		if bareType(p.Header.Get("Content-Type")) != resourcelist.MediaType || disposition != "recipient-list" {
			rest = append(rest, listPart{p.Header, data})
			continue
		}
		if uris != nil {
			return content, nil, errors.New("more than one list")
		}
		if uris, err = resourcelist.Parse(data); err != nil {
			return content, nil, err
		}
	}
	switch {
	case len(uris) == 0:
		return content, nil, errors.New("no recipient")
	case len(rest) == 0:
		return content, nil, errors.New("no message")
	}
	return joinParts(rest, params["boundary"]), uris, nil
}

// A listPart is a part of a body, as it came.
type listPart struct {
	header textproto.MIMEHeader
	body   []byte
}

// joinParts makes a body of parts: of one that part, without its transfer
// encoding.
func joinParts(parts []listPart, boundary string) event.Content {
	first := parts[0]
	if body, err := decoded(first.header.Get("Content-Transfer-Encoding"), first.body); err == nil && len(parts) == 1 {
		c := event.Content{MediaType: first.header.Get("Content-Type"), Data: body}
		if c.MediaType == "" || checkType(c.MediaType) != nil {
			c.MediaType = "text/plain"
		}
		return c
	}
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	_ = w.SetBoundary(boundary) // it was one
	for _, p := range parts {
		to, _ := w.CreatePart(p.header) // into memory
		_, _ = to.Write(p.body)
	}
	_ = w.Close()
	return event.Content{MediaType: "multipart/mixed;boundary=\"" + w.Boundary() + "\"", Data: b.Bytes()}
}
