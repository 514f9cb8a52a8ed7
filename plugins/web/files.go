package web

import (
	"context"
	"crypto/rand"
	"errors"
	"io"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"parley.im/bus/event"
	"parley.im/plugins/sdk"
)

// maxFile is the largest file that Deliver takes, in bytes; the host may keep
// less.
const maxFile = 100 << 20

// maxUpload is the largest file that people can upload: the host's door takes
// no larger request.
const maxUpload = 32 << 20

// Limits of uploads that are not part of a message yet. What is never sent
// can't be taken out of Media again: it lies there as long as the log goes back,
// so that it counts for long. What is on its way counts with the length it said.
const (
	uploadLasts = time.Hour
	maxUploads  = 16 // of one person
	maxAttached = 10 // files of one message
	maxComing   = 4  // on their way at once, of one person
	maxComings  = 16 // from one network

	unsentLasts = 24 * time.Hour
	maxUnsent   = 256 << 20       // bytes of one person
	manyUnsent  = 2 << 30         // of all; beyond, nobody goes on who has more than
	fairUnsent  = manyUnsent / 16 // of one person, or from one network: names cost nothing
	maxUnsents  = 4 * manyUnsent  // of all
	leastUpload = 256 << 10       // that any counts
)

// A file is one that stands beside a message; its body is in Media.
type file struct {
	Name   string `json:"name"`
	Type   string `json:"type"`
	Size   int64  `json:"size"`
	Ref    string `json:"ref,omitempty"`
	SHA256 string `json:"sha256,omitempty"`
}

func (f file) content() event.Content {
	return event.Content{MediaType: f.Type, Ref: f.Ref, SHA256: f.SHA256, Size: f.Size}
}

func fileOf(name string, c event.Content) file {
	return file{Name: short(clean(name, false), 128), Type: c.MediaType, Size: c.Size, Ref: c.Ref, SHA256: c.SHA256}
}

// keepFiles stores the files of a delivery that are only with it.
func (c *connector) keepFiles(ctx context.Context, list []event.File) (kept []file, err error) {
	for _, f := range list {
		content := f.Content
		if content.Ref == "" || strings.HasPrefix(content.Ref, "delivery:") {
			if content, err = c.keepFile(ctx, content); err != nil {
				return nil, err
			}
		}
		kept = append(kept, fileOf(f.Name, content))
	}
	return kept, nil
}

func (c *connector) keepFile(ctx context.Context, content event.Content) (event.Content, error) {
	body, err := c.host.Media().Open(ctx, content)
	if err != nil {
		return content, event.Retry(event.ScopeMessage, 0, err)
	}
	defer body.Close()
	kept, err := c.host.Media().Store(ctx, content.MediaType, body)
	if err != nil && !event.IsPermanent(err) {
		err = event.Retry(event.ScopeMessage, 0, err)
	}
	return kept, err
}

// uploads are files that people have added to what they have not said yet. A
// restart forgets them: the page then says so.
type uploads struct {
	mu  sync.Mutex
	all map[string]upload // by an id that nobody can guess
}

type upload struct {
	person string
	from   string // network that it comes from
	size   int64
	file   *file // nil while it comes in
	at     time.Time
}

// A tally is what somebody has uploaded and not sent.
type tally struct {
	bytes  int64
	recent int // uploads that can be sent
	coming int // that are on their way
}

func (t *tally) add(x upload, now time.Time) {
	t.bytes += x.size
	if now.Sub(x.at) <= uploadLasts {
		t.recent++
	}
	if x.file == nil {
		t.coming++
	}
}

var (
	errUploads = errors.New("send what you have first: too many files wait")
	errComing  = errors.New("too many files are on their way; wait until they are there")
	errUnsent  = errors.New("too much was uploaded and never sent; try again tomorrow")
)

// reserve makes room for a file of a person's, from a network, and returns its
// id.
func (u *uploads) reserve(person, from string, size int64, now time.Time) (string, error) {
	size = max(size, leastUpload)
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.all == nil {
		u.all = map[string]upload{}
	}
	mine, near, every := tally{bytes: size}, tally{bytes: size}, size
	for id, x := range u.all {
		if now.Sub(x.at) > unsentLasts {
			delete(u.all, id)
			continue
		}
		every += x.size
		if x.person == person {
			mine.add(x, now)
		}
		if x.from == from {
			near.add(x, now)
		}
	}
	switch {
	case mine.coming >= maxComing, near.coming >= maxComings:
		return "", errComing
	case mine.recent >= maxUploads:
		return "", errUploads
	case mine.bytes > maxUnsent, every > maxUnsents, every > manyUnsent && max(mine.bytes, near.bytes) > fairUnsent:
		return "", errUnsent
	}
	id := rand.Text()
	u.all[id] = upload{person: person, from: from, size: size, at: now}
	return id, nil
}

// keep fills the room with a file that is in Media.
func (u *uploads) keep(id string, f file) {
	u.mu.Lock()
	defer u.mu.Unlock()
	x := u.all[id]
	x.file = &f
	u.all[id] = x
}

// get returns the files of a person's by their ids.
func (u *uploads) get(person string, ids []string, now time.Time) (list []file, ok bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for _, id := range ids {
		x := u.all[id]
		if x.file == nil || x.person != person || now.Sub(x.at) > uploadLasts {
			return nil, false
		}
		list = append(list, *x.file)
	}
	return list, true
}

// forget drops what was sent, or did not come in.
func (u *uploads) forget(ids []string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for _, id := range ids {
		delete(u.all, id)
	}
}

// postFile keeps a file that a person is about to send.
func (s *server) postFile(w http.ResponseWriter, r *http.Request, p person) {
	switch {
	case r.ContentLength < 0:
		refuse(w, http.StatusLengthRequired, "say how large the file is")
		return
	case r.ContentLength > maxUpload:
		refuse(w, http.StatusRequestEntityTooLarge, "that file is too large")
		return
	}
	id, err := s.uploads.reserve(p.Name, network(peer(r)), r.ContentLength, time.Now())
	if err != nil {
		refuse(w, http.StatusTooManyRequests, err.Error())
		return
	}
	f, err := s.upload(r)
	var large *http.MaxBytesError
	switch {
	case err == nil:
		s.uploads.keep(id, f)
		answer(w, map[string]any{"id": id, "name": f.Name, "size": f.Size})
		return
	case errors.As(err, &large), event.IsPermanent(err):
		refuse(w, http.StatusRequestEntityTooLarge, "that file is too large")
	default:
		s.fail(w, err)
	}
	s.uploads.forget([]string{id})
}

// upload stores the file that a request brings.
func (s *server) upload(r *http.Request) (file, error) {
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || len(kind) > 100 {
		kind = "application/octet-stream"
	}
	kept, err := s.host.Media().Store(r.Context(), kind, r.Body)
	if err != nil {
		return file{}, err
	}
	f := fileOf(r.URL.Query().Get("name"), kept)
	if f.Name == "" {
		f.Name = "file"
	}
	return f, nil
}

// pictures are the types that a page may show; SVG is a program.
var pictures = map[string]bool{"image/png": true, "image/jpeg": true, "image/gif": true, "image/webp": true}

// getFile gives a file of a message to whoever may read the message. Browsers
// save it, but for pictures within a page.
func (s *server) getFile(w http.ResponseWriter, r *http.Request, p person) {
	conv := r.FormValue("conv")
	seq, err1 := strconv.ParseInt(r.FormValue("seq"), 10, 64)
	n, err2 := strconv.Atoi(r.FormValue("n"))
	if err := errors.Join(err1, err2); err != nil {
		refuse(w, http.StatusBadRequest, "which file?")
		return
	}
	if !s.inConversation(w, r, p, conv) {
		return
	}
	m, err := s.store.get(r.Context(), conv, seq)
	if err != nil {
		s.fail(w, err)
		return
	}
	if m == nil || !m.visibleTo(p.Name, p.Since) || n < 0 || n >= len(m.Files) {
		refuse(w, http.StatusNotFound, "there is no such file")
		return
	}
	s.sendFile(w, r, m.Files[n])
}

func (s *server) sendFile(w http.ResponseWriter, r *http.Request, f file) {
	body, err := s.host.Media().Open(r.Context(), f.content())
	if errors.Is(err, sdk.ErrNotFound) {
		refuse(w, http.StatusGone, "this file is not kept any more")
		return
	}
	if err != nil {
		s.fail(w, err)
		return
	}
	defer body.Close()
	kind := f.Type
	if !pictures[kind] {
		kind = "application/octet-stream"
	}
	h := w.Header()
	h.Set("Content-Type", kind)
	h.Set("Content-Length", strconv.FormatInt(f.Size, 10))
	h.Set("Content-Disposition", mime.FormatMediaType("attachment", map[string]string{"filename": f.Name}))
	h.Set("Content-Security-Policy", "default-src 'none'; sandbox; frame-ancestors 'none'")
	h.Set("Cache-Control", "private, max-age=86400, immutable")
	if _, err := io.Copy(w, body); err != nil {
		panic(http.ErrAbortHandler) // the length was promised
	}
}
