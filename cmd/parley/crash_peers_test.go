//go:build linux && peers

package main

import (
	"flag"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"
)

// The crash matrix. "make test-peers" runs a part of it, "make crash" all and
// writes the table into docs/delivery.md.
var (
	crashTime  = flag.Duration("crash.time", 6*time.Second, "how long each fault strikes again and again")
	crashFault = flag.Duration("crash.fault", 2*time.Second, "how long a fault that lasts takes")
	crashRate  = flag.Float64("crash.rate", 8, "texts a second of each of the four speakers")
	crashTable = flag.String("crash.table", "", "the `file` whose table is written anew")
)

// peace is how long nothing goes wrong between two strikes.
const peace = time.Second

// settleLimit is how long messages may wait for a connector that was struck
// several times.
const settleLimit = 2 * time.Minute

func TestPeersInEachFaultNothingIsLostNothingComesTwiceAndAllInOrder(t *testing.T) {
	var rows []string
	for _, f := range faults() {
		t.Run(f.name, func(t *testing.T) {
			o := f.run(t)
			sums := o.sums
			rows = append(rows, o.row(f))
			t.Log(rows[len(rows)-1])
			for _, d := range directions {
				s := sums[d]
				if s.taken == 0 {
					t.Errorf("%s: nothing was taken", d)
				}
				if s.lost > 0 || s.twice > 0 || s.order > 0 {
					t.Errorf("%s: of %d taken %d are lost, %d came twice, %d out of order", d, s.taken, s.lost, s.twice, s.order)
				}
			}
		})
	}
	if *crashTable != "" {
		writeTable(t, *crashTable, rows)
	}
}

// An outcome is what a fault did.
type outcome struct {
	strikes int
	back    time.Duration // after the last strike, until everybody's messages were taken again
	sums    map[string]*tally
}

// run has people speak in a new town while the fault strikes.
func (f fault) run(t *testing.T) (o outcome) {
	s := &scene{length: *crashFault}
	edits := []string{"[plugins.slack]", "[plugins.slack]\npace = { every = \"1ms\" }"}
	if f.external {
		s.nats = newNATS(t)
		edits = append(edits, "url         = \"\"", "url = \""+s.nats.url()+"\"", "trust_sync  = false", "trust_sync = true", "replicas    = 3", "replicas = 1")
	}
	if f.small {
		s.disk = smallDisk(t)
		edits = append(edits, `"data"`, strconv.Quote(s.disk+"/data"), `reserve     = "64MiB"`, `reserve     = "16MiB"`)
	}
	s.town = newTown(t, edits...)
	audited := s.audit()
	c := s.speak(*crashRate)
	for end := time.Now().Add(*crashTime); time.Now().Before(end); o.strikes++ {
		<-time.After(peace)
		f.strike(s)
	}
	o.back = c.heard(t)
	c.silence()
	t.Log(c.speakers)
	o.sums = s.settle(c, settleLimit)
	if audited() == 0 {
		t.Error("the books could never be read")
	}
	return o
}

// row is a fault's row of the table.
func (o outcome) row(f fault) string {
	cells := []string{f.name, fmt.Sprint(o.strikes), brief(o.back).String()}
	mails := 0
	for _, d := range directions {
		s := o.sums[d]
		mails += s.mails
		cells = append(cells, fmt.Sprintf("%d: %d, %d, %d", s.taken, s.lost, s.twice, s.order))
	}
	return "| " + strings.Join(append(cells, fmt.Sprint(mails)), " | ") + " |"
}

const (
	tableBegin = "<!-- the crash matrix, written by \"make crash\" -->\n"
	tableEnd   = "<!-- end of the crash matrix -->\n"
)

// writeTable puts the rows between the marks in a file.
func writeTable(t *testing.T, path string, rows []string) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(text), tableBegin)
	_, after, found := strings.Cut(rest, tableEnd)
	if !ok || !found {
		t.Fatalf("%s has no marks for the table", path)
	}
	head := "| fault | strikes | heard again after | " + strings.Join(directions, " | ") + " | mails twice |\n|" + strings.Repeat("---|", len(directions)+4) + "\n"
	table := fmt.Sprintf("Run of %s: %v for each fault, %v for one that lasts, %g texts a second of each speaker.\n\n%s%s\n",
		time.Now().Format(time.DateOnly), *crashTime, *crashFault, *crashRate, head, strings.Join(rows, "\n"))
	if err := os.WriteFile(path, []byte(before+tableBegin+table+tableEnd+after), 0o644); err != nil {
		t.Fatal(err)
	}
}
