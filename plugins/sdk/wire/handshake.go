package wire

import (
	"context"
	"errors"

	"github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"
)

// Version is the version of the protocol that this package speaks.
const Version = 1

// Limits of the protocol. Both ends keep them.
const (
	MaxFrame     = 1 << 20   // bytes of one frame or chunk
	MaxInline    = 256 << 10 // bytes of a body inside a frame; larger ones go by Media
	MaxChunk     = 64 << 10  // bytes of a chunk that this implementation sends
	MaxRequests  = 256       // unanswered requests of one side
	MaxKey       = 256       // bytes of a state key
	MaxValue     = 64 << 10  // bytes of a state value
	MaxEntries   = 512 << 10 // bytes of values in one Entries
	MaxErrorText = 1 << 10   // bytes of an error's text
)

// The cookie says that a program was started as a connector. It keeps people
// from starting one by hand; it is no secret.
const (
	CookieKey   = "PARLEY_CONNECTOR"
	CookieValue = "im.parley.connector"
)

const name = "connector"

// Handshake returns what both ends must agree on.
func Handshake() plugin.HandshakeConfig {
	return plugin.HandshakeConfig{MagicCookieKey: CookieKey, MagicCookieValue: CookieValue}
}

// Plugins returns the versions of the protocol and how each is served. server
// is nil in the host.
func Plugins(server ConnectorServer) map[int]plugin.PluginSet {
	return map[int]plugin.PluginSet{Version: {name: &adapter{server: server}}}
}

// Dispense returns the service of a started connector and its connection.
func Dispense(c plugin.ClientProtocol) (ConnectorClient, *grpc.ClientConn, error) {
	v, err := c.Dispense(name)
	if err != nil {
		return nil, nil, err
	}
	conn, ok := v.(*grpc.ClientConn)
	if !ok {
		return nil, nil, errors.New("not a gRPC connector")
	}
	return NewConnectorClient(conn), conn, nil
}

type adapter struct {
	plugin.NetRPCUnsupportedPlugin
	server ConnectorServer
}

func (a *adapter) GRPCServer(_ *plugin.GRPCBroker, s *grpc.Server) error {
	RegisterConnectorServer(s, a.server)
	return nil
}

func (a *adapter) GRPCClient(_ context.Context, _ *plugin.GRPCBroker, c *grpc.ClientConn) (any, error) {
	return c, nil
}
