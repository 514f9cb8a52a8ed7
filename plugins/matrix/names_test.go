package matrix

import (
	"strings"
	"testing"

	"maunium.net/go/mautrix/id"
	"pgregory.net/rapid"

	"parley.im/bus/event"
)

var ours = names{prefix: "_parley_", aliases: "_parley_", domain: "hs.org", bot: "@_parley_bot:hs.org"}

func TestGhostsAreReadable(t *testing.T) {
	for _, tc := range []struct {
		author event.Address
		ghost  id.UserID
	}{
		{"sip:alice@example.com", "@_parley_sip_alice_example.com:hs.org"},
		{"sip:+4930123456@example.com", "@_parley_sip_+4930123456_example.com:hs.org"},
		{"sip:Alice_B@example.com", "@_parley_sip_=41lice=5f=42_example.com:hs.org"},
		{"slack:T0/U0", "@_parley_slack_=540=2f=550:hs.org"},
		{"mailto:bob@example.com", "@_parley_mailto_bob_example.com:hs.org"},
		{"web:u/eve", "@_parley_web_u=2feve:hs.org"},
		{"sip:zoë@example.com", "@_parley_sip_zo=c3=ab_example.com:hs.org"},
	} {
		got, err := ours.ghost(tc.author)
		if err != nil || got != tc.ghost {
			t.Errorf("ghost of %s: %s, %v; want %s", tc.author, got, err, tc.ghost)
		}
		if a, ok := ours.author(tc.ghost); !ok || a != tc.author {
			t.Errorf("author of %s: %s, %v; want %s", tc.ghost, a, ok, tc.author)
		}
	}
}

func TestOtherUsersStandForNobody(t *testing.T) {
	for _, u := range []id.UserID{
		"@_parley_bot:hs.org", "@bob:hs.org", "@_parley_sip_alice_example.com:other.org", "@_parley_sip_:hs.org", "@_parley__x:hs.org",
		"@_parley_sip_=61lice:hs.org", "@_parley_sip_=5F:hs.org", "@_parley_sip_=:hs.org", "@_parley_sip_=5:hs.org",
		"@_parley_sip_=40x:hs.org", "@_parley_sip_a=20b:hs.org", "@_parley_sip_a=00:hs.org", "@_parley_sip_a=ff:hs.org",
		"@_parley_SIP_alice:hs.org", "@_parley_9_alice:hs.org", "@_parley_sip_a/b:hs.org", "", "@", "@_parley_", ":hs.org",
		id.UserID("@_parley_sip_" + strings.Repeat("a", 255) + ":hs.org"),
	} {
		if a, ok := ours.author(u); ok {
			t.Errorf("%q stands for %q", u, a)
		}
	}
}

func TestAGhostWhoseNameIsTooLongIsRefused(t *testing.T) {
	room := maxID - len("@_parley_sip_:hs.org")
	if u, err := ours.ghost(event.Address("sip:" + strings.Repeat("a", room))); err != nil || len(u) != maxID {
		t.Errorf("%d bytes: %v", len(u), err)
	}
	if _, err := ours.ghost(event.Address("sip:" + strings.Repeat("a", room+1))); err == nil || !strings.Contains(err.Error(), "255") {
		t.Errorf("one byte more: %v", err)
	}
	if _, err := ours.ghost("sip:a b"); err == nil {
		t.Error("an address with a space has a ghost")
	}
}

func TestEveryGhostCanBeReadBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		scheme := rapid.StringMatching(`[a-z][a-z0-9+.-]{0,8}`).Draw(t, "scheme")
		a := event.Address(scheme + ":" + rapid.String().Draw(t, "rest"))
		u, err := ours.ghost(a)
		if err != nil {
			return
		}
		if back, ok := ours.author(u); !ok || back != a {
			t.Fatalf("%q became %q and %q", a, u, back)
		}
		if !ours.owns(u) {
			t.Fatalf("%q is not ours", u)
		}
		if err := id.ValidateUserLocalpart(u.Localpart()); err != nil {
			t.Fatal(err)
		}
	})
}

func FuzzLocalpart(f *testing.F) {
	for _, s := range []string{"sip_alice_example.com", "sip_=5f", "slack_=540=2f=550", "=", "_", "sip_=c3=ab", "p:i_3"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, local string) {
		u := ours.user(ours.prefix + local)
		a, ok := ours.author(u)
		if !ok {
			return
		}
		if back, err := ours.ghost(a); err != nil || back != u {
			t.Fatalf("%q stands for %q, whose ghost is %q, %v", u, a, back, err)
		}
	})
}

func TestAddresses(t *testing.T) {
	for _, tc := range []struct {
		address event.Address
		want    string // "" when it is none
	}{
		{"matrix:u/bob:hs.org", "@bob:hs.org"},
		{"matrix:r/ops:hs.org", "#ops:hs.org"},
		{"matrix:roomid/xyz:hs.org", "!xyz:hs.org"},
		{"matrix:roomid/xyz", "!xyz"},
		{"matrix:roomid/xyz:hs.org?via=a.org&via=b.org", "!xyz:hs.org"},
		{"matrix:u/a%2Fb:hs.org:8448", "@a/b:hs.org:8448"},
		{"MATRIX:u/bob:hs.org", "@bob:hs.org"},
		{"matrix:u/bob", ""}, {"matrix:u/:hs.org", ""}, {"matrix:u/bob:", ""}, {"matrix:e/x:y", ""}, {"matrix:bob:hs.org", ""},
		{"slack:u/bob:hs.org", ""}, {"matrix:u/%zz:hs.org", ""}, {"matrix:", ""}, {"", ""},
		{event.Address("matrix:u/" + strings.Repeat("a", 255) + ":hs.org"), ""},
	} {
		got, err := readAddress(tc.address)
		if got.id != tc.want || (err == nil) != (tc.want != "") {
			t.Errorf("%s: %q, %v; want %q", tc.address, got.id, err, tc.want)
		}
	}
	if a := userAddress("@a/b:hs.org"); a != "matrix:u/a%2Fb:hs.org" {
		t.Errorf("address %s", a)
	}
}

func TestAnchorsCanBeReadBack(t *testing.T) {
	for _, tc := range []struct {
		anchor string
		room   id.RoomID
		root   id.EventID
	}{
		{"!abc:hs.org", "!abc:hs.org", ""},
		{"!abc:hs.org/$e/v+x", "!abc:hs.org", "$e/v+x"},
		{"C0/1.2", "", ""}, {"", "", ""},
	} {
		if room, root := readAnchor(tc.anchor); room != tc.room || root != tc.root {
			t.Errorf("%s: %s %s", tc.anchor, room, root)
		}
		if got := anchor(tc.room, tc.root); tc.room != "" && got != tc.anchor {
			t.Errorf("anchor %s; want %s", got, tc.anchor)
		}
	}
}
