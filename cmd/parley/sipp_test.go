package main

import (
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
)

// A sippPhone is sipp at one local port: it registers, sends, and receives.
type sippPhone struct {
	t              *testing.T
	dir            string
	user, password string
	transport      string // sipp's: u1 or t1
	local, bridge  int
	server         string // host:port; the bridge at 127.0.0.1 if empty
	uas            *proc
}

func (s *sippPhone) run(scenario, uri string, fields ...string) {
	s.t.Helper()
	record := append([]string{s.user, fmt.Sprintf("[authentication username=%s password=%s]", s.user, s.password)}, fields...)
	csv := write(s.t, s.dir, s.user+".csv", "SEQUENTIAL\n"+strings.Join(record, ";")+"\n")
	server := s.server
	if server == "" {
		server = at(s.bridge)
	}
	out, err := exec.Command("sipp", server, "-sf", testdata(s.t, "sipp/"+scenario), "-inf", csv,
		"-i", "127.0.0.1", "-p", strconv.Itoa(s.local), "-t", s.transport, "-m", "1",
		"-auth_uri", uri, "-timeout", "20s", "-timeout_error", "-nostdin", "-trace_err", "-error_file", s.dir+"/errors").CombinedOutput()
	if err != nil {
		bad, _ := os.ReadFile(s.dir + "/errors")
		s.t.Fatalf("sipp %s: %v\n%s\n%s", scenario, err, bad, out)
	}
}

// register registers the phone at its port. sipp ends afterwards, so over UDP
// listen can take its place.
func (s *sippPhone) register() { s.t.Helper(); s.run("register.xml", "127.0.0.1") }

// send sends one MESSAGE and wants 202.
func (s *sippPhone) send(to, text string) {
	s.t.Helper()
	s.run("message.xml", to+"@127.0.0.1", to, text)
}

// listen answers MESSAGE with 200 at the phone's port from now on.
func (s *sippPhone) listen() {
	s.t.Helper()
	log := s.dir + "/" + s.user + ".got"
	s.uas = start(s.t, "sipp "+s.user, exec.Command("sh", "-c", fmt.Sprintf(
		// tail follows the log, which sipp makes when the first message comes
		"touch %[1]s; sipp -sf %[2]s -i 127.0.0.1 -p %[3]d -t %[4]s -nostdin -trace_logs -log_file %[1]s >/dev/null 2>&1 & exec tail -n +1 -F %[1]s",
		log, testdata(s.t, "sipp/receive.xml"), s.local, s.transport)))
}
