package sdktest_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"parley.im/bus/event"
	"parley.im/plugins/sdk"
)

// folder is a whole chat network in a folder: each message is a file named by
// the delivery's id, so that repeating does nothing. What its users say comes
// as POST, with the id in a header.
type folder struct {
	dir  string
	host sdk.Host
}

func (f *folder) Describe() sdk.Description {
	return sdk.Description{
		Network: "folder", Version: "1", Schemes: []string{"folder"}, Kinds: []event.Kind{event.KindMessage},
		Types: []string{"text/*"}, HTTP: true,
		Settings: `{"type":"object","additionalProperties":false,"required":["dir"],
			"properties":{"token":{"type":"string"},"dir":{"type":"string","description":"the folder that is the network","examples":["/srv/chat"]}}}`,
	}
}

func (f *folder) Open(_ context.Context, s sdk.Settings, h sdk.Host) error {
	var set struct{ Dir string }
	if err := s.Decode(&set); err != nil {
		return err
	}
	f.dir, f.host = set.Dir, h
	return h.Serve(http.HandlerFunc(f.said))
}

func (f *folder) Deliver(ctx context.Context, d event.Delivery) (event.Receipt, error) {
	if err := f.there(); err != nil {
		return event.Receipt{}, err
	}
	r, err := f.host.Media().Open(ctx, d.Content)
	if err != nil {
		return event.Receipt{}, err
	}
	defer r.Close()
	data, err := io.ReadAll(r)
	if err != nil {
		return event.Receipt{}, err
	}
	part := f.path(d) + ".part"
	if err := os.WriteFile(part, data, 0o600); err != nil {
		return event.Receipt{}, event.Permanent(err)
	}
	now := time.Now() // the file system's own times are too coarse to order by
	if err := errors.Join(os.Chtimes(part, now, now), os.Rename(part, f.path(d))); err != nil {
		return event.Receipt{}, err
	}
	return event.Receipt{State: event.Delivered, RemoteIDs: []string{d.ID}}, nil
}

func (f *folder) Find(_ context.Context, d event.Delivery, first time.Time) (event.Receipt, bool, error) {
	if first.IsZero() {
		return event.Receipt{}, false, errors.New("no first time")
	}
	if _, err := os.Stat(f.path(d)); err != nil {
		return event.Receipt{}, false, nil
	}
	return event.Receipt{State: event.Delivered, RemoteIDs: []string{d.ID}}, true, nil
}

// there tells whether the network takes anything now.
func (f *folder) there() error {
	if _, err := os.Stat(f.dir); err != nil {
		return event.Retry(event.ScopeConnector, 0, err)
	}
	wait, err := os.ReadFile(filepath.Join(f.dir, "wait"))
	if err != nil {
		return nil
	}
	after, err := time.ParseDuration(string(wait))
	if err != nil {
		return event.Permanent(err)
	}
	return event.Retry(event.ScopeTarget, after, errors.New("the folder wants a pause"))
}

func (f *folder) Close(context.Context) error { return nil }

func (f *folder) path(d event.Delivery) string {
	return filepath.Join(f.dir, filepath.Base(d.ID)+".msg")
}

func (f *folder) said(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	_, err = f.host.Put(r.Context(), event.Inbound{
		Envelope: event.Envelope{NativeID: r.Header.Get("Message"), Sender: "folder:u/bob", Recipient: "folder:room"},
		Content:  event.Content{MediaType: "text/plain", Data: body},
	})
	if err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
	}
}

// watcher sees the folder as a user does.
type watcher struct{ dir string }

func (w watcher) Arrived(ctx context.Context, part string) (int, error) {
	list, err := w.Shown(ctx, part)
	return len(list), err
}

// Shown looks at the times of the files.
func (w watcher) Shown(_ context.Context, part string) (list []string, err error) {
	files, err := filepath.Glob(filepath.Join(w.dir, "*.msg"))
	if err != nil {
		return nil, err
	}
	times := map[string]time.Time{}
	for _, f := range files {
		data, err := os.ReadFile(f)
		if err != nil {
			return nil, err
		}
		info, err := os.Stat(f)
		if err != nil {
			return nil, err
		}
		if text := string(data); strings.Contains(text, part) {
			list = append(list, text)
			times[text] = info.ModTime()
		}
	}
	slices.SortFunc(list, func(a, b string) int { return times[a].Compare(times[b]) })
	return list, nil
}

func (w watcher) Limit(after time.Duration) (lift func()) {
	name := filepath.Join(w.dir, "wait")
	if err := os.WriteFile(name, []byte(after.String()), 0o600); err != nil {
		panic(err) // the test's own folder
	}
	return func() { _ = os.Remove(name) }
}

func (w watcher) Break() (mend func() error) {
	away := w.dir + ".away"
	if err := os.Rename(w.dir, away); err != nil {
		panic(err) // the test's own folder
	}
	return func() error { return os.Rename(away, w.dir) }
}

func (w watcher) Say(ctx context.Context, door *http.Client, id, text string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://door/", strings.NewReader(text))
	if err != nil {
		return err
	}
	req.Header.Set("Message", id)
	resp, err := door.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		why, _ := io.ReadAll(resp.Body)
		return fmt.Errorf("%s: %s", resp.Status, why)
	}
	return nil
}
