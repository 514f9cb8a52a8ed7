package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// idle measures how long a host with the web chat takes to start, and the
// memory of its processes when they have nothing to do.
func (b *benching) idle(ctx context.Context) error {
	h, err := b.startBench(ctx, benchConfig{Clients: 2, Web: true})
	if err != nil {
		return err
	}
	defer h.stop()
	rest(ctx, 3*time.Second) // until what the start left behind is done
	all := family(h.cmd.Process.Pid)
	return b.table("Host and web connector, idle", "\tfigure", func(out io.Writer) error {
		fmt.Fprintf(out, "start until ready\t%v\n", brief(h.ready))
		if len(all) == 0 {
			fmt.Fprintf(out, "memory\tnot known on this system\n")
			return nil
		}
		var rss, pss int
		for i, pid := range all {
			m := memory(pid)
			rss, pss = rss+m.rss, pss+m.pss
			name := "connector"
			if i == 0 {
				name = "host"
			}
			fmt.Fprintf(out, "%s\tRSS %.1f MB, of it its own %.1f MB\n", name, mb(m.rss), mb(m.own))
		}
		fmt.Fprintf(out, "together\tRSS %.1f MB; PSS %.1f MB, with the program's shared pages counted once\n", mb(rss), mb(pss))
		return nil
	})
}

func mb(kib int) float64 { return float64(kib) / 1024 }

// family returns a process and its children, from /proc; none where there is
// no such thing.
func family(pid int) (all []int) {
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, path := range stats {
		text, err := os.ReadFile(path)
		if err != nil {
			continue // it has ended
		}
		// "pid (name) state parent …": the name may hold anything.
		fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
		id, _ := strconv.Atoi(filepath.Base(filepath.Dir(path)))
		switch {
		case id == pid:
			all = append([]int{id}, all...)
		case len(fields) > 1 && fields[1] == strconv.Itoa(pid):
			all = append(all, id)
		}
	}
	return all
}

// usage of memory in KiB.
type memoryUse struct {
	rss, pss int
	own      int // not shared with any other process, and not of a file
}

func memory(pid int) (m memoryUse) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
	if err != nil {
		return m
	}
	for line := range strings.Lines(string(text)) {
		f := strings.Fields(line)
		if len(f) < 2 {
			continue
		}
		n, _ := strconv.Atoi(f[1])
		switch f[0] {
		case "Rss:":
			m.rss = n
		case "Pss:":
			m.pss = n
		case "Anonymous:":
			m.own = n
		}
	}
	return m
}
