package route

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"parley.im/bus/event"
)

func setup() Setup {
	return Setup{
		Domains:  []string{"example.com", "pbx.example.com"},
		Accounts: []string{"sip:alice@example.com", "sip:bob@example.com", "sip:carol@example.com"},
		Schemes:  map[string][]string{"web": {"web"}, "matrix": {"matrix"}, "slack": {"team", "guests"}},
	}
}

func rules() []Rule {
	return []Rule{
		{Name: "matrix", SIP: "sip:m.{user}_{server}@example.com", To: []string{"matrix:u/{user}:{server}"}},
		{Name: "web", Mode: Direct, SIP: "sip:web-{user}@example.com", To: []string{"web:u/{user}"}},
		{Name: "support", Mode: Desk, SIP: "sip:support@example.com", To: []string{"slack:T0/C0", "web:room/support"}, Via: ""},
		{Name: "ops", Mode: Room, SIP: "sip:ops@example.com", Members: []string{"sip:alice@example.com", "sip:bob@pbx.example.com"},
			To: []string{"matrix:r/ops:hs.org", "web:room/ops"}},
	}
}

func table(t testing.TB) *Table {
	t.Helper()
	s := setup()
	s.Schemes["slack"] = []string{"team"}
	tab, problems := New(rules(), s)
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	return tab
}

func TestFind(t *testing.T) {
	tab := table(t)
	for _, tc := range []struct {
		name string
		m    Message
		want string // route: connector address<from …, or the error
	}{
		{"a local account needs no route", Message{Connector: "sip", Sender: "sip:alice@example.com", Recipient: "sip:bob@PBX.example.com:5070"},
			": sip sip:bob@example.com<sip:alice@example.com"},
		{"a SIP user writes to a user of a network", Message{Connector: "sip", Sender: "sip:alice@example.com", Recipient: "sip:web-eve@example.com"},
			"web: web web:u/eve<sip:alice@example.com"},
		{"and the user answers", Message{Connector: "web", Sender: "web:u/eve", SenderName: "Eve", Recipient: "sip:alice@example.com"},
			"web: sip sip:alice@example.com<sip:web-eve@example.com"},
		{"what a SIP user part can't hold is escaped", Message{Connector: "matrix", Sender: "matrix:u/a_b:hs.org:8448", Recipient: "sip:bob@example.com"},
			"matrix: sip sip:bob@example.com<sip:m.a=5fb_hs.org=3a8448@example.com"},
		{"and read again", Message{Connector: "sip", Sender: "sip:bob@example.com", Recipient: "sip:m.a=5fb_hs.org=3a8448@example.com"},
			"matrix: matrix matrix:u/a_b:hs.org:8448<sip:bob@example.com"},
		{"another spelling of the same name is no address", Message{Connector: "sip", Sender: "sip:bob@example.com", Recipient: "sip:web-=65ve@example.com"},
			"no route"},
		{"a name that would be read otherwise on the way back is no address", Message{Connector: "sip", Sender: "sip:bob@example.com", Recipient: "sip:m.a=3ab_hs@example.com"},
			"no route"},
		{"a member speaks in a room", Message{Connector: "sip", Sender: "sip:alice@example.com", Recipient: "sip:ops@example.com"},
			"ops: sip sip:bob@example.com<sip:ops@example.com, matrix matrix:r/ops:hs.org<sip:alice@example.com, web web:room/ops<sip:alice@example.com"},
		{"a channel speaks in a room", Message{Connector: "web", Sender: "web:u/eve", Recipient: "web:room/ops"},
			"ops: sip sip:alice@example.com<sip:ops@example.com, sip sip:bob@example.com<sip:ops@example.com, matrix matrix:r/ops:hs.org<web:u/eve"},
		{"a stranger is refused in a room", Message{Connector: "sip", Sender: "sip:carol@example.com", Recipient: "sip:ops@example.com"}, "forbidden"},
		{"a correspondent writes to the desk", Message{Connector: "sip", Sender: "sip:carol@example.com", Recipient: "sip:support@example.com"},
			"support: team slack:T0/C0<sip:carol@example.com, web web:room/support<sip:carol@example.com"},
		{"the desk answers in the thread", Message{Connector: "team", Sender: "slack:T0/U1", Recipient: "slack:T0/C0", Known: &Known{"support", "sip:carol@example.com"}},
			"support: sip sip:carol@example.com<sip:support@example.com, web web:room/support<slack:T0/U1"},
		{"talk at the desk outside a thread stays there", Message{Connector: "team", Sender: "slack:T0/U1", Recipient: "slack:T0/C0"}, "no route"},
		{"an address that nobody has", Message{Connector: "sip", Sender: "sip:alice@example.com", Recipient: "sip:nobody@example.com"}, "no route"},
		{"a domain that is not ours", Message{Connector: "sip", Sender: "sip:alice@example.com", Recipient: "sip:bob@elsewhere.org"}, "no route"},
		{"a channel that no route has", Message{Connector: "web", Sender: "web:u/eve", Recipient: "web:room/other"}, "no route"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			d, err := tab.Find(tc.m)
			if got := shown(d, err); got != tc.want {
				t.Errorf("Find(%+v)\n got %s\nwant %s", tc.m, got, tc.want)
			}
		})
	}
}

// Captures may be so wide that they could name a room's channel: who is not a
// member does not get in that way.
func TestADirectAddressIsNoWayIntoARoom(t *testing.T) {
	tab, problems := New([]Rule{
		{Name: "wide", SIP: "sip:w-{what}@example.com", To: []string{"web:{what}"}},
		{Name: "ops", Mode: Room, SIP: "sip:ops@example.com", Members: []string{"sip:alice@example.com"}, To: []string{"web:room/ops"}},
	}, setup())
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	for to, want := range map[event.Address]string{
		"sip:w-u=2feve@example.com":    "wide: web web:u/eve<sip:carol@example.com",
		"sip:w-room=2fops@example.com": "no route",
		"sip:w-=0a@example.com":        "no route",
	} {
		d, err := tab.Find(Message{Connector: "sip", Sender: "sip:carol@example.com", Recipient: to})
		if got := shown(d, err); got != want {
			t.Errorf("carol writes to %s: %s, want %s", to, got, want)
		}
	}
}

// A literal comes before a pattern on both sides of a direct route.
func TestThePlaceOfARoomWritesToNobodyDirectly(t *testing.T) {
	s := setup()
	s.Schemes["mailto"] = []string{"email"}
	tab, problems := New([]Rule{
		{Name: "mail", SIP: "sip:mail-{user}_{server}@example.com", To: []string{"mailto:{user}@{server}"}},
		{Name: "ops", Mode: Room, SIP: "sip:ops@example.com", Members: []string{"sip:alice@example.com"}, To: []string{"mailto:ops@hs.org"}},
	}, s)
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	for sender, want := range map[event.Address]bool{"mailto:bob@hs.org": true, "mailto:ops@hs.org": false} {
		_, err := tab.Find(Message{Connector: "email", Sender: sender, Recipient: "sip:alice@example.com"})
		if (err == nil) != want || err != nil && !errors.Is(err, ErrNoRoute) {
			t.Errorf("%s: %v", sender, err)
		}
	}
}

func TestALiteralComesFirst(t *testing.T) {
	for _, order := range [][]int{{0, 1}, {1, 0}} {
		both := []Rule{
			{Name: "any", SIP: "sip:w-{user}@example.com", To: []string{"web:u/{user}"}},
			{Name: "boss", SIP: "sip:w-boss@example.com", To: []string{"web:u/eve"}},
		}
		tab, problems := New([]Rule{both[order[0]], both[order[1]]}, setup())
		if len(problems) > 0 {
			t.Fatal(problems)
		}
		d, err := tab.Find(Message{Connector: "sip", Sender: "sip:carol@example.com", Recipient: "sip:w-boss@example.com"})
		if got := shown(d, err); got != "boss: web web:u/eve<sip:carol@example.com" {
			t.Errorf("to the boss: %s", got)
		}
		d, err = tab.Find(Message{Connector: "web", Sender: "web:u/eve", Recipient: "sip:carol@example.com"})
		if got := shown(d, err); got != "boss: sip sip:carol@example.com<sip:w-boss@example.com" {
			t.Errorf("from the boss: %s", got)
		}
	}
}

func TestAnAddressThatWouldBeTooLong(t *testing.T) {
	d, err := table(t).Find(Message{Connector: "web", Sender: event.Address("web:u/" + strings.Repeat("ä", 400)), Recipient: "sip:bob@example.com"})
	if got := shown(d, err); got != "no route" {
		t.Errorf("got %s", got)
	}
}

func shown(d Decision, err error) string {
	switch {
	case errors.Is(err, ErrForbidden):
		return "forbidden"
	case errors.Is(err, ErrNoRoute):
		return "no route"
	}
	var list []string
	for _, t := range d.Targets {
		list = append(list, fmt.Sprintf("%s %s<%s", t.Connector, t.Address, t.From))
	}
	return d.Route + ": " + strings.Join(list, ", ")
}

func TestMistakesInRules(t *testing.T) {
	for _, tc := range []struct {
		name  string
		rules []Rule
		want  string
	}{
		{"an unknown variable", []Rule{{SIP: "sip:w-{user}@example.com", To: []string{"web:u/{usr}"}}}, `0.to: unknown variable {usr}; sip has {user}`},
		{"captures that touch", []Rule{{SIP: "sip:{a}{b}@example.com", To: []string{"web:u/{a}{b}"}}}, "nothing between them"},
		{"two patterns that one address can match", []Rule{
			{Name: "a", SIP: "sip:w-{user}@example.com", To: []string{"web:u/{user}"}},
			{Name: "b", SIP: "sip:w-x{user}@example.com", To: []string{"matrix:u/{user}"}}}, `1.sip: one address can match this pattern and that of route "a"`},
		{"a literal inside a pattern is fine", []Rule{
			{Name: "a", SIP: "sip:w-{user}@example.com", To: []string{"web:u/{user}"}},
			{Name: "b", Mode: Room, SIP: "sip:w-room@example.com", To: []string{"web:room/a", "matrix:r/a"}}}, ""},
		{"an account in a pattern", []Rule{{SIP: "sip:{user}@example.com", To: []string{"web:u/{user}"}}}, "the account sip:alice@example.com matches this pattern"},
		{"one channel in two routes", []Rule{
			{Name: "a", Mode: Room, SIP: "sip:a@example.com", Members: []string{"sip:alice@example.com"}, To: []string{"web:room/x"}},
			{Name: "b", Mode: Desk, SIP: "sip:b@example.com", To: []string{"web:room/x"}}}, `web:room/x is in route "a" already`},
		{"one SIP address in two routes", []Rule{
			{Name: "a", Mode: Desk, SIP: "sip:a@example.com", To: []string{"web:room/x"}},
			{Name: "b", Mode: Desk, SIP: "sip:a@pbx.example.com", To: []string{"web:room/y"}}}, `is the address of route "a" already`},
		{"an unknown scheme", []Rule{{Mode: Desk, SIP: "sip:a@example.com", To: []string{"irc:x"}}}, `no connector has the scheme "irc" of irc:x; configured are matrix, slack, web`},
		{"several connectors", []Rule{{Mode: Desk, SIP: "sip:a@example.com", To: []string{"slack:T/C"}}}, `say which with via = "team"`},
		{"said which", []Rule{{Mode: Desk, SIP: "sip:a@example.com", To: []string{"slack:T/C"}, Via: "guests"}}, ""},
		{"a foreign domain", []Rule{{Mode: Desk, SIP: "sip:a@other.org", To: []string{"web:room/x"}}}, "other.org is not one of sip.domains"},
		{"an unknown mode", []Rule{{Mode: "chat", SIP: "sip:a@example.com", To: []string{"web:room/x"}}}, `"chat" is no mode`},
		{"a capture after the @", []Rule{{SIP: "sip:a@{host}", To: []string{"web:u/{host}"}}}, "captures stand in the user part"},
		{"an account's address", []Rule{{Mode: Desk, SIP: "sip:bob@example.com", To: []string{"web:room/x"}}}, "sip:bob@example.com is an account"},
		{"a separator that looks like an escape", []Rule{{SIP: "sip:w-{a}aa{b}@example.com", To: []string{"web:u/{a}:{b}"}}}, `"aa" between two captures could be a part of an escape`},
		{"literals that only begin and end alike are fine", []Rule{
			{Name: "a", SIP: "sip:xx@example.com", To: []string{"web:u/xx"}},
			{Name: "b", SIP: "sip:xax@example.com", To: []string{"web:u/xax"}}}, ""},
		{"an address on the other network may be one capture", []Rule{{SIP: "sip:w-{user}@example.com", To: []string{"web:{user}"}}}, ""},
		{"a room's channel as the end of a direct route", []Rule{
			{Name: "a", Mode: Room, SIP: "sip:a@example.com", Members: []string{"sip:alice@example.com"}, To: []string{"web:room/x"}},
			{Name: "b", SIP: "sip:b@example.com", To: []string{"web:room/x"}}}, `web:room/x is in route "a" already`},
		{"a member that is misspelled", []Rule{{Mode: Room, SIP: "sip:a@example.com", Members: []string{"sip:alcie@example.com", "sip:bob@example.com"}, To: []string{"web:room/x"}}},
			"sip:alcie@example.com is no account"},
		{"a member twice, by two names of the domain", []Rule{{Mode: Room, SIP: "sip:a@example.com", Members: []string{"sip:bob@example.com", "sip:bob@pbx.example.com"}}},
			"sip:bob@example.com stands there twice"},
		{"a room for one", []Rule{{Mode: Room, SIP: "sip:a@example.com", To: []string{"web:room/x"}}}, "needs two"},
		{"nothing but a name", []Rule{{Name: "a"}}, "0.sip: missing"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, problems := New(tc.rules, setup())
			var all []string
			for _, p := range problems {
				all = append(all, fmt.Sprintf("%d.%s: %s", p.Rule, p.Field, p.Text))
			}
			if got := strings.Join(all, "\n"); (tc.want == "") != (got == "") || !strings.Contains(got, tc.want) {
				t.Errorf("problems:\n%s\nwant %q", got, tc.want)
			}
		})
	}
}

// Any user of a network gets a SIP address that leads back to that user, also
// through the normalisation of RFC 3261, section 19.1.4, and the answer to an
// answer reaches the first sender.
func TestAnAnswerFindsItsWayBack(t *testing.T) {
	tab := table(t)
	rapid.Check(t, func(t *rapid.T) {
		user := rapid.StringMatching(`[^\s:\x00-\x1f\x7f-\x9f\p{Cf}\p{Z}]{1,20}`).Draw(t, "user")
		server := rapid.StringMatching(`[a-z0-9._:-]{1,20}`).Draw(t, "server")
		sender := event.Address("matrix:u/" + user + ":" + server)
		if sender.Check() != nil {
			return // no connector may name such a sender
		}
		d, err := tab.Find(Message{Connector: "matrix", Sender: sender, Recipient: "sip:alice@example.com"})
		if err != nil {
			t.Fatal(err)
		}
		back, err := tab.Find(Message{Connector: "sip", Sender: "sip:alice@example.com", Recipient: respelled(t, d.Targets[0].From)})
		if err != nil {
			t.Fatalf("the answer to %s: %v", d.Targets[0].From, err)
		}
		if back.Targets[0].Address != sender || !slices.Equal(back.Participants, d.Participants) {
			t.Fatalf("the answer to %s went to %s, want %s", d.Targets[0].From, back.Targets[0].Address, sender)
		}
	})
}

// respelled writes a SIP address in another way that RFC 3261, section 19.1.4,
// calls equal: unreserved characters percent-encoded, the host in upper case, a
// port that matters to no route.
func respelled(t *rapid.T, a event.Address) event.Address {
	user, host, _ := strings.Cut(a.Rest(), "@")
	var b strings.Builder
	for i := range len(user) {
		if c := user[i]; unreserved(c) && rapid.Bool().Draw(t, "encode") {
			fmt.Fprintf(&b, "%%%02x", c)
		} else {
			b.WriteByte(c)
		}
	}
	return event.Address("sip:" + b.String() + "@" + strings.ToUpper(host) + rapid.SampledFrom([]string{"", ":5060", ";transport=tcp"}).Draw(t, "rest"))
}

// Whatever is between the captures of a pattern that New accepts, what was
// filled in is read again.
func TestWhatWasFilledInIsReadAgain(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		part := rapid.StringMatching(`[ab0_.-]{0,3}`)
		p, err := parseSIP("sip:" + part.Draw(t, "x") + "{u}" + part.Draw(t, "y") + "{v}" + part.Draw(t, "z") + "@example.com")
		if err != nil {
			return
		}
		value := rapid.OneOf(rapid.StringMatching(`[ab0_.=:-]{1,6}`), rapid.StringN(1, 8, -1))
		want := map[string]string{"u": value.Draw(t, "u"), "v": value.Draw(t, "v")}
		user := p.fill(want)
		got, ok := p.match(user)
		if !ok || !maps.Equal(got, want) {
			t.Fatalf("%q filled with %q is %q, read again it is %q (%v)", p.user.text, want, user, got, ok)
		}
		if decodeUnreserved(user) != user {
			t.Fatalf("%q is respelled as %q", user, decodeUnreserved(user))
		}
	})
}

// Whatever way in, a message never goes back to where it came from.
func TestNothingGoesBackToWhereItCameFrom(t *testing.T) {
	tab := table(t)
	people := map[string][]event.Address{ // who can speak by a connector
		"sip":    {"sip:alice@example.com", "sip:bob@example.com", "sip:carol@example.com"},
		"web":    {"web:u/eve"},
		"matrix": {"matrix:u/a:b"},
		"team":   {"slack:T0/U1"},
	}
	places := []event.Address{"sip:alice@example.com", "sip:bob@example.com", "sip:ops@example.com", "sip:support@example.com",
		"sip:web-eve@example.com", "web:u/eve", "web:room/ops", "web:room/support", "matrix:r/ops:hs.org", "slack:T0/C0"}
	rapid.Check(t, func(t *rapid.T) {
		connector := rapid.SampledFrom([]string{"sip", "web", "matrix", "team"}).Draw(t, "connector")
		m := Message{Connector: connector,
			Sender:    rapid.SampledFrom(people[connector]).Draw(t, "sender"),
			Recipient: rapid.SampledFrom(places).Draw(t, "recipient")}
		if m.Sender == m.Recipient {
			return
		}
		d, err := tab.Find(m)
		if err != nil {
			return
		}
		for _, target := range d.Targets {
			if target.Address == m.Sender || target.Connector == m.Connector && m.Connector != "sip" && target.Address == m.Recipient {
				t.Fatalf("%+v goes back to %s", m, target.Address)
			}
		}
	})
}

// Two direct rules that New accepts never match one address, whichever side it
// is on.
func TestAcceptedPatternsAreNotAmbiguous(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		part := rapid.StringMatching(`[pq_]{0,2}`)
		draw := func(name string) Rule {
			x, y, z := part.Draw(t, "x"), part.Draw(t, "y"), part.Draw(t, "z")
			return Rule{Name: name, SIP: "sip:" + x + "{u}" + y + "{v}" + z + "@example.com", To: []string{"web:" + z + "{u}/{v}" + x}}
		}
		tab, problems := New([]Rule{draw("one"), draw("two")}, setup())
		if len(problems) > 0 {
			return
		}
		user := rapid.StringMatching(`[pq_]{1,8}`).Draw(t, "user")
		to := "web:" + rapid.StringMatching(`[pq_/]{1,8}`).Draw(t, "to")
		a, b := tab.rules[0], tab.rules[1]
		_, sipA := a.sip.match(user)
		_, sipB := b.sip.match(user)
		_, toA := a.to[0].pattern.match(to)
		_, toB := b.to[0].pattern.match(to)
		if sipA && sipB || toA && toB {
			t.Fatalf("%q or %q matches %+v and %+v", user, to, a.Rule, b.Rule)
		}
	})
}

// overlaps agrees with trying all short texts: it never misses one, and is
// exact for a single capture.
func TestOverlapsAgreesWithTrying(t *testing.T) {
	var texts []string
	for n, last := 0, []string{""}; n < 6; n++ {
		var next []string
		for _, s := range last {
			next = append(next, s+"p", s+"q")
		}
		texts, last = append(texts, next...), next
	}
	rapid.Check(t, func(t *rapid.T) {
		shape := rapid.SampledFrom([]string{"p", "q", "pq", "pp{a}", "{a}q", "q{a}", "p{a}q", "{a}p{b}", "p{a}q{b}", "{a}", "qp{a}p"})
		p, errP := parse(shape.Draw(t, "p"))
		q, errQ := parse(shape.Draw(t, "q"))
		if errP != nil || errQ != nil {
			t.Fatal(errP, errQ)
		}
		both := slices.IndexFunc(texts, func(s string) bool {
			_, a := p.match(s)
			_, b := q.match(s)
			return a && b
		})
		exact := len(p.names) < 2 && len(q.names) < 2 // else it errs on the side of yes
		if got := p.overlaps(q); got != (both >= 0) && (exact || !got) {
			t.Fatalf("%q overlaps %q: %v; trying says %v", p.text, q.text, got, both >= 0)
		}
	})
}

func TestExplain(t *testing.T) {
	tab := table(t)
	for _, tc := range []struct{ from, to, want string }{
		{"sip:alice@example.com", "sip:ops@example.com", `route "ops", a room: sip`},
		{"sip:alice@example.com", "sip:bob@example.com", "no route is needed"},
		{"sip:carol@example.com", "sip:ops@example.com", "refused (403)"},
		{"sip:carol@example.com", "sip:nobody@example.com", "refused (404)"},
		{"web:u/eve", "sip:alice@example.com", "An answer to sip:web-eve@example.com goes to web:u/eve, from sip:alice@example.com."},
		{"sip:alice@example.com", "sip:web-eve@example.com", `route "web", a direct route: sip`},
		{"sip:alice@example.com", "web:room/ops", "SIP users reach it by sip:ops@example.com"},
		{"sip:alice@elsewhere.org", "sip:bob@example.com", "An answer to sip:alice@elsewhere.org has no way back"},
		{"slack:T0/U1", "slack:T0/C0", "is the desk of"},
		{"irc:x", "sip:alice@example.com", "no connector has the scheme"},
	} {
		if got := tab.Explain(event.Address(tc.from), event.Address(tc.to)); !strings.Contains(got, tc.want) {
			t.Errorf("Explain(%s, %s)\n%s\nwant %q", tc.from, tc.to, got, tc.want)
		}
	}
}

func FuzzNewAndFind(f *testing.F) {
	f.Add("sip:{a}_{b}@example.com", "web:u/{a}:{b}", "sip:x_y@example.com")
	f.Add("sip:@", "{", "sip:@:@")
	f.Add("sip:a=[::1]:5@]:", "web:}", "sips:%41@[::1]:5060")
	f.Fuzz(func(_ *testing.T, sip, to, address string) {
		for _, mode := range []string{Direct, Desk, Room} {
			tab, _ := New([]Rule{{Mode: mode, SIP: sip, To: []string{to}, Members: []string{address}}}, setup())
			for _, connector := range []string{"sip", "web"} {
				_, _ = tab.Find(Message{Connector: connector, Sender: "sip:alice@example.com", Recipient: event.Address(address)})
				_, _ = tab.Find(Message{Connector: connector, Sender: event.Address(address), Recipient: "sip:alice@example.com"})
			}
			_ = tab.Explain(event.Address(address), event.Address(to))
		}
	})
}

// Who is behind a trunk is a SIP user like our own, but is reached only by our
// accounts, by users of a network and from rooms and desks.
func TestTrunks(t *testing.T) {
	s := setup()
	s.Schemes["slack"] = []string{"team"}
	s.Trunks = [][]string{{"carrier.net", "sbc.carrier.net"}, {"other.org"}}
	all := rules()
	all[3].Members = append(all[3].Members, "sip:+49301@SBC.carrier.net")
	tab, problems := New(all, s)
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	for _, tc := range []struct {
		name string
		m    Message
		want string
	}{
		{"an account dials out", Message{Connector: "sip", Sender: "sip:alice@example.com", Recipient: "sip:+49302@sbc.carrier.net"},
			": sip sip:+49302@carrier.net<sip:alice@example.com"},
		{"and is dialled", Message{Connector: "sip", Sender: "sip:+49302@sbc.carrier.net", Recipient: "sip:alice@example.com"},
			": sip sip:alice@example.com<sip:+49302@carrier.net"},
		{"nobody goes from trunk to trunk", Message{Connector: "sip", Sender: "sip:x@other.org", Recipient: "sip:+49302@carrier.net"}, "no route"},
		{"nor does a stranger", Message{Connector: "sip", Sender: "sip:x@elsewhere.org", Recipient: "sip:+49302@carrier.net"}, "no route"},
		{"a user of a network writes to a number", Message{Connector: "web", Sender: "web:u/eve", Recipient: "sip:+49302@carrier.net"},
			"web: sip sip:+49302@carrier.net<sip:web-eve@example.com"},
		{"but not to anybody", Message{Connector: "web", Sender: "web:u/eve", Recipient: "sip:x@elsewhere.org"}, "no route"},
		{"a member of a room", Message{Connector: "sip", Sender: "sip:+49301@carrier.net", Recipient: "sip:ops@example.com"},
			"ops: sip sip:alice@example.com<sip:ops@example.com sip sip:bob@example.com<sip:ops@example.com matrix matrix:r/ops:hs.org<sip:+49301@carrier.net web web:room/ops<sip:+49301@carrier.net"},
		{"a correspondent of a desk", Message{Connector: "sip", Sender: "sip:+49302@sbc.carrier.net", Recipient: "sip:support@example.com"},
			"support: team slack:T0/C0<sip:+49302@carrier.net web web:room/support<sip:+49302@carrier.net"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			d, err := tab.Find(tc.m)
			got := d.Route + ":"
			for _, x := range d.Targets {
				got += fmt.Sprintf(" %s %s<%s", x.Connector, x.Address, x.From)
			}
			if err != nil {
				got = err.Error()
			}
			if got != tc.want && (err == nil || !strings.HasPrefix(got, tc.want)) {
				t.Errorf("got  %s\nwant %s", got, tc.want)
			}
		})
	}
}
