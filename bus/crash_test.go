package bus_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"parley.im/bus"
	"parley.im/bus/bustest"
	"parley.im/bus/event"
)

// The test binary is its own child: it does what this variable says.
const childEnv = "PARLEY_BUS_TEST_CHILD"

func TestMain(m *testing.M) {
	switch os.Getenv(childEnv) {
	case "publish":
		publishForever(os.Getenv("PARLEY_BUS_TEST_DIR"))
	case "broken disk":
		os.Exit(brokenDisk(os.Getenv("PARLEY_BUS_TEST_DIR")))
	}
	os.Exit(m.Run())
}

func child(t *testing.T, does, dir string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childEnv+"="+does, "PARLEY_BUS_TEST_DIR="+dir)
	return cmd
}

// publishForever prints the number of each event after Publish has returned.
func publishForever(dir string) {
	b, err := bus.Open(context.Background(), bus.Config{Dir: dir})
	if err != nil {
		fmt.Println("error", err)
		os.Exit(1)
	}
	start, _ := b.LastSeq(context.Background(), bus.Inbounds)
	var mu sync.Mutex
	var all sync.WaitGroup
	for g := range 40 {
		all.Go(func() {
			for i := 0; ; i++ {
				lane, n := fmt.Sprint("l", g), int(start)*1000+i
				if _, err := b.Publish(context.Background(), bustest.Inbound("sip", lane, n)); err != nil {
					fmt.Println("error", err)
					os.Exit(1)
				}
				mu.Lock()
				fmt.Println(lane, n)
				mu.Unlock()
			}
		})
	}
	all.Wait()
}

// TestKill kills a publishing process again and again, at an instant that
// depends on how far it has come, and reads what is there afterwards.
func TestKill(t *testing.T) {
	dir := t.TempDir()
	type published struct {
		lane string
		n    int
	}
	var acked []published
	for round := range 5 {
		cmd := child(t, "publish", dir)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		for n := 0; lines.Scan(); n++ {
			var p published
			if _, err := fmt.Sscan(lines.Text(), &p.lane, &p.n); err != nil {
				t.Errorf("the child said %q", lines.Text())
			}
			acked = append(acked, p)
			if n == 200+round*137 {
				cmd.Process.Kill()
			}
		}
		cmd.Wait()
	}
	if len(acked) < 1000 {
		t.Fatalf("only %d were acknowledged", len(acked))
	}
	b := open(t, bus.Config{Dir: dir})
	at := map[string]uint64{}
	last, err := b.LastSeq(context.Background(), bus.Inbounds)
	if err != nil {
		t.Fatal(err)
	}
	for seq := uint64(1); seq <= last; seq++ {
		r, err := b.At(context.Background(), bus.Inbounds, seq)
		if err != nil {
			t.Fatal(err)
		}
		if other, twice := at[r.Event.EventID()]; twice {
			t.Errorf("%s is stored at %d and at %d", r.Event.EventID(), other, seq)
		}
		at[r.Event.EventID()] = seq
	}
	for _, p := range acked {
		id := bustest.Inbound("sip", p.lane, p.n).ID
		seq, stored := at[id]
		if known, ok := b.Stored(id); !stored || !ok || known != seq {
			t.Errorf("%s %d was acknowledged; stored %v at %d, the id index has %d, %v", p.lane, p.n, stored, seq, known, ok)
		}
	}
}

// TestBrokenDisk lets a child's writes fail for a while.
func TestBrokenDisk(t *testing.T) {
	out, err := child(t, "broken disk", t.TempDir()).CombinedOutput()
	if err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// brokenDisk makes every write beyond a size fail with a file size limit, and
// lifts it again: the bus must refuse, say so, and recover on its own with all
// that it had accepted.
func brokenDisk(dir string) int {
	signal.Ignore(syscall.SIGXFSZ)
	b, err := bus.Open(context.Background(), bus.Config{Dir: dir})
	if err != nil {
		return failed("open", err)
	}
	defer b.Close()
	k, err := b.Consume(context.Background(), bus.ConsumeConfig{Name: "route", Stream: bus.Inbounds})
	if err != nil {
		return failed("consume", err)
	}
	accepted := 0
	for ; accepted < 20; accepted++ {
		if err := store(b, accepted); err != nil {
			return failed("before", err)
		}
	}
	var whole syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &whole); err != nil {
		return failed("getrlimit", err)
	}
	limit := whole
	limit.Cur = 1
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
		return failed("setrlimit", err)
	}
	began := time.Now()
	for i := range 3 {
		err := store(b, 100+i)
		if !errors.Is(err, bus.ErrUnavailable) && !errors.Is(err, bus.ErrFull) {
			return failed("publish to a broken disk", err)
		}
	}
	if took := time.Since(began); took > 6*time.Second {
		return failed(fmt.Sprintf("three refusals took %s", took), nil)
	}
	if err := b.Healthy(context.Background()); err == nil {
		return failed("healthy on a broken disk", nil)
	}
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &whole); err != nil {
		return failed("setrlimit", err)
	}
	return recovered(b, k, accepted)
}

// recovered waits until b stores again and looks for what was accepted, on its
// lane and by the consumer that was open all the while.
func recovered(b *bus.Bus, k *bus.Consumer, accepted int) int {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for b.Healthy(ctx) != nil {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return failed("recovery", b.Healthy(context.Background()))
		}
	}
	if err := store(b, 1000); err != nil {
		return failed("publish afterwards", err)
	}
	var from uint64
	for i := range accepted {
		r, err := b.Next(ctx, bus.Inbounds, "sip", "l1", from)
		if err != nil || r.Event.(event.Inbound).NativeID != fmt.Sprint(i) {
			return failed(fmt.Sprintf("event %d is %+v", i, r.Event), err)
		}
		from = r.Seq + 1
	}
	for last := ""; last != "1000"; {
		m, err := k.Next(ctx)
		if err != nil {
			return failed("the consumer, after "+last, err)
		}
		last = m.Event.(event.Inbound).NativeID
	}
	return 0
}

func store(b *bus.Bus, n int) error {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	e := bustest.Inbound("sip", "l1", n)
	e.Data = []byte(strings.Repeat("x", 2000))
	_, err := b.Publish(ctx, e)
	return err
}

func failed(what string, err error) int {
	fmt.Println(what, err)
	return 1
}
