package matrix

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strconv"
	"sync/atomic"
	"time"

	"maunium.net/go/mautrix"
	"maunium.net/go/mautrix/id"

	"parley.im/bus/event"
)

// maxAnswer is the largest answer that is read: joined_members of a large room.
const maxAnswer = 32 << 20

// api asks the homeserver. It repeats nothing: what a failure means for a
// message is for the host to act on.
type api struct {
	base mautrix.Client // copied for each request
	http *http.Client
}

func newAPI(homeserver *url.URL, token string) *api {
	client := &http.Client{
		Transport: &http.Transport{
			Proxy:               http.ProxyFromEnvironment,
			DialContext:         (&net.Dialer{Timeout: 10 * time.Second}).DialContext,
			TLSHandshakeTimeout: 10 * time.Second,
			MaxIdleConnsPerHost: 32,
			IdleConnTimeout:     time.Minute,
			ForceAttemptHTTP2:   true,
		},
		// A homeserver that redirects its API is a mistake in the settings; the
		// token must not follow.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return &api{http: client, base: mautrix.Client{
		HomeserverURL: homeserver, AccessToken: token, Client: client, UserAgent: "Parley",
		IgnoreRateLimit: true, ResponseSizeLimit: maxAnswer,
	}}
}

func (a *api) close() { a.http.CloseIdleConnections() }

// call makes one request of the client API in the name of a user; without one
// it is the bot's. in may be nil, and out too. The error is a *failure.
func (a *api) call(ctx context.Context, as id.UserID, method string, path []any, query url.Values, in, out any) error {
	_, err := a.do(ctx, as, mautrix.ClientURLPath(path), query, mautrix.FullRequest{Method: method, RequestJSON: in, ResponseJSON: out})
	return err
}

// do makes any request. The error is a *failure.
func (a *api) do(ctx context.Context, as id.UserID, path mautrix.PrefixableURLPath, query url.Values, r mautrix.FullRequest) (*http.Response, error) {
	cli := a.base
	cli.UserID, cli.SetAppServiceUserID = as, as != ""
	r.URL = cli.BuildURLWithFullQuery(path, func(q url.Values) { maps.Copy(q, query) })
	var wrote atomic.Bool
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{WroteHeaders: func() { wrote.Store(true) }})
	_, res, err := cli.MakeFullRequestWithResp(ctx, r)
	if err == nil {
		return res, nil
	}
	if res != nil {
		res.Body.Close()
	}
	f := newFailure(err, res, wrote.Load())
	f.late = ctx.Err() != nil
	return nil, f
}

// failure is why a request did not do what it should.
type failure struct {
	status  int           // HTTP status; 0 without an answer
	code    string        // such as M_FORBIDDEN
	text    string        // in the homeserver's words
	after   time.Duration // of a 429
	written bool          // the request was on its way
	late    bool          // the asker's own time was over
	err     error         // without an answer
}

func newFailure(err error, res *http.Response, written bool) *failure {
	f := &failure{written: written, err: err}
	var h mautrix.HTTPError
	if errors.As(err, &h) && h.WrappedError != nil {
		f.err = h.WrappedError
	}
	if res == nil {
		return f
	}
	f.status = res.StatusCode
	if h.RespError != nil {
		f.code, f.text = h.RespError.ErrCode, h.RespError.Err
		if ms, ok := h.RespError.ExtraData["retry_after_ms"].(float64); ok && ms > 0 && ms < 1e9 {
			f.after = time.Duration(ms) * time.Millisecond
		}
	}
	if s, err := strconv.Atoi(res.Header.Get("Retry-After")); err == nil && s > 0 && s < 1e6 {
		f.after = time.Duration(s) * time.Second
	}
	return f
}

func (f *failure) Error() string {
	switch {
	case f.status == 0:
		return "homeserver: " + f.err.Error()
	case f.code != "":
		return fmt.Sprintf("homeserver: %s (%s)", short(clean(f.text, false), 300), short(clean(f.code, false), 64))
	}
	return fmt.Sprintf("homeserver: HTTP status %d without a Matrix error", f.status)
}

func (f *failure) Unwrap() error { return f.err }

// is tells whether err is the homeserver's refusal with one of the codes.
func is(err error, codes ...string) bool {
	var f *failure
	if !errors.As(err, &f) {
		return false
	}
	for _, c := range codes {
		if f.code == c {
			return true
		}
	}
	return false
}

// away tells that the failure is about the homeserver, not about what was
// asked: it can't be reached, is broken as a whole, or refuses the token.
func (f *failure) away() bool {
	return f.unreachable() || f.status >= 500 && f.code == "" // a proxy in front of it
}

// unreachable tells that nothing can be asked of the homeserver: nobody listens
// there, or it refuses the token. What it answers may be about one request; and
// where our own time was over nobody knows whether it could be reached.
func (f *failure) unreachable() bool {
	return f.status == 0 && !f.written && !f.late || f.code == "M_UNKNOWN_TOKEN" || f.code == "M_MISSING_TOKEN"
}

// unsent is what the host is told when a step before the message itself
// failed: the message was certainly not sent.
func unsent(doing string, err error) error {
	var f *failure
	if !errors.As(err, &f) {
		return err
	}
	err = fmt.Errorf("%s: %w", doing, err)
	switch {
	case f.status == http.StatusTooManyRequests:
		return event.Retry(event.ScopeTarget, f.after, err)
	case f.away():
		return event.Retry(event.ScopeConnector, 0, err)
	case f.status == 0, f.status < 400, f.status >= 500:
		return event.Retry(event.ScopeTarget, 0, err)
	case f.code == "M_FORBIDDEN":
		return event.Refused(err)
	}
	return event.Permanent(err)
}

// unknown tells whether the homeserver may have done what was asked: no answer
// came, or one that says nothing about it.
func (f *failure) unknown() bool {
	switch {
	case f.status == 0:
		return f.written
	case f.status == http.StatusServiceUnavailable:
		return false
	}
	return f.status < 400 || f.status >= 500
}

// sending is what the host is told when the message itself failed. Sent again
// with the same transaction id it is the same event.
func sending(err error) error {
	var p *preparing
	if errors.As(err, &p) {
		return unsent(p.doing, p.err)
	}
	var f *failure
	if errors.As(err, &f) && f.unknown() {
		return fmt.Errorf("send: %w", err)
	}
	return unsent("send", err)
}
