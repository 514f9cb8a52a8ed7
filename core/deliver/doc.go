// Package deliver settles Outbounds: it hands each to its connector, in order
// within a lane, at the pace of its gate, again when that may help, and stores
// what became of it before the bus is told that it is done.
//
// A lane is one conversation towards one target: the unit of order. A gate is
// one target address: the unit of pace, shared by its lanes. A lane that has
// to wait for long is parked: what it waits for is written down, its messages
// are acknowledged unread, and it is read again from the log when it is woken.
// So nothing that waits ever stands in the way of what could go.
//
// Acknowledgements are hints and the log is the truth: each Status carries the
// highest sequence its lane has settled, and what is at or below it is never
// delivered again.
package deliver
