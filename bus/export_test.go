package bus

import (
	"os"
	"testing"
	"time"
)

// ScrubBlock is for the tests.
var ScrubBlock = scrubBlock

// SetFsync has the bus sync files by f until the test ends. No bus may be open.
func SetFsync(t *testing.T, f func(*os.File) error) {
	before := fsync
	fsync = f
	t.Cleanup(func() { fsync = before })
}

// SetDedupeWindow has the server forget ids that soon, until the test ends.
func SetDedupeWindow(t *testing.T, d time.Duration) {
	before := dedupeWindow
	dedupeWindow = d
	t.Cleanup(func() { dedupeWindow = before })
}
