package main

import (
	"context"
	"encoding/hex"
	"net"
	"sync"
	"testing"
	"time"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	traces "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc"
)

// spans is a collector of OpenTelemetry spans.
type spans struct {
	collector.UnimplementedTraceServiceServer
	mu      sync.Mutex
	list    []*traces.Span
	changed chan struct{}
}

func (s *spans) Export(_ context.Context, r *collector.ExportTraceServiceRequest) (*collector.ExportTraceServiceResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, of := range r.ResourceSpans {
		for _, in := range of.ScopeSpans {
			s.list = append(s.list, in.Spans...)
		}
	}
	close(s.changed)
	s.changed = make(chan struct{})
	return &collector.ExportTraceServiceResponse{}, nil
}

// startCollector starts one and returns its URL.
func startCollector(t *testing.T) (*spans, string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &spans{changed: make(chan struct{})}
	srv := grpc.NewServer()
	collector.RegisterTraceServiceServer(srv, s)
	go func() { _ = srv.Serve(l) }()
	t.Cleanup(srv.Stop)
	return s, "http://" + l.Addr().String()
}

// named waits for a span of a name.
func (s *spans) named(t *testing.T, name string) *traces.Span {
	t.Helper()
	late := time.After(patience)
	for {
		s.mu.Lock()
		changed := s.changed
		for _, span := range s.list {
			if span.Name == name {
				s.mu.Unlock()
				return span
			}
		}
		s.mu.Unlock()
		select {
		case <-changed:
		case <-late:
			t.Fatalf("no span %q came", name)
		}
	}
}

func attribute(s *traces.Span, key string) string {
	for _, a := range s.Attributes {
		if a.Key == key {
			return a.Value.GetStringValue()
		}
	}
	return ""
}

func TestOneTraceHoldsAllStepsOfAMessage(t *testing.T) {
	s, url := startCollector(t)
	b := newBridge(t, `otlp   = ""`, `otlp   = "`+url+`"`)
	ann := joinChat(t, b.web, "ann")
	b.send("alice", "lobby", "traced")
	ann.sees("traced", nil)
	received, routed, sent := s.named(t, "receive sip"), s.named(t, "process route"), s.named(t, "send web")
	for _, step := range []struct {
		name         string
		span, parent *traces.Span
	}{{"routing", routed, received}, {"sending", sent, routed}} {
		if hex.EncodeToString(step.span.TraceId) != hex.EncodeToString(received.TraceId) {
			t.Errorf("%s is in another trace", step.name)
		}
		if hex.EncodeToString(step.span.ParentSpanId) != hex.EncodeToString(step.parent.SpanId) {
			t.Errorf("%s follows from another step", step.name)
		}
	}
	id := attribute(received, "messaging.message.id")
	if id == "" || attribute(sent, "parley.inbound") != id || attribute(sent, "messaging.system") != "parley" {
		t.Errorf("the message is %q, sent is %v", id, sent.Attributes)
	}
	if got := b.says(`msg=stored message=(\w+)`)[1]; got != id {
		t.Errorf("the trace names message %s, the log %s", id, got)
	}
}

func TestWithoutACollectorMessagesGoOn(t *testing.T) {
	b := newBridge(t, `otlp   = ""`, `otlp   = "http://127.0.0.1:9"`) // nobody listens there
	ann := joinChat(t, b.web, "ann")
	b.send("alice", "lobby", "untraced")
	ann.sees("untraced", nil)
	b.says(`level=WARN msg="spans were not reported"`)
}
