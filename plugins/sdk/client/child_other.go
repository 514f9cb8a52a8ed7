//go:build !unix

package client

import "os/exec"

// isolate has nothing to offer here: that the host died the process learns
// from the end of its standard input.
func isolate(*exec.Cmd) {}

// finish returns when the process has ended.
func (c *child) finish() error {
	err := c.cmd.Wait()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.reaped = true
	return err
}

func killGroup(int) {}
