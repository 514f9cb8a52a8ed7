//go:build unix && !linux

package client

import (
	"os/exec"
	"syscall"
)

// isolate gives the process a group of its own, so that signals of the
// terminal miss it and all of it can be killed. That the host died it learns
// from the end of its standard input.
func isolate(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} }

// finish returns when the process has ended.
func (c *child) finish() error {
	err := c.cmd.Wait()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.reaped = true
	return err
}

func killGroup(pid int) { _ = syscall.Kill(-pid, syscall.SIGKILL) }
