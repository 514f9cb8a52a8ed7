package client

import (
	"bufio"
	"bytes"
	"io"
	"log/slog"
	"testing"
	"time"
)

func FuzzLogLine(f *testing.F) {
	for _, line := range []string{
		`{"@level":"warn","@message":"slow","room":"r1","n":3,"deep":{"a":[1]}}`, `{"@message":1}`, `{"@message":"x","@timestamp":7}`,
		`{"@level":[],"@message":"x","msg":"forged","connector":"other","":null}`, "panic: oops", "{", "\xff\x00", "",
	} {
		f.Add([]byte(line))
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		var b bytes.Buffer
		l := newLogs(slog.New(slog.NewJSONHandler(&b, &slog.HandlerOptions{Level: slog.LevelDebug})))
		l.line(line)
		if n := bytes.Count(b.Bytes(), []byte("\n")); n != 1 {
			t.Errorf("%q became %d lines: %s", line, n, b.Bytes())
		}
	})
}

func FuzzOutput(f *testing.F) {
	f.Add([]byte("1|1|unix|/tmp/x|grpc|\nmore\n"))
	f.Add(bytes.Repeat([]byte("long "), 5000))
	f.Fuzz(func(t *testing.T, out []byte) {
		r := bufio.NewReaderSize(bytes.NewReader(out), 16)
		for range len(out) + 2 {
			line, err := nextLine(r)
			if len(line) > 16 || bytes.ContainsRune(line, '\n') {
				t.Fatalf("%q gave the line %q", out, line)
			}
			if err == io.EOF {
				return
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		t.Fatalf("%q never ends", out)
	})
}

func TestLinesAreLimitedByTime(t *testing.T) {
	var b bytes.Buffer
	l := newLogs(slog.New(slog.NewTextHandler(&b, &slog.HandlerOptions{Level: slog.LevelDebug})))
	now := time.Unix(1_000_000, 0)
	l.now = func() time.Time { return now }
	for range 2 * lineBurst {
		l.plain([]byte("again"))
	}
	if n := bytes.Count(b.Bytes(), []byte("again")); n != lineBurst {
		t.Errorf("%d lines at once; want %d", n, lineBurst)
	}
	now = now.Add(time.Second)
	b.Reset()
	for range lineBurst {
		l.plain([]byte("again"))
	}
	if n := bytes.Count(b.Bytes(), []byte("again")); n != lineRate || !bytes.Contains(b.Bytes(), []byte("dropped=500")) {
		t.Errorf("%d lines a second later; want %d, and how many were dropped:\n%.300s", n, lineRate, b.Bytes())
	}
}
