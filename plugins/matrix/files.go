package matrix

import (
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"maunium.net/go/mautrix"
	"maunium.net/go/mautrix/id"

	"parley.im/bus/event"
	"parley.im/plugins/content"
)

// maxFile is the largest file that is offered to the homeserver, in bytes. One
// that takes less says so, and the file's name is told instead.
const maxFile = 100 << 20

// fetchPatience is how long the fetching of one file may take: meanwhile the
// homeserver waits for the answer to its transaction.
const fetchPatience = 40 * time.Second

// notUploaded is what Deliver loses when the homeserver does not take a file.
const notUploaded content.Loss = "file refused by the homeserver"

// attach adds the files of a delivery to a message, each an event of its own.
// They are uploaded first: as long as that may go wrong nothing is said.
func (c *connector) attach(ctx context.Context, m *post, d event.Delivery) (losses []string, err error) {
	for i, f := range d.Files {
		next := post{txn: m.txn + "-f" + strconv.Itoa(i+1), content: map[string]any{
			"msgtype": "m.text", outboundKey: d.ID + "/f" + strconv.Itoa(i+1), "m.mentions": map[string]any{},
		}}
		uri, err := c.upload(ctx, f)
		var refusal *failure
		switch {
		case err == nil:
			next.content["msgtype"], next.content["body"], next.content["url"] = fileKind(f.MediaType), f.Name, uri
			next.content["info"] = map[string]any{"mimetype": bareType(f.MediaType), "size": sizeOf(f)}
		case errors.As(err, &refusal) && (refusal.status == http.StatusRequestEntityTooLarge || is(err, "M_TOO_LARGE", "M_FORBIDDEN")):
			next.content["body"] = "[file not passed on: " + f.Name + ": " + clean(refusal.Error(), false) + "]"
			losses = append(losses, string(notUploaded))
		default:
			return nil, unsent("upload a file", err)
		}
		if len(m.content) == 0 {
			m.content = next.content
			m.content[outboundKey] = d.ID
			continue
		}
		m.rest = append(m.rest, next)
	}
	return losses, nil
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
func (c *connector) upload(ctx context.Context, f event.File) (string, error) {
	body, err := c.host.Media().Open(ctx, f.Content)
	if err != nil {
		return "", event.Retry(event.ScopeMessage, 0, fmt.Errorf("open a file: %w", err))
	}
	defer body.Close()
	cli := c.api.base
	cli.UserID, cli.SetAppServiceUserID = c.names.bot, true
	address := cli.BuildURLWithFullQuery(mautrix.MediaURLPath{"v3", "upload"}, func(q url.Values) { q.Set("filename", f.Name) })
	var out struct {
		URI id.ContentURIString `json:"content_uri"`
	}
	var wrote atomic.Bool
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{WroteHeaders: func() { wrote.Store(true) }})
	_, res, err := cli.MakeFullRequestWithResp(ctx, mautrix.FullRequest{
		Method: http.MethodPost, URL: address, Headers: http.Header{"Content-Type": {bareType(f.MediaType)}},
		RequestBody: body, RequestLength: sizeOf(f), ResponseJSON: &out,
	})
	if err != nil {
		return "", newFailure(err, res, wrote.Load())
	}
	if _, err := out.URI.Parse(); err != nil {
		return "", event.Retry(event.ScopeMessage, 0, fmt.Errorf("upload a file: %w", err))
	}
	return string(out.URI), nil
}

// file fetches the file of a message and keeps it. What the homeserver does not
// have, or is too large for the bridge, is a permanent error.
func (c *connector) file(ctx context.Context, as id.UserID, m message) (event.File, error) {
	uri, err := id.ContentURIString(m.URL).Parse()
	if err != nil || uri.IsEmpty() {
		return event.File{}, event.Permanent(errors.New("no file that can be fetched"))
	}
	ctx, cancel := context.WithTimeout(ctx, fetchPatience)
	defer cancel()
	body, err := c.download(ctx, as, "v1", uri)
	if is(err, "M_UNRECOGNIZED") { // before version 1.11 of the specification
		body, err = c.download(ctx, as, "", uri)
	}
	var f *failure
	if errors.As(err, &f) && f.status >= 400 && f.status < 500 && f.status != http.StatusTooManyRequests && !f.away() {
		return event.File{}, event.Permanent(err)
	}
	if err != nil {
		return event.File{}, err
	}
	defer body.Close()
	kept, err := c.host.Media().Store(ctx, m.Info.Type, body)
	name := m.Body
	if m.File != "" {
		name = m.File
	}
	return event.File{Name: short(clean(name, false), maxName), Content: kept}, err
}

// download opens a file, by the endpoint that asks who fetches it, or the old
// one.
func (c *connector) download(ctx context.Context, as id.UserID, version string, uri id.ContentURI) (io.ReadCloser, error) {
	cli := c.api.base
	cli.UserID, cli.SetAppServiceUserID = as, true
	var path mautrix.PrefixableURLPath = mautrix.MediaURLPath{"v3", "download", uri.Homeserver, uri.FileID}
	if version != "" {
		path = mautrix.ClientURLPath{"v1", "media", "download", uri.Homeserver, uri.FileID}
	}
	_, res, err := cli.MakeFullRequestWithResp(ctx, mautrix.FullRequest{
		Method: http.MethodGet, URL: cli.BuildURLWithFullQuery(path, nil), DontReadResponse: true,
	})
	if err != nil {
		return nil, newFailure(err, res, true)
	}
	return res.Body, nil
}
