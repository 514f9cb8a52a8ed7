package plughost

import (
	"time"

	"parley.im/plugins/sdk/client"
)

// Phase is where a connector is in its life.
type Phase string

// The phases of a connector.
const (
	Starting Phase = "starting" // its process starts or reaches its network
	Running  Phase = "running"  // it takes deliveries
	Backoff  Phase = "backoff"  // it ended; it will be started again soon
	Broken   Phase = "failed"   // it ended too often, or for good; it is tried again now and then
	Stopped  Phase = "stopped"  // the host has stopped it
)

// State is what is known of a connector's process.
type State struct {
	Phase    Phase
	Since    time.Time // of the phase
	Restarts int       // since the host began
	Err      string    // why the process ended last; empty if it never did
	PID      int       // of the running process, else 0
}

// Up tells whether it takes deliveries.
func (s State) Up() bool { return s.Phase == Running }

// State returns how the connector is.
func (c *Connector) State() State {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.state
}

// Changed returns a channel that is closed when State changes next.
func (c *Connector) Changed() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.changed
}

// enter notes a phase. p is the open process of Running, else nil.
func (c *Connector) enter(phase Phase, p *client.Process, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.process = p
	c.state.Phase, c.state.Since, c.state.PID = phase, time.Now(), 0
	if p != nil {
		c.about = p.Description()
		c.state.PID = p.PID()
	}
	if err != nil {
		c.state.Err = err.Error()
	}
	close(c.changed)
	c.changed = make(chan struct{})
}

// again counts a restart.
func (c *Connector) again() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.state.Restarts++
}
