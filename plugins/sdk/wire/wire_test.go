package wire_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"reflect"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"time"
	"unicode/utf8"

	"google.golang.org/protobuf/proto"

	"parley.im/bus/event"
	"parley.im/plugins/sdk/wire"
)

func TestADeliveryIsTheSameOnTheOtherSide(t *testing.T) {
	want := event.Delivery{
		ID: "o1", Kind: event.KindStatus, Target: "test:room", From: "sip:a@b", FromName: "Ann", Sender: "sip:c@d", SenderName: "Cy",
		Recipient: "sip:e@f", Mode: event.ModeDesk, Correspondent: "sip:g@h", Conversation: "c1", Anchor: "a1", InReplyTo: "r1", RemoteIDs: []string{"r1", "r2"}, Title: "t", Language: "de",
		Sent: time.Unix(1, 5).UTC(), Expires: time.Unix(2, 0).UTC(), Wants: []event.State{event.Delivered, event.Failed},
		State: event.Failed, MessageID: "34jk", Active: true, Automatic: true, Mark: "m;1;", Attempt: 3, Links: "https://b.example/f/x",
		Files:   []event.File{{Name: "a.png", Content: event.Content{MediaType: "image/png", Ref: "r", SHA256: "s", Size: 7}}},
		Content: event.Content{MediaType: "text/plain", Data: []byte("x"), Ref: "r", SHA256: "s", Size: 7},
	}
	if got := wire.ToDelivery(through(t, wire.FromDelivery(want))); !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	filled(t, reflect.ValueOf(want))
}

func TestAnInboundIsTheSameOnTheOtherSide(t *testing.T) {
	want := event.Inbound{
		Envelope: event.Envelope{
			Kind: event.KindReact, Sender: "test:u/bob", SenderName: "Bob", Recipient: "test:room", Thread: "t1", InReplyTo: "n0",
			Title: "t", Language: "en", Sent: time.Unix(1, 0).UTC(), Expires: time.Unix(2, 0).UTC(), Wants: []event.State{event.Displayed},
			State: event.Displayed, Automatic: true, NativeID: "n1", Original: "media-1", Mark: "m;4;", Traceparent: "00-1-2-01",
			Files: []event.File{{Name: "a.png", Content: event.Content{MediaType: "image/png", Ref: "r", SHA256: "s", Size: 7}}},
		},
		Content: event.Content{MediaType: "text/plain", Data: []byte("x")},
	}
	if got := wire.ToInbound(through(t, wire.FromInbound(want))); !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

// filled checks that the test names every field, also those to come.
func filled(t *testing.T, v reflect.Value) {
	t.Helper()
	for i := range v.NumField() {
		if v.Field(i).IsZero() {
			t.Errorf("the test leaves %s empty", v.Type().Field(i).Name)
		}
	}
}

func through[M proto.Message](t *testing.T, m M) M {
	t.Helper()
	b, err := proto.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	out := m.ProtoReflect().New().Interface()
	if err := proto.Unmarshal(b, out); err != nil {
		t.Fatal(err)
	}
	return out.(M)
}

func TestErrorsKeepTheirMeaning(t *testing.T) {
	base := errors.New("why")
	for _, tc := range []struct {
		name string
		err  error
		is   error
	}{
		{"conflict", wire.ErrConflict, wire.ErrConflict}, {"not found", wire.ErrNotFound, wire.ErrNotFound},
		{"refused", wire.ErrRefused, wire.ErrRefused}, {"busy", wire.ErrBusy, wire.ErrBusy}, {"closed", wire.ErrClosed, wire.ErrClosed},
		{"permanent", event.Permanent(base), nil}, {"refused by the recipient", event.Refused(base), wire.ErrRefused},
		{"retry", event.Retry(event.ScopeTarget, 1500*time.Millisecond, base), nil},
		{"until woken", event.Retry(event.ScopeConnector, event.UntilWoken, base), nil}, {"other", base, nil},
	} {
		got := wire.DecodeError(through(t, wire.EncodeError(tc.err)))
		wantScope, wantAfter, wantRetry := event.AsRetry(tc.err)
		scope, after, retry := event.AsRetry(got)
		if got.Error() != tc.err.Error() || tc.is != nil && !errors.Is(got, tc.is) || scope != wantScope || after != wantAfter || retry != wantRetry {
			t.Errorf("%s: got %v (%v %v %v)", tc.name, got, scope, after, retry)
		}
		final := event.IsPermanent(tc.err) || errors.Is(tc.err, wire.ErrRefused)
		if event.IsPermanent(got) != final {
			t.Errorf("%s: final is %v; want %v", tc.name, !final, final)
		}
	}
	if wire.EncodeError(nil) != nil || wire.DecodeError(nil) != nil {
		t.Error("nil became an error")
	}
}

func TestABodyInChunks(t *testing.T) {
	whole := bytes.Repeat([]byte("0123456789"), 20_000)
	broken := errors.New("broken")
	for _, tc := range []struct {
		name string
		from io.Reader
		want error
	}{
		{"whole", bytes.NewReader(whole), nil},
		{"one byte at a time", iotest.OneByteReader(bytes.NewReader(whole[:1000])), nil},
		{"empty", strings.NewReader(""), nil},
		{"a source that fails", io.MultiReader(bytes.NewReader(whole), iotest.ErrReader(broken)), broken},
		{"a source that breaks off", io.MultiReader(bytes.NewReader(whole), iotest.ErrReader(io.ErrUnexpectedEOF)), io.ErrUnexpectedEOF},
	} {
		var sent []*wire.Chunk
		err := wire.SendBody(tc.from, func(c *wire.Chunk) error { sent = append(sent, c); return nil })
		if (err != nil) != (tc.want != nil) {
			t.Errorf("%s: send: got %v, want %v", tc.name, err, tc.want)
		}
		got, err := io.ReadAll(&wire.Body{Recv: func() (*wire.Chunk, error) {
			if len(sent) == 0 {
				return nil, io.EOF
			}
			c := sent[0]
			sent = sent[1:]
			return c, nil
		}})
		if (err != nil) != (tc.want != nil) || err != nil && !strings.Contains(err.Error(), tc.want.Error()) {
			t.Errorf("%s: read: got %v, want %v", tc.name, err, tc.want)
		}
		if err == nil && !bytes.HasPrefix(whole, got) {
			t.Errorf("%s: the body changed", tc.name)
		}
	}
}

func TestABodyWithoutItsLastChunkIsAnError(t *testing.T) {
	chunks := []*wire.Chunk{{Data: []byte("half")}}
	got, err := io.ReadAll(&wire.Body{Recv: func() (*wire.Chunk, error) {
		if len(chunks) == 0 {
			return nil, io.EOF
		}
		c := chunks[0]
		chunks = nil
		return c, nil
	}})
	if string(got) != "half" || !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestCallsEndWhateverHappens(t *testing.T) {
	c := wire.NewCalls()
	ids := make(chan uint64, 4)
	send := func(id uint64) error { ids <- id; return nil }
	none := func(uint64) {}
	var all sync.WaitGroup
	all.Go(func() {
		if a, err := c.Do(context.Background(), send, none); err != nil || a.GetEventId() != "e1" {
			t.Errorf("answered: got %v, %v", a, err)
		}
	})
	id := <-ids
	c.Answer(id, &wire.Answer{Result: &wire.Answer_EventId{EventId: "e1"}})
	c.Answer(id, &wire.Answer{})
	c.Answer(4711, nil)
	all.Wait()

	ctx, stop := context.WithCancel(context.Background())
	var cancelled uint64
	all.Go(func() {
		if _, err := c.Do(ctx, send, func(id uint64) { cancelled = id }); !errors.Is(err, context.Canceled) {
			t.Errorf("cancelled: got %v", err)
		}
	})
	id = <-ids
	stop()
	all.Wait()
	if cancelled != id {
		t.Errorf("cancel was told %d; want %d", cancelled, id)
	}

	over := errors.New("over")
	all.Go(func() {
		if _, err := c.Do(context.Background(), send, none); !errors.Is(err, over) {
			t.Errorf("closed under it: got %v", err)
		}
	})
	<-ids
	c.Close(over)
	all.Wait()
	if _, err := c.Do(context.Background(), send, none); !errors.Is(err, over) {
		t.Errorf("closed before it: got %v", err)
	}
}

func FuzzFrames(f *testing.F) {
	for _, m := range []proto.Message{
		wire.FromDelivery(event.Delivery{ID: "o1", SenderName: "\xff", Content: event.Content{Data: []byte("x")}}),
		wire.FromInbound(event.Inbound{}), wire.FromReceipt(event.Receipt{RemoteIDs: []string{"a", ""}}),
		wire.FromReport(event.Report{}), wire.FromTyping(event.Typing{Refresh: -1}), wire.EncodeError(event.Retry(7, -1, io.EOF)),
	} {
		b, err := proto.Marshal(m)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var (
			d  wire.Delivery
			in wire.Inbound
			r  wire.Receipt
			rp wire.Report
			ty wire.Typing
			e  wire.Error
		)
		if proto.Unmarshal(b, &d) == nil {
			through(t, wire.FromDelivery(wire.ToDelivery(&d)))
		}
		if proto.Unmarshal(b, &in) == nil {
			through(t, wire.FromInbound(wire.ToInbound(&in)))
		}
		if proto.Unmarshal(b, &r) == nil {
			if got := wire.ToReceipt(&r); got.State != event.Accepted && got.State != event.Delivered || len(got.RemoteIDs) > 32 {
				t.Errorf("receipt %+v", got)
			}
		}
		if proto.Unmarshal(b, &rp) == nil {
			through(t, wire.FromReport(wire.ToReport(&rp)))
		}
		if proto.Unmarshal(b, &ty) == nil {
			through(t, wire.FromTyping(wire.ToTyping(&ty)))
		}
		if proto.Unmarshal(b, &e) == nil && wire.DecodeError(&e) == nil {
			t.Error("an error became nil")
		}
	})
}

func FuzzClip(f *testing.F) {
	f.Add("h\u00e9llo\xff", 3)
	f.Fuzz(func(t *testing.T, s string, limit int) {
		limit = max(3, limit%100)
		if got := wire.Clip(s, limit); len(got) > limit || !utf8.ValidString(got) {
			t.Errorf("Clip(%q, %d) = %q", s, limit, got)
		}
	})
}
