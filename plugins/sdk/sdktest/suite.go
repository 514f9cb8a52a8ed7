package sdktest

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strconv"
	"testing"
	"time"

	"parley.im/bus/event"
	"parley.im/plugins/sdk"
	"parley.im/plugins/sdk/client"
)

// Options say what is tested and with what.
type Options struct {
	Command  []string        // executable and its arguments
	Settings json.RawMessage // its table in bridge.toml; nil means empty
	Target   event.Address   // to which the deliveries go; empty leaves out what needs one
	Network  Network         // the chat network; nil leaves out what needs eyes or a voice there
	Log      *slog.Logger    // gets what the connector logs; nil means nowhere
	Patience time.Duration   // for each check; 30 s when zero
	// Once says that the network drops repetitions by an id that the connector
	// derives from Delivery.ID: then no delivery may arrive twice, although
	// the connector has no Find.
	Once bool
}

// Network is the chat network as its users see it. It outlives the connector.
type Network interface {
	// Arrived returns how many messages the target shows whose text contains
	// part.
	Arrived(ctx context.Context, part string) (int, error)
	// Say lets a user of the network send text. id is the network's id of the
	// message: saying the same again is what the network does when it repeats.
	// It returns an error when the connector did not take the message, so that
	// the network would repeat it. door reaches the connector's HTTP, whatever
	// the host in the URL.
	Say(ctx context.Context, door *http.Client, id, text string) error
}

// A Reader is a Network that shows what arrived, oldest first.
type Reader interface {
	// Shown returns the texts that contain part, in the order in which the
	// target shows them.
	Shown(ctx context.Context, part string) ([]string, error)
}

// A Holder is a Network that can take a message and keep the answer back.
type Holder interface {
	// Hold keeps answers back until release. arrived yields when the network
	// has taken a message whose answer it keeps.
	Hold() (arrived <-chan struct{}, release func())
}

// A Limiter is a Network that can say that it has had enough for now.
type Limiter interface {
	// Limit refuses messages and says to come again after so long, until lift.
	Limit(after time.Duration) (lift func())
}

// A Breaker is a Network that can be away.
type Breaker interface {
	// Break takes the network away, so that nobody can connect, and mend
	// brings it back under the same address.
	Break() (mend func() error)
}

// Check is one thing that a connector must do.
type Check struct {
	Name string // a sentence
	Run  func(ctx context.Context) error
}

// Run runs all checks as subtests.
func Run(t *testing.T, o Options) {
	t.Helper()
	for _, c := range Checks(o) {
		t.Run(c.Name, func(t *testing.T) {
			if err := c.Run(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
}

// Checks returns what a connector must do, to be run one after another. Each
// starts processes of its own and leaves none behind.
func Checks(o Options) []Check {
	if o.Patience <= 0 {
		o.Patience = 30 * time.Second
	}
	var checks []Check
	for _, c := range list() {
		if c.needs.missing(o) == "" {
			checks = append(checks, Check{c.name, func(ctx context.Context) error { return o.run(ctx, c.run) }})
		}
	}
	return checks
}

// LeftOut returns the names of the checks that Checks leaves out, each with
// what o would have to have.
func LeftOut(o Options) (left []string) {
	for _, c := range list() {
		if what := c.needs.missing(o); what != "" {
			left = append(left, c.name+": needs "+what)
		}
	}
	return left
}

// needs is what a check needs beside the connector.
type needs int

const (
	nothing needs = iota
	target
	network
	reader
	holder
	limiter
	breaker
)

// missing says what of n the options do not have, "" if nothing.
func (n needs) missing(o Options) string {
	var has bool
	switch n {
	case nothing:
		return ""
	case target:
		has = o.Target != ""
	case reader:
		_, has = o.Network.(Reader)
	case holder:
		_, has = o.Network.(Holder)
	case limiter:
		_, has = o.Network.(Limiter)
	case breaker:
		_, has = o.Network.(Breaker)
	default:
		has = o.Network != nil
	}
	if has {
		return ""
	}
	return []string{
		target:  "a target",
		network: "a network that the suite can look at and speak in",
		reader:  "a network that shows the order of messages",
		holder:  "a network that can keep an answer back",
		limiter: "a network that can ask for a pause",
		breaker: "a network that can be away",
	}[n]
}

type item struct {
	name  string
	needs needs
	run   func(context.Context, *bench) error
}

// list is the suite, in the order in which it is best read.
func list() []item {
	return []item{
		{"it describes itself, and its schema refuses an unknown key", nothing, describes},
		{"a missing key is told by its name, and the schema takes its own examples", nothing, schemes},
		{"a delivery gives a receipt", target, delivers},
		{"a kind it does not know is refused for good", nothing, refusesKind},
		{"each kind it knows, and each state, is taken or refused for good", target, knowsKinds},
		{"hostile and huge messages do it no harm", target, survives},
		{"it answers many deliveries at once", target, crowd},
		{"its log holds no secret of its settings", nothing, keepsSecrets},
		{"it ends within three seconds when it is asked to", nothing, leaves},
		{"it ends within three seconds in the middle of deliveries", nothing, leavesBusy},
		{"it ends within three seconds when the host is gone", nothing, follows},
		{"messages arrive in the order of their deliveries", reader, inOrder},
		{"the same delivery again gives one message", network, repeats},
		{"killed in the middle of a delivery, it knows afterwards what it did", network, recovers},
		{"killed between sending and the answer, it knows that it has sent", holder, recoversSent},
		{"what comes in is stored once, also when the host was busy", network, comesIn},
		{"asked for a pause it has sent nothing, and says how long", limiter, pauses},
		{"a network that is away fails nothing, and works again when it is back", breaker, waits},
	}
}

// bench is what one check works with.
type bench struct {
	o       Options
	dir     string
	backend *Backend
	run     string // makes texts and ids unique
	last    int
	about   sdk.Description // of the connector, once it has been started
}

func (o Options) run(ctx context.Context, f func(context.Context, *bench) error) error {
	ctx, cancel := context.WithTimeout(ctx, o.Patience)
	defer cancel()
	dir, err := os.MkdirTemp("", "sdktest-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	b := &bench{o: o, dir: dir, backend: NewBackend(), run: strconv.FormatInt(time.Now().UnixNano(), 36)}
	return f(ctx, b)
}

// start starts a process; open also opens it.
func (b *bench) start(ctx context.Context) (*client.Process, error) {
	if len(b.o.Command) == 0 {
		return nil, errors.New("no command")
	}
	log := b.o.Log
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	p, err := client.Start(ctx, client.Command{
		Name: "tested", Path: b.o.Command[0], Args: b.o.Command[1:], SocketDir: b.dir,
	}, log)
	if err == nil {
		b.about = p.Description()
	}
	return p, err
}

func (b *bench) open(ctx context.Context) (*client.Process, error) {
	p, err := b.start(ctx)
	if err != nil {
		return nil, err
	}
	if err := p.Open(ctx, sdk.Settings{Instance: "tested", JSON: b.o.Settings}, b.backend); err != nil {
		p.Kill()
		return nil, err
	}
	return p, nil
}

// message returns a new delivery and the text by which it is recognised.
func (b *bench) message() (event.Delivery, string) {
	b.last++
	to := cmp.Or(b.o.Target, "nowhere:at-all")
	id := event.OutboundID(b.run, to, b.last)
	text := "conformance " + id // the same in every form of text
	d := event.Delivery{
		ID: id, Kind: event.KindMessage, Target: to, From: "sip:ann@example.com", FromName: "Ann",
		Sender: "sip:ann@example.com", SenderName: "Ann", Recipient: "sip:room@example.com",
		Conversation: "conformance", Sent: time.Now(), Expires: time.Now().Add(time.Hour), Attempt: 1,
		Content: event.Content{MediaType: "text/plain;charset=utf-8", Data: []byte(text)},
	}
	if mapped, err := Mapped(d, b.about); err == nil {
		d = mapped
	}
	return d, text
}

// door returns a client for the connector's HTTP.
func door(p *client.Process) *http.Client {
	return &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "unix", p.HTTPSocket())
		},
		DisableKeepAlives: true,
	}}
}

// arrived checks how often the network shows text.
func (b *bench) arrived(ctx context.Context, text string, least, most int) error {
	n, err := b.o.Network.Arrived(ctx, text)
	if err != nil {
		return fmt.Errorf("ask the network: %w", err)
	}
	if n < least || n > most {
		return fmt.Errorf("the network shows %q %d times; want %d to %d", text, n, least, most)
	}
	return nil
}
