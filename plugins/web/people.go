package web

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"parley.im/plugins/sdk"
)

// nameUnused is how long a name stays with a browser that doesn't come back.
const nameUnused = 30 * 24 * time.Hour

var (
	errTaken    = errors.New("that name is taken by somebody else; choose another")
	errPassword = errors.New("that is not the password")
	errStranger = errors.New("choose a name first")
)

// people keeps who holds which name. A name belongs to the browser session
// that claimed it; State has only a hash of the session's token.
type people struct {
	state    sdk.State
	hub      *hub
	password string
}

// A person is somebody with a valid session.
type person struct {
	Name  string
	Since int64 // number at which they took the name
	token string
}

// csrf is the token that goes with every request that changes something.
func (p person) csrf() string { return seal(p.token, "csrf") }

// A holder is the n/ entry: whose the name is. The session is empty after
// somebody left.
type holder struct {
	Session string `json:"session"`
	Since   int64  `json:"since"`
	Seen    int64  `json:"seen"` // milliseconds since 1970
}

// A session is the s/ entry. Door is the password it came in with, sealed with
// the token, which State doesn't know: a new password ends all sessions.
type session struct {
	Name string `json:"name"`
	Door string `json:"door"`
	Made int64  `json:"made"`
}

func holderKey(name string) string   { return "n/" + name }
func sessionKey(token string) string { return "s/" + hash("session", token) }

// seal makes a tag of words that only who knows the token can make.
func seal(token, words string) string {
	h := hmac.New(sha256.New, []byte(token))
	h.Write([]byte(words))
	return base64.RawURLEncoding.EncodeToString(h.Sum(nil))
}

// admits compares a password in constant time.
func (ps *people) admits(password string) bool {
	a, b := sha256.Sum256([]byte(password)), sha256.Sum256([]byte(ps.password))
	return subtle.ConstantTimeCompare(a[:], b[:]) == 1
}

func (h holder) free() bool {
	return h.Session == "" || time.Since(time.UnixMilli(h.Seen)) > nameUnused
}

// read decodes the entry of a key into v; a missing one leaves v as it is.
func (ps *people) read(ctx context.Context, key string, v any) (revision uint64, err error) {
	e, err := ps.state.Get(ctx, key)
	if errors.Is(err, sdk.ErrNotFound) {
		return 0, nil
	}
	if err == nil {
		err = json.Unmarshal(e.Value, v)
	}
	if err != nil {
		return 0, fmt.Errorf("read people: %w", err)
	}
	return e.Revision, nil
}

// held tells whether somebody has the name, though perhaps not here now.
func (ps *people) held(ctx context.Context, name string) (bool, error) {
	var h holder
	_, err := ps.read(ctx, holderKey(name), &h)
	return h.Session != "", err
}

// who returns the person that a token belongs to, or errStranger.
func (ps *people) who(ctx context.Context, token string) (person, error) {
	if len(token) < 20 || len(token) > 100 {
		return person{}, errStranger
	}
	var s session
	if _, err := ps.read(ctx, sessionKey(token), &s); err != nil {
		return person{}, err
	}
	if s.Name == "" || !hmac.Equal([]byte(s.Door), []byte(seal(token, "door "+ps.password))) {
		return person{}, errStranger
	}
	var h holder
	revision, err := ps.read(ctx, holderKey(s.Name), &h)
	if err != nil {
		return person{}, err
	}
	if h.Session != hash("session", token) {
		return person{}, errStranger
	}
	if time.Since(time.UnixMilli(h.Seen)) > 24*time.Hour {
		h.Seen = time.Now().UnixMilli()
		_, _ = ps.state.Put(ctx, holderKey(s.Name), marshal(h), revision) // the next request tries again
	}
	return person{Name: s.Name, Since: h.Since, token: token}, nil
}

// claim gives name to a new session and returns it. The session that holds the
// name already, shown by its token, keeps it.
func (ps *people) claim(ctx context.Context, name, token string) (person, error) {
	var h holder
	revision, err := ps.read(ctx, holderKey(name), &h)
	if err != nil {
		return person{}, err
	}
	if token != "" && h.Session == hash("session", token) {
		return person{Name: name, Since: h.Since, token: token}, ps.remember(ctx, name, token)
	}
	if !h.free() {
		return person{}, errTaken
	}
	token = base64.RawURLEncoding.EncodeToString(randomBytes(32))
	if err := ps.remember(ctx, name, token); err != nil {
		return person{}, err
	}
	since, err := ps.hub.begin(ctx)
	if err != nil {
		return person{}, err
	}
	ps.hub.finish(since, nil)
	ps.hub.expel(name)
	h = holder{Session: hash("session", token), Since: since, Seen: time.Now().UnixMilli()}
	_, err = ps.state.Put(ctx, holderKey(name), marshal(h), revision)
	if errors.Is(err, sdk.ErrConflict) {
		return person{}, errTaken
	}
	return person{Name: name, Since: since, token: token}, err
}

// remember stores the session before the name points to it.
func (ps *people) remember(ctx context.Context, name, token string) error {
	s := session{Name: name, Door: seal(token, "door "+ps.password), Made: time.Now().UnixMilli()}
	_, err := overwrite(ctx, ps.state, sessionKey(token), marshal(s), 0)
	if err != nil {
		return fmt.Errorf("store session: %w", err)
	}
	return nil
}

func randomBytes(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.Read(b) // never fails
	return b
}

// leave gives the name back and ends the session.
func (ps *people) leave(ctx context.Context, p person) error {
	var h holder
	revision, err := ps.read(ctx, holderKey(p.Name), &h)
	if err != nil {
		return err
	}
	if h.Session == hash("session", p.token) {
		if _, err := ps.state.Put(ctx, holderKey(p.Name), marshal(holder{}), revision); err != nil {
			return fmt.Errorf("leave: %w", err)
		}
	}
	ps.hub.expel(p.Name)
	return discard(ctx, ps.state, sessionKey(p.token), 0)
}

// known returns everybody who has a name.
func (ps *people) known(ctx context.Context) ([]string, error) {
	names := []string{}
	err := each(ctx, ps.state, holderKey(""), func(e sdk.Entry) error {
		var h holder
		if json.Unmarshal(e.Value, &h) == nil && !h.free() {
			names = append(names, e.Key[len(holderKey("")):])
		}
		return nil
	})
	return names, err
}

// sweep deletes sessions that no name points to.
func (ps *people) sweep(ctx context.Context) error {
	return each(ctx, ps.state, "s/", func(e sdk.Entry) error {
		var s session
		if err := json.Unmarshal(e.Value, &s); err != nil || time.Since(time.UnixMilli(s.Made)) < 24*time.Hour {
			return nil
		}
		var h holder
		if _, err := ps.read(ctx, holderKey(s.Name), &h); err != nil || "s/"+h.Session == e.Key {
			return err
		}
		return discard(ctx, ps.state, e.Key, e.Revision)
	})
}
