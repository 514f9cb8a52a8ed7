package httpd

import (
	"cmp"
	"context"
	"net"
)

type callerKey struct{}

// withCaller notes who is at the other end of a connection.
func withCaller(ctx context.Context, c net.Conn) context.Context {
	return context.WithValue(ctx, callerKey{}, cmp.Or(peer(c), "the host's user"))
}

// caller returns who made a request to the operators' API, for the log.
func caller(ctx context.Context) string {
	who, _ := ctx.Value(callerKey{}).(string)
	return who
}
