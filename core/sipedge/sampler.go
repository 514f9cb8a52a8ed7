package sipedge

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

// logEvery is how often there is a line in the log about one kind of hostile
// traffic.
const logEvery = 10 * time.Second

// sampler logs what strangers can cause as often as they like: one line of a
// kind in a while, with how many were left out since the last.
type sampler struct {
	log *slog.Logger
	now func() time.Time

	mu    sync.Mutex
	kinds map[string]*sampled
}

type sampled struct {
	next    time.Time
	leftOut int
}

// warn logs one line. The text is one of a few that stand in the code.
func (s *sampler) warn(text string, args ...any) { s.line(slog.LevelWarn, text, args...) }

func (s *sampler) line(level slog.Level, text string, args ...any) {
	if n, due := s.due(text); due {
		if n > 0 {
			args = append(args, "left_out", n)
		}
		s.log.Log(context.Background(), level, text, args...)
	}
}

func (s *sampler) due(text string) (leftOut int, due bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	k := s.kinds[text]
	if k == nil {
		if s.kinds == nil {
			s.kinds = map[string]*sampled{}
		}
		k = &sampled{}
		s.kinds[text] = k
	}
	now := s.now()
	if now.Before(k.next) {
		k.leftOut++
		return 0, false
	}
	leftOut, k.leftOut, k.next = k.leftOut, 0, now.Add(logEvery)
	return leftOut, true
}
