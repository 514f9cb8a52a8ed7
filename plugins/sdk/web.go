package sdk

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"sync"
	"time"
)

// web serves the connector's HTTP on the unix socket that the host named.
type web struct {
	path string

	mu     sync.Mutex
	server *http.Server
	done   chan struct{}
}

// farewell is how long requests under way may take when the connector closes.
const farewell = 500 * time.Millisecond

func (w *web) serve(h http.Handler, log *slog.Logger) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.path == "" {
		return errors.New("serve: the host gave no socket; set Description.HTTP")
	}
	if w.server != nil {
		return errors.New("serve: it serves already")
	}
	if err := os.Remove(w.path); err != nil && !os.IsNotExist(err) {
		return fmt.Errorf("serve: %w", err)
	}
	l, err := net.Listen("unix", w.path)
	if err != nil {
		return fmt.Errorf("serve: %w", err)
	}
	w.server = &http.Server{
		Handler: h, ReadHeaderTimeout: 10 * time.Second,
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelWarn),
	}
	w.done = make(chan struct{})
	go func() {
		defer close(w.done)
		if err := w.server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			log.Error("HTTP ended", "err", err)
		}
	}()
	return nil
}

// close ends serving, and with it what still streams.
func (w *web) close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.server == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), farewell)
	defer cancel()
	if w.server.Shutdown(ctx) != nil {
		_ = w.server.Close()
	}
	<-w.done
	w.server = nil
}
