// Package tracing reports the steps of a message's way as OpenTelemetry spans,
// by OTLP over gRPC. A step is told its parent by a W3C traceparent, which the
// events carry, so that one trace holds all that happened to a message, over
// restarts and over hosts.
package tracing

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// Config says where spans go.
type Config struct {
	OTLP    string  // http://host:port or https://host:port of a collector's gRPC; empty: nowhere
	Sample  float64 // part of the traces that begin here which are reported, 0 to 1
	Version string  // of the program
	Log     *slog.Logger
}

// A Tracer reports spans. Nil is one that reports nothing. Its methods may be
// called from several goroutines.
type Tracer struct {
	provider *sdktrace.TracerProvider
	tracer   trace.Tracer
	log      *slog.Logger
}

// Limits of what waits for a collector that is slow or away: more is dropped,
// messages never wait for it.
const (
	maxWaiting = 2048
	exportFor  = 5 * time.Second
	closeFor   = 2 * time.Second
)

// Open returns a Tracer, nil if spans go nowhere. It does not wait for the
// collector, and logs what the collector did not take.
func Open(ctx context.Context, c Config) (*Tracer, error) {
	if c.OTLP == "" {
		return nil, nil
	}
	exporter, err := otlptracegrpc.New(ctx, otlptracegrpc.WithEndpointURL(c.OTLP), otlptracegrpc.WithTimeout(exportFor))
	if err != nil {
		return nil, fmt.Errorf("tracing: %w", err)
	}
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) { c.Log.Warn("spans were not reported", "err", err) }))
	p := sdktrace.NewTracerProvider(
		sdktrace.WithBatcher(exporter, sdktrace.WithMaxQueueSize(maxWaiting), sdktrace.WithExportTimeout(exportFor)),
		sdktrace.WithSampler(sdktrace.ParentBased(sdktrace.TraceIDRatioBased(c.Sample))),
		sdktrace.WithResource(resource.NewSchemaless(
			attribute.String("service.name", "parley"), attribute.String("service.version", c.Version))),
	)
	return &Tracer{p, p.Tracer("parley.im/core"), c.Log}, nil
}

// Close reports what waits, within two seconds.
func (t *Tracer) Close(ctx context.Context) {
	if t == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeFor)
	defer cancel()
	if err := t.provider.Shutdown(ctx); err != nil {
		t.log.Warn("the last spans were not reported", "err", err)
	}
}

// Kind is what a step does with a message, by OpenTelemetry's conventions for
// messaging.
type Kind string

// Kinds of steps.
const (
	Receive Kind = "receive" // it came in and is stored
	Process Kind = "process" // it is routed
	Send    Kind = "send"    // it is handed to a network
)

// A Span is one step under way. Nil is one that is not reported.
type Span struct{ span trace.Span }

// Start begins a step of kind at an address or connector, after the step that
// parent, a traceparent, names; a parent that is none begins a trace. It
// returns the traceparent for what follows from the step: parent itself when
// spans go nowhere. attributes are pairs of name and value.
func (t *Tracer) Start(parent string, kind Kind, where string, attributes ...string) (*Span, string) {
	if t == nil {
		return nil, parent
	}
	carrier := propagation.MapCarrier{"traceparent": parent}
	ctx := propagation.TraceContext{}.Extract(context.Background(), carrier)
	ctx, s := t.tracer.Start(ctx, string(kind)+" "+where, trace.WithSpanKind(spanKinds[kind]), trace.WithAttributes(
		attribute.String("messaging.system", "parley"), attribute.String("messaging.operation.type", string(kind)),
		attribute.String("messaging.destination.name", where)))
	for i := 0; i+1 < len(attributes); i += 2 {
		s.SetAttributes(attribute.String(attributes[i], attributes[i+1]))
	}
	propagation.TraceContext{}.Inject(ctx, carrier)
	return &Span{s}, carrier["traceparent"]
}

var spanKinds = map[Kind]trace.SpanKind{
	Receive: trace.SpanKindConsumer, Process: trace.SpanKindInternal, Send: trace.SpanKindProducer,
}

// End ends the step; err is why it failed, nil if it did not.
func (s *Span) End(err error) {
	if s == nil {
		return
	}
	if err != nil {
		s.span.SetStatus(codes.Error, err.Error())
	}
	s.span.End()
}
