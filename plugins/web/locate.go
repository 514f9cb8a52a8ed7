package web

import (
	"cmp"
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"parley.im/bus/event"
)

// changeID is what the bridge knows a change by that was made here: the
// message's own id, and the number of the change.
func changeID(conv string, seq, rev int64) string {
	return fmt.Sprintf("%s/%020d", nativeID(conv, seq), rev)
}

// readChangeID is the reverse of changeID.
func readChangeID(id string) (conv string, seq, rev int64, err error) {
	message, digits := id[:max(strings.LastIndexByte(id, '/'), 0)], id[strings.LastIndexByte(id, '/')+1:]
	if conv, seq, err = readNativeID(message); err == nil {
		rev, err = strconv.ParseInt(digits, 10, 64)
	}
	if err != nil || rev < 0 || changeID(conv, seq, rev) != id {
		return "", 0, 0, fmt.Errorf("%q is no change of this chat", id)
	}
	return conv, seq, rev, nil
}

// locate returns the message that an id means, which may be the id of a
// delivery, of what was said here, or of a change to one of these; Kind is that
// of the change. Done says that the message is certainly gone.
func (s *store) locate(ctx context.Context, id string) (claim, error) {
	if id == "" {
		return claim{}, errNoMessage
	}
	if conv, seq, err := readNativeID(id); err == nil {
		return claim{Conv: conv, Seq: seq}, nil
	}
	if conv, seq, _, err := readChangeID(id); err == nil {
		return claim{Conv: conv, Seq: seq}, nil
	}
	at, found, _, err := s.claimed(ctx, id)
	if err != nil || !found {
		return claim{}, cmp.Or(err, errNoMessage)
	}
	if at.Kind != "" {
		at.Done = false // that is of the change, not of the message
	}
	return at, nil
}

// note records that a delivery has changed a message.
func (s *store) note(ctx context.Context, d event.Delivery, at claim) error {
	done := claim{Conv: at.Conv, Seq: at.Seq, Kind: d.Kind, Made: time.Now().UnixMicro(), Done: true}
	if _, err := overwrite(ctx, s.state, claimKey(d.ID), marshal(done), 0); err != nil {
		return fmt.Errorf("note change: %w", err)
	}
	return nil
}

// answered returns the Seq of the message in conv that an id means, 0 if it is
// not known there.
func (s *store) answered(ctx context.Context, conv, id string) (int64, error) {
	at, err := s.locate(ctx, id)
	if err != nil || at.Conv != conv || at.Done {
		if unable(err) {
			err = nil // the answer is of use without what it answers
		}
		return 0, err
	}
	m, err := s.get(ctx, conv, at.Seq)
	if err != nil || m == nil {
		return 0, err
	}
	return at.Seq, nil
}
