package main

import (
	"bytes"
	"encoding/hex"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// bytesOf returns the files below a folder that hold a text, in clear or as
// keys are written.
func bytesOf(t *testing.T, dir string, texts ...string) (found []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		b, err := os.ReadFile(path)
		for _, s := range texts {
			if bytes.Contains(b, []byte(s)) || bytes.Contains(b, []byte(hex.EncodeToString([]byte(s)))) {
				found = append(found, s+" in "+path)
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func TestNoByteIsLeftOfAUserWhoIsErased(t *testing.T) {
	t.Parallel()
	b := newBridge(t)
	ann := joinChat(t, b.web, "ann")
	newUDPPhone(b, "bob") // registered: its binding is kept, too
	b.send("alice", "lobby", "alice stays")
	b.send("bob", "lobby", "secret-of-bob")
	ann.sees("secret-of-bob", nil)
	ann.say("r:lobby", "heard-by-bob")
	b.says(`msg=delivered connector=sip`)
	b.sends("bob", "sip:web-nobody@127.0.0.1", "text/plain", "dead-of-bob")
	b.says(`msg=failed connector=web`)
	data := filepath.Join(b.dir, "data")
	canaries := []string{"secret-of-bob", "dead-of-bob", "sip:bob@127.0.0.1"}
	if found := bytesOf(t, data, canaries...); len(found) < len(canaries) {
		t.Fatalf("the search finds only %q", found)
	}

	if _, bad, code := b.cli("", "erase", "--config", b.config, "sip:bob@127.0.0.1"); code == 0 || !strings.Contains(bad, "--yes") {
		t.Errorf("without a word of assent: exit code %d, %q", code, bad)
	}
	out, bad, code := b.cli("", "erase", "--config", b.config, "--yes", "sip:bob@127.0.0.1")
	if code != 0 || !strings.Contains(out, "events of PARLEY_INBOUND") || !strings.Contains(out, "events of PARLEY_DEAD") {
		t.Fatalf("exit code %d, %q, %q", code, out, bad)
	}
	b.says(`msg="erased a user" by=\w+`)
	if found := bytesOf(t, data, canaries...); len(found) > 0 {
		t.Errorf("while it runs the store has %q", found)
	}
	b.send("alice", "lobby", "and goes on")
	late := joinChat(t, b.web, "late")
	late.sees("and goes on", nil)
	late.sees("alice stays", nil)
	b.kill()
	if found := bytesOf(t, data, canaries[:2]...); len(found) > 0 {
		t.Errorf("later the store has %q", found)
	}
	if out, bad, _ := b.cli("", "erase", "--config", b.config, "--yes", "sip:bob@127.0.0.1"); out != "" || bad == "" {
		t.Errorf("without a host it says %q, %q", out, bad)
	}
}
