package event

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestIDsDiffer(t *testing.T) {
	seen := map[string]string{}
	for _, tc := range []struct {
		name string
		id   string
	}{
		{"sip a b", InboundID("sip", "a", "b")},
		{"sip ab", InboundID("sip", "ab")},
		{"sip ab and nothing", InboundID("sip", "ab", "")},
		{"sip nothing and ab", InboundID("sip", "", "ab")},
		{"sipa b", InboundID("sipa", "b")},
		{"outbound", OutboundID("a", "web:b", 1)},
		{"outbound again", OutboundID("a", "web:b", 2)},
		{"outbound elsewhere", OutboundID("a", "web:b1", 1)},
		{"accepted", StatusID("a", Accepted)},
		{"delivered", StatusID("a", Delivered)},
		{"dead", DeadID("a")},
	} {
		if other, ok := seen[tc.id]; ok {
			t.Errorf("%s has the id of %s", tc.name, other)
		}
		seen[tc.id] = tc.name
		if len(tc.id) != 32 || strings.Trim(tc.id, "abcdefghijklmnopqrstuvwxyz234567") != "" {
			t.Errorf("%s: id %q", tc.name, tc.id)
		}
	}
}

func TestIDsDifferWhenABoundaryMoves(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		whole := rapid.StringN(2, -1, -1).Draw(t, "whole")
		i := rapid.IntRange(0, len(whole)).Draw(t, "i")
		j := rapid.IntRange(0, len(whole)).Draw(t, "j")
		a, b := InboundID("sip", whole[:i], whole[i:]), InboundID("sip", whole[:j], whole[j:])
		if (a == b) != (i == j) {
			t.Fatalf("%q cut at %d and %d: %s and %s", whole, i, j, a, b)
		}
	})
}

// TestIDsStay fails when ids change: the log is full of them.
func TestIDsStay(t *testing.T) {
	if got, want := OutboundID(InboundID("sip", "x"), "web:room/lobby", 1), "m5leewzcv4gr3prbndjdneiys4slvpr4"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestPartition(t *testing.T) {
	seen := map[int]bool{}
	for i := range 2000 {
		p := Partition(fmt.Sprint("lane", i))
		if p < 0 || p >= Partitions {
			t.Fatalf("partition %d", p)
		}
		seen[p] = true
	}
	if len(seen) != Partitions {
		t.Errorf("2000 lanes fall into %d of %d partitions", len(seen), Partitions)
	}
}

func TestPolicy(t *testing.T) {
	cause := errors.New("no such room")
	for _, tc := range []struct {
		name      string
		err       error
		permanent bool
		reason    Reason
		retry     bool
		scope     Scope
		after     time.Duration
	}{
		{"a plain error", cause, false, ReasonPermanent, false, ScopeMessage, 0},
		{"a permanent one", Permanent(cause), true, ReasonPermanent, false, ScopeMessage, 0},
		{"a refused one", Refused(cause), true, ReasonRefused, false, ScopeMessage, 0},
		{"a permanent one, wrapped", fmt.Errorf("deliver: %w", Permanent(cause)), true, ReasonPermanent, false, ScopeMessage, 0},
		{"wait for the target", Retry(ScopeTarget, time.Second, cause), false, ReasonPermanent, true, ScopeTarget, time.Second},
		{"wait, wrapped", fmt.Errorf("deliver: %w", Retry(ScopeConnector, UntilWoken, cause)), false, ReasonPermanent, true, ScopeConnector, UntilWoken},
		{"a negative wait", Retry(ScopeMessage, -1, cause), false, ReasonPermanent, true, ScopeMessage, 0},
	} {
		scope, after, retry := AsRetry(tc.err)
		if IsPermanent(tc.err) != tc.permanent || ReasonOf(tc.err) != tc.reason || retry != tc.retry || scope != tc.scope || after != tc.after {
			t.Errorf("%s: permanent %v, reason %s, retry %v %s after %s", tc.name, IsPermanent(tc.err), ReasonOf(tc.err), retry, scope, after)
		}
		if !errors.Is(tc.err, cause) || !strings.HasSuffix(tc.err.Error(), cause.Error()) {
			t.Errorf("%s: the cause is lost in %q", tc.name, tc.err)
		}
	}
	if Permanent(nil) != nil || Refused(nil) != nil || Retry(ScopeMessage, 0, nil) != nil {
		t.Error("no error became one")
	}
}

func TestAddress(t *testing.T) {
	for a, want := range map[Address]string{
		"sip:ann@example.com":  "",
		"matrix:r/room:hs.org": "",
		"SLACK:T0/C0":          "",
		"mailto:ü@example.com": "",
		"":                     "empty",
		"ann":                  "no scheme",
		"1sip:ann":             "no scheme",
		":ann":                 "no scheme",
		"sip:":                 "nothing after",
		"sip:a b":              "control character",
		"sip:a\r\nb":           "control character",
		"sip:\u202eann":        "control character",
		"sip:\xff":             "UTF-8",
		Address("sip:" + strings.Repeat("a", MaxAddress)): "at most",
	} {
		err := a.Check()
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%.40q: %v, want %q", string(a), err, want)
		}
	}
	if a := Address("SIP:Ann@x:5060"); a.Scheme() != "sip" || a.Rest() != "Ann@x:5060" {
		t.Errorf("%q and %q", a.Scheme(), a.Rest())
	}
}

func FuzzAddress(f *testing.F) {
	for _, s := range []string{"sip:ann@example.com", "", ":", "sip:\xff", "a:\u2066"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if a := Address(s); a.Check() == nil && (a.Scheme() == "" || a.Rest() == "" || strings.ContainsAny(s, "\r\n\x00 ")) {
			t.Errorf("%q passed", s)
		}
	})
}
