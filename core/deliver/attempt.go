package deliver

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"parley.im/bus"
	"parley.im/bus/event"
)

// attempt makes one try to deliver. What takes long before, such as files from
// elsewhere, takes none of its time.
func (s *Stage) attempt(ctx context.Context, l *lane, it item, able Abilities) (event.Receipt, error) {
	d, losses, err := s.prepared(ctx, it, able)
	if errors.Is(err, errNotTold) {
		return event.Receipt{State: event.Accepted, Losses: losses}, nil
	}
	if err != nil {
		return event.Receipt{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, s.Policy.Timeout)
	defer cancel()
	r, err := s.try(ctx, l, it, able, d)
	r.Losses = append(losses, r.Losses...)
	return r, err
}

// prepared is mapped within the time of one attempt.
func (s *Stage) prepared(ctx context.Context, it item, able Abilities) (d event.Delivery, losses []string, err error) {
	ctx, cancel := context.WithTimeout(ctx, s.Policy.Timeout)
	defer cancel()
	return s.mapped(ctx, it, able)
}

// try delivers d. An earlier try whose outcome is not known is looked for first.
func (s *Stage) try(ctx context.Context, l *lane, it item, able Abilities, d event.Delivery) (event.Receipt, error) {
	if err := s.mark.cover(ctx, it.seq); err != nil {
		return event.Receipt{}, ours("write the attempt mark", err)
	}
	suspect, err := l.begin(ctx, &d)
	if err != nil {
		return event.Receipt{}, ours("note the attempt", err)
	}
	defer l.end()
	if d.Kind != event.KindStatus {
		if d.Anchor, err = s.Anchors.Anchor(ctx, s.Connector, d.Conversation, d.Target); err != nil {
			return event.Receipt{}, ours("read the thread anchor", err)
		}
	}
	if suspect {
		if r, known, err := s.find(ctx, d, it, able); known {
			return r, err
		}
	}
	r, err := s.Sink.Deliver(ctx, d)
	if err != nil {
		l.note(err)
		_ = s.anchor(ctx, d, r) // a thread that stands already can be answered
		return event.Receipt{}, err
	}
	return r, s.anchor(ctx, d, r)
}

// traced is attempt, reported to Config.Trace.
func (s *Stage) traced(ctx context.Context, l *lane, it item, able Abilities) (event.Receipt, error) {
	if s.Trace == nil {
		return s.attempt(ctx, l, it, able)
	}
	end := s.Trace(it.Outbound)
	r, err := s.attempt(ctx, l, it, able)
	end(err)
	return r, err
}

// ours marks trouble of our own: it uses up no attempt of the message.
func ours(doing string, err error) error {
	return event.Retry(event.ScopeTarget, 0, fmt.Errorf("%s: %w", doing, err))
}

// begin notes that an attempt is under way, in the record too if the lane is
// parked: after a crash its first message may have reached the far side. It
// tells whether that is so already, from an earlier attempt.
func (l *lane) begin(ctx context.Context, d *event.Delivery) (suspect bool, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.trying = true
	d.Attempt = l.attempts + 1
	if l.suspect { // an earlier life may have made the first
		d.Attempt = max(d.Attempt, 2)
	}
	if l.record == nil || l.record.Suspect {
		return l.suspect, nil
	}
	r := *l.record
	r.Suspect = true
	if err := l.write(ctx, r); err != nil {
		l.trying = false
		return false, err
	}
	l.record = &r
	return l.suspect, nil
}

func (l *lane) end() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.trying = false
}

// find asks whether an earlier try of d reached the network. known is false
// when it must be delivered now: it did not, or nobody can tell any more.
func (s *Stage) find(ctx context.Context, d event.Delivery, it item, able Abilities) (r event.Receipt, known bool, err error) {
	if able.Find {
		r, found, err := s.findAnywhere(ctx, d, it)
		switch {
		case err == nil && found:
			s.counts.found.Add(1)
			s.Log.Info("an interrupted delivery had arrived", "message", d.ID)
			return r, true, nil
		case err == nil:
			return r, false, nil
		case d.Attempt < s.Policy.Attempts:
			if _, _, ok := event.AsRetry(err); !ok {
				err = event.Retry(event.ScopeMessage, 0, err)
			}
			return r, true, err
		}
	}
	s.counts.repeats.Add(1)
	s.Log.Warn("delivered again without knowing whether an interrupted delivery arrived", "message", d.ID)
	return r, false, nil
}

// findAnywhere looks in the thread where the conversation goes on, and in those
// where it did: it may have moved since the earlier try.
func (s *Stage) findAnywhere(ctx context.Context, d event.Delivery, it item) (r event.Receipt, found bool, err error) {
	r, found, err = s.Sink.Find(ctx, d, it.Time)
	if err != nil || d.Kind == event.KindStatus {
		return r, found, err
	}
	if found {
		return r, true, s.anchor(ctx, d, r)
	}
	earlier, err := s.Anchors.Earlier(ctx, s.Connector, d.Conversation, d.Target)
	if err != nil {
		return r, false, ours("read the earlier threads", err)
	}
	for _, d.Anchor = range earlier {
		if r, found, err = s.Sink.Find(ctx, d, it.Time); found || err != nil {
			return r, found, err
		}
	}
	return r, false, nil
}

// note remembers that the far side may have the message although the attempt
// failed: an error that carries no policy says nothing about what was done.
func (l *lane) note(err error) {
	if _, _, ok := event.AsRetry(err); ok || event.IsPermanent(err) {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.suspect = true
}

// anchor remembers where the conversation goes on at the target.
func (s *Stage) anchor(ctx context.Context, d event.Delivery, r event.Receipt) error {
	if r.Anchor == "" || r.Anchor == d.Anchor || d.Kind == event.KindStatus {
		return nil
	}
	if err := s.Anchors.SetAnchor(ctx, s.Connector, d.Conversation, d.Target, r.Anchor); err != nil {
		s.Log.Warn("thread anchor not kept: answers may not find their way", "message", d.ID, "err", err)
	}
	return nil
}

// A mark is written ahead of the sequences that are attempted, in steps. After
// a crash what lies above it was certainly not attempted.
type mark struct {
	bucket  *bus.Bucket
	key     string
	step    uint64
	atStart uint64

	mu  sync.Mutex
	now uint64
}

// markPrefix begins the keys of marks; the other keys are of parked lanes.
const markPrefix = "mark/"

func (m *mark) load(ctx context.Context, b *bus.Bucket, connector string, step uint64) error {
	m.bucket, m.key, m.step = b, markPrefix+connector, step
	e, err := b.Get(ctx, m.key)
	if errors.Is(err, bus.ErrNotFound) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read the attempt mark: %w", err)
	}
	if _, err := fmt.Sscan(string(e.Value), &m.atStart); err != nil {
		return fmt.Errorf("attempt mark %q: %w", e.Value, err)
	}
	m.now = m.atStart
	return nil
}

// cover returns once the mark is stored at or above seq.
func (m *mark) cover(ctx context.Context, seq uint64) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if seq <= m.now {
		return nil
	}
	next := seq + m.step
	if _, err := m.bucket.Set(ctx, m.key, fmt.Append(nil, next)); err != nil {
		return err
	}
	m.now = next
	return nil
}
