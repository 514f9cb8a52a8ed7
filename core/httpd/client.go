package httpd

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"strings"
	"syscall"
)

// maxLine bounds one event of a tail: a body that a bus event can hold, as
// base64, with its headers.
const maxLine = 4 << 20

// ErrNoHost says that no host answers on the socket.
var ErrNoHost = errors.New("no running host")

// Client speaks to a host's Operator.
type Client struct{ http *http.Client }

// NewClient returns a client for the socket at path. It connects at each call.
func NewClient(path string) *Client {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		c, err := dialSocket(ctx, path)
		if errors.Is(err, fs.ErrNotExist) || isRefused(err) {
			err = fmt.Errorf("%w at %s", ErrNoHost, path)
		}
		return c, err
	}
	return &Client{&http.Client{Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true}}}
}

// Tail calls each with every event that f chooses, as one line of CloudEvents
// JSON, until ctx ends (then it returns nil), each returns an error, or the
// host ends the stream. ready is called when the host has begun; it may be nil.
func (c *Client) Tail(ctx context.Context, f Filter, ready func(), each func(line []byte) error) error {
	body, err := c.get(ctx, "/v1/tail", f.query())
	if err == nil {
		defer body.Close()
		if ready != nil {
			ready()
		}
		err = readLines(body, each)
	}
	if ctx.Err() != nil {
		return nil
	}
	return err
}

func readLines(r io.Reader, each func(line []byte) error) error {
	s := bufio.NewScanner(r)
	s.Buffer(nil, maxLine)
	for s.Scan() {
		var last struct{ Error string }
		if err := json.Unmarshal(s.Bytes(), &last); err != nil {
			return fmt.Errorf("the host sent no JSON: %w", err)
		}
		if last.Error != "" {
			return errors.New(last.Error)
		}
		if err := each(s.Bytes()); err != nil {
			return err
		}
	}
	if err := s.Err(); err != nil {
		return err
	}
	return errors.New("the host closed the stream")
}

// Status returns what the host's Operator.Status gave.
func (c *Client) Status(ctx context.Context) (json.RawMessage, error) {
	body, err := c.get(ctx, "/v1/status", nil)
	if err != nil {
		return nil, err
	}
	defer body.Close()
	return io.ReadAll(io.LimitReader(body, maxLine))
}

func (c *Client) get(ctx context.Context, path string, q url.Values) (io.ReadCloser, error) {
	return c.ask(ctx, http.MethodGet, url.URL{Path: path, RawQuery: q.Encode()}, nil)
}

// post sends v as JSON.
func (c *Client) post(ctx context.Context, path string, v any) (io.ReadCloser, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	return c.ask(ctx, http.MethodPost, url.URL{Path: path}, bytes.NewReader(b))
}

func (c *Client) ask(ctx context.Context, method string, target url.URL, content io.Reader) (io.ReadCloser, error) {
	target.Scheme, target.Host = "http", "parley"
	req, err := http.NewRequestWithContext(ctx, method, target.String(), content)
	if err != nil {
		return nil, err
	}
	res, err := c.http.Do(req)
	if err != nil {
		var wrapped *url.Error
		if errors.As(err, &wrapped) {
			err = wrapped.Err
		}
		return nil, err
	}
	if res.StatusCode != http.StatusOK {
		defer res.Body.Close()
		text, _ := io.ReadAll(io.LimitReader(res.Body, 4<<10))
		return nil, fmt.Errorf("the host answers %d: %s", res.StatusCode, strings.TrimSpace(string(text)))
	}
	return res.Body, nil
}

// isRefused tells a socket that nobody listens on any more.
func isRefused(err error) bool { return errors.Is(err, syscall.ECONNREFUSED) }
