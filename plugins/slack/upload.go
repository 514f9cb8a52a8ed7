package slack

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
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

// maxUploads is how often a message's files may fail before those that fail are
// named instead: the next message of the channel waits behind them.
const maxUploads = 3

// A haste is how much time files may take.
type haste struct {
	deliver time.Duration // one Deliver; the host gives it 90 s
	least   time.Duration // the smallest file
	most    time.Duration // the largest
	rate    int64         // bytes a second that are counted on in between
}

func usualHaste() haste {
	return haste{deliver: 80 * time.Second, least: 15 * time.Second, most: 70 * time.Second, rate: 64 << 10}
}

// file is the time that a file may take.
func (h haste) file(size int64) time.Duration {
	return min(h.least+time.Duration(size)*time.Second/time.Duration(h.rate), h.most)
}

// leaves tells whether the deadline of ctx leaves a file its time.
func (h haste) leaves(ctx context.Context, f event.File) bool {
	until, ok := ctx.Deadline()
	return !ok || time.Until(until) >= h.file(length(f))
}

func length(f event.File) int64 { return max(f.Size, int64(len(f.Data))) }

// A sending is a message with files on its way.
type sending struct {
	c        *connector
	d        event.Delivery
	channel  string
	p        progress
	revision uint64
}

// withFiles posts a message and then its files, in the same thread. What an
// earlier attempt has done is not done again.
func (c *connector) withFiles(ctx context.Context, d event.Delivery, at spot, first func() (spot, string, error)) (event.Receipt, error) {
	p, revision, err := c.progress(ctx, d.ID)
	if err != nil {
		return event.Receipt{}, event.Retry(event.ScopeMessage, 0, err)
	}
	limited, cancel := context.WithTimeout(ctx, c.haste.deliver)
	defer cancel()
	s := &sending{c: c, d: d, channel: at.channel, p: p, revision: revision}
	begun := p.TS == ""
	if begun {
		if at, s.p.TS, err = first(); err != nil {
			return event.Receipt{}, err
		}
		s.p.Thread = at.ts
		if err := s.advance(ctx); err != nil {
			return event.Receipt{}, err
		}
	}
	if r, err := s.ahead(ctx, begun); err != nil {
		return r, err
	}
	if err := s.files(ctx, limited, begun); err != nil {
		return event.Receipt{}, err
	}
	return s.p.receipt(d, at.channel), nil
}

// ahead returns the thread that the text has begun as soon as it stands: who
// answers there is heard while the files are still on their way. If the host does
// not know it by the next attempt, it is told once more.
func (s *sending) ahead(ctx context.Context, begun bool) (event.Receipt, error) {
	thread := s.p.receipt(s.d, s.channel).Anchor
	switch {
	case thread == s.d.Anchor || s.p.Files == len(s.d.Files):
		return event.Receipt{}, nil
	case begun:
	case s.d.Anchor == "" && !s.p.Told:
		s.p.Told = true
		if err := s.advance(ctx); err != nil {
			return event.Receipt{}, err
		}
	default:
		return event.Receipt{}, nil
	}
	return event.Receipt{Anchor: thread}, event.Retry(event.ScopeTarget, time.Millisecond, errors.New("slack: its files follow"))
}

// files sends the files that are left. It ends early, and the host calls again,
// when something has got done and the next may take longer than is left: moved
// tells whether something has already. limited ends before ctx.
func (s *sending) files(ctx, limited context.Context, moved bool) error {
	for ; s.p.Files < len(s.d.Files); moved = true {
		f := s.d.Files[s.p.Files]
		if moved && !s.c.haste.leaves(limited, f) {
			return event.Retry(event.ScopeTarget, pace, errors.New("slack: more files follow"))
		}
		if err := s.file(ctx, limited, f); err != nil {
			return err
		}
		s.p.Files, s.p.Pending = s.p.Files+1, ""
		if err := s.advance(ctx); err != nil {
			return err
		}
	}
	return nil
}

// file sends the next file, or names it when Slack will never take it or when
// it has been tried often enough.
func (s *sending) file(ctx, limited context.Context, f event.File) error {
	timed, cancel := context.WithTimeout(limited, s.c.haste.file(length(f)))
	defer cancel()
	id, err := s.upload(ctx, timed, f)
	switch {
	case err == nil:
		s.p.Names = append(s.p.Names, fileName(id))
		return nil
	case ctx.Err() != nil: // the host has given up, not Slack
		return err
	case declined(err):
		return s.lose(ctx, f, err.Error())
	case policy(err):
		return err
	}
	s.c.log.Warn("slack: a file was not taken", "message", s.d.ID, "bytes", length(f), "tries", s.p.Tries+1, "err", err)
	if s.p.Tries+1 >= maxUploads {
		return s.lose(ctx, f, "handing it to Slack took too long, or failed")
	}
	s.p.Tries++
	return errors.Join(err, s.advance(ctx))
}

// policy tells whether an error says when to try again: then it is no try.
func policy(err error) bool {
	_, _, ok := event.AsRetry(err)
	return ok
}

// lose names a file that does not arrive. Where even that can't be posted, the
// receipt says it.
func (s *sending) lose(ctx context.Context, f event.File, why string) error {
	note := escape("[file not passed on: " + oneLine(f.Name) + ": " + why + "]")
	at := s.thread()
	ts, err := s.c.post(ctx, post{id: s.d.ID + "/f", at: at, text: note})
	switch {
	case err == nil:
		s.p.Names = append(s.p.Names, spot{at.channel, ts}.String())
	case !declined(err):
		return err
	}
	s.p.Losses = append(s.p.Losses, string(notUploaded))
	return nil
}

// thread is where the files stand.
func (s *sending) thread() spot {
	anchor, _ := readSpot(s.p.receipt(s.d, s.channel).Anchor)
	return spot{s.channel, anchor.ts}
}

// declined tells whether a request will never work. An app that was installed
// without the scope for files is no reason to hold back what is said.
func declined(err error) bool {
	if scope, _, ok := event.AsRetry(err); ok && scope == event.ScopeTarget {
		return false
	}
	var r *refusal
	return event.IsPermanent(err) || errors.As(err, &r) && (!ofApp[r.code] || r.code == "missing_scope")
}

// upload hands a file to Slack and shows it in the channel. Before the step
// that shows it, the file's id is noted as pending: that step can be taken once,
// and may have been taken without its answer being heard.
// https://docs.slack.dev/messaging/working-with-files
func (s *sending) upload(ctx, timed context.Context, f event.File) (id string, err error) {
	api, size := s.c.api, length(f)
	if size == 0 {
		return "", event.Permanent(errors.New("the file is empty"))
	}
	if pending := s.p.Pending; pending != "" {
		if shown, err := s.c.shown(timed, pending, s.channel); shown || err != nil {
			return pending, err
		}
	}
	body, err := s.c.host.Media().Open(timed, f.Content)
	if errors.Is(err, sdk.ErrNotFound) {
		return "", event.Permanent(errors.New("the file is not kept any more"))
	}
	if err != nil {
		return "", fmt.Errorf("open a file: %w", err)
	}
	defer body.Close()
	var to *slack.GetUploadURLExternalResponse
	err = api.call(timed, func(ctx context.Context) (err error) {
		to, err = api.client.GetUploadURLExternalContext(ctx, slack.GetUploadURLExternalParameters{FileName: f.Name, FileSize: int(size)})
		return err
	})
	if err != nil {
		return "", err
	}
	if err := api.large.UploadToURL(timed, slack.UploadToURLParameters{UploadURL: to.UploadURL, Reader: body, Filename: f.Name}); err != nil {
		return "", uploadFault(err)
	}
	s.p.Pending = to.FileID
	if err := s.advance(ctx); err != nil {
		return "", err
	}
	return to.FileID, api.call(timed, func(ctx context.Context) error {
		_, err := api.client.CompleteUploadExternalContext(ctx, slack.CompleteUploadExternalParameters{
			Files: []slack.FileSummary{{ID: to.FileID, Title: f.Name}}, Channel: s.channel, ThreadTimestamp: s.thread().ts,
		})
		return err
	})
}

// uploadFault is the error of the upload itself, which goes to another host of
// Slack's: it says nothing about the app.
func uploadFault(err error) error {
	var status slack.StatusCodeError
	if errors.As(err, &status) && status.Code != http.StatusTooManyRequests {
		return explain(err)
	}
	if v := verdict(err, true); policy(v) {
		return v
	}
	return explain(err)
}

// shown tells whether a file is shown in a channel, or was.
func (c *connector) shown(ctx context.Context, file, channel string) (bool, error) {
	var f *slack.File
	err := c.api.call(ctx, func(ctx context.Context) (err error) {
		f, _, _, err = c.api.client.GetFileInfoContext(ctx, file, 0, 0)
		return err
	})
	switch {
	case err == nil:
		return slices.Contains(slices.Concat(f.Channels, f.Groups, f.IMs), channel), nil
	case isRefusal(err, "file_deleted"):
		return true, nil
	case declined(err):
		return false, nil
	}
	return false, err
}

// named stands for the text of a message that is nothing but files.
func named(files []event.File) string {
	names := make([]string, len(files))
	for i, f := range files {
		names[i] = escape(oneLine(f.Name))
	}
	return ":paperclip: " + strings.Join(names, ", ")
}
