// Package httpd is Parley's one HTTP door. It answers health checks, shows the
// pages that the host hands it, and proxies /c/<connector>/ to the unix socket
// of that connector, so that a connector's restart is a short wait for its
// users and never a refused connection.
//
// Who may come in is decided here and nowhere else. Without a password the
// listener, the peer and the Host header must all be loopback: the last one
// keeps web sites from reaching the door through DNS rebinding. With a
// password everything but /healthz asks for it.
//
// Beside the door stands the operator's API (Operator, Client): a unix socket
// in the data folder that only the host's own user can open.
package httpd
