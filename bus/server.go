package bus

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"
	"golang.org/x/sys/unix"
)

// embedded is a NATS server in this process, with a port only if there are to
// be subscribers. It can be reopened: its clients then reconnect to the new
// server.
type embedded struct {
	cfg     Config
	dir     string
	temp    bool // dir goes away on close
	lock    *os.File
	key     nkeys.KeyPair // of the host itself
	trouble func(text string)
	syncs   *syncs // nil unless each event is synced

	mu          sync.Mutex
	srv         *server.Server
	listen      string // where it listens; "" without a port
	subscribers []Subscriber
}

func startEmbedded(c Config, trouble func(string)) (*embedded, error) {
	e := &embedded{cfg: c, dir: c.Dir, trouble: trouble, listen: c.Listen, subscribers: c.Subscribers}
	if e.dir == "" && c.Durability == Memory {
		dir, err := os.MkdirTemp("", "parley-bus-")
		if err != nil {
			return nil, err
		}
		e.dir, e.temp = dir, true
	}
	if err := e.takeFolder(); err != nil {
		return nil, err
	}
	if c.Durability == Fsync {
		e.syncs = newSyncs(e.dir)
	}
	var err error
	if e.key, err = nkeys.CreateUser(); err == nil {
		err = e.start()
	}
	if err != nil {
		return nil, errors.Join(err, e.close())
	}
	return e, nil
}

// takeFolder creates the folder and locks it: two servers on one store would
// both start, and destroy it.
func (e *embedded) takeFolder() error {
	if e.dir == "" {
		return errors.New("no data folder; set bus.data")
	}
	if err := os.MkdirAll(e.dir, 0o700); err != nil {
		return fmt.Errorf("create the data folder: %w; choose another with bus.data, or make its parent writable for the user that runs Parley", err)
	}
	f, err := os.OpenFile(filepath.Join(e.dir, "lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return fmt.Errorf("write to the data folder: %w; make %s writable for the user that runs Parley", err, e.dir)
	}
	err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		f.Close()
		return fmt.Errorf("%w: %s; stop the other Parley, or give this one its own bus.data", ErrLocked, e.dir)
	}
	if err != nil {
		f.Close()
		return fmt.Errorf("lock %s: %w", f.Name(), err)
	}
	e.lock = f
	return nil
}

// account is the server's account of the host and its subscribers.
const account = "PARLEY"

// The limits of the port. The host has one connection, which they leave alone.
const (
	maxConnections   = 256
	maxSubscriptions = 10_000 // of one connection
)

// configuration is the server's configuration file. Accounts made in code do
// not get JetStream; those of a configuration do. The host's key is good for
// connections within the process only.
func (e *embedded) configuration() (string, error) {
	user, err := e.key.PublicKey()
	if err != nil {
		return "", err
	}
	users := []string{fmt.Sprintf("{ nkey: %s, allowed_connection_types: [IN_PROCESS] }", user)}
	if e.listen != "" {
		for _, s := range e.subscribers {
			users = append(users, s.Permissions())
		}
	}
	sync := "1s"
	if e.syncs != nil {
		sync = "2m" // what is promised is synced without it
	}
	return fmt.Sprintf(`
server_name: parley
max_payload: 1MB
accounts { %s { jetstream: enabled, users: [
%s
] } }
jetstream { sync_interval: %q }
%s`, account, strings.Join(users, "\n"), sync, e.port()), nil
}

// port is the part of the configuration about the listener. Whoever publishes
// never waits for a subscriber: one that takes nothing for 10 seconds, or has
// 64 MB waiting, is cut off.
func (e *embedded) port() string {
	if e.listen == "" {
		return ""
	}
	listen := e.listen
	if host, ok := strings.CutSuffix(listen, ":0"); ok {
		listen = host + ":-1" // any port
	}
	text := fmt.Sprintf(`
listen: %q
max_connections: %d
max_subscriptions: %d
no_fast_producer_stall: true
`, listen, maxConnections, maxSubscriptions)
	if e.cfg.TLS != (TLS{}) {
		text += fmt.Sprintf("tls { cert_file: %q, key_file: %q }\n", e.cfg.TLS.Cert, e.cfg.TLS.Key)
	}
	return text
}

func (e *embedded) options() (*server.Options, error) {
	text, err := e.configuration()
	if err != nil {
		return nil, err
	}
	opts := &server.Options{}
	if err := opts.ProcessConfigString(text); err != nil {
		return nil, fmt.Errorf("configure the embedded server: %w", err)
	}
	opts.StoreDir = e.dir
	opts.DontListen = e.listen == ""
	opts.NoSigs = true
	opts.JetStreamMaxMemory = 256 << 20
	opts.JetStreamMaxStore = 1 << 50 // the free space decides, see space
	return opts, nil
}

func (e *embedded) start() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if err := e.tryPort(); err != nil {
		return err
	}
	opts, err := e.options()
	if err != nil {
		return err
	}
	srv, err := server.NewServer(opts)
	if err != nil {
		return fmt.Errorf("make the embedded server: %w", err)
	}
	srv.SetLoggerV2(&serverLog{log: e.cfg.Log, trouble: e.trouble}, false, false, false)
	srv.Start()
	if !srv.ReadyForConnections(10*time.Second) || !srv.JetStreamEnabled() {
		srv.Shutdown()
		srv.WaitForShutdown()
		return fmt.Errorf("the embedded server did not start on %s; the log says why", e.dir)
	}
	e.srv = srv
	if e.listen != "" {
		e.listen = srv.Addr().String() // reopened, it listens on the same port
		e.cfg.Log.Info("bus: listening for subscribers", "address", e.listen, "tls", e.cfg.TLS != (TLS{}), "subscribers", len(e.subscribers))
	}
	return nil
}

// tryPort tells at once when the port can't be had: the server itself would
// only log it.
func (e *embedded) tryPort() error {
	if e.listen == "" {
		return nil
	}
	l, err := net.Listen("tcp", e.listen)
	if err != nil {
		return fmt.Errorf("%w; choose another bus.listen", err)
	}
	return l.Close()
}

func (e *embedded) addr() string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.listen
}

// forgetReader removes the damaged state of a reader, which keeps the server
// from making it anew. What the reader had acknowledged is a hint only.
func (e *embedded) forgetReader(s Stream, name string) error {
	return os.RemoveAll(filepath.Join(e.dir, "jetstream", folder(string(s)), "obs", name))
}

// reopen stops the server and starts a new one on the same folder, which reads
// the store from disk again.
func (e *embedded) reopen() error {
	e.shutdown()
	if err := e.syncs.mend(filepath.Join(e.dir, scrubFile)); err != nil {
		return err
	}
	return e.restart()
}

// restart starts the server on a store that is there already. Of what it reads,
// nothing can be lost any more.
func (e *embedded) restart() error {
	if err := e.start(); err != nil {
		return err
	}
	return e.syncs.all()
}

// setSubscribers changes who may connect, and reads the certificate anew.
// Whose key or subjects are no longer the same is disconnected.
func (e *embedded) setSubscribers(list []Subscriber) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	before := e.subscribers
	e.subscribers = list
	if e.srv == nil || e.listen == "" {
		return nil // it reads them when it is started again
	}
	opts, err := e.options()
	if err == nil {
		err = e.srv.ReloadOptions(opts)
	}
	if err != nil {
		e.subscribers = before
		return fmt.Errorf("change the subscribers: %w", err)
	}
	return nil
}

func (e *embedded) shutdown() {
	e.mu.Lock()
	srv := e.srv
	e.srv = nil
	e.mu.Unlock()
	if srv != nil {
		srv.Shutdown()
		srv.WaitForShutdown()
	}
}

// InProcessConn gives the NATS client a connection to the present server.
func (e *embedded) InProcessConn() (net.Conn, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.srv == nil {
		return nil, errors.New("the embedded server is being reopened")
	}
	return e.srv.InProcessConn()
}

func (e *embedded) connect(options []nats.Option) (*nats.Conn, error) {
	user, err := e.key.PublicKey()
	if err != nil {
		return nil, err
	}
	return nats.Connect("", append(options,
		nats.InProcessServer(e), nats.Nkey(user, e.key.Sign),
		nats.ReconnectWait(20*time.Millisecond), nats.ReconnectJitter(5*time.Millisecond, 5*time.Millisecond))...)
}

func (e *embedded) close() error {
	e.shutdown()
	e.syncs.wait()
	var err error
	if e.lock != nil {
		err = e.lock.Close()
	}
	if e.temp {
		err = errors.Join(err, os.RemoveAll(e.dir))
	}
	return err
}

// serverLog passes the server's warnings and errors on, and tells trouble
// about the errors: some write errors are never answered, only logged.
type serverLog struct {
	log     *slog.Logger
	trouble func(text string)
	clients calm
}

func (l *serverLog) Noticef(string, ...any) {}
func (l *serverLog) Debugf(string, ...any)  {}
func (l *serverLog) Tracef(string, ...any)  {}

func (l *serverLog) Warnf(format string, v ...any) {
	text := fmt.Sprintf(format, v...)
	if l.aboutClient(format, text) {
		return
	}
	l.log.Warn("bus: server", "text", text)
	if strings.Contains(text, "disabling JetStream") {
		l.trouble(text)
	}
}

func (l *serverLog) Errorf(format string, v ...any) {
	text := fmt.Sprintf(format, v...)
	if l.aboutClient(format, text) {
		return
	}
	l.log.Error("bus: server", "text", text)
	if strings.Contains(text, "failed to store") || strings.Contains(text, "write error") || strings.Contains(text, "DISABLED") {
		l.trouble(text)
	}
}

// aboutClient logs what a client has brought about, and tells whether it was
// that. The client chooses how often, and some of the words: they are no sign
// of a failing disk.
func (l *serverLog) aboutClient(format, text string) bool {
	if !strings.Contains(format, " - cid:") { // the server puts it into the format
		return false
	}
	if ok, more := l.clients.may(time.Now()); ok {
		l.log.Warn("bus: connection", "text", text, "unlogged", more)
	}
	return true
}

func (l *serverLog) Fatalf(format string, v ...any) { l.Errorf(format, v...) }

// tryDisk writes and syncs a small file beside the store.
func (e *embedded) tryDisk() error {
	name := filepath.Join(e.dir, "probe")
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	_, err = f.Write(make([]byte, 64<<10))
	err = errors.Join(err, f.Sync(), f.Close())
	return errors.Join(err, os.Remove(name))
}

// probe writes one message that is stored as durably as an event.
func (b *Bus) probe(ctx context.Context, limit time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	_, err := b.js.Publish(ctx, probeSubject, []byte(time.Now().UTC().Format(time.RFC3339Nano)))
	return unavailable(err)
}
