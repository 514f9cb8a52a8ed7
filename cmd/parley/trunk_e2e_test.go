package main

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"parley.im/core/sipedge/uac"
)

// A trunk comes, goes down and is taken away while the host runs; whoever looks
// after it sees each.
func TestATrunkComesAndGoesByAReload(t *testing.T) {
	b := newBridge(t)
	pbx, err := uac.StartBare(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { pbx.Close() })
	table := fmt.Sprintf(`[[sip.trunk]]
name    = "pbx"
domains = ["pbx.example.net"]
servers = ["sip:%s;transport=tcp"]
qualify = "1s"

[http]`, pbx.Addr())
	metric := fmt.Sprintf("parley_sip_trunk_up{server=\"tcp:%s\",trunk=\"pbx\"} ", pbx.Addr())

	b.rewrite("[http]", table, `"sip:bob@127.0.0.1"`, `"sip:carol@pbx.example.net"`)
	if said := b.reload(0); !strings.Contains(said, "trunks changed") {
		t.Errorf("it says %s", said)
	}
	b.send("alice", "lobby", "to the PBX")
	b.says(`msg=accepted connector=sip`)
	b.showsOfSIP(metric+"1", `(?m)^pbx +tcp:`+regexp.QuoteMeta(pbx.Addr())+` +up `)

	pbx.Close()
	b.showsOfSIP(metric+"0", `(?m)^pbx +tcp:`+regexp.QuoteMeta(pbx.Addr())+` +down `)
	b.send("alice", "lobby", "to nobody")
	b.says(`msg="delivery put off" connector=sip`)

	b.rewrite(table, "[http]")
	if said := b.reload(exitFailed); !strings.Contains(said, `nor in the domains of a trunk`) {
		t.Errorf("a route that still needs it: %s", said)
	}
	b.rewrite(`"sip:carol@pbx.example.net"`, `"sip:bob@127.0.0.1"`)
	b.reload(0)
	b.says(`msg=failed connector=sip`) // what waited for it
	if text, err := b.metrics(t.Context()); err != nil || strings.Contains(text, `trunk="pbx"`) {
		t.Errorf("a trunk that is gone is counted: %v", err)
	}
}

// showsOfSIP waits until the metrics have a line, and "parley sip status" too.
func (b *bridge) showsOfSIP(metric, status string) {
	b.t.Helper()
	for end := time.Now().Add(patience); ; <-time.After(10 * time.Millisecond) {
		text, err := b.metrics(b.t.Context())
		out, bad, code := b.cli("", "sip", "status", "--config", b.config)
		if strings.Contains(text, metric) && code == 0 && regexp.MustCompile(status).MatchString(out) {
			return
		}
		if time.Now().After(end) {
			b.t.Fatalf("no %s: %v; no %s in\n%s%s", metric, err, status, out, bad)
		}
	}
}
