package client

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/go-plugin"
	"github.com/hashicorp/go-plugin/runner"
	"google.golang.org/grpc"

	"parley.im/plugins/sdk/wire"
)

// Command says how to start a connector.
type Command struct {
	Name      string   // of the instance, as in bridge.toml
	Path      string   // executable; looked for in PATH when it has no slash
	Args      []string // without the program's name
	Dir       string   // folder it runs in, where relative paths in its settings begin; empty: this process's own
	SHA256    string   // of the executable, hex; empty means not pinned
	SocketDir string   // existing folder for its sockets, 0700, path of at most 60 bytes
}

// ErrChecksum says that the executable is not the one that was pinned.
var ErrChecksum = errors.New("the executable's SHA-256 is not the one in the configuration")

// startPatience is how long a process may take to say where it listens and
// what it can do. A shorter deadline of the caller counts.
const startPatience = 10 * time.Second

// maxSocketDir leaves room for the names below it: the path of a unix socket
// has at most 107 bytes.
const maxSocketDir = 60

// Start starts the process and asks it what it can do. It does not outlive a
// failure. log gets what the process prints.
func Start(ctx context.Context, c Command, log *slog.Logger) (*Process, error) {
	ctx, cancel := context.WithTimeout(ctx, startPatience)
	defer cancel()
	if len(c.SocketDir) > maxSocketDir {
		return nil, fmt.Errorf("start %s: the folder for sockets has a path of %d bytes; at most %d are possible", c.Name, len(c.SocketDir), maxSocketDir)
	}
	path, err := program(c.Path)
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", c.Name, err)
	}
	if err := verify(path, c.SHA256); err != nil {
		return nil, fmt.Errorf("start %s: %s: %w", c.Name, path, err)
	}
	dir, err := os.MkdirTemp(c.SocketDir, prefix(c.Name)+"-")
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", c.Name, err)
	}
	p := newProcess(c.Name, dir, newLogs(log))
	cmd := exec.Command(path, c.Args...)
	cmd.Dir = c.Dir
	if err := p.start(ctx, cmd); err != nil {
		p.Kill()
		if words := p.logs.lastWords(); words != "" {
			return nil, fmt.Errorf("start %s: %w; it said: %s", c.Name, err, words)
		}
		return nil, fmt.Errorf("start %s: %w", c.Name, err)
	}
	return p, nil
}

// program finds an executable. What is found holds in any folder.
func program(path string) (string, error) {
	found, err := exec.LookPath(path)
	if err != nil {
		return "", err
	}
	return filepath.Abs(found)
}

// RemoveStale removes the sockets that an instance of this name left in dir
// when its host was killed. No such instance may be running.
func RemoveStale(dir, name string) error {
	left, err := filepath.Glob(filepath.Join(dir, prefix(name)+"-*"))
	if err != nil {
		return err
	}
	for _, path := range left {
		err = errors.Join(err, os.RemoveAll(path))
	}
	return err
}

// prefix is short whatever the name.
func prefix(name string) string {
	sum := sha256.Sum256([]byte(name))
	return hex.EncodeToString(sum[:4])
}

// verify compares the executable with its pin. It cannot hinder somebody who
// may write the file and is quicker than the start.
func verify(path, pin string) error {
	if pin == "" {
		return nil
	}
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return err
	}
	if sum := hex.EncodeToString(h.Sum(nil)); !strings.EqualFold(sum, pin) {
		return fmt.Errorf("%w: it is %s", ErrChecksum, sum)
	}
	return nil
}

// passed are the variables that a connector gets from the host's environment.
func passed() []string {
	var env []string
	for _, name := range []string{"PATH", "HOME", "TZ", "LANG", "LC_ALL", "LC_CTYPE", "TMPDIR", "SSL_CERT_FILE", "SSL_CERT_DIR"} {
		if v, ok := os.LookupEnv(name); ok {
			env = append(env, name+"="+v)
		}
	}
	return env
}

// start starts the process, connects to it and asks for its description. When
// ctx ends first the process is killed, which ends every step.
func (p *Process) start(ctx context.Context, cmd *exec.Cmd) error {
	p.child = newChild(cmd, p.logs)
	stop := context.AfterFunc(ctx, p.child.end)
	defer stop()
	const overhead = 64 << 10
	p.plug = plugin.NewClient(&plugin.ClientConfig{
		HandshakeConfig:  wire.Handshake(),
		VersionedPlugins: wire.Plugins(nil),
		AllowedProtocols: []plugin.Protocol{plugin.ProtocolGRPC},
		AutoMTLS:         true,
		SkipHostEnv:      true,
		StartTimeout:     startPatience,
		SyncStdout:       p.logs,
		SyncStderr:       p.logs,
		Logger:           hclog.NewNullLogger(),
		UnixSocketConfig: &plugin.UnixSocketConfig{TempDir: p.dir},
		GRPCDialOptions: []grpc.DialOption{grpc.WithDefaultCallOptions(
			grpc.MaxCallRecvMsgSize(wire.MaxFrame+overhead), grpc.MaxCallSendMsgSize(wire.MaxFrame+overhead))},
		RunnerFunc: func(_ hclog.Logger, template *exec.Cmd, _ string) (runner.Runner, error) {
			p.child.cmd.Env = append(append(passed(), template.Env...), plugin.EnvUnixSocketDir+"="+p.dir)
			return p.child, nil
		},
	})
	protocol, err := p.plug.Client()
	if err == nil {
		p.service, p.conn, err = wire.Dispense(protocol)
	}
	if err == nil {
		p.description, err = describe(ctx, p.service)
	}
	if ctx.Err() != nil {
		return fmt.Errorf("it was not up in time: %w", ctx.Err())
	}
	return err
}
