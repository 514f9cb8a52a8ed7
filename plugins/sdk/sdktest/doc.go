// Package sdktest tells whether a connector keeps the contract of package sdk.
// It drives the executable as the host does, in whatever language it is
// written, against a host in memory, and hurts it: kill -9 in the middle of a
// delivery, a host that is gone or cannot store, hostile text, huge bodies.
//
// From a Go test:
//
//	sdktest.Run(t, sdktest.Options{Command: …, Target: "chat:room/1", Network: net})
//
// Checks returns the same as functions, for other callers.
package sdktest
