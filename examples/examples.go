// Package examples carries the sources of the example connectors, so that
// "parley plugin init" can write them as the beginning of another.
package examples

import "embed"

// Files are the connectors, by folder: connector-go and connector-python.
//
//go:embed connector-go/main.go connector-python/*.py
var Files embed.FS
