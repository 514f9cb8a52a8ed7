package tracing

import (
	"errors"
	"log/slog"
	"testing"
)

func TestATracerThatGoesNowherePassesTheParentOn(t *testing.T) {
	none, err := Open(t.Context(), Config{})
	if err != nil || none != nil {
		t.Fatalf("%v, %v", none, err)
	}
	const parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	span, next := none.Start(parent, Send, "web")
	span.End(errors.New("not sent"))
	none.Close(t.Context())
	if next != parent {
		t.Errorf("what follows is told of %q", next)
	}
}

func TestAParentFromOutsideIsFollowedOnlyIfItIsOne(t *testing.T) {
	tracer, err := Open(t.Context(), Config{OTLP: "http://127.0.0.1:9", Sample: 0, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer tracer.Close(t.Context())
	const parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00"
	if _, next := tracer.Start(parent, Receive, "sip"); len(next) != len(parent) || next[:36] != parent[:36] || next == parent {
		t.Errorf("after %s comes %s", parent, next)
	}
	for _, bad := range []string{"", "rubbish", "00-zz-1-01", "\r\nce-hops: 99"} {
		if _, next := tracer.Start(bad, Receive, "sip"); len(next) != len(parent) {
			t.Errorf("after %q comes %q", bad, next)
		}
	}
}
