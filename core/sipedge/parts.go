package sipedge

import (
	"errors"
	"fmt"
	"mime"
	"strings"
	"sync"

	"parley.im/bus/event"
	textsplit "parley.im/plugins/content/split"
)

// maxParts is into how many requests a text is divided at most. Somebody reads
// them on a phone.
const maxParts = 32

// maxProgress is how many texts that are under way in parts are remembered.
const maxProgress = 4096

// tooLarge tells of a request that is larger than its way is known to take.
type tooLarge struct {
	why  string
	room int // bytes of text that would fit
}

func (t tooLarge) Error() string { return t.why }

// progress remembers, of texts that go in parts, which parts have arrived, so
// that a further attempt goes on behind them. A restart forgets it; the parts
// that come again are then the same requests as before.
type progress struct {
	mu  sync.Mutex
	all map[string]arrived
}

type arrived struct {
	room, parts int
	accepted    bool // one of them is only that
}

func (p *progress) of(key string) arrived {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.all[key]
}

func (p *progress) set(key string, a arrived) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.all == nil || len(p.all) >= maxProgress {
		p.all = map[string]arrived{}
	}
	p.all[key] = a
}

func (p *progress) end(key string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.all, key)
}

// inParts sends a message to one place, whole where that fits, else in parts
// with numbers, one after the other: each when the one before has arrived
// (RFC 3428, section 8). It is accepted if one of them is only that.
func (e *Edge) inParts(d event.Delivery, place string, send func(d event.Delivery, part string) (event.Receipt, error)) (event.Receipt, error) {
	key := token(d.ID, place)
	was := e.parts.of(key)
	if was.room == 0 {
		receipt, err := send(d, "")
		var large tooLarge
		if !errors.As(err, &large) {
			return receipt, err
		}
		was.room = large.room
	}
	for {
		receipt, err := e.eachPart(d, key, was, send)
		var large tooLarge
		if !errors.As(err, &large) || large.room >= was.room {
			return receipt, err
		}
		was = arrived{room: large.room} // the way has become narrower
	}
}

// eachPart sends the parts that have not arrived yet.
func (e *Edge) eachPart(d event.Delivery, key string, was arrived, send func(d event.Delivery, part string) (event.Receipt, error)) (event.Receipt, error) {
	texts, err := divided(d, was.room)
	if err != nil {
		return event.Receipt{}, event.Permanent(err)
	}
	for i := was.parts; i < len(texts); i++ {
		d.Data = []byte(texts[i])
		receipt, err := send(d, fmt.Sprintf(".%d.%d", i+1, len(texts)))
		if event.IsPermanent(err) {
			e.parts.end(key)
		}
		if err != nil {
			return event.Receipt{}, fmt.Errorf("part %d of %d: %w", i+1, len(texts), err)
		}
		was.parts, was.accepted = i+1, was.accepted || receipt.State != event.Delivered
		e.parts.set(key, was)
		e.log.Debug("part sent", "message", d.ID, "part", i+1, "of", len(texts))
	}
	e.parts.end(key)
	if was.accepted {
		return event.Receipt{State: event.Accepted}, nil
	}
	return event.Receipt{State: event.Delivered}, nil
}

// undivided tells of a body that is too large for its way and no plain text.
type undivided struct{ why string }

func (u *undivided) Error() string { return u.why }

// isUTF8 tells whether text of a type is in UTF-8.
func isUTF8(mediaType string) bool {
	_, params, err := mime.ParseMediaType(mediaType)
	charset := strings.ToLower(params["charset"])
	return err == nil && (charset == "" || charset == "utf-8" || charset == "us-ascii")
}

// divided returns a plain text in parts of at most room bytes, or says why it
// has to stay whole.
func divided(d event.Delivery, room int) ([]string, error) {
	const most = "over a way that is not known to take more at most %d go"
	if bareType(d.MediaType) != "text/plain" || d.Kind != event.KindMessage || !isUTF8(d.MediaType) {
		return nil, &undivided{fmt.Sprintf("a body of %d bytes and type %s; "+most+", and only plain text can be divided", len(d.Data), plain(d.MediaType, 80), max(room, 0))}
	}
	texts, err := textsplit.Numbered(string(d.Data), room)
	if err != nil || len(texts) > maxParts {
		return nil, fmt.Errorf("a text of %d bytes; "+most+", and more than %d parts of a text are not sent", len(d.Data), max(room, 0), maxParts)
	}
	return texts, nil
}
