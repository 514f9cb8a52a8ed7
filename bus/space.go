package bus

import (
	"fmt"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// space watches the free bytes of the disk below a folder. A nil space has
// always room.
type space struct {
	dir     string
	reserve int64

	mu   sync.Mutex
	free int64
	at   time.Time
}

func newSpace(dir string, reserve int64) *space { return &space{dir: dir, reserve: reserve} }

// check returns ErrFull when less than the reserve is free. It asks the disk
// at most once a second.
func (s *space) check() error {
	if s == nil {
		return nil
	}
	free, err := s.read()
	if err != nil {
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	if free < s.reserve {
		return fmt.Errorf("%w: %d MiB are free in %s, %d MiB are kept in reserve", ErrFull, free>>20, s.dir, s.reserve>>20)
	}
	return nil
}

func (s *space) read() (int64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if time.Since(s.at) < time.Second {
		return s.free, nil
	}
	var st unix.Statfs_t
	if err := unix.Statfs(s.dir, &st); err != nil {
		return 0, fmt.Errorf("free space of %s: %w", s.dir, err)
	}
	s.free, s.at = int64(st.Bavail)*int64(st.Bsize), time.Now()
	return s.free, nil
}
