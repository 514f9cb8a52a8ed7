// Package client is the host's end of the connector contract: it starts a
// connector's executable, speaks the protocol of package wire with it, hands it
// messages, and answers what it asks from a Backend.
//
// It trusts the process with nothing: what comes from it is bounded, checked
// and, where the contract says so, stamped. A connector that floods is pushed
// back, one that hangs is left waiting for by nobody, and what it prints goes
// to the log in limited amounts. Restarting is the business of the caller, see
// package plughost.
package client
