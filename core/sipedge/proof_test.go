package sipedge

import (
	"fmt"
	"strings"
	"testing"

	"parley.im/bus/event"
)

var pbxLogin = Credentials{User: "parley", Password: "secret", Realm: "pbx.example.net"}

func challenge(realm, algorithm, nonce string) string {
	return fmt.Sprintf(`WWW-Authenticate: Digest realm="%s", nonce="%s", qop="auth", algorithm=%s`, realm, nonce, algorithm)
}

func proxyChallenge(realm, algorithm, nonce string) string {
	return strings.Replace(challenge(realm, algorithm, nonce), "WWW-Authenticate", "Proxy-Authenticate", 1)
}

// proves tells whether a request has the right response to a challenge.
func proves(t *testing.T, h heard, header, algorithm, nonce string, nc int) {
	t.Helper()
	got := header1(h.text, header)
	m := map[string]string{}
	for _, kv := range param.FindAllStringSubmatch(strings.TrimPrefix(got, "Digest "), -1) {
		m[kv[1]] = kv[2]
	}
	if m["nonce"] != nonce || !strings.EqualFold(m["algorithm"], algorithm) || m["nc"] != fmt.Sprintf("%08x", nc) {
		t.Fatalf("%s is %q", header, got)
	}
	line, _, _ := strings.Cut(h.text, "\r\n")
	uri := strings.Fields(line)[1]
	asked := strings.TrimPrefix(challenge(m["realm"], algorithm, nonce), "WWW-Authenticate: ")
	if want := loginWith(asked, "parley", "secret", "MESSAGE", uri, m["cnonce"], nc); !strings.Contains(want, `response="`+m["response"]+`"`) {
		t.Errorf("got %s\nwant %s", got, want)
	}
}

// M24 A01: a challenge is answered once, by the strongest algorithm, in a new
// request of the same call. The next request needs no challenge.
func TestM24Challenged(t *testing.T) {
	for _, c := range []struct {
		name, status, header string
		ask                  func(realm, algorithm, nonce string) string
	}{
		{"401", "401 Unauthorized", "Authorization", challenge},
		{"407", "407 Proxy Authentication Required", "Proxy-Authorization", proxyChallenge},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := newFar(t, "udp", "", nil)
			_, s := outward(t, Trunk{Servers: []string{f.uri("udp")}, Credentials: pbxLogin})
			d := deliver(s, by("o1"))
			first := f.next()
			if header1(first.text, c.header) != "" {
				t.Error("credentials without a challenge")
			}
			first.reply(c.status, c.ask("pbx.example.net", "MD5", "n0"), c.ask("pbx.example.net", "SHA-256", "n1"), c.ask("pbx.example.net", "MD5", "n2"))
			second := f.next()
			proves(t, second, c.header, "SHA-256", "n1", 1)
			if header1(second.text, "CSeq") != "2 MESSAGE" || header1(first.text, "Call-ID") != header1(second.text, "Call-ID") ||
				branch.FindString(first.text) == branch.FindString(second.text) {
				t.Errorf("not another request of the same call:\n%s\n%s", first.text, second.text)
			}
			second.reply("202 Accepted")
			wantState(t, await(t, d), event.Accepted)

			d = deliver(s, by("o2"))
			third := f.next()
			proves(t, third, c.header, "SHA-256", "n1", 2)
			third.reply(c.status, c.ask("pbx.example.net", "SHA-256", "n3")+", stale=true")
			fourth := f.next()
			proves(t, fourth, c.header, "SHA-256", "n3", 1)
			fourth.reply("200 OK")
			wantState(t, await(t, d), event.Delivered)
		})
	}
}

// M24: nobody but the configured server of the configured realm ever gets an
// answer to a challenge, and not a second one.
func TestM24NothingLeaks(t *testing.T) {
	noCredentials := func(t *testing.T, h heard) {
		t.Helper()
		if strings.Contains(h.text, "uthorization:") {
			t.Errorf("credentials went out:\n%s", h.text)
		}
	}
	with := func(t *testing.T, c Credentials) (*far, *started) {
		f := newFar(t, "udp", "", nil)
		_, s := outward(t, Trunk{Servers: []string{f.uri("udp")}, Credentials: c}, func(c *Config) { c.Domains = []string{"example.com"} })
		return f, s
	}
	t.Run("foreign realm", func(t *testing.T) {
		f, s := with(t, pbxLogin)
		d := deliver(s, by("o1"))
		f.next().reply("401 Unauthorized", challenge("other.example.net", "SHA-256", "n"))
		wantFailed(t, await(t, d), event.ReasonPermanent, `"other.example.net"`)
		f.quiet()
	})
	t.Run("weaker algorithm", func(t *testing.T) {
		strong := pbxLogin
		strong.Digest = []string{"SHA-256"}
		f, s := with(t, strong)
		d := deliver(s, by("o1"))
		f.next().reply("401 Unauthorized", challenge("pbx.example.net", "MD5", "n"))
		wantFailed(t, await(t, d), event.ReasonPermanent, "MD5")
		f.quiet()
	})
	t.Run("unknown algorithm", func(t *testing.T) {
		f, s := with(t, pbxLogin)
		d := deliver(s, by("o1"))
		f.next().reply("401 Unauthorized", challenge("pbx.example.net", "ROT13", "n"), "WWW-Authenticate: Basic realm=\"pbx.example.net\"", "WWW-Authenticate: Digest")
		wantFailed(t, await(t, d), event.ReasonPermanent, "ROT13")
		f.quiet()
	})
	t.Run("no credentials", func(t *testing.T) {
		f, s := with(t, Credentials{})
		d := deliver(s, by("o1"))
		f.next().reply("401 Unauthorized", challenge("pbx.example.net", "SHA-256", "n"))
		wantFailed(t, await(t, d), event.ReasonPermanent, "none are configured")
		f.quiet()
	})
	t.Run("ten challenges", func(t *testing.T) {
		f, s := with(t, pbxLogin)
		d := deliver(s, by("o1"))
		for i := range 2 { // the request, and the one answer
			f.next().reply("401 Unauthorized", challenge("pbx.example.net", "SHA-256", fmt.Sprint("n", i)))
		}
		wantFailed(t, await(t, d), event.ReasonPermanent, "does not take")
		for i := range 8 {
			d := deliver(s, by(fmt.Sprint("next", i)))
			f.next().reply("401 Unauthorized", challenge("pbx.example.net", "SHA-256", fmt.Sprint("m", i)))
			f.next().reply("401 Unauthorized", challenge("pbx.example.net", "SHA-256", fmt.Sprint("k", i)))
			wantFailed(t, await(t, d), event.ReasonPermanent, "does not take")
		}
		f.quiet()
	})
	t.Run("a stranger to whom it redirects", func(t *testing.T) {
		f, s := with(t, pbxLogin)
		d := deliver(s, by("o1")) // so that a challenge is known
		f.next().reply("401 Unauthorized", challenge("pbx.example.net", "SHA-256", "n"))
		f.next().reply("200 OK")
		await(t, d)
		stranger := newFar(t, "udp", "", nil)
		d = deliver(s, by("o2"))
		f.next().reply("302 Moved Temporarily", "Contact: <sip:x@"+stranger.addr+";transport=udp>")
		got := stranger.next()
		noCredentials(t, got)
		got.reply("401 Unauthorized", challenge("pbx.example.net", "SHA-256", "n"))
		wantFailed(t, await(t, d), event.ReasonPermanent, "redirects")
		stranger.quiet()
	})
	t.Run("a phone", func(t *testing.T) {
		h := newHost()
		c := config(h)
		c.Trunks = []Trunk{{Name: "pbx", Domains: []string{"pbx.example.net"}, Credentials: pbxLogin}}
		s := run(t, c, h)
		p := dial(t, s, "udp")
		p.online(h)
		d := deliver(s, delivery("o1", "x"))
		p.reply(p.mustRead(), "407 Proxy Authentication Required", proxyChallenge("pbx.example.net", "SHA-256", "n"))
		wantFailed(t, await(t, d), event.ReasonPermanent, "credentials")
		if again := p.read(50e6); again != "" {
			t.Errorf("then came %s", again)
		}
	})
}
