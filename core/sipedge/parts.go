package sipedge

import (
	"errors"
	"fmt"
	"maps"
	"mime"
	"strings"
	"sync"
	"time"

	"parley.im/bus/event"
	textsplit "parley.im/plugins/content/split"
)

// maxParts is into how many requests a text is divided at most. Somebody reads
// them on a phone.
const maxParts = 32

// maxSuffix is by how many bytes a part's request is longer than that of the
// whole, beside its text: ".32.32" in the Call-ID, and a CSeq of several turns.
const maxSuffix = 8

// How much progress is remembered, and for how long once all parts have
// arrived: an attempt that is repeated after the host has given one up comes
// sooner.
const (
	maxProgress  = 4096
	keepProgress = time.Hour
)

// nextParts is after which time a further attempt goes on with the parts that
// are left.
const nextParts = time.Second

// tooLarge tells of a request that is larger than its way is known to take.
type tooLarge struct {
	why  string
	room int // bytes of text that would fit
}

func (t tooLarge) Error() string { return t.why }

// progress remembers, of texts that go in parts, which parts have arrived, so
// that a further attempt goes on behind them, or is told that there is nothing
// left to send. A restart forgets it; the parts that come again are then the
// same requests as before.
type progress struct {
	mu  sync.Mutex
	all map[string]arrived
}

type arrived struct {
	room     int // bytes of text that a request takes
	parts    int
	bytes    int       // of the text, in these parts
	accepted bool      // one of them is only that
	done     bool      // nothing is left
	at       time.Time // the last one
}

// receipt is that of the whole text.
func (a arrived) receipt() event.Receipt {
	if a.accepted {
		return event.Receipt{State: event.Accepted}
	}
	return event.Receipt{State: event.Delivered}
}

func (p *progress) of(key string) arrived {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.all[key]
}

func (p *progress) set(key string, a arrived) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.all == nil {
		p.all = map[string]arrived{}
	}
	if _, there := p.all[key]; !there {
		p.makeRoom(a.at)
	}
	p.all[key] = a
}

// makeRoom forgets texts that arrived long ago, and if that is not enough the
// one with which nothing has happened for the longest time.
func (p *progress) makeRoom(now time.Time) {
	maps.DeleteFunc(p.all, func(_ string, a arrived) bool { return a.done && now.Sub(a.at) > keepProgress })
	if len(p.all) < maxProgress {
		return
	}
	oldest := ""
	for key, a := range p.all {
		if o := p.all[oldest]; oldest == "" || a.done && !o.done || a.done == o.done && a.at.Before(o.at) {
			oldest = key
		}
	}
	delete(p.all, oldest)
}

func (p *progress) end(key string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.all, key)
}

// A text is a message that goes to one place, in parts if need be.
type text struct {
	event.Delivery
	place string                                                     // as it is known in a further attempt
	over  func() bool                                                // the attempt ends before a further part could be answered
	send  func(d event.Delivery, part string) (event.Receipt, error) // one request
}

// inParts sends a message to one place, whole where that fits, else in parts
// with numbers, one after the other: each when the one before has arrived
// (RFC 3428, section 8). It is accepted if one of them is only that.
func (e *Edge) inParts(t text) (event.Receipt, error) {
	key := token(t.ID, t.place)
	was := e.parts.of(key)
	if was.room == 0 {
		receipt, err := t.send(t.Delivery, "")
		var large tooLarge
		if !errors.As(err, &large) {
			return receipt, err
		}
		was.room = large.room - maxSuffix
	}
	for {
		rest, err := divided(t.Delivery, was)
		if err != nil {
			return event.Receipt{}, event.Permanent(err)
		}
		was, err = e.eachPart(t, key, was, rest)
		var large tooLarge
		switch {
		case err == nil:
			return was.receipt(), nil
		case errors.As(err, &large) && large.room < was.room:
			was.room = large.room // the way has become narrower: what is left is divided anew
			continue
		case event.IsPermanent(err):
			e.parts.end(key)
		}
		return event.Receipt{}, err
	}
}

// eachPart sends the parts that have not arrived yet, as long as there is time.
func (e *Edge) eachPart(t text, key string, was arrived, rest []string) (arrived, error) {
	n := was.parts + len(rest)
	for i, part := range rest {
		if i > 0 && t.over() {
			return was, event.Retry(event.ScopeTarget, nextParts, fmt.Errorf("%d of %d parts have arrived in the time of this attempt", was.parts, n))
		}
		number, d := was.parts+1, t.Delivery
		d.Data = []byte(textsplit.Number(number, n) + part)
		receipt, err := t.send(d, fmt.Sprintf(".%d.%d", number, n))
		if err != nil {
			return was, fmt.Errorf("part %d of %d: %w", number, n, err)
		}
		was.parts, was.bytes, was.done, was.at = number, was.bytes+len(part), number == n, time.Now()
		was.accepted = was.accepted || receipt.State != event.Delivered
		e.parts.set(key, was)
		e.log.Debug("part sent", "message", d.ID, "part", number, "of", n)
	}
	return was, nil
}

// isUTF8 tells whether text of a type is in UTF-8.
func isUTF8(mediaType string) bool {
	_, params, err := mime.ParseMediaType(mediaType)
	charset := strings.ToLower(params["charset"])
	return err == nil && (charset == "" || charset == "utf-8" || charset == "us-ascii")
}

// divided returns what is left of a plain text in parts, without their numbers,
// or says why it has to stay whole.
func divided(d event.Delivery, was arrived) ([]string, error) {
	const most = "over a way that is not known to take more at most %d go"
	if bareType(d.MediaType) != "text/plain" || d.Kind != event.KindMessage || !isUTF8(d.MediaType) {
		return nil, &unfit{fmt.Sprintf("a body of %d bytes and type %s; "+most+", and only plain text can be divided", len(d.Data), plain(d.MediaType, 80), max(was.room, 0))}
	}
	if was.done {
		return nil, nil
	}
	left := string(d.Data[min(was.bytes, len(d.Data)):])
	parts, err := textsplit.Parts(left, was.room-len(textsplit.Number(maxParts, maxParts)))
	if err != nil || was.parts+len(parts) > maxParts {
		return nil, fmt.Errorf("a text of %d bytes; "+most+", and more than %d parts of a text are not sent", len(d.Data), max(was.room, 0), maxParts)
	}
	return parts, nil
}
