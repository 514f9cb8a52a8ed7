// Package config reads bridge.toml into a typed, defaulted and validated tree.
// All mistakes are found at once, each with its line, its key path and a way
// out. A connector's own keys are passed on unread: its schema checks them.
package config

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"path/filepath"
	"time"
)

// Config is a whole bridge.toml.
type Config struct {
	File    string // where it was read from
	Bus     Bus
	SIP     SIP
	HTTP    HTTP
	Files   Files
	Kinds   Kinds
	Tracing Tracing
	Plugins map[string]Plugin // by instance name
	Routes  []Route

	Warnings Problems // what is no mistake, but soon will be trouble

	lines map[string]int
}

// OperatorSocket returns the unix socket of the host's API for operators.
func (c *Config) OperatorSocket() string { return filepath.Join(c.Bus.Data, "parley.sock") }

// Bus is the [bus] table.
type Bus struct {
	Data        string // store folder; relative to the file's folder
	Durability  string // fsync, interval or memory
	URL         string // of external NATS servers; empty means embedded
	Credentials string // file with NATS credentials for URL
	TrustSync   bool   // start although the servers' sync mode can't be read
	Replicas    int    // of the streams on external servers
	Reserve     int64  // bytes of free disk below which new messages are refused
	Retention   Retention
	Listen      string // host:port for subscribers of the embedded server; empty means no port
	TLS         TLS    // of Listen
	Subscribers []Subscriber
}

// TLS names the files of a listener's certificate; relative to the file's
// folder.
type TLS struct{ Cert, Key string }

// Subscriber is one [[bus.subscriber]]: a program that may read the bus.
type Subscriber struct {
	Name     string
	NKey     string   // its public key
	Subjects []string // public subjects it may read; none means all
}

// Retention is the [bus.retention] table.
type Retention struct {
	Expiry time.Duration // a message fails when it was not delivered by then
	Age    time.Duration // what is settled is kept this long
	Bodies time.Duration // its body only this long; 0: as long as the rest
	Dead   time.Duration // a dead letter is kept this long
	Size   int64         // bytes of each stream; 0: no limit
	IDs    int           // ids kept to recognise repetitions
}

// SIP is the [sip] table.
type SIP struct {
	Domains  []string // aliases of one domain; the first is canonical
	Realm    string   // of digest authentication
	Digest   []string // algorithms offered, in this order
	Listen   []string // network:host:port, network udp, tcp, tls, ws or wss
	TLS      SIPTLS   // of tls and wss
	Origins  []string // patterns of hosts whose pages may use ws and wss, beside the listener's own
	Limits   SIPLimits
	DNS      []string       // host:port of the servers asked about trunks; those of the system if empty
	Safe     []netip.Prefix // behind these the whole way takes large requests
	Accounts []Account
	Trunks   []Trunk

	Registrations []Registration
	Aliases       []Alias
}

// SIPTLS is the [sip.tls] table: files, relative to the file's folder, and
// what was read from them.
type SIPTLS struct {
	Certificate, Key, ClientCA string

	Pair      tls.Certificate
	ClientCAs *x509.CertPool // nil without ClientCA
}

// Account is one [[sip.account]]: it has a password, or hashes of it.
type Account struct {
	User      string
	Password  Secret
	HA1SHA256 Secret // hex of SHA-256(user:realm:password)
	HA1MD5    Secret // hex of MD5(user:realm:password)
}

// HTTP is the [http] table.
type HTTP struct {
	Listen   string // host:port
	Password Secret
	TLS      HTTPTLS
}

// Files is the [files] table: what comes beside the text of messages.
type Files struct {
	Links  string        // URL by which others reach the HTTP door; empty: no links to files
	Expire time.Duration // how long a link works
	Max    int64         // largest file in bytes
	Refuse []string      // endings of names (".exe") and MIME types that are not passed on
	Fetch  []string      // hosts that files named in messages are fetched from, and networks for private addresses
}

// Kinds is the [kinds] table: whether what a network does not know is told there
// in words.
type Kinds struct {
	Edits, Deletions, Reactions bool
}

// Tracing is the [tracing] table.
type Tracing struct {
	OTLP   string  // URL of a collector's gRPC; empty: no spans
	Sample float64 // part of the traces that are reported, 0 to 1
}

// Plugin is one [plugins.NAME] table.
type Plugin struct {
	Name     string   // instance name
	Use      string   // bundled connector
	Command  []string // argv of an external connector
	SHA256   string   // of the external executable, hex; empty means unpinned
	Pace     Pace
	Settings json.RawMessage // the connector's own keys, secrets resolved
}

// Pace is [plugins.NAME.pace]: how fast deliveries go to one target. What is 0
// is as the connector says.
type Pace struct {
	Outstanding int           // deliveries at once
	Every       time.Duration // least time from one to the next
}

// Route is one [[route]].
type Route struct {
	Name, Mode string
	SIP        string
	Members    []string
	To         []string
	Via        string
}

// Secret is a value that is never shown.
type Secret struct{ value string }

// NewSecret returns a secret.
func NewSecret(value string) Secret { return Secret{value} }

// Reveal returns the value.
func (s Secret) Reveal() string { return s.value }

// String hides the value.
func (s Secret) String() string {
	if s.value == "" {
		return ""
	}
	return "(secret)"
}

// Format hides the value from every verb of fmt.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, s.String()) }

// LogValue hides the value from logs.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// MarshalText hides the value from encoders.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

const day = 24 * time.Hour

// Default returns what an empty bridge.toml means. The shipped one says the same,
// and adds accounts, a connector and routes to try things out with.
func Default() *Config {
	return &Config{
		Tracing: Tracing{Sample: 1},
		Bus: Bus{
			Data: "data", Durability: "fsync", Replicas: 3, Reserve: 64 << 20,
			Retention: Retention{Expiry: 7 * day, Age: 30 * day, Dead: 90 * day, IDs: 2_000_000},
		},
		SIP: SIP{
			Domains: []string{"127.0.0.1", "localhost"},
			Digest:  []string{"SHA-256", "MD5"},
			Listen:  []string{"udp:127.0.0.1:5060", "tcp:127.0.0.1:5060"},
			Safe:    []netip.Prefix{},
			Limits:  defaultLimits(),
		},
		HTTP:    HTTP{Listen: "127.0.0.1:8025"},
		Kinds:   Kinds{Edits: true},
		Files:   Files{Expire: 7 * day, Max: 25 << 20, Refuse: []string{}, Fetch: []string{}},
		Plugins: map[string]Plugin{},
	}
}
