package config

import (
	"fmt"
	"slices"
	"strings"
)

// Problem is one mistake in a configuration.
type Problem struct {
	File string
	Line int    // 0 if unknown
	Path string // such as "sip.account[1].password"
	Text string // what is wrong, and a way out
}

// String returns "bridge.toml:12: plugins.web.titel: unknown key".
func (p Problem) String() string {
	var b strings.Builder
	b.WriteString(p.File)
	if p.Line > 0 {
		fmt.Fprintf(&b, ":%d", p.Line)
	}
	b.WriteString(": ")
	if p.Path != "" {
		b.WriteString(p.Path + ": ")
	}
	b.WriteString(p.Text)
	return b.String()
}

// Problems is all that is wrong with a configuration, as an error: one per
// line, in the order of the file.
type Problems []Problem

// Error returns one problem a line.
func (p Problems) Error() string {
	sorted := slices.Clone(p)
	slices.SortStableFunc(sorted, func(a, b Problem) int { return a.Line - b.Line })
	var lines []string
	for _, x := range sorted {
		lines = append(lines, x.String())
	}
	return strings.Join(lines, "\n")
}

// Line returns the line where a path stands, or that of the nearest table
// around it; 0 if unknown.
func (c *Config) Line(path string) int {
	for path != "" {
		if n, ok := c.lines[path]; ok {
			return n
		}
		i := strings.LastIndexAny(path, ".[")
		if i < 0 {
			return 0
		}
		path = path[:i]
	}
	return 0
}
