package bus

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"parley.im/bus/event"
)

// A subscriber reads the streams with the JetStream consumers that every NATS
// library has, under an API prefix of its own: "replay.<name>" in the place of
// "$JS.API". Parley looks at each request and passes on what can only read.
// Permissions of the server alone could not tell: they see the subject of a
// request, but its body may name any subject to deliver on, and so may its
// reply; and they cannot grant "the consumers whose names begin so".
const (
	replayPrefix   = "replay"
	apiPrefix      = "$JS.API."
	maxReplayBody  = 16 << 10
	maxReplayIdle  = time.Minute // a consumer that nobody asks goes away after this long
	maxReplayAtOne = 16          // consumers of one subscriber on one stream
)

// replayVerbs are the requests of the JetStream API that a subscriber may
// make, and what follows the name of the stream in their subjects.
var replayVerbs = []struct{ api, rest string }{
	{"STREAM.INFO", ""},
	{"CONSUMER.CREATE", "*.>"},
	{"CONSUMER.CREATE", "*"},
	{"CONSUMER.INFO", "*"},
	{"CONSUMER.DELETE", "*"},
	{"CONSUMER.MSG.NEXT", "*"},
}

// consumers returns what the names of the consumers of s begin with. No
// consumer of Parley's own begins so: see Consume.
func (s Subscriber) consumers() string { return readerPrefix + s.Name + "_" }

const readerPrefix = "reader_"

// A desk answers the requests of one subscriber until stop is called.
type desk struct {
	subscriber Subscriber
	stop       func()
}

// SetSubscribers changes who may read the bus from outside. Whoever is no
// longer among them, or may read other subjects than before, is disconnected;
// the others notice nothing. With an external server only the replay changes.
// Nothing changes when the list is refused.
func (b *Bus) SetSubscribers(list []Subscriber) error {
	if err := b.enter(); err != nil {
		return fmt.Errorf("set subscribers: %w", err)
	}
	defer b.leave()
	b.desksMu.Lock()
	defer b.desksMu.Unlock()
	err := checkSubscribers(list, b.cfg.Listen != "")
	if err == nil && b.server != nil {
		err = b.server.setSubscribers(list)
	}
	if err == nil {
		err = b.openDesks(list)
	}
	if err != nil {
		return fmt.Errorf("set subscribers: %w", err)
	}
	return nil
}

// openDesks opens a desk for each subscriber of list and closes the others.
func (b *Bus) openDesks(list []Subscriber) error {
	keep := map[string]desk{}
	for _, s := range list {
		if d, ok := b.desks[s.Name]; ok && reflect.DeepEqual(d.subscriber, s) {
			keep[s.Name] = d
		}
	}
	for name, d := range b.desks {
		if _, ok := keep[name]; !ok {
			d.stop()
			b.forgetConsumers(d.subscriber)
		}
	}
	b.desks = keep
	for _, s := range list {
		if _, ok := keep[s.Name]; ok {
			continue
		}
		b.forgetConsumers(s)
		d, err := b.openDesk(s)
		if err != nil {
			return err
		}
		b.desks[s.Name] = d
	}
	return nil
}

func (b *Bus) openDesk(s Subscriber) (desk, error) {
	requests := make(chan *nats.Msg, 32)
	sub, err := b.nc.ChanQueueSubscribe(replayPrefix+"."+s.Name+".>", "parley", requests)
	if err != nil {
		return desk{}, fmt.Errorf("serve subscriber %s: %w", s.Name, unavailable(err))
	}
	ctx, cancel := context.WithCancel(b.life)
	b.running.Go(func() { b.serve(ctx, s, requests) })
	return desk{s, func() { _ = sub.Unsubscribe(); cancel() }}, nil
}

// forgetConsumers deletes the consumers of s: they may show more than it may
// read now. An ordered consumer is made again by its library.
func (b *Bus) forgetConsumers(s Subscriber) {
	ctx, cancel := context.WithTimeout(b.life, attempt)
	defer cancel()
	for _, stream := range b.streams {
		names, err := s.opened(ctx, stream)
		for _, name := range names {
			err = errors.Join(err, stream.DeleteConsumer(ctx, name))
		}
		if err != nil {
			b.log.Warn("bus: consumers of a subscriber were not deleted; they end by themselves", "subscriber", s.Name, "error", err)
		}
	}
}

// opened returns the consumers of s on a stream.
func (s Subscriber) opened(ctx context.Context, stream jetstream.Stream) (names []string, err error) {
	list := stream.ConsumerNames(ctx)
	for name := range list.Name() {
		if strings.HasPrefix(name, s.consumers()) {
			names = append(names, name)
		}
	}
	return names, list.Err()
}

func (b *Bus) serve(ctx context.Context, s Subscriber, requests <-chan *nats.Msg) {
	var refused calm
	for {
		select {
		case <-ctx.Done():
			return
		case m := <-requests:
			err := b.answer(ctx, s, m)
			if err == nil {
				continue
			}
			if ok, more := refused.may(time.Now()); ok {
				b.log.Warn("bus: request of a subscriber refused", "subscriber", s.Name, "subject", m.Subject, "error", err, "unlogged", more)
			}
		}
	}
}

// answer passes a request on to JetStream, which answers the subscriber, or
// refuses it with an error.
func (b *Bus) answer(ctx context.Context, s Subscriber, m *nats.Msg) error {
	if !strings.HasPrefix(m.Reply, s.inbox()+".") {
		return errors.New("it wants the answer elsewhere than in its inbox; not answered")
	}
	subject, body, err := s.request(m.Subject, m.Data)
	if err == nil && strings.Contains(subject, ".CONSUMER.CREATE.") {
		err = b.roomFor(ctx, s, subject)
	}
	if err == nil {
		err = b.nc.PublishMsg(&nats.Msg{Subject: subject, Reply: m.Reply, Data: body})
	}
	if err == nil || strings.Contains(m.Subject, ".CONSUMER.MSG.NEXT.") {
		return err // an answer to a next would count as a message
	}
	text, _ := json.Marshal(map[string]any{"error": map[string]any{"code": 403, "description": err.Error()}})
	return errors.Join(err, b.nc.Publish(m.Reply, text))
}

// request returns what JetStream is to be asked for a request of s.
func (s Subscriber) request(subject string, body []byte) (string, []byte, error) {
	asked := strings.TrimPrefix(subject, replayPrefix+"."+s.Name+".")
	if len(body) > maxReplayBody {
		return "", nil, errors.New("the request is too large")
	}
	for _, verb := range replayVerbs {
		rest, ok := strings.CutPrefix(asked, verb.api+".")
		if !ok {
			continue
		}
		stream, name, _ := strings.Cut(rest, ".")
		name, _, _ = strings.Cut(name, ".")
		if Stream(stream).root() == "" {
			return "", nil, fmt.Errorf("no stream %q", stream)
		}
		if verb.api == "STREAM.INFO" {
			return apiPrefix + verb.api + "." + stream, nil, nil // what it could ask for in detail is costly
		}
		if !token(name) || !strings.HasPrefix(name, s.consumers()) {
			return "", nil, fmt.Errorf("the name of a consumer must begin with %q", s.consumers())
		}
		if verb.api == "CONSUMER.CREATE" {
			return s.create(Stream(stream), name, body)
		}
		return apiPrefix + verb.api + "." + stream + "." + name, body, nil
	}
	return "", nil, errors.New("subscribers only read: this request is not for them")
}

// reader is the part of a consumer's configuration that a subscriber chooses.
// The names are those of the JetStream API.
type reader struct {
	Name              string        `json:"name"`
	DeliverPolicy     string        `json:"deliver_policy"`
	OptStartSeq       uint64        `json:"opt_start_seq,omitempty"`
	OptStartTime      *time.Time    `json:"opt_start_time,omitempty"`
	FilterSubject     string        `json:"filter_subject,omitempty"`
	FilterSubjects    []string      `json:"filter_subjects,omitempty"`
	AckPolicy         string        `json:"ack_policy"`
	MaxDeliver        int           `json:"max_deliver,omitempty"`
	ReplayPolicy      string        `json:"replay_policy"`
	InactiveThreshold time.Duration `json:"inactive_threshold"`
	HeadersOnly       bool          `json:"headers_only,omitempty"`
	Replicas          int           `json:"num_replicas"`
	MemoryStorage     bool          `json:"mem_storage"`
}

type createReader struct {
	Stream string `json:"stream_name"`
	Config reader `json:"config"`
	Action string `json:"action"`
}

// create words the creation of a consumer anew, from nothing but what a
// subscriber may choose: it pulls, acknowledges nothing, lives in memory and
// goes away by itself.
func (s Subscriber) create(stream Stream, name string, body []byte) (string, []byte, error) {
	var in struct {
		createReader
		Config struct {
			reader
			Durable        string `json:"durable_name"`
			DeliverSubject string `json:"deliver_subject"`
		} `json:"config"`
	}
	if err := json.Unmarshal(body, &in); err != nil {
		return "", nil, errors.New("the request is not valid JSON")
	}
	c := in.Config.reader
	switch {
	case in.Config.DeliverSubject != "":
		return "", nil, errors.New("only consumers that pull are allowed")
	case in.Config.Durable != "":
		return "", nil, errors.New("durable consumers are not allowed; keep the sequence you have read, and begin after it")
	case c.AckPolicy != "none":
		return "", nil, errors.New("ack_policy must be none; an ordered consumer has it")
	}
	if err := s.mayRead(stream, c); err != nil {
		return "", nil, err
	}
	c.Name, c.ReplayPolicy = name, "instant"
	c.MemoryStorage, c.Replicas = true, 1
	if c.InactiveThreshold <= 0 || c.InactiveThreshold > maxReplayIdle {
		c.InactiveThreshold = maxReplayIdle
	}
	subject := apiPrefix + "CONSUMER.CREATE." + string(stream) + "." + name
	if c.FilterSubject != "" {
		subject += "." + c.FilterSubject
	}
	out, err := json.Marshal(createReader{Stream: string(stream), Config: c, Action: "create"})
	return subject, out, err
}

// mayRead looks whether s may read what a consumer would give it.
func (s Subscriber) mayRead(stream Stream, c reader) error {
	filters := c.FilterSubjects
	if c.FilterSubject != "" {
		filters = append(filters[:len(filters):len(filters)], c.FilterSubject)
	}
	if len(filters) == 0 {
		filters = []string{event.StoredPrefix + stream.root() + ".>"}
	}
	for _, f := range filters {
		public, ok := strings.CutPrefix(f, event.StoredPrefix)
		if !ok || CheckPublicSubject(public) != nil || !s.may(public) {
			return fmt.Errorf("filter_subject %q is not among your subjects, %s, preceded by %q", f, strings.Join(s.subjects(), ", "), event.StoredPrefix)
		}
	}
	return nil
}

// roomFor refuses a consumer when s has too many on the stream.
func (b *Bus) roomFor(ctx context.Context, s Subscriber, subject string) error {
	name, _, _ := strings.Cut(strings.TrimPrefix(subject, apiPrefix+"CONSUMER.CREATE."), ".")
	stream, err := b.stream(Stream(name))
	if err != nil {
		return err
	}
	ctx, cancel := bounded(ctx)
	defer cancel()
	names, err := s.opened(ctx, stream)
	if err != nil {
		return unavailable(err)
	}
	if len(names) >= maxReplayAtOne {
		return fmt.Errorf("%d consumers on one stream are open already; delete one, or wait until they end", len(names))
	}
	return nil
}
