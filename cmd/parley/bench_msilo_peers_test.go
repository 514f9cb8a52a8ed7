//go:build peers

package main

import (
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// msiloRun is how long each of the two is driven.
const msiloRun = 5 * time.Second

// BenchmarkBesideMsilo drives Parley and a Kamailio that stores messages with
// msilo in sqlite, one after the other, from the same clients: until the 202
// that promises that a message is stored. With both, nobody it is for is there.
func BenchmarkBesideMsilo(b *testing.B) {
	const clients = 64
	bench := &benching{executable: buildPlain(b)}
	for b.Loop() {
		msilo, err := drive(b.Context(), load{network: "udp", server: startMsilo(b), to: "sip:u%d@127.0.0.1", clients: clients, time: msiloRun})
		if err != nil {
			b.Fatal(err)
		}
		h, err := bench.startBench(b.Context(), benchConfig{Clients: clients, Count: true})
		if err != nil {
			b.Fatal(err)
		}
		ours, err := drive(b.Context(), load{
			network: "udp", server: h.udp, to: "sip:client%d@127.0.0.1", password: benchPassword, clients: clients, time: msiloRun,
		})
		h.stop()
		if err != nil {
			b.Fatal(err)
		}
		if msilo.accepted == 0 || msilo.refused > 0 || ours.refused > 0 {
			b.Fatalf("msilo accepted %d and refused %d, Parley %d and %d", msilo.accepted, msilo.refused, ours.accepted, ours.refused)
		}
		b.ReportMetric(msilo.rate(), "msilo/s")
		b.ReportMetric(float64(msilo.quantile(0.99).Milliseconds()), "msilo-p99-ms")
		b.ReportMetric(ours.rate(), "parley/s")
		b.ReportMetric(float64(ours.quantile(0.99).Milliseconds()), "parley-p99-ms")
		b.ReportMetric(ours.rate()/msilo.rate(), "ratio")
	}
}

// buildPlain builds the program without what looks for races.
func buildPlain(t testing.TB) string {
	path := filepath.Join(t.TempDir(), "parley")
	if out, err := exec.Command("go", "build", "-o", path, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return path
}

// startMsilo returns where it listens.
func startMsilo(b *testing.B) string {
	dir := b.TempDir()
	db := filepath.Join(dir, "msilo.db")
	for _, table := range []string{"standard", "msilo"} {
		script := "/usr/share/kamailio/db_sqlite/" + table + "-create.sql"
		if out, err := exec.Command("sqlite3", db, ".read "+script).CombinedOutput(); err != nil {
			b.Fatalf("%s: %v\n%s", script, err, out)
		}
	}
	return at(runKamailio(b, "msilo.cfg", "@DB@", db).port)
}
