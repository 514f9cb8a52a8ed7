package wire

import (
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"parley.im/bus/event"
)

// The errors that have a code of their own; package sdk presents them.
var (
	ErrConflict = errors.New("state: changed meanwhile")
	ErrNotFound = errors.New("not found")
	ErrRefused  = errors.New("no route takes this message")
	ErrBusy     = errors.New("the bridge cannot store it now")
	ErrClosed   = errors.New("the host is gone or the stream is closed")
)

// EncodeError returns how err crosses, nil for nil. Policy (event.Permanent,
// event.Refused, event.Retry) goes before the errors above.
func EncodeError(err error) *Error {
	if err == nil {
		return nil
	}
	e := &Error{Code: code(err), Text: Clip(err.Error(), MaxErrorText)}
	if e.Code != Error_RETRY {
		return e
	}
	scope, after, _ := event.AsRetry(err)
	e.Scope = Error_Scope(scope)
	e.AfterMs = (after + time.Millisecond - 1).Milliseconds()
	if after == event.UntilWoken {
		e.AfterMs = -1
	}
	return e
}

func code(err error) Error_Code {
	if event.IsPermanent(err) {
		if event.ReasonOf(err) == event.ReasonRefused {
			return Error_REFUSED
		}
		return Error_PERMANENT
	}
	if _, _, ok := event.AsRetry(err); ok {
		return Error_RETRY
	}
	switch {
	case errors.Is(err, ErrConflict):
		return Error_CONFLICT
	case errors.Is(err, ErrNotFound):
		return Error_NOT_FOUND
	case errors.Is(err, ErrRefused):
		return Error_REFUSED
	case errors.Is(err, ErrBusy):
		return Error_BUSY
	case errors.Is(err, ErrClosed):
		return Error_CLOSED
	}
	return Error_OTHER
}

// DecodeError returns the error that e carries, nil for nil. A refusal is both
// ErrRefused and final.
func DecodeError(e *Error) error {
	if e == nil {
		return nil
	}
	text := Clip(e.Text, MaxErrorText)
	if text == "" {
		text = "no reason given"
	}
	switch e.Code {
	case Error_PERMANENT:
		return event.Permanent(errors.New(text))
	case Error_REFUSED:
		return event.Refused(&remote{text, ErrRefused})
	case Error_RETRY:
		return event.Retry(scope(e.Scope), after(e.AfterMs), errors.New(text))
	case Error_CONFLICT:
		return &remote{text, ErrConflict}
	case Error_NOT_FOUND:
		return &remote{text, ErrNotFound}
	case Error_BUSY:
		return &remote{text, ErrBusy}
	case Error_CLOSED:
		return &remote{text, ErrClosed}
	}
	return errors.New(text)
}

// remote is an error with its own text that is also one of those above.
type remote struct {
	text string
	is   error
}

func (r *remote) Error() string { return r.text }
func (r *remote) Unwrap() error { return r.is }

func scope(s Error_Scope) event.Scope {
	switch s {
	case Error_TARGET:
		return event.ScopeTarget
	case Error_CONNECTOR:
		return event.ScopeConnector
	}
	return event.ScopeMessage
}

// maxAfter keeps a wait far from overflow; longer ones mean until woken.
const maxAfter = 365 * 24 * time.Hour

func after(ms int64) time.Duration {
	switch {
	case ms < 0 || ms > maxAfter.Milliseconds():
		return event.UntilWoken
	default:
		return time.Duration(ms) * time.Millisecond
	}
}

// Clip returns s as valid UTF-8 of at most limit bytes, never cut inside a
// character.
func Clip(s string, limit int) string {
	if !utf8.ValidString(s) {
		s = strings.ToValidUTF8(s, "\uFFFD")
	}
	if len(s) <= limit {
		return s
	}
	const mark = "…"
	cut := max(limit-len(mark), 0)
	for cut > 0 && !utf8.RuneStart(s[cut]) {
		cut--
	}
	return s[:cut] + mark
}

// CheckKey says what is wrong with a state key.
func CheckKey(key string) error {
	switch {
	case key == "":
		return event.Permanent(errors.New("state: empty key"))
	case len(key) > MaxKey:
		return event.Permanent(fmt.Errorf("state: key of %d bytes; at most %d are allowed", len(key), MaxKey))
	case !utf8.ValidString(key):
		return event.Permanent(errors.New("state: key is not valid UTF-8"))
	}
	return nil
}

// CheckValue says what is wrong with a state value.
func CheckValue(value []byte) error {
	if len(value) > MaxValue {
		return event.Permanent(fmt.Errorf("state: value of %d bytes; at most %d are allowed", len(value), MaxValue))
	}
	return nil
}
