package event

import (
	"errors"
	"math"
	"time"
)

// Scope says how far a reason to wait reaches.
type Scope int

// The scopes of a Retry, from narrow to wide.
const (
	ScopeMessage   Scope = iota // this message; others to the same target may go
	ScopeTarget                 // everything to this target address
	ScopeConnector              // everything through this connector
)

func (s Scope) String() string {
	switch s {
	case ScopeTarget:
		return "target"
	case ScopeConnector:
		return "connector"
	}
	return "message"
}

// UntilWoken is the wait of a Retry that only an event ends: a REGISTER, the
// connector coming back, an operator, or the message's expiry.
const UntilWoken = time.Duration(math.MaxInt64)

type permanent struct {
	err    error
	reason Reason
}

func (p *permanent) Error() string { return p.err.Error() }
func (p *permanent) Unwrap() error { return p.err }

type retry struct {
	err   error
	scope Scope
	after time.Duration
}

func (r *retry) Error() string { return r.err.Error() }
func (r *retry) Unwrap() error { return r.err }

// Permanent marks err as final: trying again cannot help.
func Permanent(err error) error { return mark(err, ReasonPermanent) }

// Refused marks err as final because the recipient, or somebody who speaks
// for them, said no (SIP 403 or 603, a policy of the far side).
func Refused(err error) error { return mark(err, ReasonRefused) }

func mark(err error, r Reason) error {
	if err == nil {
		return nil
	}
	return &permanent{err, r}
}

// Retry marks err as temporary, tells how far its cause reaches and after how
// long to try again; 0 leaves the wait to the host's backoff.
func Retry(s Scope, after time.Duration, err error) error {
	if err == nil {
		return nil
	}
	return &retry{err, s, max(after, 0)}
}

// IsPermanent tells whether err, or an error it wraps, is final.
func IsPermanent(err error) bool {
	var p *permanent
	return errors.As(err, &p)
}

// ReasonOf returns the reason of a final error, ReasonPermanent for others.
func ReasonOf(err error) Reason {
	var p *permanent
	if errors.As(err, &p) {
		return p.reason
	}
	return ReasonPermanent
}

// AsRetry returns the scope and wait of an error that Retry marked. ok is
// false for any other error; then nothing is known of what the far side did.
func AsRetry(err error) (s Scope, after time.Duration, ok bool) {
	var r *retry
	if errors.As(err, &r) {
		return r.scope, r.after, true
	}
	return ScopeMessage, 0, false
}
