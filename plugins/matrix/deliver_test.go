package matrix

import (
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"maunium.net/go/mautrix/id"

	"parley.im/bus/event"
	"parley.im/plugins/matrix/matrixtest"
	"parley.im/plugins/sdk/sdktest"
)

func TestTheFirstDirectMessageOpensARoomAndTheNextGoesThere(t *testing.T) {
	hs := newHomeserver(t)
	b := start(t, hs, sdktest.NewBackend())
	bob := hs.Human("bob", "Bob")
	r := b.deliver(to("matrix:u/bob:hs.org", event.ModeDirect, "d1", "hello"))
	rooms := hs.Rooms(bob.ID)
	if len(rooms) != 1 || r.Anchor != rooms[0] || r.State != event.Delivered || len(r.RemoteIDs) != 1 {
		t.Fatalf("receipt %+v; bob's rooms %q", r, rooms)
	}
	if m := hs.Membership(rooms[0], bob.ID); m != "invite" {
		t.Errorf("bob is %q", m)
	}
	for _, e := range hs.Events(rooms[0]) {
		if e.Type == "m.room.member" && *e.StateKey == bob.ID && e.Content["is_direct"] != true {
			t.Errorf("the invitation is not marked as direct: %v", e.Content)
		}
	}
	if got := hs.Name(alice); got != "Alice" {
		t.Errorf("the ghost is called %q", got)
	}
	bob.Join(rooms[0])
	d := to("matrix:u/bob:hs.org", event.ModeDirect, "d2", "again")
	d.Anchor = r.Anchor
	if r2 := b.deliver(d); r2.Anchor != r.Anchor {
		t.Errorf("it went on in %q", r2.Anchor)
	}
	msgs := hs.Messages(rooms[0])
	if !slices.Equal(bodies(msgs), []string{"hello", "again"}) || msgs[0].Sender != alice || msgs[0].ID != r.RemoteIDs[0] {
		t.Errorf("messages %+v", msgs)
	}
	if msgs[0].Content[outboundKey] != "d1" || msgs[0].Content["msgtype"] != "m.text" {
		t.Errorf("content %v", msgs[0].Content)
	}
}

func TestAConversationWithoutAnAnchorFindsItsRoomAgain(t *testing.T) {
	hs := newHomeserver(t)
	first := start(t, hs, sdktest.NewBackend())
	bob := hs.Human("bob", "")
	r := first.deliver(to("matrix:u/bob:hs.org", event.ModeDirect, "d1", "one"))
	first.close()
	second := start(t, hs, sdktest.NewBackend())
	if r2 := second.deliver(to("matrix:u/bob:hs.org", event.ModeDirect, "d2", "two")); r2.Anchor != r.Anchor {
		t.Errorf("it went to %s, not to %s", r2.Anchor, r.Anchor)
	}
	other := to("matrix:u/bob:hs.org", event.ModeDirect, "d3", "three")
	other.From, other.FromName = "sip:carol@example.com", ""
	if r3 := second.deliver(other); r3.Anchor == r.Anchor {
		t.Error("carol writes in alice's room")
	}
	if n := len(hs.Rooms(bob.ID)); n != 2 {
		t.Errorf("bob has %d rooms", n)
	}
	if got := hs.Name("@_parley_sip_carol_example.com:hs.org"); got != "carol@example.com" {
		t.Errorf("a ghost without a name is called %q", got)
	}
}

func TestWhoeverLeftIsInvitedAgain(t *testing.T) {
	hs := newHomeserver(t)
	b := start(t, hs, sdktest.NewBackend())
	bob := hs.Human("bob", "")
	d := to("matrix:u/bob:hs.org", event.ModeDirect, "d1", "one")
	d.Anchor = b.deliver(d).Anchor
	bob.Join(d.Anchor)
	bob.Leave(d.Anchor)
	b.settled()
	d.ID = "d2"
	if r := b.deliver(d); r.Anchor != d.Anchor || hs.Membership(d.Anchor, bob.ID) != "invite" {
		t.Errorf("in %s bob is %q", r.Anchor, hs.Membership(d.Anchor, bob.ID))
	}
}

func TestARoomThatCanNotBeUsedIsFollowedByAnother(t *testing.T) {
	for _, tc := range []struct {
		name  string
		spoil func(bob *matrixtest.Human, room string)
	}{
		{"the ghost was thrown out", func(bob *matrixtest.Human, room string) { bob.Kick(room, alice) }},
		{"the ghost was banned", func(bob *matrixtest.Human, room string) { bob.Ban(room, alice) }},
		{"the ghost may not speak", func(bob *matrixtest.Human, room string) { bob.Silence(room, alice) }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			hs := newHomeserver(t)
			b := start(t, hs, sdktest.NewBackend())
			bob := hs.Human("bob", "")
			d := to("matrix:u/bob:hs.org", event.ModeDirect, "d1", "one")
			d.Anchor = b.deliver(d).Anchor
			bob.Join(d.Anchor)
			tc.spoil(bob, d.Anchor)
			b.settled()
			for _, id := range []string{"d2", "d3"} { // and without the anchor too
				d.ID, d.Data = id, []byte(id)
				r := b.deliver(d)
				if r.Anchor == d.Anchor || r.Anchor == "" {
					t.Fatalf("%s went to %q", id, r.Anchor)
				}
				if got := bodies(hs.Messages(r.Anchor)); !slices.Contains(got, id) {
					t.Errorf("the new room shows %q", got)
				}
			}
			if n := len(hs.Rooms(alice)); n > 2 {
				t.Errorf("alice is in %d rooms", n)
			}
		})
	}
}

// The answer to createRoom is lost with the connector: the second life finds
// the room by its alias.
func TestARoomWhoseCreationWasInterruptedIsNotMadeTwice(t *testing.T) {
	hs := newHomeserver(t)
	b := start(t, hs, sdktest.NewBackend())
	bob := hs.Human("bob", "")
	hs.Drop(1)
	d := to("matrix:u/bob:hs.org", event.ModeDirect, "d1", "one")
	if _, err := b.Deliver(t.Context(), d); err == nil || event.IsPermanent(err) {
		t.Fatalf("a broken connection: %v", err)
	}
	b.close()
	second := start(t, hs, sdktest.NewBackend())
	r := second.deliver(d)
	if rooms := hs.Rooms(bob.ID); len(rooms) != 1 || r.Anchor != rooms[0] {
		t.Errorf("bob's rooms %q, anchor %q", rooms, r.Anchor)
	}
}

func TestARoomShowsAuthorsOfAllNetworks(t *testing.T) {
	hs := newHomeserver(t)
	bob := hs.Human("bob", "")
	room := bob.Create(matrixtest.Room{Alias: "ops", Public: true})
	b := start(t, hs, sdktest.NewBackend(), "matrix:r/ops:hs.org")
	for i, from := range []event.Address{"sip:alice@example.com", "slack:T0/U0", "mailto:dan@example.com"} {
		d := to("matrix:r/ops:hs.org", event.ModeRoom, string(rune('a'+i)), "from "+from.Scheme())
		d.From, d.FromName = from, "Somebody"
		if r := b.deliver(d); r.Anchor != "" {
			t.Errorf("a room goes on in thread %q", r.Anchor)
		}
	}
	msgs := hs.Messages(room)
	if len(msgs) != 3 || msgs[1].Sender != "@_parley_slack_=540=2f=550:hs.org" || msgs[2].Sender != "@_parley_mailto_dan_example.com:hs.org" {
		t.Errorf("messages %+v", msgs)
	}
	if hs.Membership(room, hs.Bot()) != "join" {
		t.Error("the bot is not in the room that a route names")
	}
}

func TestTheBotBringsGhostsIntoPrivateRooms(t *testing.T) {
	hs := newHomeserver(t)
	bob := hs.Human("bob", "")
	room := bob.Create(matrixtest.Room{Invite: []string{hs.Bot()}})
	b := start(t, hs, sdktest.NewBackend(), event.Address("matrix:roomid/"+room[1:]))
	b.deliver(to(event.Address("matrix:roomid/"+room[1:]), event.ModeRoom, "d1", "hello"))
	if got := bodies(hs.Messages(room)); !slices.Equal(got, []string{"hello"}) || hs.Membership(room, alice) != "join" {
		t.Errorf("the room shows %q", got)
	}
}

func TestADeskKeepsEachConversationInAThread(t *testing.T) {
	hs := newHomeserver(t)
	bob := hs.Human("bob", "Bob")
	room := bob.Create(matrixtest.Room{Alias: "support", Public: true})
	b := start(t, hs, sdktest.NewBackend(), "matrix:r/support:hs.org")
	d := to("matrix:r/support:hs.org", event.ModeDesk, "d1", "help")
	r := b.deliver(d)
	if r.Anchor != room+"/"+r.RemoteIDs[0] {
		t.Fatalf("anchor %q of event %s", r.Anchor, r.RemoteIDs[0])
	}
	d2 := to("matrix:r/support:hs.org", event.ModeDesk, "d2", "are you there?")
	d2.Anchor = r.Anchor
	if r2 := b.deliver(d2); r2.Anchor != r.Anchor {
		t.Errorf("the second goes on in %q", r2.Anchor)
	}
	msgs := hs.Messages(room)
	relates, _ := msgs[1].Content["m.relates_to"].(map[string]any)
	if msgs[0].Content["m.relates_to"] != nil || relates["rel_type"] != "m.thread" || relates["event_id"] != msgs[0].ID {
		t.Errorf("relations %v and %v", msgs[0].Content["m.relates_to"], relates)
	}
	bob.Answer(room, msgs[0].ID, "yes")
	b.settled()
	in := b.Inbounds()
	if len(in) != 1 || in[0].Thread != r.Anchor || in[0].Recipient != "matrix:r/support:hs.org" || in[0].Sender != "matrix:u/bob:hs.org" {
		t.Fatalf("came in: %+v", in)
	}
	// A client that knows no threads answers the second message.
	bob.Send(room, "m.room.message", map[string]any{
		"msgtype": "m.text", "body": "> <" + alice + "> are you there?\n\nindeed",
		"m.relates_to": map[string]any{"m.in_reply_to": map[string]any{"event_id": msgs[1].ID}},
	})
	b.settled()
	if in = b.Inbounds(); len(in) != 2 || in[1].Thread != r.Anchor || string(in[1].Data) != "indeed" {
		t.Errorf("came in: %+v", in)
	}
}

func TestAnAliasThatMovesIsFollowed(t *testing.T) {
	hs := newHomeserver(t)
	bob := hs.Human("bob", "")
	old := bob.Create(matrixtest.Room{Alias: "ops", Public: true})
	b := start(t, hs, sdktest.NewBackend(), "matrix:r/ops:hs.org")
	b.deliver(to("matrix:r/ops:hs.org", event.ModeRoom, "d1", "before"))
	next := bob.Create(matrixtest.Room{Public: true})
	hs.Move("#ops:hs.org", next)
	bob.SetState(old, "m.room.tombstone", "", map[string]any{"replacement_room": next})
	b.settled()
	b.deliver(to("matrix:r/ops:hs.org", event.ModeRoom, "d2", "after"))
	if got := bodies(hs.Messages(next)); !slices.Equal(got, []string{"after"}) {
		t.Errorf("the new room shows %q", got)
	}
}

// Nobody said that the room has moved: the old one only lets nobody speak.
func TestAnAliasThatMovesUnseenIsFollowed(t *testing.T) {
	hs := newHomeserver(t)
	bob := hs.Human("bob", "")
	old := bob.Create(matrixtest.Room{Alias: "ops", Public: true})
	b := start(t, hs, sdktest.NewBackend(), "matrix:r/ops:hs.org")
	d := to("matrix:r/ops:hs.org", event.ModeDesk, "d1", "before")
	d.Anchor = b.deliver(d).Anchor
	next := bob.Create(matrixtest.Room{Public: true})
	hs.Move("#ops:hs.org", next)
	bob.Silence(old, alice)
	d.ID, d.Data = "d2", []byte("after")
	r := b.deliver(d)
	msgs := hs.Messages(next)
	if !slices.Equal(bodies(msgs), []string{"after"}) || msgs[0].Content["m.relates_to"] != nil || r.Anchor != anchor(id.RoomID(next), id.EventID(msgs[0].ID)) {
		t.Errorf("the new room shows %+v; it goes on in %s", msgs, r.Anchor)
	}
}

func TestADeliveryRepeatedIsOneEvent(t *testing.T) {
	hs := newHomeserver(t)
	bob := hs.Human("bob", "")
	room := bob.Create(matrixtest.Room{Alias: "ops", Public: true})
	backend := sdktest.NewBackend()
	b := start(t, hs, backend, "matrix:r/ops:hs.org")
	d := to("matrix:r/ops:hs.org", event.ModeRoom, "d1", "once")
	hs.Lose(1)
	_, err := b.Deliver(t.Context(), d)
	if _, _, again := event.AsRetry(err); err == nil || again || event.IsPermanent(err) {
		t.Fatalf("the answer was lost: %v; the outcome is unknown", err)
	}
	b.close()
	second := start(t, hs, backend, "matrix:r/ops:hs.org")
	r := second.deliver(d)
	if msgs := hs.Messages(room); len(msgs) != 1 || msgs[0].ID != r.RemoteIDs[0] {
		t.Errorf("the room shows %q", bodies(msgs))
	}
}

func TestWhatLateMessagesSayOfTime(t *testing.T) {
	hs := newHomeserver(t)
	room := hs.Human("bob", "").Create(matrixtest.Room{Alias: "ops", Public: true})
	b := start(t, hs, sdktest.NewBackend())
	d := to("matrix:r/ops:hs.org", event.ModeRoom, "d1", "old")
	d.Sent = time.Now().Add(-2 * time.Hour).Truncate(time.Millisecond)
	b.deliver(d)
	if got := hs.Messages(room)[0].Time; got != d.Sent.UnixMilli() {
		t.Errorf("shown at %d; it was sent at %d", got, d.Sent.UnixMilli())
	}
}

// failures of the homeserver, and what the host is told.
func TestFailuresCarryTheirMeaning(t *testing.T) {
	const unknownOutcome, finally, refused = "unknown", "permanent", "refused"
	for _, tc := range []struct {
		name  string
		fault func(*matrixtest.Server)
		want  string
		after time.Duration
	}{
		{"too fast", func(s *matrixtest.Server) { s.Limit(1, 1500*time.Millisecond) }, "target", 1500 * time.Millisecond},
		{"broken before it was read", func(s *matrixtest.Server) { s.Drop(1) }, unknownOutcome, 0},
		{"answer lost", func(s *matrixtest.Server) { s.Lose(1) }, unknownOutcome, 0},
		{"broken inside", func(s *matrixtest.Server) { s.Fail(1, 500, "M_UNKNOWN") }, unknownOutcome, 0},
		{"a proxy lost it", func(s *matrixtest.Server) { s.Fail(1, 502, "") }, unknownOutcome, 0},
		{"overloaded", func(s *matrixtest.Server) { s.Fail(1, 503, "") }, "connector", 0},
		{"token revoked", func(s *matrixtest.Server) { s.Revoke() }, "connector", 0},
		{"too large after all", func(s *matrixtest.Server) { s.Fail(1, 413, "M_TOO_LARGE") }, finally, 0},
		{"not allowed to speak", func(s *matrixtest.Server) { s.Human("bob", "").Silence(s.Resolve("#ops:hs.org"), alice) }, refused, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			hs := newHomeserver(t)
			hs.Human("bob", "").Create(matrixtest.Room{Alias: "ops", Public: true})
			b := start(t, hs, sdktest.NewBackend())
			b.deliver(to("matrix:r/ops:hs.org", event.ModeRoom, "d0", "before"))
			tc.fault(hs)
			_, err := b.Deliver(t.Context(), to("matrix:r/ops:hs.org", event.ModeRoom, "d1", "text"))
			if got, after := meaning(err); got != tc.want || after != tc.after {
				t.Errorf("%v is %s after %s; want %s after %s", err, got, after, tc.want, tc.after)
			}
		})
	}
}

// meaning is what the host reads from an error.
func meaning(err error) (string, time.Duration) {
	scope, after, again := event.AsRetry(err)
	switch {
	case err == nil:
		return "taken", 0
	case again:
		return scope.String(), after
	case event.IsPermanent(err):
		return string(event.ReasonOf(err)), 0
	}
	return "unknown", 0
}

func TestWhatCanNeverBeDelivered(t *testing.T) {
	hs := newHomeserver(t)
	hs.Human("bob", "").Create(matrixtest.Room{Alias: "closed"})
	b := start(t, hs, sdktest.NewBackend())
	for _, tc := range []struct {
		name  string
		wrong func(*event.Delivery)
		say   string
	}{
		{"no Matrix address", func(d *event.Delivery) { d.Target = "slack:T0/C0" }, "no Matrix address"},
		{"no such alias", func(d *event.Delivery) { d.Target = "matrix:r/attic:hs.org" }, "not found"},
		{"a room that lets nobody in", func(d *event.Delivery) { d.Target = "matrix:r/closed:hs.org" }, "invited"},
		{"one of our own", func(d *event.Delivery) { d.Target = "matrix:u/_parley_bot:hs.org" }, "own user"},
		{"an author too long for a name", func(d *event.Delivery) { d.From = event.Address("sip:" + strings.Repeat("a", 300)) }, "255"},
		{"no author", func(d *event.Delivery) { d.From = "" }, "author"},
		{"too long", func(d *event.Delivery) { d.Data = make([]byte, maxText+1) }, "59000"},
		{"too long once written as JSON", func(d *event.Delivery) { d.Data = []byte(strings.Repeat(`"`, maxText)) }, "65536"},
		{"unknown kind", func(d *event.Delivery) { d.Kind = "poke" }, "kind"},
		{"a reaction to nothing", func(d *event.Delivery) { d.Kind, d.Target = event.KindReact, "matrix:roomid/x:hs.org" }, "no such message"},
	} {
		d := to("matrix:r/ops:hs.org", event.ModeRoom, "d-"+tc.name, "text")
		tc.wrong(&d)
		if _, err := b.Deliver(t.Context(), d); !event.IsPermanent(err) || !strings.Contains(err.Error(), tc.say) {
			t.Errorf("%s: %v; want a permanent error about %q", tc.name, err, tc.say)
		}
	}
}

func TestTheLargestTextFitsAnEvent(t *testing.T) {
	hs := newHomeserver(t)
	room := hs.Human("bob", "").Create(matrixtest.Room{Alias: "ops", Public: true})
	b := start(t, hs, sdktest.NewBackend())
	b.deliver(to("matrix:r/ops:hs.org", event.ModeDesk, "d1", strings.Repeat("<", maxText)))
	if got := len(hs.Messages(room)[0].Text()); got != maxText {
		t.Errorf("%d bytes arrived", got)
	}
}

func TestAHomeserverThatIsAwayHoldsUpTheConnector(t *testing.T) {
	hs := newHomeserver(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	hs.URL = "http://" + l.Addr().String()
	l.Close() // nobody listens there
	b := open(t, hs, sdktest.NewBackend())
	b.host.log.await(t, "homeserver away")
	_, err = b.Deliver(t.Context(), to("matrix:r/ops:hs.org", event.ModeRoom, "d1", "text"))
	if got, _ := meaning(err); got != "connector" {
		t.Errorf("%v is %s", err, got)
	}
}

func TestEncryptedRoomsAreRefusedLoudly(t *testing.T) {
	hs := newHomeserver(t)
	bob := hs.Human("bob", "")
	room := bob.Create(matrixtest.Room{Alias: "secret", Public: true, Encrypted: true})
	backend := sdktest.NewBackend()
	b := start(t, hs, backend, "matrix:r/secret:hs.org")
	_, err := b.Deliver(t.Context(), to("matrix:r/secret:hs.org", event.ModeRoom, "d1", "text"))
	if !event.IsPermanent(err) || !strings.Contains(err.Error(), "encrypted") {
		t.Errorf("deliver: %v", err)
	}
	for range 3 {
		bob.Send(room, "m.room.encrypted", map[string]any{"algorithm": "m.megolm.v1.aes-sha2", "ciphertext": "x"})
		b.settled()
	}
	b.close()
	second := start(t, hs, backend, "matrix:r/secret:hs.org")
	bob.Send(room, "m.room.encrypted", map[string]any{"algorithm": "m.megolm.v1.aes-sha2", "ciphertext": "x"})
	second.settled()
	msgs := hs.Messages(room)
	if len(msgs) != 1 || msgs[0].Content["msgtype"] != "m.notice" || !strings.Contains(msgs[0].Text(), "encrypted") {
		t.Errorf("the room was told %q", bodies(msgs))
	}
	if len(second.Inbounds()) != 0 {
		t.Error("something unreadable came in")
	}
}

func TestARoomThatBecomesEncryptedIsNoticed(t *testing.T) {
	hs := newHomeserver(t)
	bob := hs.Human("bob", "")
	room := bob.Create(matrixtest.Room{Alias: "ops", Public: true})
	b := start(t, hs, sdktest.NewBackend())
	b.deliver(to("matrix:r/ops:hs.org", event.ModeRoom, "d1", "open"))
	bob.SetState(room, "m.room.encryption", "", map[string]any{"algorithm": "m.megolm.v1.aes-sha2"})
	b.settled()
	if _, err := b.Deliver(t.Context(), to("matrix:r/ops:hs.org", event.ModeRoom, "d2", "closed")); !event.IsPermanent(err) {
		t.Errorf("deliver: %v", err)
	}
}

func TestStatusesReachTheAuthor(t *testing.T) {
	hs := newHomeserver(t)
	bob := hs.Human("bob", "")
	b := start(t, hs, sdktest.NewBackend())
	room := b.deliver(to("matrix:u/bob:hs.org", event.ModeDirect, "d1", "hello")).Anchor
	bob.Join(room)
	said := bob.Say(room, "hi")
	status := func(id string, s event.State, words string) event.Delivery {
		d := to("matrix:u/bob:hs.org", event.ModeDirect, id, words)
		d.Kind, d.State, d.InReplyTo, d.Anchor, d.Automatic = event.KindStatus, s, said, room, true
		return d
	}
	b.deliver(status("s1", event.Displayed, "displayed"))
	if got := hs.ReadBy(room, alice); got != said {
		t.Errorf("alice has read up to %q", got)
	}
	for range 2 {
		b.deliver(status("s2", event.Failed, "sip:alice@example.com: not registered"))
	}
	msgs := hs.Messages(room)
	last := msgs[len(msgs)-1]
	if len(msgs) != 3 || last.Sender != alice || last.Content["msgtype"] != "m.notice" || !strings.Contains(last.Text(), "not registered") {
		t.Errorf("bob was told %q by %s", last.Text(), last.Sender)
	}
	if _, err := b.Deliver(t.Context(), status("s3", "strange", "")); !event.IsPermanent(err) {
		t.Errorf("a strange state: %v", err)
	}
	lost := status("s4", event.Failed, "x")
	lost.Anchor = ""
	if _, err := b.Deliver(t.Context(), lost); !event.IsPermanent(err) {
		t.Errorf("a status of nothing: %v", err)
	}
}

func TestTheBotSpeaksInPlaces(t *testing.T) {
	hs := newHomeserver(t)
	bob := hs.Human("bob", "")
	room := bob.Create(matrixtest.Room{Alias: "ops", Public: true})
	b := start(t, hs, sdktest.NewBackend(), "matrix:r/ops:hs.org")
	if err := hs.Await(t.Context(), func() bool { return hs.Membership(room, hs.Bot()) == "join" }); err != nil {
		t.Fatal(err)
	}
	root := bob.Say(room, "root")
	said := bob.Answer(room, root, "hi")
	d := to("matrix:u/bob:hs.org", event.ModeRoom, "s1", "sip:alice@example.com: gone")
	d.Kind, d.State, d.InReplyTo, d.Anchor, d.From = event.KindStatus, event.Failed, said, room+"/"+root, "matrix:r/ops:hs.org"
	b.deliver(d)
	msgs := hs.Messages(room)
	last := msgs[len(msgs)-1]
	relates, _ := last.Content["m.relates_to"].(map[string]any)
	if last.Sender != hs.Bot() || relates["event_id"] != root || relates["rel_type"] != "m.thread" {
		t.Errorf("%s said %q in %v", last.Sender, last.Text(), relates)
	}
}

func TestComposingIsShownWhereTheConversationGoesOn(t *testing.T) {
	hs := newHomeserver(t)
	hs.Human("bob", "")
	b := start(t, hs, sdktest.NewBackend())
	d := to("matrix:u/bob:hs.org", event.ModeDirect, "t1", "")
	d.Kind, d.Active = event.KindTyping, true
	b.deliver(d) // no room yet: nothing to show
	if n := len(hs.Rooms(alice)); n != 0 {
		t.Fatalf("composing opened %d rooms", n)
	}
	d.Anchor = b.deliver(to("matrix:u/bob:hs.org", event.ModeDirect, "d1", "hello")).Anchor
	b.deliver(d)
	if !hs.Typing(d.Anchor, alice) {
		t.Error("alice is not shown as composing")
	}
	d.Active = false
	b.deliver(d)
	if hs.Typing(d.Anchor, alice) {
		t.Error("alice is still shown as composing")
	}
}

func TestAGhostIsRenamedOnlyWhenItsNameChanges(t *testing.T) {
	hs := newHomeserver(t)
	hs.Human("bob", "").Create(matrixtest.Room{Alias: "ops", Public: true})
	b := start(t, hs, sdktest.NewBackend())
	puts := func() (n int) {
		for _, q := range hs.Asked() {
			if strings.HasPrefix(q, http.MethodPut+" v3/profile/") {
				n++
			}
		}
		return n
	}
	d := to("matrix:r/ops:hs.org", event.ModeRoom, "d", "text")
	for i, step := range []struct {
		name string
		want string
		puts int
	}{{"Alice", "Alice", 1}, {"Alice", "Alice", 1}, {"", "Alice", 1}, {"Al\u202eice\n", "Alice\ufffd", 2}, {"Alice B", "Alice B", 3}} {
		d.ID, d.FromName = "d"+string(rune('0'+i)), step.name
		b.deliver(d)
		if got := hs.Name(alice); got != step.want || puts() != step.puts {
			t.Errorf("%q: called %q after %d changes; want %q after %d", step.name, got, puts(), step.want, step.puts)
		}
	}
	b.close()
	second := start(t, hs, sdktest.NewBackend())
	d.ID = "d9"
	second.deliver(d)
	if puts() != 3 {
		t.Error("a new life set the same name again")
	}
}

func TestARoomOfTheBridgesOwnIsMadeWhenARouteNamesIt(t *testing.T) {
	hs := newHomeserver(t)
	bob := hs.Human("bob", "")
	b := start(t, hs, sdktest.NewBackend(), "matrix:r/_parley_support:hs.org")
	b.deliver(to("matrix:r/_parley_support:hs.org", event.ModeDesk, "d1", "help"))
	room := hs.Resolve("#_parley_support:hs.org")
	if got := bodies(hs.Messages(room)); !slices.Equal(got, []string{"help"}) {
		t.Fatalf("the room shows %q", got)
	}
	bob.Join(room)
	bob.Say(room, "hello")
	b.settled()
	if in := b.Inbounds(); len(in) != 1 || in[0].Recipient != "matrix:r/_parley_support:hs.org" {
		t.Errorf("came in: %+v", in)
	}
	if _, err := b.Deliver(t.Context(), to("matrix:r/_parley_attic:hs.org", event.ModeRoom, "d2", "x")); !event.IsPermanent(err) {
		t.Errorf("to a room that no route names: %v", err)
	}
}

func TestClientsDoNotCallAConversationByItsAlias(t *testing.T) {
	hs := newHomeserver(t)
	b := start(t, hs, sdktest.NewBackend())
	room := b.deliver(to("matrix:u/bob:hs.org", event.ModeDirect, "d1", "hello")).Anchor
	shown := "never set"
	for _, e := range hs.Events(room) {
		if e.Type == "m.room.canonical_alias" {
			shown, _ = e.Content["alias"].(string)
		}
	}
	if shown != "" {
		t.Errorf("the room is called %q", shown)
	}
}
