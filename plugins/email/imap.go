package email

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"parley.im/plugins/sdk"
)

const (
	checkEvery  = 10 * time.Minute // the mailbox is looked at, also when nothing is said of it
	pollEvery   = time.Minute      // the same where the server has no IDLE
	maxWait     = time.Minute      // between attempts to connect
	headerBatch = 100
)

// inbox is a mailbox on a server, as a fetcher needs it.
type inbox interface {
	// Validity changes when the uids of the mailbox mean other mails than
	// before (RFC 9051, section 2.3.1.1).
	Validity() uint32
	// Next is the uid that the next mail will have, as of the beginning.
	Next() uint32
	// Keywords tells whether the mailbox keeps marks of our own.
	Keywords() bool
	// Unmarked returns, in order, the uids of mails without our mark.
	Unmarked() ([]uint32, error)
	// After returns, in order, the uids above one.
	After(uid uint32) ([]uint32, error)
	// Headers returns size and header of mails that are still there.
	Headers(uids []uint32) (map[uint32]envelope, error)
	// Mail returns one mail whole, and sets no mark.
	Mail(uid uint32) ([]byte, error)
	// Mark marks a mail as done, and for people if flagged.
	Mark(uid uint32, flagged bool) error
	// Wait returns when the mailbox may have changed.
	Wait(ctx context.Context, every time.Duration) error
	Close()
}

type envelope struct {
	size   int64
	header []byte
}

// fetcher reads a mailbox. What it has put is marked on the server; where the
// server keeps no marks of ours, the last uid is kept in the connector's State.
type fetcher struct {
	c       *connector
	set     mailbox
	log     *slog.Logger
	connect func(ctx context.Context) (inbox, error)
	wait    time.Duration // before the first new attempt to connect
}

func newFetcher(c *connector, set mailbox) (*fetcher, error) {
	conf, err := set.tlsConfig()
	if err != nil {
		return nil, err
	}
	f := &fetcher{c: c, set: set, log: c.host.Log(), wait: time.Second}
	f.connect = func(ctx context.Context) (inbox, error) { return dialInbox(ctx, set, conf) }
	return f, nil
}

// run reads until ctx ends, and connects again when it has to.
func (f *fetcher) run(ctx context.Context) {
	wait := f.wait
	for ctx.Err() == nil {
		began := time.Now()
		err := f.session(ctx)
		if ctx.Err() != nil {
			return
		}
		if time.Since(began) > maxWait {
			wait = f.wait
		}
		f.log.Warn("mailbox can't be read; trying again", "address", f.set.Address, "mailbox", f.set.Mailbox, "after", wait, "err", err)
		select {
		case <-ctx.Done():
		case <-time.After(wait):
		}
		wait = min(2*wait, maxWait)
	}
}

// session reads over one connection until it fails.
func (f *fetcher) session(ctx context.Context) error {
	box, err := f.connect(ctx)
	if err != nil {
		return err
	}
	defer box.Close()
	f.log.Info("reading a mailbox", "address", f.set.Address, "mailbox", f.set.Mailbox)
	for {
		if err := f.round(ctx, box); err != nil {
			return err
		}
		if err := box.Wait(ctx, checkEvery); err != nil {
			return err
		}
	}
}

// round reads what is new.
func (f *fetcher) round(ctx context.Context, box inbox) error {
	uids, begins, err := f.fresh(ctx, box)
	if err != nil {
		return err
	}
	for len(uids) > 0 {
		n := min(headerBatch, len(uids))
		heads, err := box.Headers(uids[:n])
		if err != nil {
			return err
		}
		for _, uid := range uids[:n] {
			head, there := heads[uid]
			if !there {
				continue
			}
			if err := f.one(ctx, box, uid, head); err != nil {
				return err
			}
		}
		uids = uids[n:]
	}
	if begins && box.Next() > 0 {
		return f.remember(ctx, box, box.Next()-1)
	}
	return nil
}

// one does what there is to do with one mail, then marks it. A mail that can't
// be stored now stops the round: the next would overtake it.
func (f *fetcher) one(ctx context.Context, box inbox, uid uint32, head envelope) error {
	no := false
	if to := f.c.names.ours(readLetter(head.header)); len(to) > 0 {
		l, err := f.letter(box, uid, head)
		if err != nil {
			return err
		}
		for _, r := range to {
			err := f.c.take(ctx, l, r, false)
			if err != nil && !refused(err) {
				return fmt.Errorf("mail %d: %w", uid, err)
			}
			no = no || err != nil
		}
	}
	if err := f.remember(ctx, box, uid); err != nil {
		return err
	}
	if !box.Keywords() && !no {
		return nil
	}
	return box.Mark(uid, no)
}

// letter fetches a mail; one that is too large stays where it is, and only its
// header and a word about it are passed on.
func (f *fetcher) letter(box inbox, uid uint32, head envelope) (*letter, error) {
	if head.size > f.set.MaxSize {
		l := readLetter(head.header)
		l.raw, l.body = nil, fmt.Appendf(nil, "[A mail of %d KiB, too large to be passed on, is in the mailbox.]", head.size>>10)
		l.drop("content-type", "content-transfer-encoding")
		l.raw = l.body
		return l, nil
	}
	raw, err := box.Mail(uid)
	if err != nil {
		return nil, err
	}
	return readLetter(raw), nil
}

// ours returns those of our addresses that a mail in a mailbox was sent to: by
// what the mail server has noted, or else by what its author wrote.
func (n names) ours(l *letter) []recipient {
	for _, group := range [][]string{{"delivered-to", "x-original-to", "envelope-to", "x-delivered-to"}, {"to", "cc"}} {
		var found []recipient
		for _, name := range group {
			for _, v := range l.all(name) {
				found = n.collect(found, v)
			}
		}
		if len(found) > 0 {
			return found
		}
	}
	return nil
}

// collect adds the addresses in a field, without the bridge's own, to which no
// mail is expected, and each once.
func (n names) collect(found []recipient, value string) []recipient {
	list, err := parseAddresses(value)
	if err != nil {
		return found
	}
	for _, a := range list {
		r, ok := n.read(a.Address)
		if !ok || r.kind == kindBridge {
			continue
		}
		again := false
		for _, f := range found {
			again = again || f.key() == r.key()
		}
		if !again && len(found) < maxRecipients {
			found = append(found, r)
		}
	}
	return found
}

func (l *letter) drop(names ...string) {
	for i, f := range l.header {
		for _, n := range names {
			if f.name == n {
				l.header[i] = field{}
			}
		}
	}
}

// progress is how far a mailbox without keywords has been read.
type progress struct {
	Validity uint32 `json:"validity"`
	UID      uint32 `json:"uid"`
}

func (f *fetcher) key() string {
	return "imap/" + strings.ToLower(f.set.User) + "/" + f.set.Mailbox
}

// fresh returns what is to be read, and whether nothing was known of the
// mailbox before.
func (f *fetcher) fresh(ctx context.Context, box inbox) (uids []uint32, begins bool, err error) {
	if box.Keywords() {
		uids, err = box.Unmarked()
		return uids, false, err
	}
	p, _, err := f.progress(ctx)
	if err != nil {
		return nil, false, err
	}
	if p.Validity == box.Validity() {
		uids, err = box.After(p.UID)
		return uids, false, err
	}
	// Unread is the best guess at what was not read here; what was, and comes
	// again within the host's memory, is the same message.
	f.log.Warn("the mailbox is new or was renumbered; reading what is unread", "mailbox", f.set.Mailbox)
	uids, err = box.Unmarked()
	return uids, true, err
}

func (f *fetcher) progress(ctx context.Context) (p progress, revision uint64, err error) {
	e, err := f.c.host.State().Get(ctx, f.key())
	if errors.Is(err, sdk.ErrNotFound) {
		return p, 0, nil
	}
	if err != nil {
		return p, 0, fmt.Errorf("progress: %w", err)
	}
	return p, e.Revision, json.Unmarshal(e.Value, &p)
}

// remember keeps that a mail has been read, where the server can't.
func (f *fetcher) remember(ctx context.Context, box inbox, uid uint32) error {
	if box.Keywords() {
		return nil
	}
	p, revision, err := f.progress(ctx)
	if err != nil || p.Validity == box.Validity() && p.UID >= uid {
		return err
	}
	value, err := json.Marshal(progress{box.Validity(), uid})
	if err != nil {
		return err
	}
	if _, err = f.c.host.State().Put(ctx, f.key(), value, revision); err != nil {
		return fmt.Errorf("progress: %w", err)
	}
	return nil
}
