package client

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"parley.im/plugins/sdk/wire"
)

// Limits of what a connector's output may do to the host's log.
const (
	maxLine       = 8 << 10 // bytes of a line; the rest is dropped
	maxAttributes = 16      // of a JSON line
	maxAttribute  = 1 << 10 // bytes of a value
	lineRate      = 100     // lines per second
	lineBurst     = 500     // lines at once
	tailLines     = 6       // kept to explain why a start failed
	maxTail       = 200     // bytes of each of those
)

// logs brings a connector's output into the host's log, in limited amounts.
type logs struct {
	log *slog.Logger
	now func() time.Time

	mu       sync.Mutex
	panicked bool
	tail     []string
	tokens   float64
	last     time.Time
	dropped  int
}

func newLogs(log *slog.Logger) *logs {
	return &logs{log: log, now: time.Now, tokens: lineBurst}
}

// stdout passes the first line on, which is the handshake, and logs the others.
func (l *logs) stdout(r io.Reader, first *io.PipeWriter) {
	lines := bufio.NewReaderSize(r, maxLine)
	line, err := nextLine(lines)
	if err == nil || len(line) > 0 {
		_, _ = first.Write(append(bytes.Clone(line), '\n'))
	}
	if err == nil {
		l.each(lines, l.plain)
	}
	first.Close()
}

func (l *logs) stderr(r io.Reader) { l.each(bufio.NewReaderSize(r, maxLine), l.line) }

func (l *logs) each(r *bufio.Reader, f func([]byte)) {
	for {
		line, err := nextLine(r)
		if len(line) > 0 {
			f(line)
		}
		if err != nil {
			return
		}
	}
}

// nextLine returns the next line without its end, cut to the reader's size. It
// is valid until the next read.
func nextLine(r *bufio.Reader) ([]byte, error) {
	line, err := r.ReadSlice('\n')
	if !errors.Is(err, bufio.ErrBufferFull) {
		return bytes.TrimRight(line, "\r\n"), err
	}
	line = bytes.Clone(line)
	for errors.Is(err, bufio.ErrBufferFull) {
		_, err = r.ReadSlice('\n')
	}
	return line, err
}

// Write logs what a connector in Go printed after the handshake.
func (l *logs) Write(p []byte) (int, error) {
	for line := range bytes.Lines(p) {
		if line = bytes.TrimRight(line, "\r\n"); len(line) > 0 {
			l.plain(line[:min(len(line), maxLine)])
		}
	}
	return len(p), nil
}

// line logs one line of the standard error.
func (l *logs) line(line []byte) {
	if level, message, attrs, ok := parseLine(line); ok {
		l.write(level, message, attrs)
		return
	}
	l.plain(line)
}

// plain logs a line that is only text: as an error from a panic on.
func (l *logs) plain(line []byte) {
	level := slog.LevelDebug
	l.mu.Lock()
	for _, sign := range []string{"panic: ", "fatal error: ", "Traceback "} {
		l.panicked = l.panicked || bytes.HasPrefix(line, []byte(sign))
	}
	if l.panicked {
		level = slog.LevelError
	}
	l.mu.Unlock()
	l.write(level, wire.Clip(string(line), maxLine), nil)
}

func (l *logs) write(level slog.Level, message string, attrs []slog.Attr) {
	allowed, dropped := l.allow(message)
	if dropped > 0 {
		l.log.Warn("connector logs too much; lines were dropped", "dropped", dropped)
	}
	if allowed {
		l.log.LogAttrs(context.Background(), level, message, attrs...)
	}
}

// allow keeps the tail, and takes a token. dropped is how many lines were
// dropped since the last one that was allowed.
func (l *logs) allow(message string) (allowed bool, dropped int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.tail = append(l.tail, wire.Clip(message, maxTail))
	l.tail = l.tail[max(0, len(l.tail)-tailLines):]
	now := l.now()
	if !l.last.IsZero() {
		l.tokens = min(lineBurst, l.tokens+now.Sub(l.last).Seconds()*lineRate)
	}
	l.last = now
	if l.tokens < 1 {
		l.dropped++
		return false, 0
	}
	l.tokens--
	dropped, l.dropped = l.dropped, 0
	return true, dropped
}

// close tells how much was dropped last.
func (l *logs) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.dropped > 0 {
		l.log.Warn("connector logs too much; lines were dropped", "dropped", l.dropped)
		l.dropped = 0
	}
}

// lastWords returns the end of the output, to explain a failed start.
func (l *logs) lastWords() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Join(l.tail, " / ")
}

// parseLine understands a line of JSON that has at least "@message".
func parseLine(line []byte) (level slog.Level, message string, attrs []slog.Attr, ok bool) {
	if len(line) == 0 || line[0] != '{' {
		return 0, "", nil, false
	}
	var m map[string]any
	if json.Unmarshal(line, &m) != nil {
		return 0, "", nil, false
	}
	message, ok = m["@message"].(string)
	if !ok {
		return 0, "", nil, false
	}
	switch m["@level"] {
	case "error":
		level = slog.LevelError
	case "warn":
		level = slog.LevelWarn
	case "info":
		level = slog.LevelInfo
	default:
		level = slog.LevelDebug
	}
	for _, k := range slices.Sorted(maps.Keys(m)) {
		if !strings.HasPrefix(k, "@") && len(attrs) < maxAttributes {
			attrs = append(attrs, attribute(k, m[k]))
		}
	}
	return level, wire.Clip(message, maxLine), attrs, true
}

// attribute never has a key that the host's own lines use.
func attribute(key string, value any) slog.Attr {
	switch key {
	case slog.TimeKey, slog.LevelKey, slog.MessageKey, slog.SourceKey, "connector":
		key += "_"
	}
	key = wire.Clip(key, 64)
	if s, ok := value.(string); ok {
		return slog.String(key, wire.Clip(s, maxAttribute))
	}
	b, err := json.Marshal(value)
	if err != nil || len(b) > maxAttribute {
		return slog.String(key, "…")
	}
	switch value.(type) {
	case float64, bool, nil:
		return slog.Any(key, value)
	}
	return slog.String(key, string(b))
}
