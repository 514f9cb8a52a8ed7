// Package matrixtest is a homeserver in memory for tests: strict about what
// the Matrix specification refuses, and able to fail in the ways that real
// ones do. It has people who can be made to speak, and pushes what happens to
// an application service until that answers 200.
//
// It knows only the endpoints that a bridge needs; any other is refused as
// unknown. It checks no power levels beyond Silence, and signs nothing.
package matrixtest
