package email

import (
	"regexp"
	"strings"
)

// maxSignature is the longest signature that is taken away, in lines.
const maxSignature = 15

// trim takes away what an answer only repeats: at the end, a block of lines
// that all begin with ">" below a line that introduces it, and a signature
// below "-- ". Anything less sure stays, and so does everything if nothing
// else would be left. cut tells whether something was taken away.
func trim(text string) (short string, cut bool) {
	lines := strings.Split(text, "\n")
	for range 4 { // signatures stand above quotes and below them
		n := len(lines)
		lines = withoutSignature(withoutQuote(withoutBlanks(lines)))
		if len(lines) == n {
			break
		}
	}
	lines = withoutBlanks(lines)
	short = strings.Join(lines, "\n")
	if strings.TrimSpace(short) == "" || short == strings.TrimRight(text, " \t\r\n") {
		return text, false
	}
	return short, true
}

func withoutBlanks(lines []string) []string {
	for len(lines) > 0 && strings.TrimSpace(lines[len(lines)-1]) == "" {
		lines = lines[:len(lines)-1]
	}
	return lines
}

// withoutSignature follows RFC 3676, section 4.3.
func withoutSignature(lines []string) []string {
	for i := len(lines) - 1; i >= 0 && len(lines)-i <= maxSignature+1; i-- {
		if strings.TrimSuffix(lines[i], "\r") == "-- " {
			return withoutBlanks(lines[:i])
		}
	}
	return lines
}

// withoutQuote takes the quote at the end, with what introduces it.
func withoutQuote(lines []string) []string {
	i := len(lines)
	for i > 0 && strings.HasPrefix(lines[i-1], ">") {
		i--
	}
	if i == len(lines) {
		return lines
	}
	above := withoutBlanks(lines[:i])
	if n := introduces(above); n > 0 {
		return withoutBlanks(above[:len(above)-n])
	}
	return lines
}

// What a line that introduces a quote names, in any script's digits: who wrote
// it, or a day and a time.
var (
	someone = regexp.MustCompile(`<[^<>\s]+@[^<>\s]+>`)
	day     = regexp.MustCompile(`(?:19|20)\p{Nd}\p{Nd}|\p{Nd}{1,2}[./-]\p{Nd}{1,2}[./-]\p{Nd}{2}`)
	hour    = regexp.MustCompile(`\p{Nd}{1,2}[:.h]\p{Nd}{2}`)
)

// introduces returns how many of the last lines introduce a quote: one that
// begins a paragraph, ends it with a colon and names an address or a day and
// time, in whatever language; or such a line that was wrapped in two.
func introduces(lines []string) int {
	n := len(lines)
	if n == 0 || !endsWithColon(lines[n-1]) {
		return 0
	}
	if begins(lines, n-1) && attributes(lines[n-1]) {
		return 1
	}
	if n > 1 && begins(lines, n-2) && len(lines[n-2]) >= 40 && attributes(lines[n-2]+" "+lines[n-1]) {
		return 2
	}
	return 0
}

// begins tells whether line i is the first of a paragraph.
func begins(lines []string, i int) bool {
	return !strings.HasPrefix(lines[i], ">") && (i == 0 || strings.TrimSpace(lines[i-1]) == "")
}

func attributes(line string) bool {
	return someone.MatchString(line) || day.MatchString(line) && hour.MatchString(line)
}

func endsWithColon(line string) bool {
	line = strings.TrimRight(line, " \t\r\u00a0")
	return strings.HasSuffix(line, ":") || strings.HasSuffix(line, "\uff1a")
}
