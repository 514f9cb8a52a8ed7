package client

import (
	"context"
	"errors"

	"parley.im/bus/event"
	"parley.im/plugins/sdk"
)

// Backend is what a connector may ask of the host. Its methods are called from
// many goroutines at once, for one connector at most wire.MaxRequests. What
// they are handed has been checked: the connector's own name is the Origin,
// and senders are of its schemes.
type Backend interface {
	// Put stores a message that came in and returns its event id. It returns
	// sdk.ErrBusy when it cannot be stored now and sdk.ErrRefused when it will
	// never be taken.
	Put(ctx context.Context, in event.Inbound) (id string, err error)
	// Signal tells that somebody is composing. Best effort.
	Signal(ctx context.Context, t event.Typing) error
	// Report stores what the network said later about a delivery.
	Report(ctx context.Context, r event.Report) error
	// Accepts returns nil if Put would take a message with the Sender,
	// Recipient and Thread of in, or sdk.ErrRefused; see sdk.Host.
	Accepts(ctx context.Context, in event.Inbound) error
	// State is the connector's own key-value store.
	State() sdk.State
	// Media keeps large bodies.
	Media() sdk.Media
}

// ErrGone says that the connector's process ended, or stopped speaking the
// protocol, before it answered. What it did by then is unknown.
var ErrGone = errors.New("the connector is gone; what it did is unknown")
