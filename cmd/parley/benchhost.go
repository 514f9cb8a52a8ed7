package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"text/template"
	"time"
)

const benchPassword = "bench-secret"

func benchUser(n int) string { return fmt.Sprintf("client%d", n) }

// benchConfig is how a benched host differs from others.
type benchConfig struct {
	Executable string
	Durability string
	Clients    int
	Web, Count bool   // its connectors
	DelayMS    int    // that the counting connector takes for each delivery
	Profile    string // the file for its CPU profile, or ""
}

var benchTOML = template.Must(template.New("bridge.toml").Funcs(template.FuncMap{"user": benchUser}).Parse(`
[bus]
data       = "data"
durability = "{{.Durability}}"

[sip]
domains = ["127.0.0.1"]
listen  = ["udp:127.0.0.1:0", "tcp:127.0.0.1:0"]
{{range $n := .Clients}}
[[sip.account]]
user     = "{{user $n}}"
password = "` + benchPassword + `"
{{end}}
[http]
listen = "127.0.0.1:0"
{{if .Count}}
[plugins.count]
command  = [{{printf "%q" .Executable}}, "bench", "connector"]
delay_ms = {{.DelayMS}}

[[route]]
name = "count"
mode = "direct"
sip  = "sip:count-{user}@127.0.0.1"
to   = "count:u/{user}"
{{end}}{{if .Web}}
[plugins.web]

[[route]]
name = "web"
mode = "direct"
sip  = "sip:web-{user}@127.0.0.1"
to   = "web:u/{user}"
{{end}}`))

// A benchHost is a running host with a store of its own.
type benchHost struct {
	dir      string
	cmd      *exec.Cmd
	done     chan struct{} // closed when it has ended
	errs     strings.Builder
	ready    time.Duration // from the start of the process until it said that it runs
	udp, tcp string        // where it listens
	http     string
}

// startBench makes a store and starts a host on it. It must be removed.
func (b *benching) startBench(ctx context.Context, c benchConfig) (*benchHost, error) {
	dir, err := os.MkdirTemp("", "pbench")
	if err != nil {
		return nil, err
	}
	h := &benchHost{dir: dir}
	if err := h.start(ctx, b.executable, c); err != nil {
		h.remove()
		return nil, err
	}
	return h, nil
}

// start starts a host on the store and returns when it runs.
func (h *benchHost) start(ctx context.Context, executable string, c benchConfig) error {
	c.Executable = executable
	if c.Durability == "" {
		c.Durability = "fsync"
	}
	path := filepath.Join(h.dir, "bridge.toml")
	var text strings.Builder
	if err := benchTOML.Execute(&text, c); err != nil {
		return err
	}
	if err := os.WriteFile(path, []byte(text.String()), 0o600); err != nil {
		return err
	}
	h.errs.Reset()
	args := []string{"run", "--config", path, "--log-level", "error"}
	if c.Profile != "" {
		args = append(args, "--cpu-profile", c.Profile)
	}
	h.cmd = exec.Command(executable, args...)
	h.cmd.Stderr = &h.errs
	out, err := h.cmd.StdoutPipe()
	if err != nil {
		return err
	}
	began := time.Now()
	if err := h.cmd.Start(); err != nil {
		return err
	}
	h.done = make(chan struct{})
	said := make(chan error, 1)
	go func() {
		said <- h.read(out)
		_, _ = io.Copy(io.Discard, out)
		_ = h.cmd.Wait()
		close(h.done)
	}()
	select {
	case err := <-said:
		h.ready = time.Since(began)
		if err != nil {
			h.kill()
			return fmt.Errorf("the benched host: %w: %s", err, strings.TrimSpace(h.errs.String()))
		}
		return nil
	case <-ctx.Done():
		h.kill()
		return ctx.Err()
	}
}

var (
	benchUDP  = regexp.MustCompile(`udp:(127\.0\.0\.1:\d+)`)
	benchTCP  = regexp.MustCompile(`tcp:(127\.0\.0\.1:\d+)`)
	benchHTTP = regexp.MustCompile(`(http://127\.0\.0\.1:\d+)/`)
)

// read learns from the host's welcome where it listens.
func (h *benchHost) read(out io.Reader) error {
	h.udp, h.tcp, h.http = "", "", ""
	for s := bufio.NewScanner(out); s.Scan(); {
		for _, w := range []struct {
			pattern *regexp.Regexp
			to      *string
		}{{benchUDP, &h.udp}, {benchTCP, &h.tcp}, {benchHTTP, &h.http}} {
			if m := w.pattern.FindStringSubmatch(s.Text()); m != nil && *w.to == "" {
				*w.to = m[1]
			}
		}
		if h.udp != "" && h.tcp != "" && h.http != "" {
			return nil
		}
	}
	return errors.New("it ended, or did not say where it listens")
}

func (h *benchHost) server(network string) string {
	if network == "tcp" {
		return h.tcp
	}
	return h.udp
}

// kill ends the host as a power cut would, and nothing else.
func (h *benchHost) kill() {
	_ = h.cmd.Process.Kill()
	<-h.done
}

// stop asks the host to end, and removes everything of it.
func (h *benchHost) stop() {
	_ = h.cmd.Process.Signal(os.Interrupt)
	select {
	case <-h.done:
	case <-time.After(15 * time.Second):
		h.kill()
	}
	h.remove()
}

func (h *benchHost) remove() { _ = os.RemoveAll(h.dir) }
