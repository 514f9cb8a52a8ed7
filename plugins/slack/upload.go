package slack

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/slack-go/slack"

	"parley.im/bus/event"
	"parley.im/plugins/content"
	"parley.im/plugins/sdk"
)

// maxFile is the largest file that is offered to Slack, in bytes: Slack itself
// takes 1 GB, less in some workspaces.
const maxFile = 100 << 20

// notUploaded is what Deliver loses when Slack does not take a file.
const notUploaded content.Loss = "file refused by Slack"

// uploadTimeout bounds the upload of one file.
const uploadTimeout = 60 * time.Second

// progress is how far a message with files has come: Slack has no key against
// doing a thing twice, so each step is remembered when it is done. A crash
// between the step and its memory repeats one file.
type progress struct {
	TS    string // of the text
	Files int    // how many have followed it
	At    time.Time
}

const progressPrefix = "sent/"

// keepProgress is longer than any message is tried.
const keepProgress = 8 * 24 * time.Hour

func (c *connector) progress(ctx context.Context, id string) (p progress, revision uint64, err error) {
	e, err := c.host.State().Get(ctx, progressPrefix+id)
	if errors.Is(err, sdk.ErrNotFound) {
		return p, 0, nil
	}
	if err == nil {
		err = json.Unmarshal(e.Value, &p)
	}
	return p, e.Revision, err
}

// advance remembers a step. Where that fails nobody knows whether it was done.
func (c *connector) advance(ctx context.Context, id string, p progress, revision uint64) (uint64, error) {
	p.At = time.Now()
	value, err := json.Marshal(p)
	if err == nil {
		revision, err = c.host.State().Put(ctx, progressPrefix+id, value, revision)
	}
	if err != nil {
		return 0, fmt.Errorf("note what was sent: %w", err)
	}
	return revision, nil
}

// withFiles posts a message and then its files, in the same thread. What an
// earlier attempt has done is not done again.
func (c *connector) withFiles(ctx context.Context, d event.Delivery, at spot, first func() (spot, string, error)) (event.Receipt, error) {
	p, revision, err := c.progress(ctx, d.ID)
	if err != nil {
		return event.Receipt{}, event.Retry(event.ScopeMessage, 0, err)
	}
	if p.TS == "" {
		if at, p.TS, err = first(); err != nil {
			return event.Receipt{}, err
		}
		if revision, err = c.advance(ctx, d.ID, p, 0); err != nil {
			return event.Receipt{}, err
		}
	}
	r := receipt(d, at, p.TS)
	thread, _ := readSpot(r.Anchor)
	for i := p.Files; i < len(d.Files); i++ {
		err := c.upload(ctx, at.channel, thread.ts, d.Files[i])
		if declined(err) {
			r.Losses = append(r.Losses, string(notUploaded))
			note := escape("[file not passed on: " + oneLine(d.Files[i].Name) + ": " + err.Error() + "]")
			_, err = c.post(ctx, post{id: d.ID + "/f", at: spot{at.channel, thread.ts}, text: note})
		}
		if err != nil {
			return event.Receipt{}, unsent(err)
		}
		p.Files = i + 1
		if revision, err = c.advance(ctx, d.ID, p, revision); err != nil {
			return event.Receipt{}, err
		}
	}
	return r, nil
}

// declined tells whether an upload will never work. An app that was installed
// without the scope for files is no reason to hold back what is said.
func declined(err error) bool {
	var r *refusal
	return event.IsPermanent(err) || errors.As(err, &r) && (!ofApp[r.code] || r.code == "missing_scope")
}

// upload hands a file to Slack and shows it in a channel.
// https://docs.slack.dev/messaging/working-with-files
func (c *connector) upload(ctx context.Context, channel, thread string, f event.File) error {
	size := max(f.Size, int64(len(f.Data)))
	if size == 0 {
		return event.Permanent(errors.New("the file is empty"))
	}
	body, err := c.host.Media().Open(ctx, f.Content)
	if err != nil {
		return event.Retry(event.ScopeMessage, 0, fmt.Errorf("open a file: %w", err))
	}
	defer body.Close()
	ctx, cancel := context.WithTimeout(ctx, uploadTimeout)
	defer cancel()
	_, err = c.api.large.UploadFileContext(ctx, slack.UploadFileParameters{
		Filename: f.Name, Title: f.Name, FileSize: int(size), Reader: body, Channel: channel, ThreadTimestamp: thread,
	})
	return verdict(err, true)
}

// named stands for the text of a message that is nothing but files.
func named(files []event.File) string {
	names := make([]string, len(files))
	for i, f := range files {
		names[i] = escape(oneLine(f.Name))
	}
	return ":paperclip: " + strings.Join(names, ", ")
}

// forget removes what nobody will ask for any more.
func (c *connector) forget(ctx context.Context) error {
	after := ""
	for {
		page, err := c.host.State().List(ctx, progressPrefix, after, 100)
		if err != nil || len(page) == 0 {
			return err
		}
		for _, e := range page {
			var p progress
			after = e.Key
			if json.Unmarshal(e.Value, &p) == nil && time.Since(p.At) < keepProgress {
				continue
			}
			if err := c.host.State().Delete(ctx, e.Key, e.Revision); err != nil && !errors.Is(err, sdk.ErrConflict) {
				return err
			}
		}
	}
}
