// Subscriber prints what happens on a Parley bus: live, or with --from-seq or
// --since a stream again and then live. An archive would do the latter, and
// keep the last sequence it has stored.
//
//	parley bus key archive.seed        # the public key it prints goes into bridge.toml
//	go run ./examples/subscriber --name archive --seed archive.seed --since 1h
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nuid"

	"parley.im/bus/event"
)

func main() {
	url := flag.String("url", "nats://127.0.0.1:4222", "where Parley listens: bus.listen")
	name := flag.String("name", "archive", "name of this subscriber in bridge.toml")
	seed := flag.String("seed", "archive.seed", "file with its secret seed")
	ca := flag.String("ca", "", "file with the certificate to trust, if not the system's")
	stream := flag.String("stream", "PARLEY_INBOUND", "stream to replay")
	from := flag.Uint64("from-seq", 0, "replay the stream from this sequence")
	since := flag.Duration("since", 0, "replay the stream of the last 30m, 24h …")
	flag.Parse()

	key, err := nats.NkeyOptionFromSeed(*seed)
	check(err)
	// Answers to a subscriber come on this inbox and no other.
	options := []nats.Option{key, nats.Name(*name), nats.CustomInboxPrefix("_INBOX_" + *name), nats.MaxReconnects(-1)}
	if *ca != "" {
		options = append(options, nats.RootCAs(*ca))
	}
	nc, err := nats.Connect(*url, options...)
	check(err)
	defer nc.Close()
	if *from > 0 || *since > 0 {
		replay(nc, *name, *stream, *from, *since)
	} else {
		listen(nc)
	}
	interrupted := make(chan os.Signal, 1)
	signal.Notify(interrupted, os.Interrupt)
	<-interrupted
}

// listen prints events as they happen. Each stored one names the event before
// it on its subject, so that a gap shows.
func listen(nc *nats.Conn) {
	last := map[string]string{}
	_, err := nc.Subscribe("parley.>", func(m *nats.Msg) {
		seq, before := m.Header.Get("Nats-Sequence"), m.Header.Get("Nats-Last-Sequence")
		if seen := last[m.Subject]; seen != "" && seen != before {
			fmt.Printf("missed some of %s after %s: replay from there\n", m.Subject, seen)
		}
		last[m.Subject] = seq
		show(m.Subject, seq, m.Header, m.Data)
	})
	check(err)
	check(nc.Flush())
	fmt.Println("listening")
}

// replay prints a stream from a sequence or a time, and what comes after.
func replay(nc *nats.Conn, name, stream string, from uint64, since time.Duration) {
	js, err := jetstream.NewWithAPIPrefix(nc, "replay."+name)
	check(err)
	begin := time.Now().Add(-since)
	c := jetstream.OrderedConsumerConfig{DeliverPolicy: jetstream.DeliverByStartTimePolicy, OptStartTime: &begin}
	if from > 0 {
		c = jetstream.OrderedConsumerConfig{DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: from}
	}
	c.NamePrefix = "reader_" + name + "_" + nuid.Next()
	consumer, err := js.OrderedConsumer(context.Background(), stream, c)
	check(err)
	_, err = consumer.Consume(func(m jetstream.Msg) {
		meta, err := m.Metadata()
		check(err)
		show(m.Subject(), fmt.Sprint(meta.Sequence.Stream), m.Headers(), m.Data())
	})
	check(err)
}

func show(subject, seq string, h nats.Header, body []byte) {
	w := event.Wire{Header: map[string]string{}, Data: body}
	for k := range h {
		w.Header[k] = h.Get(k)
	}
	switch e, err := event.Decode(w); e := e.(type) {
	case event.Inbound:
		fmt.Printf("%s %s %s %s -> %s: %q\n", seq, subject, e.ID, e.Sender, e.Recipient, e.Data)
	case event.Status:
		fmt.Printf("%s %s %s %s %s\n", seq, subject, e.Inbound, e.State, e.Target)
	case nil: // of a later version, perhaps
		fmt.Printf("%s %s: %v\n", seq, subject, err)
	default:
		fmt.Printf("%s %s %s %s\n", seq, subject, e.EventID(), e.Type())
	}
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "subscriber:", err)
		os.Exit(1)
	}
}
