package client

import (
	"os/exec"
	"syscall"

	"golang.org/x/sys/unix"
)

// isolate gives the process a group of its own, so that signals of the
// terminal miss it and all of it can be killed, and has the kernel kill it
// when the host dies.
func isolate(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}

// finish returns when the process has ended. What it left behind in its group
// is killed before its number becomes free.
func (c *child) finish() error {
	for {
		var info unix.Siginfo
		if err := unix.Waitid(unix.P_PID, c.pid, &info, unix.WEXITED|unix.WNOWAIT, nil); err != unix.EINTR {
			break
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	killGroup(c.pid)
	c.reaped = true
	return c.cmd.Wait()
}

func killGroup(pid int) { _ = syscall.Kill(-pid, syscall.SIGKILL) }
