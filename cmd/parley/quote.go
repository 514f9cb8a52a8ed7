package main

import (
	"strconv"
	"unicode"
	"unicode/utf8"
)

// maxShown bounds what one field of a line shows of a text from outside.
const maxShown = 120

// quote shows a text from outside as a Go string in ASCII: nothing in it can
// move the cursor, colour the terminal or turn the direction of writing.
func quote(s string) string { return strconv.QuoteToASCII(shorten(s)) }

// plain shows a text as it is if it is one harmless word, else quoted.
func plain(s string) string {
	if s == "" || !utf8.ValidString(s) {
		return quote(s)
	}
	for _, r := range s {
		if !unicode.In(r, unicode.L, unicode.N, unicode.P, unicode.S) || r == '"' {
			return quote(s)
		}
	}
	return shorten(s)
}

func shorten(s string) string {
	if len(s) <= maxShown {
		return s
	}
	cut := maxShown
	for cut > 0 && !utf8.RuneStart(s[cut]) {
		cut--
	}
	return s[:cut] + "…"
}
