package main

import (
	"strings"
	"testing"
)

// An account whose password stands nowhere: bridge.toml has its hashes.
func TestAnAccountOfHashes(t *testing.T) {
	t.Parallel()
	b := writeBridge(t)
	out, bad, code := b.cli("through the looking-glass\n", "account", "hash", "carol", "--config", b.config)
	if code != 0 || strings.Contains(out+bad, "looking") {
		t.Fatalf("exit code %d, %q, %q", code, out, bad)
	}
	const above = "# A PBX, a carrier or a proxy."
	b.rewrite(`members = ["sip:alice@`, `members = ["sip:carol@127.0.0.1", "sip:alice@`, above, "[[sip.account]]\nuser = \"carol\"\n"+out+"\n"+above)
	b.start()
	if out, bad, code := b.cli("", "send", "--config", b.config, "--server", at(b.sip), "--from", "sip:carol@127.0.0.1", "--password", "through the looking-glass", "sip:lobby@127.0.0.1", "hello"); code != 0 {
		t.Errorf("exit code %d: %s%s", code, out, bad)
	}
	if out, bad, code := b.cli("", "send", "--config", b.config, "--server", at(b.sip), "--from", "sip:carol@127.0.0.1", "--password", "another", "sip:lobby@127.0.0.1", "hello"); code == 0 || !strings.Contains(out+bad, "401") {
		t.Errorf("another password: exit code %d: %s%s", code, out, bad)
	}
	b.says(`msg="wrong password" connector=sip user=carol source=127.0.0.1`)
	if _, bad, code := b.cli("\n", "account", "hash", "carol", "--realm", "x"); code == 0 || !strings.Contains(bad, "no password") {
		t.Errorf("no password: exit code %d: %s", code, bad)
	}
}

// Limits are taken at the start and on reload.
func TestLimitsAreReloaded(t *testing.T) {
	t.Parallel()
	b := newBridge(t)
	b.rewrite(`exempt                 = ["127.0.0.0/8", "::1"]`, `exempt = []`, `requests_per_source    = 200 `, `requests_per_source = 1 `)
	b.reload(0)
	refused := false
	for range 20 {
		refused = refused || strings.HasPrefix(b.answer("lobby", "hello"), "503 ")
	}
	if !refused {
		t.Error("the limit does not hold")
	}
	text, err := b.metrics(t.Context())
	if err != nil || strings.Contains(text, `parley_sip_refused_total{reason="source_rate"} 0`) || !strings.Contains(text, "parley_sip_banned_sources 0\n") || !strings.Contains(text, "parley_sip_transactions ") {
		t.Errorf("%v: %s", err, text)
	}
	b.rewrite(`connections            = 8192`, `connections = 0`)
	if out := b.reload(1); !strings.Contains(out, "sip.limits.connections: 0 lets nothing in") {
		t.Errorf("got %s", out)
	}
}
