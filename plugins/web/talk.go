package web

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"time"
	"unicode/utf8"

	"parley.im/bus/event"
	"parley.im/plugins/sdk"
)

func (s *server) postOpen(w http.ResponseWriter, r *http.Request, p person) {
	var in struct{ To string }
	if !readJSON(w, r, &in) {
		return
	}
	conv, peer, status, err := s.open(r.Context(), p, strings.TrimSpace(in.To))
	switch {
	case err != nil && status != 0:
		refuse(w, status, err.Error())
		return
	case err == nil:
		err = s.store.reopen(r.Context(), p.Name, conv, peer, s.hub.cursor())
	}
	if err != nil {
		s.fail(w, err)
		return
	}
	v, err := s.view(r.Context(), p, conv, participation{Peer: peer})
	if err != nil {
		s.fail(w, err)
		return
	}
	answer(w, v)
}

// open says which conversation p means by to: an address, "@name" of somebody
// here, or a name that the hinted domain completes. A status means that err is
// for the person.
func (s *server) open(ctx context.Context, p person, to string) (conv string, peer event.Address, status int, err error) {
	switch {
	case strings.HasPrefix(to, "@"):
		peer = personAddress(to[1:])
	case strings.Contains(to, ":"):
		peer = normal(event.Address(to))
	case strings.Contains(to, "@"):
		peer = normal(event.Address("sip:" + to))
	case s.settings.SIPDomain != "":
		peer = normal(event.Address("sip:" + to + "@" + s.settings.SIPDomain))
	default:
		peer = personAddress(to)
	}
	if peer.Scheme() == Network {
		return s.openPerson(ctx, p, peer)
	}
	if err := checkPeer(peer); err != nil {
		return "", "", http.StatusBadRequest, err
	}
	err = s.host.Accepts(ctx, event.Inbound{Envelope: event.Envelope{Sender: personAddress(p.Name), Recipient: peer}})
	if errors.Is(err, sdk.ErrRefused) {
		return "", "", http.StatusUnprocessableEntity, errors.New("no route leads from here to " + string(peer))
	}
	return outsideConv(p.Name, peer), peer, 0, nil
}

func (s *server) openPerson(ctx context.Context, p person, peer event.Address) (string, event.Address, int, error) {
	kind, name, err := readAddress(peer)
	switch {
	case err != nil:
		return "", "", http.StatusBadRequest, err
	case kind == "room":
		return "", "", http.StatusBadRequest, errors.New("that is a room; choose it in the list")
	case name == p.Name:
		return "", "", http.StatusBadRequest, errors.New("that is you")
	}
	held, err := s.people.held(ctx, name)
	if err == nil && !held {
		return "", "", http.StatusNotFound, errors.New("nobody here has the name " + name)
	}
	return pairConv(p.Name, name), personAddress(name), 0, err
}

var errNoUpload = errors.New("a file is not here any more; add it again")

var errGone = errors.New("nobody has that name any more")

type postRequest struct {
	Conv  string
	Text  string
	Nonce string   // the same when the page repeats a post
	Reply int64    // Seq of the message it answers, in its thread, or 0
	Files []string // ids of uploads
}

// check returns what is wrong with a post, in words for the person.
func (in postRequest) check() error {
	switch {
	case strings.TrimSpace(in.Text) == "" && len(in.Files) == 0:
		return errors.New("write something first")
	case len(in.Text) > maxText:
		return errors.New("that is too long; at most 32,768 bytes")
	case !utf8.ValidString(in.Text):
		return errors.New("that is not valid UTF-8")
	case len(in.Files) > maxAttached:
		return errors.New("that is too many files for one message; at most 10")
	case len(in.Nonce) < 8 || len(in.Nonce) > 64:
		return errors.New("nonce: give 8 to 64 characters")
	}
	return nil
}

func (s *server) postMessage(w http.ResponseWriter, r *http.Request, p person) {
	var in postRequest
	if !readJSON(w, r, &in) {
		return
	}
	if err := in.check(); err != nil {
		refuse(w, http.StatusBadRequest, err.Error())
		return
	}
	if !s.inConversation(w, r, p, in.Conv) {
		return
	}
	m, err := s.say(r.Context(), p, in)
	if err != nil {
		if errors.Is(err, errGone) {
			refuse(w, http.StatusNotFound, err.Error())
			return
		}
		if errors.Is(err, errNoUpload) {
			refuse(w, http.StatusConflict, err.Error())
			return
		}
		if errors.Is(err, errCrowded) {
			w.Header().Set("Retry-After", "5")
			refuse(w, http.StatusServiceUnavailable, err.Error())
			return
		}
		s.fail(w, err)
		return
	}
	answer(w, m.shown())
}

// say keeps what p says, once for each nonce, and returns it when it is
// durable.
func (s *server) say(ctx context.Context, p person, in postRequest) (*message, error) {
	c, err := s.store.conversation(ctx, in.Conv)
	if err != nil {
		return nil, err
	}
	c.posting.Lock()
	defer c.posting.Unlock()
	if m := c.byNonce(string(personAddress(p.Name)), in.Nonce); m != nil {
		return m, nil
	}
	files, ok := s.uploads.get(p.Name, in.Files, time.Now())
	if !ok {
		return nil, errNoUpload
	}
	m := &message{
		Files: files,
		Conv:  in.Conv, Time: time.Now().UnixMilli(), From: personAddress(p.Name), Name: p.Name,
		Text: short(clean(in.Text, true), maxText), Nonce: in.Nonce,
	}
	if in.Reply != 0 {
		to := c.find(in.Reply)
		if to == nil || !to.visibleTo(p.Name, p.Since) {
			return nil, errNoMessage
		}
		m.Reply, m.Thread = to.Seq, to.thread()
	}
	pair := strings.HasPrefix(in.Conv, "w:")
	if pair {
		names, _ := members(in.Conv)
		for i, name := range names {
			if held, err := s.people.held(ctx, name); err != nil || !held {
				return nil, errors.Join(err, errGone)
			}
			if err := s.store.takePart(ctx, name, in.Conv, personAddress(names[1-i]), s.hub.cursor()); err != nil {
				return nil, err
			}
		}
	}
	if err := s.outbox.post(ctx, m, !pair); err != nil {
		return nil, err
	}
	s.uploads.forget(in.Files)
	if now := c.find(m.Seq); now != nil {
		m = now // the mark may have moved on
	}
	return m, nil
}
