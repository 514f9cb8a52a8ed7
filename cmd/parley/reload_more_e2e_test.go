package main

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

func TestWhatWaitsForAConnectorThatIsTakenAwayComesWhenItIsBack(t *testing.T) {
	t.Parallel()
	const room = "[[route]]\nname = \"web\""
	b := newBridge(t, room, strings.Replace(secondChat, `name = "web"`, "name = \"web\"\nvia  = \"web\"", 1),
		`to      = ["web:room/lobby"]`, "to      = [\"web:room/lobby\"]\nvia     = \"web\"")
	b.send("alice", "den", "before")
	b.says(`msg=delivered connector=second`)
	pid, _ := strconv.Atoi(b.says(`msg="connector is up" connector=second pid=(\d+)`)[1])
	_ = syscall.Kill(pid, syscall.SIGSTOP) // it takes nothing more
	for i := range 8 {
		b.send("alice", "den", fmt.Sprint("waits ", i))
	}
	second := secondChat[:strings.Index(secondChat, room)]
	b.rewrite(second, "")
	if said := b.reload(0); !strings.Contains(said, "connector second removed") {
		t.Errorf("it says %s", said)
	}
	from := b.lineCount()
	b.rewrite(room, second+room)
	if said := b.reload(0); !strings.Contains(said, "connector second added") {
		t.Errorf("it says %s", said)
	}
	for range 8 {
		b.saysAfter(from, `msg=delivered connector=second`)
	}
	b.send("alice", "den", "after") // whatever came twice came before it
	last := b.saysAfter(from, `msg=stored message=(\S+)`)[1]
	b.saysAfter(from, `msg=delivered connector=second message=\S+ inbound=`+last)
	var got []int
	delivered := regexp.MustCompile(`msg=delivered connector=second .* sequence=(\d+)`)
	for _, m := range delivered.FindAllStringSubmatch(b.tail(b.lineCount()-from), -1) {
		n, _ := strconv.Atoi(m[1])
		got = append(got, n)
	}
	if len(got) != 9 || !slices.IsSorted(got) || len(slices.Compact(got)) != 9 {
		t.Errorf("delivered in the order of the log: %v, want 9 in order", got)
	}
}

func TestASubscriberIsLetInAndPutOutByAReload(t *testing.T) {
	t.Parallel()
	program := buildSubscriber(t)
	b := newBridge(t, `listen      = ""`, `listen = "127.0.0.1:0"`)
	address := b.says(`msg="bus: listening for subscribers" address=(\S+)`)[1]
	key, bad, code := b.cli("", "bus", "key", "archive.seed")
	if code != 0 {
		t.Fatal(key, bad)
	}
	join := func() *proc {
		return start(t, "subscriber", exec.Command(program, "--url", "nats://"+address, "--seed", filepath.Join(b.dir, "archive.seed")))
	}
	if stranger := join(); stranger.ends() == 0 {
		t.Error("a stranger is let in")
	}
	table := "\n[[bus.subscriber]]\nname = \"archive\"\nnkey = \"" + strings.TrimSpace(key) + "\"\n"
	b.rewrite("[sip]\n", table+"[sip]\n")
	if said := b.reload(0); !strings.Contains(said, "subscriber") {
		t.Errorf("it says %s", said)
	}
	archive := join()
	archive.says(`^listening`)
	b.send("alice", "lobby", "for the archive")
	archive.says(`"for the archive`)

	b.rewrite(table, "")
	b.reload(0)
	if again := join(); again.ends() == 0 {
		t.Error("who was put out is let in again")
	}
	b.send("alice", "lobby", "not for the archive")
	b.says(`msg=delivered connector=web`)
	if n := archive.count("not for the archive"); n > 0 {
		t.Error("who was put out still reads")
	}
}
