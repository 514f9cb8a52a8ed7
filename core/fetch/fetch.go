// Package fetch gets files from outside that messages name and do not have.
//
// Whoever writes a message chooses its URLs, so that without care this would
// reach whatever the host reaches (SSRF). Only hosts that the operator has
// listed are asked, by HTTP and HTTPS; addresses that are not public are refused
// where the connection is made, after the name was resolved, unless their
// network is listed, too; redirects are judged like the first URL; no proxy,
// cookie or credential is used; and time and size are limited.
package fetch

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"sync/atomic"
	"time"

	"parley.im/bus/event"
	"parley.im/plugins/content/mapping"
)

// Limits of one fetch.
const (
	patience  = 30 * time.Second // with a server, and for a turn to ask it
	redirects = 3
	headers   = 64 << 10 // bytes
	atOnce    = 8        // fetches
	sniffed   = 3072     // bytes at the beginning that tell a file's type

	keptFor = time.Hour // far longer than any delivery takes
	maxKept = 40        // files of the largest size: what strangers may have lie here at once
)

// ErrSource tells of a URL that is not to be fetched: its host is not listed.
var ErrSource = errors.New("its host is not among files.fetch")

// Config is what a Fetcher needs.
type Config struct {
	// Sources returns the hosts that may be asked, such as "files.example.com",
	// "*.example.com:8443" and "*", and the networks whose addresses may be
	// private, such as "10.1.0.0/16". With none nothing is fetched.
	Sources func() []string
	// Max returns the largest file, in bytes.
	Max func() int64
	// Store keeps what r yields, and Discard lets go of it.
	Store   func(ctx context.Context, mediaType string, r io.Reader) (event.Content, error)
	Discard func(c event.Content)
}

// A Fetcher gets files. Its methods may be called from several goroutines.
type Fetcher struct {
	Config
	visits visits
	slots  chan struct{}
	kept   atomic.Int64 // bytes
}

// New returns a Fetcher.
func New(c Config) *Fetcher {
	return &Fetcher{Config: c, visits: visits{all: map[string]*visit{}}, slots: make(chan struct{}, atOnce)}
}

// Fetch stores the file at a URL, and returns where. What was fetched, or could
// not be, is known for a while: a message goes to several targets.
func (f *Fetcher) Fetch(ctx context.Context, raw string) (event.Content, error) {
	list := parseSources(f.Sources())
	u, err := url.Parse(raw)
	if err != nil {
		return event.Content{}, errors.New("its URL can't be read")
	}
	if err := list.allows(u); err != nil {
		return event.Content{}, err
	}
	v, first := f.visits.enter(raw, time.Now())
	if first {
		go func() {
			c, err := f.get(context.WithoutCancel(ctx), u, list) // others may wait for it
			defer f.visits.end(v, c, err, time.Now())
			if err == nil { // no event refers to it, by which it could be erased
				f.kept.Add(c.Size)
				time.AfterFunc(keptFor, func() { f.Discard(c); f.kept.Add(-c.Size) })
			}
		}()
	}
	select {
	case <-v.done:
		return v.content, v.err
	case <-ctx.Done():
		return event.Content{}, ctx.Err()
	}
}

// errOurs marks trouble that says nothing about the server.
var errOurs = errors.New("not the server's fault")

func ours(err error) error { return fmt.Errorf("%w: %w", errOurs, err) }

// get asks for a file when it is its turn.
func (f *Fetcher) get(ctx context.Context, u *url.URL, list sources) (event.Content, error) {
	turn := time.NewTimer(patience)
	defer turn.Stop()
	select {
	case f.slots <- struct{}{}:
		defer func() { <-f.slots }()
	case <-turn.C:
		return event.Content{}, ours(errors.New("others took so long that its turn did not come"))
	}
	if f.kept.Load() >= maxKept*f.Max() {
		return event.Content{}, ours(errors.New("too much was fetched in the last hour"))
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return event.Content{}, errors.New("its URL can't be asked for")
	}
	r.Header.Set("User-Agent", "Parley")
	client := list.client()
	defer client.CloseIdleConnections()
	res, err := client.Do(r)
	if err != nil {
		return event.Content{}, cause(err)
	}
	defer res.Body.Close()
	return f.keep(ctx, res)
}

// cause leaves out the URL, which may be a secret.
func cause(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		return u.Err
	}
	return err
}

// client makes connections to where the list allows them. None is kept, nor is
// anything known from one fetch in another.
func (s sources) client() *http.Client {
	d := &net.Dialer{Timeout: patience / 3, Control: s.guard().Safe}
	return &http.Client{
		Transport: &http.Transport{
			DialContext: d.DialContext, DisableKeepAlives: true, DisableCompression: true, // a bomb stays one
			TLSHandshakeTimeout: patience / 3, ResponseHeaderTimeout: patience / 2, MaxResponseHeaderBytes: headers,
		},
		CheckRedirect: func(r *http.Request, via []*http.Request) error {
			switch {
			case len(via) > redirects:
				return fmt.Errorf("more than %d redirections", redirects)
			case via[0].URL.Scheme == "https" && r.URL.Scheme != "https":
				return errors.New("it redirects from https to " + r.URL.Scheme)
			}
			r.Header.Del("Referer")
			return s.allows(r.URL)
		},
	}
}

// keep stores the body of a response.
func (f *Fetcher) keep(ctx context.Context, res *http.Response) (event.Content, error) {
	most := f.Max()
	switch {
	case res.StatusCode != http.StatusOK:
		return event.Content{}, fmt.Errorf("the server answers %d", res.StatusCode)
	case res.Header.Get("Content-Encoding") != "":
		return event.Content{}, errors.New("it is compressed, which was not asked for")
	case res.ContentLength > most:
		return event.Content{}, tooLarge(most)
	}
	theirs := &limited{Reader: res.Body, left: most}
	body := bufio.NewReaderSize(theirs, sniffed)
	head, err := body.Peek(sniffed)
	if err != nil && !errors.Is(err, io.EOF) {
		return event.Content{}, err
	}
	stated := res.Header.Get("Content-Type")
	if stated == "" {
		stated = "application/octet-stream"
	}
	c, err := f.Store(ctx, mapping.FileType(stated, head), body)
	if err != nil && theirs.err == nil {
		err = ours(err)
	}
	return c, err
}

func tooLarge(most int64) error { return fmt.Errorf("it is larger than files.max, %d bytes", most) }

// limited fails when more comes than may.
type limited struct {
	io.Reader
	left int64
	err  error // that reading ended with, but for its end
}

func (l *limited) Read(p []byte) (n int, err error) {
	n, err = l.Reader.Read(p)
	if l.left -= int64(n); l.left < 0 {
		n, err = 0, errors.New("it is larger than files.max")
	}
	if err != nil && !errors.Is(err, io.EOF) {
		l.err = err
	}
	return n, err
}
