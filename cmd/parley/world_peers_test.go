//go:build peers

package main

import (
	"os"
	"strings"
)

// edit changes the bridge's configuration before it starts.
func (b *bridge) edit(from, to string) {
	b.t.Helper()
	text, err := os.ReadFile(b.config)
	if err != nil {
		b.t.Fatal(err)
	}
	write(b.t, b.dir, "bridge.toml", strings.ReplaceAll(string(text), from, to))
}
