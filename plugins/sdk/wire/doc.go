// Package wire is what the host and a connector's process say to each other:
// the service of connector.proto with its generated code, the handshake, the
// limits, and the way between these messages and the words of package event.
//
// Both ends use it: package sdk in the connector, package client in the host.
// The strings of the wire are valid UTF-8: what is not is repaired here, so
// that a hostile display name never makes a message undeliverable.
package wire
