package slack

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"parley.im/bus/event"
	"parley.im/plugins/sdk"
)

// An errand is a file that is to be fetched: Slack waits three seconds for the
// acknowledgement of a message, and a file takes longer. It is durable before
// the acknowledgement, and gone when the host has the file, as a message of its
// own behind the text.
type errand struct {
	In    event.Inbound // the message of the file, without it
	Name  string
	Type  string
	URL   string
	Tries int
}

const errandPrefix = "fetch/"

// Limits of an errand.
const (
	maxTries     = 6 // then its name is told
	firstPause   = 2 * time.Second
	fetchTimeout = 3 * time.Minute
)

// commission makes errands of the files of a message.
func (c *connector) commission(ctx context.Context, h heard, in event.Inbound) error {
	for i, f := range h.Files {
		if !f.fetchable() {
			continue
		}
		e := errand{In: in, Name: oneLine(string(f.called())), Type: string(f.Type), URL: string(f.URL)}
		e.In.NativeID = partName(in.NativeID, i)
		e.In.Content = event.Content{}
		value, err := json.Marshal(e)
		if err != nil {
			return err
		}
		_, err = c.host.State().Put(ctx, errandPrefix+e.In.NativeID, value, 0)
		if err != nil && !errors.Is(err, sdk.ErrConflict) { // it is there already
			return fmt.Errorf("note a file to fetch: %w", err)
		}
		c.errands.poke()
	}
	return nil
}

// fetchAll fetches what is to be fetched, until ctx ends.
func (c *connector) fetchAll(ctx context.Context) {
	pause := firstPause
	for ctx.Err() == nil {
		left, err := c.fetchRound(ctx)
		if err != nil && ctx.Err() == nil {
			c.log.Warn("slack: files are not fetched yet", "err", err)
		}
		again := make(<-chan time.Time)
		if left || err != nil {
			again = time.After(pause)
			pause = min(2*pause, time.Minute)
		} else {
			pause = firstPause
		}
		select {
		case <-c.errands:
		case <-again:
		case <-ctx.Done():
		}
	}
}

// fetchRound tries each errand once. left tells that some have to be tried
// again.
func (c *connector) fetchRound(ctx context.Context) (left bool, err error) {
	after := ""
	for {
		page, err := c.host.State().List(ctx, errandPrefix, after, 20)
		if err != nil || len(page) == 0 {
			return left, err
		}
		for _, entry := range page {
			after = entry.Key
			done, err := c.errand(ctx, entry)
			if err != nil {
				return true, err
			}
			left = left || !done
		}
	}
}

// errand does one errand. It is done when the host has its message, or will
// never take it.
func (c *connector) errand(ctx context.Context, entry sdk.Entry) (done bool, err error) {
	var e errand
	if err := json.Unmarshal(entry.Value, &e); err != nil {
		c.log.Error("slack: a file to fetch can't be read any more", "key", entry.Key, "err", err)
		return true, c.host.State().Delete(ctx, entry.Key, entry.Revision)
	}
	in := e.In
	f, err := c.fetch(ctx, e)
	switch {
	case err == nil:
		in.Files = []event.File{f}
		in.Content = event.Content{MediaType: "text/plain;charset=utf-8"}
	case event.IsPermanent(err) || e.Tries+1 >= maxTries:
		c.log.Warn("slack: a file was not fetched", "native", in.NativeID, "err", err)
		in.Content = event.Content{MediaType: "text/plain;charset=utf-8", Data: []byte("[file: " + e.Name + "]")}
	default:
		c.log.Info("slack: a file is not fetched yet", "native", in.NativeID, "err", err)
		e.Tries++
		value, _ := json.Marshal(e) // it was JSON
		_, err = c.host.State().Put(ctx, entry.Key, value, entry.Revision)
		return false, err
	}
	if _, err := c.host.Put(ctx, in); err != nil && !errors.Is(err, sdk.ErrRefused) && !event.IsPermanent(err) {
		return false, err
	}
	return true, c.host.State().Delete(ctx, entry.Key, entry.Revision)
}

// fetch gets a file from Slack, with the token, and keeps it.
func (c *connector) fetch(ctx context.Context, e errand) (event.File, error) {
	at, err := url.Parse(e.URL)
	if err != nil || !c.api.holds(at) {
		return event.File{}, event.Permanent(fmt.Errorf("the file is not at Slack, but at %.80q", e.URL))
	}
	ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()
	q, err := http.NewRequestWithContext(ctx, http.MethodGet, e.URL, nil)
	if err != nil {
		return event.File{}, event.Permanent(err)
	}
	q.Header.Set("Authorization", "Bearer "+c.set.BotToken)
	r, err := c.api.files.Do(q)
	if err != nil {
		return event.File{}, err
	}
	defer r.Body.Close()
	switch page := strings.HasPrefix(r.Header.Get("Content-Type"), "text/html") && !strings.HasPrefix(e.Type, "text/"); {
	case r.StatusCode == http.StatusTooManyRequests || r.StatusCode >= 500:
		return event.File{}, fmt.Errorf("slack answers %s", r.Status)
	case r.StatusCode != http.StatusOK || page: // without the scope there is a page to log in
		return event.File{}, event.Permanent(fmt.Errorf("slack answers %s; the app needs the scope files:read", r.Status))
	}
	kept, err := c.host.Media().Store(ctx, e.Type, r.Body)
	return event.File{Name: e.Name, Content: kept}, err
}

// holds tells whether an address is Slack's own, where the token may go.
func (a *api) holds(at *url.URL) bool {
	host := at.Hostname()
	return at.Scheme == "https" && (host == "slack.com" || strings.HasSuffix(host, ".slack.com")) || at.Scheme == a.home.Scheme && at.Host == a.home.Host
}

// poker wakes whoever waits, once.
type poker chan struct{}

func (p poker) poke() {
	select {
	case p <- struct{}{}:
	default:
	}
}
