// Package tune sets what the SIP library keeps for the whole process. Both
// ends of SIP, the edge and the small client, call it before anything else.
package tune

import (
	"log/slog"
	"sync"

	"github.com/emiago/sipgo/sip"
)

// MaxDatagram is the largest UDP payload in bytes.
const MaxDatagram = 65535

// MaxMessage is the largest SIP message in bytes that is still parsed. It
// leaves room above the largest body that is taken, so that one that is too
// large is answered 413 and not with a closed connection.
const MaxMessage = 256 << 10

var once sync.Once

// Library sets the library's globals. Only the first call does anything, so
// it may be called from several goroutines and while the library is in use.
//
// The library's own limit for UDP is lifted, because it holds for responses
// too, which have to go out whatever their size; requests are limited by who
// writes them. Its log is closed: it has whole messages in it, with their
// text.
func Library() {
	once.Do(func() {
		sip.UDPMTUSize = MaxDatagram + 200
		sip.TransportBufferReadSize = MaxDatagram
		sip.SetDefaultLogger(slog.New(slog.DiscardHandler))
	})
}
