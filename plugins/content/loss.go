// Package content names what is lost when a message is mapped to another
// form. The packages below it do the mapping; all of them are pure.
package content

import "slices"

// A Loss is something of a message that its new form does not show, or shows
// in another way, in a few words for people.
type Loss string

// Losses are named once each, in the order in which they arose.
type Losses []Loss

// Add names more losses.
func (l *Losses) Add(more ...Loss) {
	for _, m := range more {
		if !slices.Contains(*l, m) {
			*l = append(*l, m)
		}
	}
}
