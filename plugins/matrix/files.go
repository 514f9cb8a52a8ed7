package matrix

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"time"

	"maunium.net/go/mautrix"
	"maunium.net/go/mautrix/id"

	"parley.im/bus/event"
	"parley.im/plugins/content"
)

// maxFile is the largest file that is offered to the homeserver, in bytes. One
// that takes less says so, and the file's name is told instead.
const maxFile = 100 << 20

// How long files may take. The homeserver waits half a minute or longer for the
// answer to a transaction, of which the fetching of a file is a part; the host
// waits 90 s for a delivery.
const (
	fetchPatience  = 20 * time.Second
	uploadPatience = time.Minute      // of each file
	filesPatience  = 80 * time.Second // of all that one Deliver uploads
)

// fileTries is how often a file is tried before its name is told instead, and
// fileRest how long its room waits in between.
const (
	fileTries = 3
	fileRest  = 5 * time.Second
)

// notUploaded is what Deliver loses when a file can't be uploaded, and
// notEdited when an edit has files: it changes the words only.
const (
	notUploaded content.Loss = "file not taken by the homeserver"
	notEdited   content.Loss = "files of an edit not passed on"
)

// An attachment is a file on its way into a room.
type attachment struct {
	event.File
	key     string // of its post
	content map[string]any
	lost    bool // its name is told instead
}

// notPassedOn stands for a file that is not shown.
func notPassedOn(f event.File, why string) string {
	return "[file not passed on: " + f.Name + why + "]"
}

// attached returns the content of the event that shows a file, or tells its
// name where the file can't be had, or has failed often enough. An error says
// what the host is told: to try again, which uses up no attempt of the message.
func (c *connector) attached(ctx context.Context, a *attachment) (map[string]any, error) {
	if a.content != nil {
		return a.content, nil
	}
	uri, err := c.upload(ctx, a)
	if err == nil {
		a.content = map[string]any{
			"msgtype": fileKind(a.MediaType), "body": a.Name, "url": uri, "m.mentions": map[string]any{},
			"info": map[string]any{"mimetype": bareType(a.MediaType), "size": sizeOf(a.File)},
		}
		return a.content, nil
	}
	var f *failure
	switch answered := errors.As(err, &f); {
	case answered && f.unreachable(), ctx.Err() != nil: // the host has given up
		return nil, &preparing{"upload a file", err}
	case !event.IsPermanent(err) && c.efforts.failed(a.key) < fileTries:
		_, after, _ := event.AsRetry(err)
		// The cause ends here: it says nothing about the homeserver.
		return nil, event.Retry(event.ScopeTarget, min(cmp.Or(after, fileRest), c.uploadFor), errors.New(err.Error()))
	}
	c.log.Info("a file was not passed on", "message", outbound(a.key), "err", err)
	why := ""
	if f != nil && event.IsPermanent(err) {
		why = ": " + clean(f.Error(), false)
	}
	a.lost = true
	a.content = map[string]any{"msgtype": "m.text", "body": notPassedOn(a.File, why), "m.mentions": map[string]any{}}
	return a.content, nil
}

// showsFile tells whether an event of a file shows it, rather than its name.
func showsFile(h happening) bool {
	m, _ := readMessage(h.Content)
	return m.URL != ""
}

// fileKind is the msgtype of a file (Matrix specification, client API,
// "m.room.message msgtypes").
func fileKind(mediaType string) string {
	switch group, _, _ := strings.Cut(mediaType, "/"); group {
	case "image", "audio", "video":
		return "m." + group
	}
	return "m.file"
}

func bareType(mediaType string) string {
	kind, _, err := mime.ParseMediaType(mediaType)
	if err != nil {
		return "application/octet-stream"
	}
	return kind
}

func sizeOf(f event.File) int64 { return max(f.Size, int64(len(f.Data))) }

// upload hands a file to the homeserver and returns its mxc URI. Matrix
// specification, client API, "Content repository".
func (c *connector) upload(ctx context.Context, a *attachment) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, c.uploadFor)
	defer cancel()
	body, err := c.host.Media().Open(ctx, a.Content)
	if isNotFound(err) {
		return "", event.Permanent(errors.New("a file of the message is not kept any more"))
	}
	if err != nil {
		return "", fmt.Errorf("open a file: %w", err)
	}
	defer body.Close()
	var out struct {
		URI id.ContentURIString `json:"content_uri"`
	}
	_, err = c.api.do(ctx, c.names.bot, mautrix.MediaURLPath{"v3", "upload"}, url.Values{"filename": {a.Name}}, mautrix.FullRequest{
		Method: http.MethodPost, Headers: http.Header{"Content-Type": {bareType(a.MediaType)}},
		RequestBody: body, RequestLength: sizeOf(a.File), ResponseJSON: &out,
	})
	if err != nil {
		return "", unsent("upload a file", err)
	}
	if _, err := out.URI.Parse(); err != nil {
		return "", fmt.Errorf("upload a file: %w", err)
	}
	return string(out.URI), nil
}

// file fetches the file of a message and keeps it. The error is a *failure
// unless it is the host that does not keep the file: for good when it is too
// large.
func (c *connector) file(ctx context.Context, as id.UserID, m message) (event.File, error) {
	uri, err := id.ContentURIString(m.URL).Parse()
	if err != nil || uri.IsEmpty() {
		return event.File{}, event.Permanent(errors.New("no file that can be fetched"))
	}
	ctx, cancel := context.WithTimeout(ctx, c.fetchFor)
	defer cancel()
	body, err := c.download(ctx, as, mautrix.ClientURLPath{"v1", "media", "download", uri.Homeserver, uri.FileID})
	if is(err, "M_UNRECOGNIZED") { // before version 1.11 of the specification
		body, err = c.download(ctx, as, mautrix.MediaURLPath{"v3", "download", uri.Homeserver, uri.FileID})
	}
	if err != nil {
		return event.File{}, err
	}
	defer body.Close()
	kept, err := c.host.Media().Store(ctx, m.Info.Type, body)
	if broken := cmp.Or(body.err, ctx.Err()); err != nil && broken != nil {
		err = &failure{written: true, err: broken}
	}
	name := m.Body
	if m.File != "" {
		name = m.File
	}
	return event.File{Name: short(clean(name, false), maxName), Content: kept}, err
}

// A fetched file remembers why it could not be read to its end.
type fetched struct {
	io.ReadCloser
	err error
}

func (f *fetched) Read(p []byte) (int, error) {
	n, err := f.ReadCloser.Read(p)
	if err != nil && err != io.EOF {
		f.err = err
	}
	return n, err
}

// download opens a file.
func (c *connector) download(ctx context.Context, as id.UserID, path mautrix.PrefixableURLPath) (*fetched, error) {
	res, err := c.api.do(ctx, as, path, nil, mautrix.FullRequest{Method: http.MethodGet, DontReadResponse: true})
	if err != nil {
		return nil, err
	}
	return &fetched{ReadCloser: res.Body}, nil
}
