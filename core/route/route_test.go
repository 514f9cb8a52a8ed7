package route

import (
	"errors"
	"fmt"
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
			t.Skip()
		}
		d, err := tab.Find(Message{Connector: "matrix", Sender: sender, Recipient: "sip:alice@example.com"})
		if err != nil {
			t.Fatal(err)
		}
		back, err := tab.Find(Message{Connector: "sip", Sender: "sip:alice@example.com", Recipient: event.Address(normalised(string(d.Targets[0].From)))})
		if err != nil {
			t.Fatalf("the answer to %s: %v", d.Targets[0].From, err)
		}
		if back.Targets[0].Address != sender || !slices.Equal(back.Participants, d.Participants) {
			t.Fatalf("the answer to %s went to %s, want %s", d.Targets[0].From, back.Targets[0].Address, sender)
		}
	})
}

// normalised writes some unreserved characters as a strict peer may: %xx is
// the same as the character.
func normalised(uri string) string {
	return strings.NewReplacer("%2E", ".", "%2D", "-", "%5F", "_").Replace(uri)
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

// Two direct rules that New accepts never match one address.
func TestAcceptedPatternsAreNotAmbiguous(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		part := rapid.StringMatching(`[ab_]{0,2}`)
		rule := func(name string) Rule {
			x, y, z := part.Draw(t, "x"), part.Draw(t, "y"), part.Draw(t, "z")
			return Rule{Name: name, SIP: "sip:" + x + "{u}" + y + "{v}" + z + "@example.com", To: []string{"web:" + name + "/{u}:{v}"}}
		}
		tab, problems := New([]Rule{rule("one"), rule("two")}, setup())
		if len(problems) > 0 {
			return
		}
		user := rapid.StringMatching(`[ab_]{1,8}`).Draw(t, "user")
		matches := 0
		for _, r := range tab.rules {
			if _, ok := r.sip.match(user); ok {
				matches++
			}
		}
		if matches > 1 {
			t.Fatalf("%q matches %q and %q", user, tab.rules[0].Rule.SIP, tab.rules[1].Rule.SIP)
		}
	})
}

func TestExplain(t *testing.T) {
	tab := table(t)
	for _, tc := range []struct{ from, to, want string }{
		{"sip:alice@example.com", "sip:ops@example.com", `route "ops", a room`},
		{"sip:alice@example.com", "sip:bob@example.com", "no route is needed"},
		{"sip:carol@example.com", "sip:ops@example.com", "refused (403)"},
		{"sip:carol@example.com", "sip:nobody@example.com", "refused (404)"},
		{"web:u/eve", "sip:alice@example.com", "from sip:web-eve@example.com"},
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
