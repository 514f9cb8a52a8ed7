package matrix

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"parley.im/bus/event"
	"parley.im/plugins/matrix/matrixtest"
	"parley.im/plugins/sdk"
	"parley.im/plugins/sdk/sdktest"
)

// direct opens a room of bob with alice's ghost, as bob does it.
func direct(t testing.TB, hs *matrixtest.Server, bob *matrixtest.Human) string {
	t.Helper()
	room := bob.Create(matrixtest.Room{Invite: []string{alice}})
	if err := hs.Await(t.Context(), func() bool { return hs.Membership(room, alice) == "join" }); err != nil {
		t.Fatal(err)
	}
	return room
}

func TestSomebodyWhoInvitesAGhostTalksToItsAuthor(t *testing.T) {
	hs := newHomeserver(t)
	bob := hs.Human("bob", "Bob")
	b := start(t, hs, sdktest.NewBackend())
	room := direct(t, hs, bob)
	before := time.Now().Add(-time.Second)
	said := bob.Say(room, "hello alice")
	b.settled()
	in := b.Inbounds()
	if len(in) != 1 {
		t.Fatalf("%d came in", len(in))
	}
	got := in[0]
	if got.Sender != "matrix:u/bob:hs.org" || got.SenderName != "Bob" || got.Recipient != "sip:alice@example.com" ||
		got.Thread != room || got.NativeID != said || string(got.Data) != "hello alice" || got.Automatic || got.Sent.Before(before) {
		t.Errorf("came in: %+v", got)
	}
	if hs.Name(alice) != "alice@example.com" {
		t.Errorf("the ghost is called %q", hs.Name(alice))
	}
}

// The invitation was answered and nothing said yet when the connector died.
func TestAfterARestartARoomIsStillKnown(t *testing.T) {
	hs := newHomeserver(t)
	bob := hs.Human("bob", "Bob")
	backend := sdktest.NewBackend()
	first := start(t, hs, backend)
	room := direct(t, hs, bob)
	first.settled()
	first.close()
	second := start(t, hs, backend)
	bob.Say(room, "still there?")
	second.settled()
	if in := second.Inbounds(); len(in) != 1 || in[0].Recipient != "sip:alice@example.com" || in[0].SenderName != "Bob" {
		t.Errorf("came in: %+v", in)
	}
}

func TestAnInvitationIsDeclinedWithTheReason(t *testing.T) {
	hs := newHomeserver(t)
	bob := hs.Human("bob", "")
	backend := sdktest.NewBackend()
	backend.Refuse("sip:alice@example.com")
	b := start(t, hs, backend, "matrix:r/ops:hs.org")
	room := bob.Create(matrixtest.Room{Invite: []string{alice, hs.Bot()}})
	for _, who := range []string{alice, hs.Bot()} {
		if err := hs.Await(t.Context(), func() bool { return hs.Membership(room, who) == "leave" }); err != nil {
			t.Fatal(err)
		}
	}
	b.settled()
	reasons := map[string]string{}
	for _, e := range hs.Events(room) {
		if e.Type == "m.room.member" && e.Content["membership"] == "leave" {
			reasons[e.Sender], _ = e.Content["reason"].(string)
		}
	}
	if reasons[alice] != "no such recipient" || !strings.Contains(reasons[hs.Bot()], "No route") {
		t.Errorf("reasons %q", reasons)
	}
}

func TestTheBotAcceptsInvitationsToPlaces(t *testing.T) {
	hs := newHomeserver(t)
	bob := hs.Human("bob", "")
	b := start(t, hs, sdktest.NewBackend(), "matrix:r/ops:hs.org")
	b.host.log.await(t, "invite the bot")
	bob.Say(direct(t, hs, bob), "the room is missing still")
	b.settled()
	room := bob.Create(matrixtest.Room{Alias: "ops", Invite: []string{hs.Bot()}})
	if err := hs.Await(t.Context(), func() bool { return hs.Membership(room, hs.Bot()) == "join" }); err != nil {
		t.Fatal(err)
	}
	bob.Say(room, "hello all")
	b.settled()
	if in := b.Inbounds(); len(in) != 2 || in[1].Recipient != "matrix:r/ops:hs.org" || in[1].Thread != room {
		t.Errorf("came in: %+v", in)
	}
}

// Nobody tells the bot of a public room; a ghost gets in by itself.
func TestAPlaceThatIsMadeLaterHasItsPeopleByTheirNames(t *testing.T) {
	hs := newHomeserver(t)
	b := start(t, hs, sdktest.NewBackend(), "matrix:r/ops:hs.org")
	b.host.log.await(t, "invite the bot")
	bob := hs.Human("bob", "Bob")
	room := bob.Create(matrixtest.Room{Alias: "ops", Public: true})
	b.deliver(to("matrix:r/ops:hs.org", event.ModeRoom, "d1", "from outside"))
	bob.Say(room, "hello all")
	b.settled()
	if in := b.Inbounds(); len(in) != 1 || in[0].SenderName != "Bob" || in[0].Recipient != "matrix:r/ops:hs.org" {
		t.Errorf("came in: %+v", in)
	}
	if m := hs.Membership(room, hs.Bot()); m != "join" {
		t.Errorf("the bot's membership is %q", m)
	}
}

func TestWhatIsBridgedAndHow(t *testing.T) {
	hs := newHomeserver(t)
	bob := hs.Human("bob", "Bob")
	b := start(t, hs, sdktest.NewBackend())
	room := direct(t, hs, bob)
	message := func(kind, body string, more ...any) map[string]any {
		m := map[string]any{"msgtype": kind, "body": body}
		for i := 0; i < len(more); i += 2 {
			m[more[i].(string)] = more[i+1]
		}
		return m
	}
	reply := map[string]any{"m.in_reply_to": map[string]any{"event_id": "$x"}}
	for _, tc := range []struct {
		name    string
		kind    string
		content map[string]any
		want    string // "" when it is not bridged
	}{
		{"text", "", message("m.text", "hi"), "hi"},
		{"emote", "", message("m.emote", "waves"), "* Bob waves"},
		{"notice", "", message("m.notice", "I am a bot"), "I am a bot"},
		{"image", "", message("m.image", "cat.jpg", "url", "mxc://hs.org/1"), "[image: cat.jpg]"},
		{"image with a caption", "", message("m.image", "look!", "filename", "cat.jpg"), "[image: cat.jpg] look!"},
		{"location", "", message("m.location", "Berlin", "geo_uri", "geo:1,2;u=9"), "Location: Berlin\nhttps://www.openstreetmap.org/?mlat=1&mlon=2"},
		{"a location nowhere", "", message("m.location", "Berlin", "geo_uri", "geo:x"), "[location: Berlin]"},
		{"sticker", "m.sticker", map[string]any{"body": "wave"}, "[sticker: wave]"},
		{"a type of tomorrow", "", message("org.example.new", "shown as text"), "shown as text"},
		{"reply with a quotation", "", message("m.text", "> <@a:b> was\n> it?\n\nyes", "m.relates_to", reply), "yes"},
		{"quotation without a reply", "", message("m.text", "> wise words"), "> wise words"},
		{"correction", "", message("m.text", "* hi!", "m.new_content", message("m.text", "hi!"), "m.relates_to", map[string]any{"rel_type": "m.replace", "event_id": "$x"}), "hi!"},
		{"nothing", "", message("m.text", " \n"), ""},
		{"hostile relation", "", message("m.text", "odd", "m.relates_to", "not an object"), "odd"},
		{"hostile type", "", map[string]any{"msgtype": 7, "body": "x"}, ""},
		{"no body", "", map[string]any{"msgtype": "m.text"}, ""},
		{"controls", "", message("m.text", "a\x00b\r\nc\x1b[31m"), "a\ufffdb\nc\ufffd[31m"},
		{"reaction", "m.reaction", map[string]any{"m.relates_to": map[string]any{"rel_type": "m.annotation", "key": "👍", "event_id": "$x"}}, "👍"},
		{"call", "m.call.invite", map[string]any{}, ""},
	} {
		if tc.kind == "" {
			tc.kind = "m.room.message"
		}
		n := len(b.Inbounds())
		bob.Send(room, tc.kind, tc.content)
		b.settled()
		in := b.Inbounds()[n:]
		var got string
		if len(in) > 0 {
			got = string(in[0].Data)
		}
		if len(in) > 1 || got != tc.want {
			t.Errorf("%s: bridged as %q; want %q", tc.name, got, tc.want)
		}
		if len(in) == 1 && in[0].Automatic != (tc.name == "notice") {
			t.Errorf("%s: automatic is %v", tc.name, in[0].Automatic)
		}
	}
}

func TestWhatTheBridgeSaysDoesNotComeBack(t *testing.T) {
	hs := newHomeserver(t)
	bob := hs.Human("bob", "")
	b := start(t, hs, sdktest.NewBackend(), "matrix:r/ops:hs.org")
	bob.Create(matrixtest.Room{Alias: "ops", Public: true})
	b.deliver(to("matrix:r/ops:hs.org", event.ModeRoom, "d1", "from outside"))
	b.deliver(to("matrix:u/bob:hs.org", event.ModeDirect, "d2", "from outside"))
	if got := b.texts(); len(got) != 0 {
		t.Errorf("came back: %q", got)
	}
}

func TestTheAuthorIsToldOnceThatAMessageGoesNowhere(t *testing.T) {
	hs := newHomeserver(t)
	bob := hs.Human("bob", "")
	backend := sdktest.NewBackend()
	b := start(t, hs, backend)
	room := direct(t, hs, bob)
	backend.Refuse("sip:alice@example.com")
	bob.Say(room, "hello?")
	bob.Send(room, "m.room.message", map[string]any{"msgtype": "m.notice", "body": "a bot speaks"})
	b.settled()
	for _, old := range hs.Transactions() {
		if err := hs.Push(t.Context(), b.door.Client(), b.door.URL, old); err != nil {
			t.Fatal(err)
		}
	}
	var notices []matrixtest.Event
	for _, e := range hs.Messages(room) {
		if e.Sender == alice {
			notices = append(notices, e)
		}
	}
	if len(notices) != 1 || notices[0].Content["msgtype"] != "m.notice" || !strings.HasPrefix(notices[0].Text(), "Not delivered") {
		t.Errorf("bob was told %q", bodies(notices))
	}
	if n := b.host.log.count("message refused"); n < 2 {
		t.Errorf("the log says so %d times", n)
	}
}

func TestADeskIsNotFloodedWithNotices(t *testing.T) {
	hs := newHomeserver(t)
	bob, carol := hs.Human("bob", ""), hs.Human("carol", "")
	room := bob.Create(matrixtest.Room{Alias: "support", Public: true})
	carol.Join(room)
	backend := sdktest.NewBackend()
	backend.Refuse("matrix:r/support:hs.org")
	b := start(t, hs, backend, "matrix:r/support:hs.org")
	if err := hs.Await(t.Context(), func() bool { return hs.Membership(room, hs.Bot()) == "join" }); err != nil {
		t.Fatal(err)
	}
	for i := range 5 {
		bob.Say(room, fmt.Sprint("among ourselves ", i))
		carol.Say(room, fmt.Sprint("quite so ", i))
	}
	b.settled()
	n := 0
	for _, e := range hs.Messages(room) {
		if e.Sender == hs.Bot() {
			n++
		}
	}
	if n != 2 {
		t.Errorf("%d notices; want one for each person", n)
	}
}

// A transaction counts as taken only when all of it is stored, in order.
func TestABusyHostHasTheHomeserverRepeat(t *testing.T) {
	hs := newHomeserver(t)
	bob := hs.Human("bob", "")
	backend := sdktest.NewBackend()
	b := start(t, hs, backend)
	room := direct(t, hs, bob)
	b.settled()
	taken := len(hs.Transactions())
	backend.SetBusy(sdk.ErrBusy)
	want := []string{}
	for i := range 20 {
		want = append(want, fmt.Sprint("message ", i))
		bob.Say(room, want[i])
	}
	b.host.log.await(t, "the homeserver repeats it")
	if n := len(hs.Transactions()) - taken; n != 0 || len(b.Inbounds()) != 0 {
		t.Errorf("%d transactions taken, %d messages stored while the host was busy", n, len(b.Inbounds()))
	}
	backend.SetBusy(nil)
	if got := b.texts(); !slices.Equal(got, want) {
		t.Errorf("came in: %q", got)
	}
}

// Replayed with more than 128 others between, and after a restart, an old
// transaction has no second effect.
func TestOldTransactionsHaveNoSecondEffect(t *testing.T) {
	hs := newHomeserver(t)
	bob := hs.Human("bob", "")
	backend := sdktest.NewBackend()
	b := start(t, hs, backend)
	room := direct(t, hs, bob)
	var want []string
	for i := range 140 {
		want = append(want, fmt.Sprint("message ", i))
		bob.Say(room, want[i])
		b.settled() // each in a transaction of its own
	}
	old := hs.Transactions()
	if len(old) < 140 {
		t.Fatalf("only %d transactions", len(old))
	}
	replay := func(b *bridge) {
		t.Helper()
		for _, tx := range old {
			if err := hs.Push(t.Context(), b.door.Client(), b.door.URL, tx); err != nil {
				t.Fatal(err)
			}
		}
		if got := b.texts(); !slices.Equal(got, want) {
			t.Fatalf("%d messages after the replay; want %d", len(got), len(want))
		}
	}
	replay(b)
	b.close()
	replay(start(t, hs, backend))
}

func TestARoomOfSeveralGhostsIsLeftToTheHost(t *testing.T) {
	hs := newHomeserver(t)
	bob := hs.Human("bob", "")
	b := start(t, hs, sdktest.NewBackend())
	room := direct(t, hs, bob)
	const carol = "@_parley_sip_carol_example.com:hs.org"
	bob.Invite(room, carol)
	if err := hs.Await(t.Context(), func() bool { return hs.Membership(room, carol) == "join" }); err != nil {
		t.Fatal(err)
	}
	bob.Say(room, "to whom?")
	b.settled()
	if in := b.Inbounds(); len(in) != 1 || in[0].Recipient != "" || in[0].Thread != room {
		t.Errorf("came in: %+v", in)
	}
}

func TestComposingIsPassedOn(t *testing.T) {
	hs := newHomeserver(t)
	bob := hs.Human("bob", "")
	b := start(t, hs, sdktest.NewBackend())
	room := direct(t, hs, bob)
	bob.Type(room, true)
	b.settled()
	bob.Type(room, false)
	b.settled()
	s := b.Signals()
	if len(s) != 2 || !s[0].Active || s[1].Active || s[0].Sender != "matrix:u/bob:hs.org" || s[0].Recipient != "sip:alice@example.com" {
		t.Errorf("signals %+v", s)
	}
}

func TestReadingIsReported(t *testing.T) {
	hs := newHomeserver(t)
	bob := hs.Human("bob", "")
	b := start(t, hs, sdktest.NewBackend())
	r := b.deliver(to("matrix:u/bob:hs.org", event.ModeDirect, "d1", "read me"))
	bob.Join(r.Anchor)
	own := bob.Say(r.Anchor, "my own")
	bob.Read(r.Anchor, own)
	bob.Read(r.Anchor, r.RemoteIDs[0])
	b.settled()
	got := b.Reports()
	if len(got) != 1 || got[0].Outbound != "d1" || got[0].State != event.Displayed || time.Since(got[0].Time) > time.Minute {
		t.Errorf("reports %+v", got)
	}
}

func TestReadingAFileIsReadingItsMessage(t *testing.T) {
	hs := newHomeserver(t)
	bob := hs.Human("bob", "")
	b := start(t, hs, sdktest.NewBackend())
	d := to("matrix:u/bob:hs.org", event.ModeDirect, "d1", "look")
	d.Files = []event.File{file("a.png", "image/png", "a")}
	r := b.deliver(d)
	bob.Join(r.Anchor)
	bob.Read(r.Anchor, r.RemoteIDs[1])
	b.settled()
	if got := b.Reports(); len(got) != 1 || got[0].Outbound != "d1" {
		t.Errorf("reports %+v", got)
	}
}

// One ghost goes, another stays: what is said then is for the one who stays.
func TestAGhostThatWasThrownOutIsNotWrittenTo(t *testing.T) {
	hs := newHomeserver(t)
	bob := hs.Human("bob", "")
	backend := sdktest.NewBackend()
	first := start(t, hs, backend)
	room := direct(t, hs, bob)
	const carol = "@_parley_sip_carol_example.com:hs.org"
	bob.Invite(room, carol)
	if err := hs.Await(t.Context(), func() bool { return hs.Membership(room, carol) == "join" }); err != nil {
		t.Fatal(err)
	}
	bob.Kick(room, alice)
	first.settled()
	first.close()
	second := start(t, hs, backend)
	bob.Say(room, "for carol")
	second.settled()
	bob.Kick(room, carol)
	bob.Invite(room, alice)
	if err := hs.Await(t.Context(), func() bool { return hs.Membership(room, alice) == "join" }); err != nil {
		t.Fatal(err)
	}
	bob.Say(room, "for alice")
	second.settled()
	var to []event.Address
	for _, in := range second.Inbounds() {
		to = append(to, in.Recipient)
	}
	if want := []event.Address{"sip:carol@example.com", "sip:alice@example.com"}; !slices.Equal(to, want) {
		t.Errorf("written to %q; want %q", to, want)
	}
}

func TestAMarkIsBelievedOfItsWriterOnly(t *testing.T) {
	hs := newHomeserver(t)
	bob := hs.Human("bob", "Bob")
	b := start(t, hs, sdktest.NewBackend(), "matrix:r/ops:hs.org")
	room := bob.Create(matrixtest.Room{Alias: "ops", Public: true})
	out := to("matrix:r/ops:hs.org", event.ModeRoom, "d1", "from outside")
	out.Mark = "the mark"
	b.deliver(out)
	written := hs.Messages(room)[0].Content[markKey]
	if got, ok := written.(map[string]any); !ok || got["text"] != "the mark" || got["as"] != alice {
		t.Fatalf("the message is marked %v", written)
	}
	for _, tc := range []struct {
		mark any
		want string
	}{
		{map[string]any{"text": "another bridge's", "as": bob.ID}, "another bridge's"},
		{written, ""}, // forwarded by hand, with all that is in it
		{"rubbish", ""},
	} {
		n := len(b.Inbounds())
		bob.Send(room, "m.room.message", map[string]any{"msgtype": "m.text", "body": "x", markKey: tc.mark})
		b.settled()
		if in := b.Inbounds()[n:]; len(in) != 1 || in[0].Mark != tc.want {
			t.Errorf("with %v came in %+v", tc.mark, in)
		}
	}
}

func TestAMarkIsLeftOutWhenThereIsNoRoomForIt(t *testing.T) {
	m := post{as: alice, mark: "the mark"}
	content := m.whole(map[string]any{"body": strings.Repeat("x", maxContent-20)})
	if _, marked := content[markKey]; marked {
		t.Errorf("an event of %d bytes was marked", size(content))
	}
}
