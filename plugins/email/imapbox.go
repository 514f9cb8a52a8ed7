package email

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"slices"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"
	"github.com/emersion/go-sasl"
)

// doneMark is the keyword of mails that were passed on, or are not for us.
const doneMark = imap.Flag("ParleyDone")

// serverBox is an inbox over IMAP4rev1 or rev2.
type serverBox struct {
	client   *imapclient.Client
	changed  chan struct{}
	keywords bool
	validity uint32
	next     uint32
}

// dialInbox connects, logs in and selects the mailbox. When ctx ends, the
// connection does.
func dialInbox(ctx context.Context, set mailbox, conf *tls.Config) (inbox, error) {
	box := &serverBox{changed: make(chan struct{}, 1)}
	d := net.Dialer{Timeout: patience}
	conn, err := d.DialContext(ctx, "tcp", set.Address)
	if err != nil {
		return nil, err
	}
	context.AfterFunc(ctx, func() { _ = conn.Close() })
	limit := time.AfterFunc(patience, func() { _ = conn.Close() })
	defer limit.Stop()
	if box.client, err = box.secure(conn, set.TLS, conf); err == nil {
		err = box.open(set)
	}
	if err != nil {
		_ = conn.Close()
		return nil, err
	}
	return box, nil
}

func (b *serverBox) secure(conn net.Conn, how string, conf *tls.Config) (*imapclient.Client, error) {
	opts := &imapclient.Options{TLSConfig: conf, UnilateralDataHandler: &imapclient.UnilateralDataHandler{
		Mailbox: func(data *imapclient.UnilateralDataMailbox) {
			if data.NumMessages != nil {
				b.tell()
			}
		},
	}}
	switch how {
	case "starttls":
		return imapclient.NewStartTLS(conn, opts)
	case "none":
		return imapclient.New(conn, opts), nil
	}
	secure := tls.Client(conn, conf)
	if err := secure.Handshake(); err != nil {
		return nil, err
	}
	return imapclient.New(secure, opts), nil
}

func (b *serverBox) tell() {
	select {
	case b.changed <- struct{}{}:
	default:
	}
}

func (b *serverBox) open(set mailbox) error {
	if err := b.client.WaitGreeting(); err != nil {
		return err
	}
	var err error
	if b.client.Caps().Has(imap.AuthCap(sasl.Plain)) {
		err = b.client.Authenticate(sasl.NewPlainClient("", set.User, set.Password))
	} else {
		err = b.client.Login(set.User, set.Password).Wait()
	}
	if err != nil {
		return fmt.Errorf("login as %s: %w", set.User, err)
	}
	data, err := b.client.Select(set.Mailbox, nil).Wait()
	if err != nil {
		return fmt.Errorf("select %s: %w", set.Mailbox, err)
	}
	b.validity, b.next = data.UIDValidity, uint32(data.UIDNext)
	b.keywords = slices.Contains(data.PermanentFlags, imap.FlagWildcard) || slices.Contains(data.PermanentFlags, doneMark)
	return nil
}

// within runs a command that ends the connection when it takes too long.
func (b *serverBox) within(command func() error) error {
	limit := time.AfterFunc(patience, func() { _ = b.client.Close() })
	defer limit.Stop()
	return command()
}

func (b *serverBox) Validity() uint32 { return b.validity }
func (b *serverBox) Next() uint32     { return b.next }
func (b *serverBox) Keywords() bool   { return b.keywords }
func (b *serverBox) Close()           { _ = b.client.Close() }

func (b *serverBox) Unmarked() ([]uint32, error) {
	mark := imap.FlagSeen
	if b.keywords {
		mark = doneMark
	}
	return b.search(&imap.SearchCriteria{NotFlag: []imap.Flag{mark, imap.FlagDeleted}})
}

func (b *serverBox) After(uid uint32) ([]uint32, error) {
	set := imap.UIDSet{{Start: imap.UID(uid + 1)}} // to the last; "n:*" also names the last below n
	uids, err := b.search(&imap.SearchCriteria{UID: []imap.UIDSet{set}, NotFlag: []imap.Flag{imap.FlagDeleted}})
	return slices.DeleteFunc(uids, func(u uint32) bool { return u <= uid }), err
}

func (b *serverBox) search(c *imap.SearchCriteria) (uids []uint32, err error) {
	err = b.within(func() error {
		data, err := b.client.UIDSearch(c, nil).Wait()
		if err != nil {
			return fmt.Errorf("search: %w", err)
		}
		for _, u := range data.AllUIDs() {
			uids = append(uids, uint32(u))
		}
		return nil
	})
	slices.Sort(uids)
	return uids, err
}

func (b *serverBox) Headers(uids []uint32) (heads map[uint32]envelope, err error) {
	heads = map[uint32]envelope{}
	var set imap.UIDSet
	for _, u := range uids {
		set.AddNum(imap.UID(u))
	}
	section := &imap.FetchItemBodySection{Specifier: imap.PartSpecifierHeader, Peek: true}
	err = b.within(func() error {
		list, err := b.client.Fetch(set, &imap.FetchOptions{UID: true, RFC822Size: true, BodySection: []*imap.FetchItemBodySection{section}}).Collect()
		if err != nil {
			return fmt.Errorf("fetch headers: %w", err)
		}
		for _, m := range list {
			heads[uint32(m.UID)] = envelope{m.RFC822Size, m.FindBodySection(section)}
		}
		return nil
	})
	return heads, err
}

func (b *serverBox) Mail(uid uint32) (raw []byte, err error) {
	section := &imap.FetchItemBodySection{Peek: true}
	err = b.within(func() error {
		list, err := b.client.Fetch(imap.UIDSetNum(imap.UID(uid)), &imap.FetchOptions{UID: true, BodySection: []*imap.FetchItemBodySection{section}}).Collect()
		if err != nil {
			return fmt.Errorf("fetch: %w", err)
		}
		for _, m := range list {
			if m.UID == imap.UID(uid) {
				raw = m.FindBodySection(section)
			}
		}
		if raw == nil {
			return errors.New("fetch: the mail has gone meanwhile")
		}
		return nil
	})
	return raw, err
}

func (b *serverBox) Mark(uid uint32, flagged bool) error {
	mark := imap.StoreFlags{Op: imap.StoreFlagsAdd, Silent: true}
	if b.keywords {
		mark.Flags = append(mark.Flags, doneMark)
	}
	if flagged {
		mark.Flags = append(mark.Flags, imap.FlagFlagged)
	}
	return b.within(func() error {
		return b.client.Store(imap.UIDSetNum(imap.UID(uid)), &mark, nil).Close()
	})
}

// Wait uses IDLE where there is one; the client library issues it again before
// 29 minutes have passed (RFC 2177).
func (b *serverBox) Wait(ctx context.Context, every time.Duration) error {
	if !b.client.Caps().Has(imap.CapIdle) {
		return b.pause(ctx, min(every, pollEvery))
	}
	var idle *imapclient.IdleCommand
	if err := b.within(func() (err error) { idle, err = b.client.Idle(); return err }); err != nil {
		return fmt.Errorf("idle: %w", err)
	}
	waited := b.pause(ctx, every)
	err := b.within(func() error { return errors.Join(idle.Close(), idle.Wait()) })
	if waited != nil {
		return waited
	}
	return err
}

func (b *serverBox) pause(ctx context.Context, limit time.Duration) error {
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-b.client.Closed():
		return errors.New("the server closed the connection")
	case <-b.changed:
	case <-timer.C:
	}
	return nil
}
