package markup

import "strings"

const (
	maxNested = 512  // marks in a line, most of which could nest
	maxPaired = 2048 // marks in a paragraph, each of which could pair with another
)

// costly tells of Markdown whose parser would need far more time or memory than
// words do. It compares each mark of format in a paragraph with those before
// it, looks through a paragraph for the end of all that begins in it, gives each
// row of a table as many cells as its head has, and has each empty line go
// through all lists around it.
func costly(src string) bool {
	paired, begun, columns, lists := 0, 0, 0, 0 // the first three of a paragraph
	repeated := 0                               // lines, each in all that goes through it, and cells
	for line := range strings.SplitSeq(src, "\n") {
		words := strings.TrimLeft(line, " \t>*-+")
		nested := len(line) - len(words)
		switch {
		case strings.Trim(line, " \t\r>") == "":
			paired, begun, columns = 0, 0, 0
			repeated += lists
		case strings.Trim(line, " \t\r\v\f>|:-") == "":
			columns = max(columns, strings.Count(line, "|")+1)
		}
		lists = max(lists, listsIn(line))
		paired += marksIn(words)
		begun += beginningsIn(line)
		repeated += columns + begun/8 // a line is a small thing beside a cell
		if nested+paired > maxPaired || nested > maxNested || repeated > len(src)+maxPaired {
			return true
		}
	}
	return false
}

func marksIn(line string) (n int) {
	for i := range len(line) {
		if strings.IndexByte("[]*_~`<!", line[i]) >= 0 {
			n++
		}
	}
	return n
}

// beginningsIn counts what may end on another line: code, tags and addresses.
func beginningsIn(line string) int {
	return strings.Count(line, "`") + strings.Count(line, "<") + strings.Count(line, "](") + strings.Count(line, "][") + strings.Count(line, "]:")
}

// listsIn returns how many lists a line can be in, by its margin and by the
// marks of items that it begins with.
func listsIn(line string) (n int) {
	for {
		words := strings.TrimLeft(line, " \t>")
		n += (len(line) - len(words) + strings.Count(line[:len(line)-len(words)], "\t")) / 2
		mark := strings.TrimLeft(words, "0123456789")
		if mark == "" || strings.IndexByte("-*+.)", mark[0]) < 0 {
			return n
		}
		if line = mark[1:]; line != "" && line[0] != ' ' && line[0] != '\t' {
			return n
		}
		n++
	}
}
