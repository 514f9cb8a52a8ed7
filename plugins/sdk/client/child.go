package client

import (
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"time"
)

// drain is how long pipes are read after the process has ended: somebody who
// is not in its group may hold them open.
const drain = time.Second

// child is the process itself: how it is started so that it ends with the
// host, what becomes of its output, how it is killed. It is a runner for
// go-plugin, which gets the first line of its standard output and nothing
// else: the host's log is written here.
type child struct {
	cmd    *exec.Cmd
	log    *logs
	stdin  *os.File // its end is the sign for the connector to leave
	first  io.ReadCloser
	ended  chan struct{}
	result error // set before ended is closed

	mu     sync.Mutex
	pid    int  // 0 before the start
	reaped bool // its number may belong to somebody else
	doomed bool // to be killed as soon as it has started
}

func newChild(cmd *exec.Cmd, log *logs) *child {
	return &child{cmd: cmd, log: log, ended: make(chan struct{})}
}

// Start starts the process with pipes of its own.
func (c *child) Start(context.Context) error {
	pipes, err := openPipes()
	if err != nil {
		return err
	}
	c.cmd.Stdin, c.cmd.Stdout, c.cmd.Stderr = pipes.in.r, pipes.out.w, pipes.err.w
	isolate(c.cmd)
	started := make(chan error)
	go c.live(pipes, started)
	if err := <-started; err != nil {
		pipes.in.w.Close()
		pipes.out.r.Close()
		pipes.err.r.Close()
		return err
	}
	c.stdin = pipes.in.w
	first, to := io.Pipe()
	c.first = first
	var reading sync.WaitGroup
	reading.Go(func() { c.log.stdout(pipes.out.r, to) })
	reading.Go(func() { c.log.stderr(pipes.err.r) })
	go func() {
		<-c.ended
		late := time.Now().Add(drain)
		_ = pipes.out.r.SetReadDeadline(late)
		_ = pipes.err.r.SetReadDeadline(late)
		reading.Wait()
		pipes.out.r.Close()
		pipes.err.r.Close()
		c.log.close()
	}()
	return nil
}

// live starts the process and waits for its end, on one locked thread: Linux
// sends the parent-death signal when the thread that started it ends.
func (c *child) live(p pipes, started chan<- error) {
	runtime.LockOSThread() // never unlocked: the thread ends with the process
	err := c.cmd.Start()
	p.in.r.Close()
	p.out.w.Close()
	p.err.w.Close()
	if err != nil {
		c.result = err
		close(c.ended)
		started <- err
		return
	}
	c.mu.Lock()
	c.pid = c.cmd.Process.Pid
	if c.doomed {
		killGroup(c.pid)
	}
	c.mu.Unlock()
	started <- nil
	c.result = c.finish()
	close(c.ended)
}

// end kills the process and everything in its group. It does not wait.
func (c *child) end() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.doomed = true
	if c.pid != 0 && !c.reaped {
		killGroup(c.pid)
		_ = c.cmd.Process.Kill()
	}
}

// closeInput tells the connector that the host leaves.
func (c *child) closeInput() {
	if c.stdin != nil {
		_ = c.stdin.Close()
	}
}

// Wait returns when the process has ended.
func (c *child) Wait(context.Context) error {
	<-c.ended
	return c.result
}

// Kill kills the process and waits for its end.
func (c *child) Kill(context.Context) error {
	c.end()
	if c.running() {
		<-c.ended
	}
	return nil
}

// Stdout yields the first line of the standard output.
func (c *child) Stdout() io.ReadCloser { return c.first }

// Stderr yields nothing: see logs.
func (c *child) Stderr() io.ReadCloser { return io.NopCloser(strings.NewReader("")) }

// Name returns the path of the executable.
func (c *child) Name() string { return c.cmd.Path }

// ID returns the process id.
func (c *child) ID() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return strconv.Itoa(c.pid)
}

// running tells whether the process was ever started.
func (c *child) running() bool { return c.ID() != "0" }

// Diagnose has nothing to add.
func (c *child) Diagnose(context.Context) string { return "" }

// PluginToHost refuses addresses that are not on this machine.
func (c *child) PluginToHost(network, address string) (string, string, error) {
	local := strings.HasPrefix(address, "127.0.0.1:") || strings.HasPrefix(address, "[::1]:")
	if network == "unix" || network == "tcp" && local {
		return network, address, nil
	}
	return "", "", errors.New("the connector listens neither on a unix socket nor on 127.0.0.1")
}

// HostToPlugin returns the address as it is.
func (c *child) HostToPlugin(network, address string) (string, string, error) {
	return network, address, nil
}

type pipe struct{ r, w *os.File }

type pipes struct{ in, out, err pipe }

func openPipes() (p pipes, err error) {
	for _, each := range []*pipe{&p.in, &p.out, &p.err} {
		each.r, each.w, err = os.Pipe()
		if err != nil {
			p.close()
			return p, err
		}
	}
	return p, nil
}

func (p pipes) close() {
	for _, f := range []*os.File{p.in.r, p.in.w, p.out.r, p.out.w, p.err.r, p.err.w} {
		if f != nil {
			f.Close()
		}
	}
}
