package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// block is a fenced block of a document.
type block struct {
	lang     string // "sh": commands; "text": lines that are printed
	terminal string // a terminal of its own, which stays open
	text     string
}

var fence = regexp.MustCompile("(?ms)^```(\\w+)(?: terminal=(\\w+))?\n(.*?)^```$")

// blocks returns the fenced blocks of a section of a document.
func blocks(t *testing.T, path, heading string) (list []block) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	_, section, ok := strings.Cut(string(data), "\n## "+heading+"\n")
	if !ok {
		t.Fatalf("%s has no section %q", path, heading)
	}
	section, _, _ = strings.Cut(section, "\n## ")
	for _, m := range fence.FindAllStringSubmatch(section, -1) {
		list = append(list, block{m[1], m[2], m[3]})
	}
	return list
}

// reader is somebody who follows a document: one shell in which everything is
// typed, and further terminals.
type reader struct {
	t         *testing.T
	home      string
	env       []string
	ports     *strings.Replacer
	last      string // output of the last commands
	terminals map[string]*proc
	webPort   int
}

func (r *reader) follow(b block) {
	r.t.Helper()
	switch {
	case b.lang == "sh" && b.terminal == "":
		r.typed(r.ports.Replace(b.text))
	case b.lang == "sh":
		r.terminals[b.terminal] = start(r.t, b.terminal, r.shell(r.ports.Replace(b.text)))
	case b.terminal == "":
		for _, line := range strings.Split(strings.TrimSpace(b.text), "\n") {
			if !regexp.MustCompile(asPattern(line)).MatchString(r.last) {
				r.t.Fatalf("the document promises %q; got\n%s", line, r.last)
			}
		}
	default:
		for _, line := range strings.Split(strings.TrimSpace(b.text), "\n") {
			r.terminals[b.terminal].says(asPattern(line))
		}
	}
}

// asPattern matches a line; "…" stands for anything.
func asPattern(line string) string {
	return strings.ReplaceAll(regexp.QuoteMeta(line), "…", ".*")
}

// shell returns a shell in the folder and with the variables that the last one
// left.
func (r *reader) shell(script string) *exec.Cmd {
	before := `[ ! -e "$HOME/.was" ] || { . "$HOME/.was"; cd "$OLDPLACE"; }` + "\n"
	after := "\n" + `OLDPLACE=$PWD; export OLDPLACE; export -p > "$HOME/.was"`
	cmd := exec.Command("bash", "-euo", "pipefail", "-c", before+script+after)
	cmd.Dir, cmd.Env = "../..", r.env
	return cmd
}

func (r *reader) typed(script string) {
	r.t.Helper()
	cmd := r.shell(script)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		r.t.Fatal(err)
	}
	timer := time.AfterFunc(5*time.Minute, func() { _ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) })
	defer timer.Stop()
	err := cmd.Wait()
	r.last = out.String()
	if err != nil {
		r.t.Fatalf("%s\n%v\n%s", script, err, r.last)
	}
}

// newReader is somebody with an empty home, whose Go keeps what it has built.
func newReader(t *testing.T) *reader {
	t.Helper()
	p := ports(t, 3)
	r := &reader{t: t, home: shortDir(t), terminals: map[string]*proc{}}
	for _, name := range []string{"GOCACHE", "GOMODCACHE"} {
		out, err := exec.Command("go", "env", name).Output()
		if err != nil {
			t.Fatal(err)
		}
		r.env = append(r.env, name+"="+strings.TrimSpace(string(out)))
	}
	r.env = append(r.env, "HOME="+r.home, "GOPATH="+filepath.Join(r.home, "go"), "GOFLAGS=-buildvcs=false",
		"PATH="+os.Getenv("PATH"), "GOTOOLCHAIN=local")
	// The document uses the usual ports; here they must be free ones.
	sip, web, network := at(p[0]), at(p[1]), at(p[2])
	r.ports = strings.NewReplacer(
		"cp bridge.toml ~/hello/\n", fmt.Sprintf("sed 's/127.0.0.1:5060/%s/; s/127.0.0.1:8025/%s/' bridge.toml > ~/hello/bridge.toml\n", sip, web),
		"parley send ", "parley send --server "+sip+" ",
		"127.0.0.1:8025", web, "127.0.0.1:9000", network, `("127.0.0.1", 9000)`, fmt.Sprintf(`("127.0.0.1", %d)`, p[2]))
	r.webPort = p[1]
	return r
}

// The five minutes of the document, as an author lives them.
func TestTheFiveMinutesOfAConnectorsAuthor(t *testing.T) {
	r := newReader(t)
	var ann *person
	for _, b := range blocks(t, "../../docs/connectors.md", "Five minutes") {
		if strings.HasPrefix(b.text, "curl ") {
			ann = joinChat(t, r.webPort, "ann")
		}
		r.follow(b)
	}
	if ann == nil {
		t.Fatal("the document lets no message in")
	}
	m := ann.sees("hello phones", nil)
	if m.From != "hook:bob" || m.Conv != "r:lobby" {
		t.Errorf("the lobby sees %+v", m)
	}
	ann.sees("hello network", nil)
}
