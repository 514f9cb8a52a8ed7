package sdk

import (
	"io"
	"log/slog"
	"time"
)

// newLogger returns a log whose lines the host understands: JSON with
// "@level", "@message" and "@timestamp". The host decides what it shows.
func newLogger(w io.Writer) *slog.Logger {
	return slog.New(slog.NewJSONHandler(w, &slog.HandlerOptions{
		Level: slog.LevelDebug,
		ReplaceAttr: func(groups []string, a slog.Attr) slog.Attr {
			if len(groups) > 0 {
				return a
			}
			switch v := a.Value.Any().(type) {
			case slog.Level:
				if a.Key == slog.LevelKey {
					return slog.String("@level", level(v))
				}
			case time.Time:
				if a.Key == slog.TimeKey {
					return slog.String("@timestamp", v.Format("2006-01-02T15:04:05.000000Z07:00"))
				}
			case string:
				if a.Key == slog.MessageKey {
					return slog.String("@message", v)
				}
			}
			return a
		},
	}))
}

func level(l slog.Level) string {
	switch {
	case l >= slog.LevelError:
		return "error"
	case l >= slog.LevelWarn:
		return "warn"
	case l >= slog.LevelInfo:
		return "info"
	}
	return "debug"
}
