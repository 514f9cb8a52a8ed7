package web

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"parley.im/bus/event"
	"parley.im/plugins/sdk"
)

// An outbox hands what is said here to the bridge, in the order it was said.
// An entry is in State before the message is and until the message's mark
// says what became of it, so that a crash at any point hands it over again,
// with the same native id.
type outbox struct {
	host  sdk.Host
	store *store
	queue chan string // native ids, of messages and of changes
	pause func(attempt int) time.Duration
}

// queueRoom is how many messages may wait for the bridge; then pages are told
// to try again.
const queueRoom = 4096

var errCrowded = errors.New("too many messages wait for the bridge; try again in a moment")

func newOutbox(h sdk.Host, s *store) *outbox {
	return &outbox{host: h, store: s, queue: make(chan string, queueRoom), pause: backoff}
}

func backoff(attempt int) time.Duration {
	return min(100*time.Millisecond<<min(attempt, 10), 10*time.Second)
}

func outboxKey(id string) string { return "o/" + id[strings.LastIndexByte(id, '/')+1:] }

// load queues what an earlier life left.
func (o *outbox) load(ctx context.Context) error {
	return each(ctx, o.host.State(), "o/", func(e sdk.Entry) error {
		select {
		case o.queue <- waitingID(e.Value):
			return nil
		default:
			return fmt.Errorf("outbox: more than %d messages wait", queueRoom)
		}
	})
}

// post keeps m, which somebody said here, shows it, and queues it for the
// bridge when outside is true.
func (o *outbox) post(ctx context.Context, m *message, outside bool) error {
	if outside && len(o.queue) >= queueRoom/2 {
		return errCrowded
	}
	rev, err := o.store.hub.begin(ctx)
	if err != nil {
		return err
	}
	m.Seq, m.Mark = rev, markSent
	id := nativeID(m.Conv, m.Seq)
	if outside {
		m.Mark = markSending
		if _, err := o.host.State().Put(ctx, outboxKey(id), []byte(id), 0); err != nil {
			o.store.hub.finish(rev, nil)
			return fmt.Errorf("outbox: %w", err)
		}
	}
	if err := o.store.add(ctx, m, rev); err != nil {
		return err
	}
	if outside {
		o.queue <- id
	}
	return nil
}

// run hands over what is queued until ctx ends.
func (o *outbox) run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case id := <-o.queue:
			o.settle(ctx, id)
		}
	}
}

// settle hands one message over, again until the bridge has said yes or no.
func (o *outbox) settle(ctx context.Context, id string) {
	for attempt := 0; ; attempt++ {
		err := o.try(ctx, id, attempt)
		if err == nil || ctx.Err() != nil || errors.Is(err, sdk.ErrClosed) {
			return
		}
		if attempt == 0 {
			o.host.Log().Warn("message not handed over yet", "native", id, "err", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(o.pause(attempt)):
		}
	}
}

// maxUnknown is how often an error without a meaning is answered by another
// try before the message counts as failed.
const maxUnknown = 6

func (o *outbox) try(ctx context.Context, id string, attempt int) error {
	conv, seq, err := readNativeID(id)
	if err != nil {
		return o.tryChange(ctx, id, attempt)
	}
	m, err := o.store.get(ctx, conv, seq)
	if err != nil {
		return err
	}
	if m == nil || m.Mark != markSending { // not stored, so never promised; or settled already
		return discard(ctx, o.host.State(), outboxKey(id), 0)
	}
	mark, reason := markSent, "" // what was deleted meanwhile, nobody is told of
	if !m.Deleted {
		if mark, reason, err = o.put(ctx, m, attempt); err != nil {
			return err
		}
	}
	if err := o.store.mark(ctx, conv, seq, mark, reason); err != nil {
		return err
	}
	return discard(ctx, o.host.State(), outboxKey(id), 0)
}

// put hands m to the bridge and returns what to mark it with, or an error when
// that is not known yet.
func (o *outbox) put(ctx context.Context, m *message, attempt int) (mark, reason string, err error) {
	in, err := o.inbound(ctx, m)
	if err != nil {
		return "", "", err
	}
	_, inRoom := members(m.Conv)
	return o.hand(ctx, in, inRoom, attempt)
}

// hand gives in to the bridge, see put.
func (o *outbox) hand(ctx context.Context, in event.Inbound, inRoom bool, attempt int) (mark, reason string, err error) {
	_, err = o.host.Put(ctx, in)
	switch {
	case err == nil, inRoom && errors.Is(err, sdk.ErrRefused):
		return markSent, "", nil // a room without a route is a room of its own
	case errors.Is(err, sdk.ErrRefused):
		return markFailed, fmt.Sprintf("no route leads to %s", in.Recipient), nil
	case errors.Is(err, sdk.ErrBusy), errors.Is(err, sdk.ErrClosed), ctx.Err() != nil:
		return "", "", err
	case event.IsPermanent(err), attempt >= maxUnknown:
		o.host.Log().Error("message not handed over", "native", in.NativeID, "err", err)
		return markFailed, "the bridge did not take it", nil
	}
	return "", "", err
}

// inbound is what the bridge is told of m.
func (o *outbox) inbound(ctx context.Context, m *message) (event.Inbound, error) {
	in := event.Inbound{
		Envelope: event.Envelope{
			Kind: event.KindMessage, Sender: m.From, SenderName: m.Name,
			Sent: time.UnixMilli(m.Time), NativeID: nativeID(m.Conv, m.Seq), Wants: []event.State{event.Failed},
		},
		Content: event.Content{MediaType: "text/plain;charset=utf-8", Data: []byte(m.Text)},
	}
	for _, f := range m.Files {
		in.Files = append(in.Files, event.File{Name: f.Name, Content: f.content()})
	}
	if m.Reply != 0 {
		to, err := o.store.get(ctx, m.Conv, m.Reply)
		if err != nil {
			return in, err
		}
		if to != nil {
			in.InReplyTo = to.id()
		}
	}
	if _, inRoom := members(m.Conv); inRoom {
		in.Recipient, in.Thread = roomAddress(strings.TrimPrefix(m.Conv, "r:")), m.Thread
		return in, nil
	}
	p, _, err := o.store.part(ctx, m.Name, m.Conv)
	in.Recipient = p.Peer
	in.Wants = append(in.Wants, event.Delivered)
	return in, err
}
