package sdk

import (
	"context"
	"log/slog"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	"parley.im/plugins/sdk/wire"
)

// server is the gRPC service of a connector.
type server struct {
	wire.UnimplementedConnectorServer
	connector Connector
	about     Description
	log       *slog.Logger
	ended     chan struct{} // closed when the Control stream ends

	mu      sync.Mutex
	session *session
}

func newServer(c Connector, log *slog.Logger) *server {
	d := c.Describe()
	_, d.Find = c.(Finder)
	return &server{connector: c, about: d, log: log, ended: make(chan struct{})}
}

func (s *server) current() *session {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.session
}

// Describe answers what the connector is and can do.
func (s *server) Describe(context.Context, *wire.DescribeRequest) (*wire.Description, error) {
	d := s.about
	m := &wire.Description{
		Network: d.Network, Version: d.Version, Schemes: d.Schemes, Types: d.Types, MaxBytes: int64(d.MaxBytes), MaxFile: d.MaxFile,
		GateOutstanding: int32(d.Gate.Outstanding), GateEvery: durationpb.New(d.Gate.Every),
		Http: d.HTTP, Find: d.Find, SettingsSchema: d.Settings, Public: d.Public,
	}
	for _, s := range d.States {
		m.States = append(m.States, string(s))
	}
	for _, k := range d.Kinds {
		m.Kinds = append(m.Kinds, string(k))
	}
	return m, nil
}

// Control talks to the host until it is gone.
func (s *server) Control(stream grpc.BidiStreamingServer[wire.HostFrame, wire.ConnectorFrame]) error {
	s.mu.Lock()
	if s.session != nil {
		s.mu.Unlock()
		return status.Error(codes.FailedPrecondition, "there is a host already")
	}
	session := newSession(s.connector, s.about, s.log)
	s.session = session
	s.mu.Unlock()
	defer close(s.ended)
	return session.run(stream)
}

// Media carries one large body to or from the host.
func (s *server) Media(stream grpc.BidiStreamingServer[wire.Chunk, wire.Chunk]) error {
	first, err := stream.Recv()
	if err != nil {
		return err
	}
	session := s.current()
	if session == nil {
		return status.Error(codes.FailedPrecondition, "not open")
	}
	carry := session.transfers.take(first.GetId())
	if carry == nil {
		return status.Error(codes.NotFound, "nobody waits for this body")
	}
	return carry(stream)
}
