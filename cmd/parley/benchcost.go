package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"
)

// cost measures what a message costs the host in CPU time, from SIP until its
// connector has it, for few and for many conversations.
func (b *benching) cost(ctx context.Context) error {
	columns := "conversations\tclients\taccepted/s\tp50\tp99\tnot 2xx\tdelivered/s\thost CPU a message\tthe connector's"
	return b.table("What a message costs, fsync, UDP, to count", columns, func(out io.Writer) error {
		for _, conversations := range []int{1, 100, 10_000} {
			if err := b.costOf(ctx, out, conversations); err != nil {
				return err
			}
		}
		return nil
	})
}

// costOf measures a host of its own. Each client goes round the people it
// writes to; clients times people are the conversations.
func (b *benching) costOf(ctx context.Context, out io.Writer, conversations int) error {
	clients := min(b.clients, conversations)
	people := (conversations + clients - 1) / clients
	h, err := b.startBench(ctx, benchConfig{Clients: clients, Count: true, Profile: b.profile})
	if err != nil {
		return err
	}
	defer h.stop()
	before, known := h.cpu()
	began := time.Now()
	r, err := drive(ctx, load{
		network: "udp", server: h.udp, to: "sip:count-u%d@127.0.0.1", people: people,
		password: benchPassword, clients: clients, time: b.time,
	})
	if err != nil {
		return err
	}
	if err := h.drained(ctx, "count", r.accepted); err != nil {
		return err
	}
	took := time.Since(began)
	after, _ := h.cpu()
	each := func(t time.Duration) string {
		if !known {
			return "not known on this system"
		}
		return fmt.Sprintf("%.2f ms", (t/time.Duration(max(r.accepted, 1))).Seconds()*1000)
	}
	fmt.Fprintf(out, "%d\t%d\t%.0f\t%v\t%v\t%d\t%.0f\t%s\t%s\n", clients*people, clients, r.rate(),
		brief(r.quantile(0.5)), brief(r.quantile(0.99)), r.refused, float64(r.accepted)/took.Seconds(),
		each(after.host-before.host), each(after.connectors-before.connectors))
	return nil
}

// cpuUse is the CPU time of a host and of its connectors since they began.
type cpuUse struct{ host, connectors time.Duration }

// cpu returns false where the system does not tell.
func (h *benchHost) cpu() (u cpuUse, known bool) {
	for i, pid := range family(h.cmd.Process.Pid) {
		if t := cpuTime(pid); i == 0 {
			u.host, known = t, t > 0
		} else {
			u.connectors += t
		}
	}
	return u, known
}

// cpuTime returns a process's time in the program and in the kernel, from
// /proc, to a hundredth of a second.
func cpuTime(pid int) time.Duration {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0
	}
	// "pid (name) state …": the name may hold anything; utime and stime are
	// the 14th and 15th field, in ticks of 10 ms.
	fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
	if len(fields) < 13 {
		return 0
	}
	user, _ := strconv.Atoi(fields[11])
	system, _ := strconv.Atoi(fields[12])
	return time.Duration(user+system) * 10 * time.Millisecond
}
