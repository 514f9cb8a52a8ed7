package sipedge

import (
	"regexp"
	"strings"
	"testing"
	"time"

	"parley.im/bus/event"
)

var support = Registration{
	Trunk: "pbx", AOR: "sip:700@pbx.example.net", To: "sip:support@example.com", Expires: 10 * time.Minute,
	Credentials: Credentials{User: "700", Password: "secret", Realm: "pbx.example.net"},
}

// enrolled is an edge that registers at a far server.
func enrolled(t *testing.T, network string) (*far, *fakeHost, *started) {
	t.Helper()
	f := newFar(t, network, "", nil)
	h, s := outward(t, Trunk{Servers: []string{f.uri(network)}}, func(c *Config) {
		c.Domains, c.Registrations = []string{"example.com"}, []Registration{support}
	})
	return f, h, s
}

var contactURI = regexp.MustCompile(`<(sip:[^>]+)>`)

// takes answers a REGISTER as a registrar does and returns the Contact's URI.
func (h heard) takes(t *testing.T, expires string) string {
	t.Helper()
	line, _, _ := strings.Cut(h.text, "\r\n")
	if line != "REGISTER sip:pbx.example.net SIP/2.0" {
		t.Fatalf("%s came", line)
	}
	contact := header1(h.text, "Contact")
	h.reply("200 OK", "Contact: <sip:other@192.0.2.1>;expires=5, "+contact+";expires="+expires)
	m := contactURI.FindStringSubmatch(contact)
	if m == nil {
		t.Fatalf("Contact is %q", contact)
	}
	return m[1]
}

// Parley registers, with credentials when asked, and what comes to the Contact
// is for whom the registration is, from whom the registrar says.
func TestRegistration(t *testing.T) {
	for _, network := range []string{"udp", "tcp"} {
		t.Run(network, func(t *testing.T) {
			f, h, s := enrolled(t, network)
			first := f.next()
			if from, to := header1(first.text, "From"), header1(first.text, "To"); to != "<sip:700@pbx.example.net>" || !strings.HasPrefix(from, to) {
				t.Errorf("from %s to %s", from, to)
			}
			first.reply("401 Unauthorized", challenge("pbx.example.net", "MD5", "n"))
			second := f.next()
			if header1(second.text, "CSeq") != "2 REGISTER" || header1(second.text, "Call-ID") != header1(first.text, "Call-ID") || !strings.Contains(header1(second.text, "Authorization"), `username="700"`) {
				t.Error(second.text)
			}
			contact := second.takes(t, "600")
			soon(t, func() bool { return s.Registrations()[0].Registered })

			p := dial(t, s, "udp")
			m := p.message(contact, "from the PBX")
			m.from = "<sip:100@pbx.example.net>;tag=x"
			if res := p.ask(m.String()); code(res) != "202" {
				t.Fatal(res)
			}
			if got := h.stored()[0]; got.Sender != "sip:100@pbx.example.net" || got.Recipient != "sip:support@example.com" {
				t.Errorf("from %s to %s", got.Sender, got.Recipient)
			}
			m = p.message(strings.Replace(contact, "sip:p-", "sip:q-", 1), "a guess") // nobody else is believed
			m.from = "<sip:100@pbx.example.net>;tag=x"
			if res := p.ask(m.String()); code(res)[:1] != "4" {
				t.Error(res)
			}

			d := by("o1") // what goes out for it goes out under the registered address
			d.From = "sip:support@example.com"
			c := deliver(s, d)
			got := f.next()
			if v := header1(got.text, "From"); !strings.Contains(v, "<sip:700@pbx.example.net>") || !strings.Contains(header1(got.text, "Authorization"), `username="700"`) {
				t.Error(got.text)
			}
			got.reply("200 OK")
			wantState(t, await(t, c), event.Delivered)

			stopped := make(chan struct{})
			go func() { s.stop(); close(stopped) }()
			last := f.next()
			if header1(last.text, "Expires") != "0" {
				t.Errorf("at the end comes %s", last.text)
			}
			last.takes(t, "0")
			<-stopped
		})
	}
}

// A registration is refreshed before it expires, with the time that the
// registrar grants, and again when the registrar's connection is gone.
func TestRegistrationIsRefreshed(t *testing.T) {
	f, _, s := enrolled(t, "tcp")
	first := f.next()
	first.reply("423 Interval Too Brief", "Min-Expires: 3600")
	second := f.next()
	if header1(second.text, "Expires") != "3600" {
		t.Error(second.text)
	}
	second.takes(t, "3600")
	soon(t, func() bool { return s.Registrations()[0].Registered })
	if left := time.Until(s.Registrations()[0].Until); left < 59*time.Minute || left > time.Hour {
		t.Errorf("until in %s", left)
	}
	second.close()
	third := f.next()
	if header1(third.text, "Contact") == header1(second.text, "Contact") {
		t.Error("the Contact is still the closed connection's")
	}
	third.takes(t, "3600")
	go func() {
		for h := range f.heard {
			h.reply("200 OK")
		}
	}()
}

// A registrar that refuses is asked again, and the reason can be seen.
func TestRegistrationThatFails(t *testing.T) {
	f, _, s := enrolled(t, "udp")
	f.next().reply("403 Forbidden")
	soon(t, func() bool { return strings.Contains(s.Registrations()[0].Why, "403 Forbidden") })
	f.next().reply("401 Unauthorized", challenge("elsewhere.example", "SHA-256", "n")) // after five seconds
	soon(t, func() bool { return strings.Contains(s.Registrations()[0].Why, `"elsewhere.example"`) })
	if r := s.Registrations()[0]; r.Registered {
		t.Errorf("%+v", r)
	}
	f.quiet()
}

func TestRegistrationsThatCantBe(t *testing.T) {
	for text, r := range map[string]Registration{
		"no trunk":           {Trunk: "x", AOR: "sip:1@pbx.example.net", To: "sip:a@example.com"},
		"not in a domain":    {Trunk: "pbx", AOR: "sip:1@elsewhere.example", To: "sip:a@example.com"},
		"not of this server": {Trunk: "pbx", AOR: "sip:1@pbx.example.net", To: "sip:a@elsewhere.example"},
	} {
		c := config(newHost())
		c.Trunks = []Trunk{{Name: "pbx", Domains: []string{"pbx.example.net"}}}
		c.Registrations = []Registration{r}
		if _, err := New(c, newHost()); err == nil || !strings.Contains(err.Error(), text) {
			t.Errorf("%v; want %q", err, text)
		}
	}
}
