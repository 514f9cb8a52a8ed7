package bus

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"parley.im/bus/event"
)

// Stream is one of the four logs.
type Stream string

// The streams. Each holds one kind of event, in the order of storing.
const (
	Inbounds  Stream = "PARLEY_INBOUND"
	Outbounds Stream = "PARLEY_OUTBOUND"
	Statuses  Stream = "PARLEY_STATUS"
	Deads     Stream = "PARLEY_DEAD"
)

// Streams returns the four streams.
func Streams() []Stream { return []Stream{Inbounds, Outbounds, Statuses, Deads} }

const (
	probeStream  = "PARLEY_PROBE"
	probeSubject = "stored.probe.parley"
)

// dedupeWindow is how long the server recognises an id, which takes its memory
// for each event: longer than a Publish repeats one whose outcome it does not
// know. Beyond that the id index knows, see doubts.
var dedupeWindow = time.Minute

// root returns the public subject that all events of s begin with, "" if there
// is no such stream.
func (s Stream) root() string {
	switch s {
	case Inbounds:
		return "parley.inbound"
	case Outbounds:
		return "parley.outbound"
	case Statuses:
		return "parley.status"
	case Deads:
		return "parley.dead"
	}
	return ""
}

// lane returns the stored subject of a lane.
func (s Stream) lane(connector, lane string) string {
	parts := []string{event.StoredPrefix + s.root(), connector, lane}
	if s == Outbounds {
		parts = []string{parts[0], connector, strconv.Itoa(event.Partition(lane)), lane}
	}
	return strings.Join(parts, ".")
}

// streamOf returns the stream that keeps e; ok is false for a signal.
func streamOf(e event.Event) (s Stream, ok bool) {
	switch e.(type) {
	case event.Inbound:
		return Inbounds, true
	case event.Outbound:
		return Outbounds, true
	case event.Status:
		return Statuses, true
	case event.Dead:
		return Deads, true
	}
	return "", false
}

func (b *Bus) storage() jetstream.StorageType {
	if b.cfg.Durability == Memory {
		return jetstream.MemoryStorage
	}
	return jetstream.FileStorage
}

// createStreams creates or updates the streams. They are written on private
// subjects and republished on the public ones, so that subscribers see an
// event only once it is committed.
func (b *Bus) createStreams(ctx context.Context) error {
	for _, s := range Streams() {
		cfg := jetstream.StreamConfig{
			Name:       string(s),
			Subjects:   []string{event.StoredPrefix + s.root() + ".>"},
			Retention:  jetstream.LimitsPolicy,
			Discard:    jetstream.DiscardNew,
			MaxBytes:   -1,
			Storage:    b.storage(),
			Replicas:   b.cfg.Replicas,
			Duplicates: dedupeWindow,
			RePublish: &jetstream.RePublish{
				Source: event.StoredPrefix + s.root() + ".>", Destination: s.root() + ".>",
			},
			AllowDirect:        b.cfg.Replicas == 1, // of several the leader answers: one that lags would hide a lane's newest
			AllowAtomicPublish: true,
		}
		if s == Inbounds && b.cfg.StreamBytes > 0 { // what is taken in must find room in the others
			cfg.MaxBytes = b.cfg.StreamBytes
		}
		stream, err := b.js.CreateOrUpdateStream(ctx, cfg)
		if err != nil {
			return fmt.Errorf("create stream %s: %w", s, unavailable(err))
		}
		b.streams[s] = stream
	}
	_, err := b.js.CreateOrUpdateStream(ctx, jetstream.StreamConfig{
		Name: probeStream, Subjects: []string{probeSubject}, Storage: b.storage(), Replicas: b.cfg.Replicas,
		MaxMsgs: 1, Discard: jetstream.DiscardOld,
	})
	if err != nil {
		return fmt.Errorf("create stream %s: %w", probeStream, unavailable(err))
	}
	return nil
}

// token tells whether s may stand between two dots of a subject. Nothing that
// comes from outside can make another subject of it.
func token(s string) bool {
	for _, r := range s {
		if !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '_') {
			return false
		}
	}
	return s != "" && len(s) <= 128
}

// checkSubject refuses an event whose connector or lane is not one token.
func checkSubject(e event.Event) error {
	parts := strings.Split(e.Subject(), ".")
	want := 4 // parley.<kind>.<connector>.<lane>
	if _, ok := e.(event.Outbound); ok {
		want = 5 // with the partition
	}
	if len(parts) != want || slices.ContainsFunc(parts, func(s string) bool { return !token(s) }) {
		return fmt.Errorf("%w: connector and lane must be letters, digits, - and _ in subject %q", ErrInvalid, e.Subject())
	}
	return nil
}

// unavailable gives an error from NATS the meaning that callers act on.
func unavailable(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, ErrFull), errors.Is(err, ErrUnavailable), errors.Is(err, ErrInvalid):
		return err
	case isFull(err):
		return fmt.Errorf("%w: %w", ErrFull, err)
	}
	return fmt.Errorf("%w: %w", ErrUnavailable, err)
}

// isFull tells whether the server refused for lack of room: a stream's or
// account's limit, or the disk itself.
func isFull(err error) bool {
	var api *jetstream.APIError
	if !errors.As(err, &api) {
		return false
	}
	switch api.ErrorCode {
	case 10002, 10023, 10028, 10047: // account, server, memory, storage resources
		return true
	case 10077: // a limit of the stream, in words
		return strings.Contains(api.Description, "maximum")
	}
	return strings.Contains(api.Description, "no space left")
}
