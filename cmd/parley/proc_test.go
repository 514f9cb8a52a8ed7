package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// patience is how long a test waits for an event before it fails.
const patience = 30 * time.Second

// A proc is a program that runs beside a test: Parley itself, or a peer. Its
// output is kept by lines, and it is gone when the test ends.
type proc struct {
	t    testing.TB
	name string
	cmd  *exec.Cmd
	in   io.WriteCloser
	done chan struct{} // closed when it has ended

	mu      sync.Mutex
	lines   []string
	changed chan struct{}
}

// start runs a program with its own process group, so that nothing of it can
// stay behind.
func start(t testing.TB, name string, cmd *exec.Cmd) *proc {
	t.Helper()
	p := &proc{t: t, name: name, cmd: cmd, done: make(chan struct{}), changed: make(chan struct{})}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdout, cmd.Stderr = w, w
	if p.in, err = cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	cmd.Env = append(cmd.Environ(),
		"GORACE=atexit_sleep_ms=0",        // a race build lingers otherwise
		"PULSE_RUNTIME_PATH="+t.TempDir()) // phones leave a folder behind otherwise
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		t.Fatalf("start %s: %v", name, err)
	}
	w.Close()
	read := make(chan struct{})
	go func() {
		defer close(read)
		defer r.Close()
		p.read(r)
	}()
	go func() {
		_ = cmd.Wait()
		close(p.done)
	}()
	t.Cleanup(func() {
		p.kill()
		select {
		case <-read:
		case <-time.After(patience):
			t.Errorf("%s: something it started still holds its output", name)
		}
		if t.Failed() {
			t.Logf("--- %s\n%s", name, p.tail(60))
		}
	})
	return p
}

func (p *proc) read(r io.Reader) {
	s := bufio.NewScanner(r)
	s.Buffer(nil, 1<<20)
	for s.Scan() {
		p.mu.Lock()
		p.lines = append(p.lines, s.Text())
		close(p.changed)
		p.changed = make(chan struct{})
		p.mu.Unlock()
	}
}

func (p *proc) tail(n int) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return strings.Join(p.lines[max(0, len(p.lines)-n):], "\n")
}

// says waits for a line that matches and returns its submatches.
func (p *proc) says(pattern string) []string { return p.saysAfter(0, pattern) }

// saysAfter is says for lines after the first n.
func (p *proc) saysAfter(n int, pattern string) []string {
	p.t.Helper()
	re := regexp.MustCompile(pattern)
	timeout := time.After(patience)
	for {
		p.mu.Lock()
		for ; n < len(p.lines); n++ {
			if m := re.FindStringSubmatch(p.lines[n]); m != nil {
				p.mu.Unlock()
				return m
			}
		}
		changed := p.changed
		p.mu.Unlock()
		select {
		case <-changed:
		case <-p.done:
			select {
			case <-changed: // its last words
			case <-time.After(200 * time.Millisecond):
				p.t.Fatalf("%s ended and never said %q", p.name, pattern)
			}
		case <-timeout:
			p.t.Fatalf("%s never said %q", p.name, pattern)
		}
	}
}

// lineCount returns how many lines it has said.
func (p *proc) lineCount() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.lines)
}

// count returns how many lines match.
func (p *proc) count(pattern string) (n int) {
	re := regexp.MustCompile(pattern)
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, l := range p.lines {
		if re.MatchString(l) {
			n++
		}
	}
	return n
}

// signal sends a signal to the program alone.
func (p *proc) signal(s syscall.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		p.t.Fatalf("%s: %v", p.name, err)
	}
}

// kill ends the program and everything it started, at once.
func (p *proc) kill() {
	_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL)
	<-p.done
}

// ends waits for the program's end and returns its exit code.
func (p *proc) ends() int {
	p.t.Helper()
	select {
	case <-p.done:
		return p.cmd.ProcessState.ExitCode()
	case <-time.After(patience):
		p.t.Fatalf("%s does not end", p.name)
		return -1
	}
}

// ports returns free ports, all different, on which nothing listens yet.
func ports(t testing.TB, n int) []int {
	t.Helper()
	var list []int
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		list = append(list, l.Addr().(*net.TCPAddr).Port)
	}
	return list
}

// write puts a file into dir and returns its path.
func write(t testing.TB, dir, name, text string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func testdata(t testing.TB, name string) string {
	t.Helper()
	path, err := filepath.Abs(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return path
}

func at(port int) string { return fmt.Sprintf("127.0.0.1:%d", port) }
