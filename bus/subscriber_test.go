package bus_test

import (
	"bufio"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nkeys"
	"github.com/nats-io/nuid"

	"parley.im/bus"
	"parley.im/bus/bustest"
)

// A readable is an open log with the subscribers "archive", who may read
// everything, and "web", who may read what came in by the web chat.
type readable struct {
	*bus.Bus
	at    string
	seeds map[string][]byte
}

func listening(t *testing.T, c bus.Config) readable {
	t.Helper()
	r := readable{seeds: map[string][]byte{}}
	for name, subjects := range map[string][]string{"archive": nil, "web": {"parley.inbound.web.>"}} {
		seed, public, err := bus.NewSubscriberKey()
		if err != nil {
			t.Fatal(err)
		}
		r.seeds[name] = seed
		c.Subscribers = append(c.Subscribers, bus.Subscriber{Name: name, Key: public, Subjects: subjects})
	}
	if c.Dir == "" {
		c.Durability = bus.Memory
	}
	c.Listen, c.Log = "127.0.0.1:0", slog.New(slog.DiscardHandler)
	r.Bus = open(t, c)
	r.at = r.Addr()
	return r
}

// A subscriber is a plain NATS client; trouble gets what the server refuses it.
type subscriber struct {
	*nats.Conn
	t       testing.TB
	name    string
	js      jetstream.JetStream
	trouble chan error
}

func identity(t testing.TB, seed []byte) nats.Option {
	t.Helper()
	pair, err := nkeys.FromSeed(seed)
	if err != nil {
		t.Fatal(err)
	}
	public, err := pair.PublicKey()
	if err != nil {
		t.Fatal(err)
	}
	return nats.Nkey(public, pair.Sign)
}

func (r readable) join(t testing.TB, name string, o ...nats.Option) *subscriber {
	t.Helper()
	s := &subscriber{t: t, name: name, trouble: make(chan error, 100)}
	o = append([]nats.Option{
		identity(t, r.seeds[name]), nats.CustomInboxPrefix("_INBOX_" + name), nats.ReconnectWait(10 * time.Millisecond),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { s.trouble <- err }),
	}, o...)
	var err error
	if s.Conn, err = nats.Connect("nats://"+r.at, o...); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	if s.js, err = jetstream.NewWithAPIPrefix(s.Conn, "replay."+name); err != nil {
		t.Fatal(err)
	}
	return s
}

func brief(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// hears subscribes and returns once everything from now on will be heard.
func (s *subscriber) hears(subject string) *nats.Subscription {
	s.t.Helper()
	sub, err := s.SubscribeSync(subject)
	if err == nil {
		err = s.Flush()
	}
	if err != nil {
		s.t.Fatal(err)
	}
	return sub
}

// reads returns the native ids of n events that an ordered consumer gives.
func (s *subscriber) reads(stream string, c jetstream.OrderedConsumerConfig, n int) (ids []string) {
	s.t.Helper()
	c.NamePrefix = "reader_" + s.name + "_" + nuid.Next()
	k, err := s.js.OrderedConsumer(brief(s.t), stream, c)
	if err != nil {
		s.t.Fatalf("%s reads %s: %v", s.name, stream, err)
	}
	it, err := k.Messages()
	if err != nil {
		s.t.Fatal(err)
	}
	defer it.Stop()
	for range n {
		m, err := it.Next(jetstream.NextContext(brief(s.t)))
		if err != nil {
			s.t.Fatalf("after %q: %v", ids, err)
		}
		if !strings.HasPrefix(m.Subject(), "stored.parley.") {
			s.t.Errorf("replayed under %q", m.Subject())
		}
		ids = append(ids, m.Headers().Get("ce-nativeid"))
	}
	return ids
}

func put(t *testing.T, b *bus.Bus, connector string, n int) {
	t.Helper()
	if _, err := b.Publish(brief(t), bustest.Inbound(connector, "l1", n)); err != nil {
		t.Fatal(err)
	}
}

func TestASubscriberReadsLiveAndAgain(t *testing.T) {
	r := listening(t, bus.Config{})
	archive := r.join(t, "archive")
	live := archive.hears("parley.>")
	put(t, r.Bus, "sip", 1)
	put(t, r.Bus, "web", 2)
	put(t, r.Bus, "sip", 3)
	third, err := r.At(brief(t), bus.Inbounds, 3)
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{"parley.inbound.sip.l1", "parley.inbound.web.l1", "parley.inbound.sip.l1"} {
		m, err := live.NextMsgWithContext(brief(t))
		if err != nil {
			t.Fatal(err)
		}
		if m.Subject != want || m.Header.Get("Nats-Sequence") != fmt.Sprint(i+1) || m.Header.Get("Nats-Last-Sequence") == "" {
			t.Errorf("event %d is on %s with %v, want %s", i+1, m.Subject, m.Header, want)
		}
	}
	for _, tc := range []struct {
		name string
		c    jetstream.OrderedConsumerConfig
		want string
	}{
		{"everything", jetstream.OrderedConsumerConfig{}, "[1 2 3]"},
		{"from a sequence", jetstream.OrderedConsumerConfig{DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: 2}, "[2 3]"},
		{"from a time", jetstream.OrderedConsumerConfig{DeliverPolicy: jetstream.DeliverByStartTimePolicy, OptStartTime: &third.Time}, "[3]"},
		{"of one connector", jetstream.OrderedConsumerConfig{FilterSubjects: []string{"stored.parley.inbound.sip.>"}}, "[1 3]"},
		{"of two", jetstream.OrderedConsumerConfig{FilterSubjects: []string{"stored.parley.inbound.sip.>", "stored.parley.inbound.web.>"}}, "[1 2 3]"},
	} {
		n := strings.Count(tc.want, " ") + 1
		if got := fmt.Sprint(archive.reads("PARLEY_INBOUND", tc.c, n)); got != tc.want {
			t.Errorf("%s: got %s, want %s", tc.name, got, tc.want)
		}
	}
	stream, err := archive.js.Stream(brief(t), "PARLEY_INBOUND")
	if err != nil || stream.CachedInfo().State.LastSeq != 3 {
		t.Errorf("the state of the stream: %v", err)
	}
}

func TestASubscriberReadsOnlyItsSubjects(t *testing.T) {
	r := listening(t, bus.Config{})
	web := r.join(t, "web")
	for _, subject := range []string{"parley.>", "parley.inbound.>", "parley.status.web.>", "stored.>", "replay.>", "_INBOX_archive.>", "_INBOX.>", "$JS.>", "$KV.>", ">"} {
		if _, err := web.SubscribeSync(subject); err != nil {
			t.Fatal(err)
		}
		web.refused(t, subject)
	}
	live := web.hears("parley.inbound.web.>")
	put(t, r.Bus, "sip", 1)
	put(t, r.Bus, "web", 2)
	if m, err := live.NextMsgWithContext(brief(t)); err != nil || m.Header.Get("ce-nativeid") != "2" {
		t.Errorf("heard %v, %v", m, err)
	}
	only := jetstream.OrderedConsumerConfig{FilterSubjects: []string{"stored.parley.inbound.web.>"}}
	if got := fmt.Sprint(web.reads("PARLEY_INBOUND", only, 1)); got != "[2]" {
		t.Errorf("read %s", got)
	}
	for _, filters := range [][]string{
		nil, {"stored.parley.inbound.>"}, {"stored.parley.inbound.*.l1"}, {"stored.parley.inbound.web.>", "stored.parley.inbound.sip.>"},
		{"parley.inbound.web.>"}, {"stored.parley.inbound"},
	} {
		c := jetstream.OrderedConsumerConfig{FilterSubjects: filters, NamePrefix: "reader_web"}
		if _, err := web.js.OrderedConsumer(brief(t), "PARLEY_INBOUND", c); err == nil || !strings.Contains(err.Error(), "not among your subjects") {
			t.Errorf("a consumer on %q: %v", filters, err)
		}
	}
}

// refused waits for the server to refuse something about a subject.
func (s *subscriber) refused(t *testing.T, subject string) {
	t.Helper()
	select {
	case err := <-s.trouble:
		if !errors.Is(err, nats.ErrPermissionViolation) || !strings.Contains(err.Error(), subject) {
			t.Errorf("%s: got %v, want a permissions violation", subject, err)
		}
	case <-time.After(20 * time.Second):
		t.Errorf("%s is not refused", subject)
	}
}

// What a subscriber must not do, tried one by one: the server refuses to take
// it, and nothing has changed afterwards.
func TestASubscriberWritesNothing(t *testing.T) {
	r := listening(t, bus.Config{})
	put(t, r.Bus, "sip", 1)
	bucket, err := r.Bucket(brief(t), "keys")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := bucket.Put(brief(t), "lane", []byte("secret"), 0); err != nil {
		t.Fatal(err)
	}
	own, err := r.Consume(brief(t), bus.ConsumeConfig{Name: "route", Stream: bus.Inbounds})
	if err != nil {
		t.Fatal(err)
	}
	defer own.Close()
	archive := r.join(t, "archive")
	for _, subject := range []string{
		"parley.inbound.sip.l1", "parley.signal.sip.l1", "stored.parley.inbound.sip.l1", "stored.probe.parley",
		"$JS.API.INFO", "$JS.API.STREAM.CREATE.MINE", "$JS.API.STREAM.UPDATE.PARLEY_INBOUND", "$JS.API.STREAM.DELETE.PARLEY_INBOUND",
		"$JS.API.STREAM.PURGE.PARLEY_INBOUND", "$JS.API.STREAM.MSG.DELETE.PARLEY_INBOUND", "$JS.API.STREAM.MSG.GET.PARLEY_INBOUND",
		"$JS.API.STREAM.SNAPSHOT.PARLEY_INBOUND", "$JS.API.STREAM.RESTORE.PARLEY_INBOUND", "$JS.API.STREAM.LIST", "$JS.API.STREAM.NAMES",
		"$JS.API.DIRECT.GET.KV_parley_keys", "$JS.API.DIRECT.GET.KV_parley_keys.$KV.parley_keys.6c616e65", "$JS.API.STREAM.INFO.KV_parley_keys",
		"$KV.parley_keys.6c616e65", "$O.PARLEY_MEDIA.C.x", "$O.PARLEY_MEDIA.M.x",
		"$JS.API.CONSUMER.CREATE.PARLEY_INBOUND", "$JS.API.CONSUMER.CREATE.PARLEY_INBOUND.route.stored.parley.inbound.>",
		"$JS.API.CONSUMER.DURABLE.CREATE.PARLEY_INBOUND.route", "$JS.API.CONSUMER.DELETE.PARLEY_INBOUND.route",
		"$JS.API.CONSUMER.MSG.NEXT.PARLEY_INBOUND.route", "$JS.ACK.PARLEY_INBOUND.route.1.1.1.1.0", "$JS.API.CONSUMER.PAUSE.PARLEY_INBOUND.route",
		"$SYS.REQ.SERVER.PING", "_INBOX_web.x", "_INBOX.x",
		"replay.web.STREAM.INFO.PARLEY_INBOUND", "replay.archive.STREAM.PURGE.PARLEY_INBOUND", "replay.archive.STREAM.INFO.KV_parley_keys",
		"replay.archive.CONSUMER.CREATE.KV_parley_keys.reader_archive_1", "replay.archive.CONSUMER.LIST.PARLEY_INBOUND", "replay.archive.STREAM.CREATE.MINE",
	} {
		if err := archive.Publish(subject, []byte("{}")); err != nil {
			t.Fatal(err)
		}
		archive.refused(t, subject)
	}
	if last, err := r.LastSeq(brief(t), bus.Inbounds); err != nil || last != 1 {
		t.Errorf("the stream is at %d, %v", last, err)
	}
	if e, err := bucket.Get(brief(t), "lane"); err != nil || string(e.Value) != "secret" {
		t.Errorf("the bucket has %q, %v", e.Value, err)
	}
	if m, err := own.Next(brief(t)); err != nil || m.Seq != 1 || m.Redelivered {
		t.Errorf("Parley's own consumer got %+v, %v", m, err)
	}
}

// What permissions can't see, Parley looks at: the bodies of requests.
func TestASubscriberIsRefusedWhatIsNotReading(t *testing.T) {
	r := listening(t, bus.Config{})
	own, err := r.Consume(brief(t), bus.ConsumeConfig{Name: "route", Stream: bus.Inbounds})
	if err != nil {
		t.Fatal(err)
	}
	defer own.Close()
	archive := r.join(t, "archive")
	const create = "replay.archive.CONSUMER.CREATE.PARLEY_INBOUND."
	for _, tc := range []struct{ name, subject, body, want string }{
		{"delivery on another subject", create + "reader_archive_1", `{"stream_name":"PARLEY_INBOUND","config":{"ack_policy":"none","deliver_subject":"stored.parley.outbound.sip.0.l1"}}`, "only consumers that pull"},
		{"the same in other letters", create + "reader_archive_1", `{"config":{"ack_policy":"none","Deliver_Subject":"$JS.API.STREAM.DELETE.PARLEY_INBOUND"}}`, "only consumers that pull"},
		{"a durable", create + "reader_archive_1", `{"config":{"ack_policy":"none","durable_name":"reader_archive_1"}}`, "durable consumers are not allowed"},
		{"acknowledgements", create + "reader_archive_1", `{"config":{"ack_policy":"explicit"}}`, "ack_policy must be none"},
		{"Parley's own consumer", create + "route.stored.parley.inbound.>", `{"config":{"ack_policy":"none"}}`, "must begin with"},
		{"another's consumer", create + "reader_web_1", `{"config":{"ack_policy":"none"}}`, "must begin with"},
		{"no JSON", create + "reader_archive_1", `{`, "not valid JSON"},
		{"a very large request", create + "reader_archive_1", strings.Repeat(" ", 20<<10), "too large"},
		{"deletion of Parley's own consumer", "replay.archive.CONSUMER.DELETE.PARLEY_INBOUND.route", "", "must begin with"},
		{"a look at Parley's own consumer", "replay.archive.CONSUMER.INFO.PARLEY_INBOUND.route", "", "must begin with"},
	} {
		m, err := archive.RequestWithContext(brief(t), tc.subject, []byte(tc.body))
		if err != nil || !strings.Contains(string(m.Data), `"code":403`) || !strings.Contains(string(m.Data), tc.want) {
			t.Errorf("%s: got %v, %v; want a refusal with %q", tc.name, m, err, tc.want)
		}
	}
	// A next of Parley's own is not answered, nor anything whose answer would
	// go elsewhere; what is asked after it is.
	for _, m := range []*nats.Msg{
		{Subject: "replay.archive.CONSUMER.MSG.NEXT.PARLEY_INBOUND.route", Reply: "_INBOX_archive.x", Data: []byte("10")},
		{Subject: "replay.archive.STREAM.INFO.PARLEY_INBOUND", Reply: "stored.parley.inbound.sip.l1"},
		{Subject: "replay.archive.STREAM.INFO.PARLEY_INBOUND", Reply: "_INBOX_web.x"},
		{Subject: "replay.archive.STREAM.INFO.PARLEY_INBOUND"},
	} {
		if err := archive.PublishMsg(m); err != nil {
			t.Fatal(err)
		}
	}
	put(t, r.Bus, "sip", 1)
	if m, err := own.Next(brief(t)); err != nil || m.Seq != 1 {
		t.Errorf("Parley's own consumer got %+v, %v", m, err)
	}
	if _, err := archive.js.Stream(brief(t), "PARLEY_INBOUND"); err != nil {
		t.Error(err)
	}
	if last, err := r.LastSeq(brief(t), bus.Inbounds); err != nil || last != 1 {
		t.Errorf("the stream is at %d, %v; an answer was stored", last, err)
	}
}

func TestASubscriberHasFewConsumersAndTheyGoAway(t *testing.T) {
	r := listening(t, bus.Config{})
	archive := r.join(t, "archive")
	name := func(n int) jetstream.ConsumerConfig {
		return jetstream.ConsumerConfig{
			Name: fmt.Sprint("reader_archive_", n), AckPolicy: jetstream.AckNonePolicy, InactiveThreshold: 24 * time.Hour,
		}
	}
	for n := range 16 {
		k, err := archive.js.CreateConsumer(brief(t), "PARLEY_STATUS", name(n))
		if err != nil {
			t.Fatal(err)
		}
		if c := k.CachedInfo().Config; c.InactiveThreshold != time.Minute || !c.MemoryStorage || c.Durable != "" {
			t.Errorf("made %+v", c)
		}
	}
	if _, err := archive.js.CreateConsumer(brief(t), "PARLEY_STATUS", name(16)); err == nil || !strings.Contains(err.Error(), "open already") {
		t.Errorf("one more: %v", err)
	}
	if err := archive.js.DeleteConsumer(brief(t), "PARLEY_STATUS", "reader_archive_0"); err != nil {
		t.Error(err)
	}
	if _, err := archive.js.CreateConsumer(brief(t), "PARLEY_STATUS", name(16)); err != nil {
		t.Errorf("with room again: %v", err)
	}
}

func TestOnlySubscribersConnect(t *testing.T) {
	r := listening(t, bus.Config{})
	stranger, _, err := bus.NewSubscriberKey()
	if err != nil {
		t.Fatal(err)
	}
	for name, o := range map[string]nats.Option{
		"nobody":           nats.Name("nobody"),
		"a user":           nats.UserInfo("admin", "admin"),
		"a stranger's key": identity(t, stranger),
	} {
		nc, err := nats.Connect("nats://"+r.Addr(), o)
		if !errors.Is(err, nats.ErrAuthorization) {
			t.Errorf("%s: got %v, want a refusal", name, err)
		}
		if err == nil {
			nc.Close()
		}
	}
	r.join(t, "archive")
}

// deaf connects a subscriber that hears parley.> and reads nothing more.
func (r readable) deaf(t *testing.T, name string) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", r.Addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	lines := bufio.NewReader(c)
	info, err := lines.ReadString('\n')
	var server struct{ Nonce string }
	if err != nil || json.Unmarshal([]byte(strings.TrimPrefix(info, "INFO ")), &server) != nil {
		t.Fatalf("%q, %v", info, err)
	}
	pair, err := nkeys.FromSeed(r.seeds[name])
	if err != nil {
		t.Fatal(err)
	}
	public, _ := pair.PublicKey()
	signature, err := pair.Sign([]byte(server.Nonce))
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(c, "CONNECT {\"nkey\":%q,\"sig\":%q,\"headers\":true,\"protocol\":1}\r\nSUB parley.> 1\r\nPING\r\n",
		public, base64.RawURLEncoding.EncodeToString(signature))
	for line := ""; !strings.HasPrefix(line, "PONG"); {
		if line, err = lines.ReadString('\n'); err != nil {
			t.Fatalf("after %q: %v", line, err)
		}
	}
	return c
}

func TestASubscriberThatStopsReadingIsCutOffAndNobodyWaits(t *testing.T) {
	r := listening(t, bus.Config{})
	deaf := r.deaf(t, "archive")
	live := r.join(t, "archive").hears("parley.>")
	if err := live.SetPendingLimits(-1, -1); err != nil {
		t.Fatal(err)
	}
	const n, size = 350, 240 << 10 // 82 MB: more than may wait for one
	var worst time.Duration
	for i := range n {
		e := bustest.Inbound("sip", "l1", i)
		e.Data = make([]byte, size)
		began := time.Now()
		if _, err := r.Publish(brief(t), e); err != nil {
			t.Fatal(err)
		}
		worst = max(worst, time.Since(began))
	}
	for i := range n {
		m, err := live.NextMsgWithContext(brief(t))
		if err != nil || m.Header.Get("ce-nativeid") != fmt.Sprint(i) {
			t.Fatalf("event %d: %v", i, err)
		}
	}
	if worst > 5*time.Second {
		t.Errorf("a publish took %s", worst)
	}
	if err := deaf.SetReadDeadline(time.Now().Add(30 * time.Second)); err != nil {
		t.Fatal(err)
	}
	got, err := io.Copy(io.Discard, deaf)
	if errors.Is(err, os.ErrDeadlineExceeded) || got > n*size {
		t.Errorf("the subscriber that did not read got %d bytes and is still connected (%v)", got, err)
	}
}

// certificate writes a certificate for 127.0.0.1 and returns its files.
func certificate(t *testing.T) bus.TLS {
	t.Helper()
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		IsCA: true, BasicConstraintsValid: true,
	}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, public, private)
	if err != nil {
		t.Fatal(err)
	}
	key, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	files := bus.TLS{Cert: filepath.Join(dir, "cert.pem"), Key: filepath.Join(dir, "key.pem")}
	for name, block := range map[string]*pem.Block{files.Cert: {Type: "CERTIFICATE", Bytes: cert}, files.Key: {Type: "PRIVATE KEY", Bytes: key}} {
		if err := os.WriteFile(name, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return files
}

func TestSubscribersWithACertificateNeedTLS(t *testing.T) {
	files := certificate(t)
	r := listening(t, bus.Config{TLS: files})
	if nc, err := nats.Connect("nats://"+r.Addr(), identity(t, r.seeds["archive"])); err == nil {
		nc.Close()
		t.Error("it takes a certificate that nobody vouches for")
	}
	archive := r.join(t, "archive", nats.RootCAs(files.Cert))
	if _, err := archive.TLSConnectionState(); err != nil {
		t.Error(err)
	}
	live := archive.hears("parley.inbound.>")
	put(t, r.Bus, "sip", 1)
	if _, err := live.NextMsgWithContext(brief(t)); err != nil {
		t.Error(err)
	}
}

func TestSubscribersChangeWhileTheBusRuns(t *testing.T) {
	r := listening(t, bus.Config{})
	gone := make(chan struct{})
	leaver := r.join(t, "web", nats.MaxReconnects(0), nats.ClosedHandler(func(*nats.Conn) { close(gone) }))
	leaver.hears("parley.inbound.web.>")
	stayer := r.join(t, "archive", nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
		if err != nil {
			t.Errorf("the one that stays is disconnected: %v", err)
		}
	}))
	live := stayer.hears("parley.>")
	public := func(name string) string {
		pair, err := nkeys.FromSeed(r.seeds[name])
		if err != nil {
			t.Fatal(err)
		}
		key, err := pair.PublicKey()
		if err != nil {
			t.Fatal(err)
		}
		return key
	}
	seed, key, err := bus.NewSubscriberKey()
	if err != nil {
		t.Fatal(err)
	}
	r.seeds["bot"] = seed
	list := []bus.Subscriber{{Name: "archive", Key: public("archive")}, {Name: "bot", Key: key}}
	if err := r.SetSubscribers(append(list, bus.Subscriber{Name: "bad", Key: "U1"})); err == nil {
		t.Error("a bad key is taken")
	}
	if err := r.SetSubscribers(list); err != nil {
		t.Fatal(err)
	}
	select {
	case <-gone:
	case <-time.After(20 * time.Second):
		t.Error("the one whose key is taken back is still connected")
	}
	if nc, err := nats.Connect("nats://"+r.at, identity(t, r.seeds["web"])); !errors.Is(err, nats.ErrAuthorization) {
		t.Errorf("the key that is taken back: %v", err)
		if err == nil {
			nc.Close()
		}
	}
	put(t, r.Bus, "sip", 1)
	if _, err := live.NextMsgWithContext(brief(t)); err != nil {
		t.Error(err)
	}
	for _, s := range []*subscriber{stayer, r.join(t, "bot")} {
		if got := fmt.Sprint(s.reads("PARLEY_INBOUND", jetstream.OrderedConsumerConfig{}, 1)); got != "[1]" {
			t.Errorf("%s read %s", s.name, got)
		}
	}
}

func TestASubscriberThatMayReadLessLosesItsConsumers(t *testing.T) {
	r := listening(t, bus.Config{})
	put(t, r.Bus, "sip", 1)
	archive := r.join(t, "archive")
	const name = "reader_archive_wide"
	if _, err := archive.js.CreateConsumer(brief(t), "PARLEY_INBOUND", jetstream.ConsumerConfig{Name: name, AckPolicy: jetstream.AckNonePolicy}); err != nil {
		t.Fatal(err)
	}
	pair, err := nkeys.FromSeed(r.seeds["archive"])
	if err != nil {
		t.Fatal(err)
	}
	public, err := pair.PublicKey()
	if err != nil {
		t.Fatal(err)
	}
	if err := r.SetSubscribers([]bus.Subscriber{{Name: "archive", Key: public, Subjects: []string{"parley.inbound.web.>"}}}); err != nil {
		t.Fatal(err)
	}
	again := r.join(t, "archive")
	if _, err := again.js.Consumer(brief(t), "PARLEY_INBOUND", name); !errors.Is(err, jetstream.ErrConsumerNotFound) {
		t.Errorf("its consumer of before: %v", err)
	}
	c := jetstream.ConsumerConfig{Name: name, AckPolicy: jetstream.AckNonePolicy}
	if _, err := again.js.CreateConsumer(brief(t), "PARLEY_INBOUND", c); err == nil {
		t.Error("it may make it again")
	}
}

// With servers of one's own a subscriber that has the permissions that are
// printed for them can do the same, and no more.
func TestASubscriberOfAnExternalServer(t *testing.T) {
	seed, public, err := bus.NewSubscriberKey()
	if err != nil {
		t.Fatal(err)
	}
	archive := bus.Subscriber{Name: "archive", Key: public}
	_, url := serve(t, buildServer(t), t.TempDir(), "127.0.0.1:-1", "accounts { PARLEY { jetstream: enabled, users: [",
		"{ user: host, password: secret }", archive.Permissions(), "] } }")
	at := strings.TrimPrefix(url, "nats://")
	r := readable{at: at, seeds: map[string][]byte{"archive": seed}}
	r.Bus = open(t, bus.Config{
		URL: "nats://host:secret@" + at, TrustSync: true, Replicas: 1, Subscribers: []bus.Subscriber{archive},
		Log: slog.New(slog.DiscardHandler),
	})
	s := r.join(t, "archive")
	live := s.hears("parley.>")
	put(t, r.Bus, "sip", 1)
	if m, err := live.NextMsgWithContext(brief(t)); err != nil || m.Header.Get("ce-nativeid") != "1" {
		t.Errorf("heard %v, %v", m, err)
	}
	if got := fmt.Sprint(s.reads("PARLEY_INBOUND", jetstream.OrderedConsumerConfig{}, 1)); got != "[1]" {
		t.Errorf("read %s", got)
	}
	for _, subject := range []string{"parley.inbound.sip.l1", "stored.parley.inbound.sip.l1", "$JS.API.STREAM.DELETE.PARLEY_INBOUND"} {
		if err := s.Publish(subject, nil); err != nil {
			t.Fatal(err)
		}
		s.refused(t, subject)
	}
}

func TestListenRefuses(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	seed, public, err := bus.NewSubscriberKey()
	if err != nil {
		t.Fatal(err)
	}
	one := func(name, key string, subjects ...string) bus.Config {
		return bus.Config{Listen: "127.0.0.1:0", Subscribers: []bus.Subscriber{{Name: name, Key: key, Subjects: subjects}}}
	}
	for _, tc := range []struct {
		name string
		c    bus.Config
		want string
	}{
		{"a port that is taken", bus.Config{Listen: taken.Addr().String()}, "choose another bus.listen"},
		{"a port beside an external server", bus.Config{Listen: "127.0.0.1:0", URL: "nats://127.0.0.1:1", TrustSync: true}, "listeners of their own"},
		{"a certificate that is not there", bus.Config{Listen: "127.0.0.1:0", TLS: bus.TLS{Cert: "/nowhere", Key: "/nowhere"}}, "/nowhere"},
		{"a name that could leave its place in a subject", one("a.b", public), "name"},
		{"a seed in the place of the key", one("a", string(seed)), "secret seed"},
		{"a key that is none", one("a", "U123"), "no public user nkey"},
		{"a subject that is not public", one("a", public, "stored.>"), "no public subject"},
		{"a subject that ends the list", one("a", public, `parley.x"] } }`), "no subject"},
	} {
		tc.c.Durability = bus.Memory
		b, err := bus.Open(brief(t), tc.c)
		if err == nil {
			b.Close()
		}
		if err == nil || !strings.Contains(err.Error(), tc.want) || strings.Contains(err.Error(), string(seed)) {
			t.Errorf("%s: got %v, want an error with %q", tc.name, err, tc.want)
		}
	}
}
