package bus

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
)

// syncs makes durable what the embedded server has written. The server itself
// syncs each message on its own while it holds the stream, or a batch of them
// with a store made for it, several syncs long. What it acknowledges is in the
// stream's newest file in any case: so the bus syncs that file once for
// everybody who waits, and answers nobody before. Its methods may be called
// from several goroutines; those of a nil syncs do nothing.
type syncs struct {
	store   string // the server's folder
	running sync.WaitGroup

	mu      sync.Mutex
	streams map[string]*syncing
	torn    map[string]bool // files whose sync failed since they were written anew
}

func newSyncs(dir string) *syncs {
	return &syncs{store: filepath.Join(dir, "jetstream"), streams: map[string]*syncing{}, torn: map[string]bool{}}
}

// folder returns where a stream is kept, below the store.
func folder(stream string) string { return filepath.Join(account, "streams", stream) }

// through returns once the messages of a stream up to seq are on disk; they
// have been acknowledged or read. With 0 it means all there are.
func (s *syncs) through(ctx context.Context, stream string, seq uint64) error {
	if s == nil {
		return nil
	}
	f := s.of(stream).join(seq)
	if f == nil {
		return nil
	}
	select {
	case <-f.done:
		return f.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (s *syncs) of(stream string) *syncing {
	s.mu.Lock()
	defer s.mu.Unlock()
	g := s.streams[stream]
	if g == nil {
		g = &syncing{log: &logFiles{dir: filepath.Join(s.store, folder(stream), "msgs"), sync: s.file}, running: &s.running}
		s.streams[stream] = g
	}
	return g
}

// file syncs one file. Once that has failed it fails until mend: the kernel then
// takes the file's pages for clean, so that another sync would succeed and mean
// nothing.
func (s *syncs) file(path string) error {
	s.mu.Lock()
	torn := s.torn[path]
	s.mu.Unlock()
	if torn {
		return fmt.Errorf("an earlier sync of %s failed", path)
	}
	err := syncFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		s.mu.Lock()
		s.torn[path] = true
		s.mu.Unlock()
	}
	return err
}

// mend writes the files anew whose sync failed. The server is stopped meanwhile.
func (s *syncs) mend(temporary string) error {
	if s == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for path := range s.torn {
		err := rewrite(temporary, path)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("write %s anew after its sync failed: %w", path, err)
		}
		delete(s.torn, path)
	}
	return nil
}

func rewrite(temporary, path string) error {
	if info, err := os.Stat(path); err != nil || info.IsDir() {
		return err // the names in a folder are written with the files
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	return replace(temporary, path, data)
}

// all puts everything on disk that lies under a folder of the store, and the
// names of the files.
func (s *syncs) all(folder ...string) error {
	if s == nil {
		return nil
	}
	return filepath.WalkDir(filepath.Join(append([]string{s.store}, folder...)...), func(path string, _ fs.DirEntry, err error) error {
		if err == nil {
			err = s.file(path)
		}
		if errors.Is(err, fs.ErrNotExist) {
			return nil // the server has removed it meanwhile
		}
		return err
	})
}

// wait returns when no sync is under way. Nobody asks for one any more.
func (s *syncs) wait() {
	if s != nil {
		s.running.Wait()
	}
}

// syncing lets those who wait for one stream share its syncs: while one is
// under way, the next gathers all others.
type syncing struct {
	log     *logFiles
	running *sync.WaitGroup

	mu      sync.Mutex
	through uint64 // on disk
	current *flush // under way
	next    *flush // begins when current has ended
}

// flush is one sync.
type flush struct {
	through uint64 // the highest sequence that it is known to put on disk
	done    chan struct{}
	err     error
}

// join returns the sync after which seq is on disk, nil if it is there already.
func (g *syncing) join(seq uint64) *flush {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case seq > 0 && seq <= g.through:
		return nil
	case seq > 0 && g.current != nil && seq <= g.current.through:
		return g.current
	}
	if g.next == nil {
		g.next = &flush{done: make(chan struct{})}
	}
	f := g.next
	f.through = max(f.through, seq)
	if g.current == nil {
		g.current, g.next = f, nil
		g.running.Go(g.run)
	}
	return f
}

// run syncs until nobody waits.
func (g *syncing) run() {
	for f := g.current; f != nil; f = g.ended(f) {
		f.err = g.log.flush()
		close(f.done)
	}
}

func (g *syncing) ended(f *flush) *flush {
	g.mu.Lock()
	defer g.mu.Unlock()
	if f.err == nil {
		g.through = max(g.through, f.through)
	}
	g.current, g.next = g.next, nil
	return g.current
}

// ahead is how many numbers behind the newest known file are looked for.
const ahead = 4

// logFiles are the files of a stream, NUMBER.blk: messages are appended to the
// one with the highest number. The server removes files whose messages are gone.
type logFiles struct {
	dir    string
	sync   func(path string) error
	newest int // that was there at the last flush; 0 if none is known
}

// flush puts on disk what has been written since the last flush that succeeded.
// Which files there are is looked at first: one that is begun meanwhile has
// nothing that anybody waits for yet, but the one before it may grow until then.
func (l *logFiles) flush() error {
	if !l.exists(l.newest) {
		return l.syncAll()
	}
	first, last := l.newest, l.newest
	for n := first + 1; n <= last+ahead; n++ {
		if l.exists(n) {
			last = n
		}
	}
	for n := first; n <= last; n++ {
		if err := l.sync(l.path(n)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	l.newest = last
	if last > first {
		return l.sync(l.dir)
	}
	return nil
}

// syncAll syncs all files, and so learns which is the newest.
func (l *logFiles) syncAll() error {
	list, err := os.ReadDir(l.dir)
	if err != nil {
		return err
	}
	newest := 0
	for _, e := range list {
		number, ok := strings.CutSuffix(e.Name(), ".blk")
		n, err := strconv.Atoi(number)
		if !ok || err != nil {
			continue
		}
		if err := l.sync(l.path(n)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		newest = max(newest, n)
	}
	l.newest = newest
	return l.sync(l.dir)
}

func (l *logFiles) path(n int) string { return filepath.Join(l.dir, strconv.Itoa(n)+".blk") }

func (l *logFiles) exists(n int) bool {
	_, err := os.Lstat(l.path(n))
	return err == nil
}

// syncFile puts a file, or the names in a folder, on disk.
func syncFile(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(fsync(f), f.Close())
}

// fsync is replaced in the tests that cut the power.
var fsync = (*os.File).Sync
