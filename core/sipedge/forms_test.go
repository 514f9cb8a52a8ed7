package sipedge

import (
	"bytes"
	"compress/zlib"
	"context"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"parley.im/bus/event"
	"parley.im/plugins/content/composing"
	"parley.im/plugins/content/imdn"
	"parley.im/plugins/content/mapping"
	"parley.im/plugins/content/transfer"
)

// A device is a phone that answers each request as the test says.
type device struct {
	*probe
	t *testing.T
	s *started
}

func newDevice(t *testing.T, accept ...string) (*device, *fakeHost) {
	h := newHost()
	s := run(t, config(h), h)
	p := dial(t, s, "udp")
	p.online(h)
	if len(accept) > 0 {
		p.register("bob", "builder", "<sip:bob@"+p.local()+";transport=udp>", "600", "Accept: "+strings.Join(accept, ", "))
	}
	return &device{p, t, s}, h
}

// speaks sends something from the device, whose holder is bob.
func (d *device) speaks(body string, headers ...string) string {
	d.t.Helper()
	m := d.message("sip:lobby@example.com", body).with(headers...)
	m.from = "<sip:bob@example.com>;tag=f1"
	m.auth = login(d.challenge(), "bob", "builder", m.method, m.uri, 1)
	return d.ask(m.String())
}

// gets delivers d, gives the answers, and returns what came.
func (d *device) gets(m event.Delivery, answers ...string) (reqs []string, r delivered) {
	d.t.Helper()
	c := deliver(d.s, m)
	for _, a := range answers {
		req := d.mustRead()
		status, more, _ := strings.Cut(a, "|")
		if more != "" {
			d.reply(req, status, more)
		} else {
			d.reply(req, status)
		}
		reqs = append(reqs, req)
	}
	return reqs, await(d.t, c)
}

func saying(id, mediaType, text string) event.Delivery {
	d := delivery(id, text)
	d.MediaType = mediaType
	return d
}

func bodyIn(req string) string {
	_, body, _ := strings.Cut(req, "\r\n\r\n")
	return strings.TrimSpace(header1(req, "Content-Type")) + " " + body
}

// C10 C11: a phone of which nothing is known is asked by OPTIONS, once, when
// something would be lost on it, and gets what it takes.
func TestAPhoneIsAskedWhatItTakes(t *testing.T) {
	p, _ := newDevice(t)
	if reqs, r := p.gets(delivery("o0", "plain"), "200 OK"); len(reqs) != 1 || r.err != nil { // nothing is lost: nothing is asked
		t.Fatal(r.err)
	}
	reqs, r := p.gets(saying("o1", "text/markdown", "**now** x < y"), "200 OK|Accept: text/html, text/plain", "200 OK")
	if !strings.HasPrefix(reqs[0], "OPTIONS ") || bodyIn(reqs[1]) != "text/html;charset=utf-8 <p><strong>now</strong> x &lt; y</p>" || r.err != nil || len(r.Losses) != 0 {
		t.Errorf("%q, %+v, %v", reqs, r.Receipt, r.err)
	}
	reqs, r = p.gets(saying("o2", "text/html", "<i>x</i>"), "415 No|Accept: text/plain", "200 OK")
	if bodyIn(reqs[1]) != "text/plain;charset=utf-8 x" || r.err != nil || !slices.Equal(r.Losses, []string{"emphasis removed"}) {
		t.Errorf("%q, %+v, %v", reqs, r.Receipt, r.err)
	}
	if reqs, _ = p.gets(saying("o3", "text/html", "<i>y</i>"), "200 OK"); bodyIn(reqs[0]) != "text/plain;charset=utf-8 y" {
		t.Errorf("after a refusal: %q", reqs[0])
	}
}

// Between phones a body goes as it came, and after a 415 in the next best form.
func TestWhatComesFromAPhoneGoesAsItCameFirst(t *testing.T) {
	p, _ := newDevice(t)
	d := saying("o1", "text/html", "<b>hi</b>")
	d.Sender = "sip:alice@example.com"
	reqs, r := p.gets(d, "200 OK")
	if bodyIn(reqs[0]) != "text/html <b>hi</b>" || len(r.Losses) != 0 {
		t.Errorf("%q", reqs)
	}
	d.ID = "o2"
	reqs, r = p.gets(d, "415 No", "200 OK", "200 OK") // it is asked what it takes between
	if !strings.HasPrefix(reqs[1], "OPTIONS ") || bodyIn(reqs[2]) != "text/plain;charset=utf-8 hi" || r.err != nil {
		t.Errorf("%q, %v", reqs, r.err)
	}
	if header1(reqs[0], "CSeq") == header1(reqs[2], "CSeq") {
		t.Error("the next form is the same request")
	}
	p.register("bob", "builder", "<sip:bob@"+p.local()+";transport=udp>", "600", "Accept: text/plain")
	d.ID, d.MediaType, d.Data = "o4", "application/x-cipher", []byte("x") // phones name not all that they take of one another
	if reqs, r = p.gets(d, "200 OK"); !strings.HasSuffix(reqs[0], "\r\n\r\nx") || r.err != nil {
		t.Errorf("%q, %v", reqs, r.err)
	}
	d.ID, d.MediaType, d.Data = "o3", "video/mp4", []byte("\x00\x01")
	reqs, r = p.gets(d, "415 No")
	if len(reqs) != 1 || !event.IsPermanent(r.err) || !strings.Contains(r.err.Error(), "415") {
		t.Errorf("%q, %v", reqs, r.err)
	}
}

// C09: what a device has refused, and what it sends itself, is known over a
// restart, from its next REGISTER on.
func TestRefusalsAreKept(t *testing.T) {
	p, h := newDevice(t)
	d := saying("o1", "text/html", "<b>hi</b>")
	d.Sender = "sip:alice@example.com"
	if reqs, r := p.gets(d, "415 No", "200 OK", "200 OK"); len(reqs) != 3 || r.err != nil { // it is asked what it takes between
		t.Fatalf("%q, %v", reqs, r.err)
	}
	p.register("bob", "builder", "<sip:bob@"+p.local()+";transport=udp>", "600", "Accept: text/html, text/markdown")
	p.s.stop()
	p.s = run(t, config(h), h)
	known := p.s.phones.of("sip:bob@example.com").current(time.Now())[0].taste
	if known.takes("text/html") || !known.rejects("text/html") || !known.takes("text/markdown") {
		t.Errorf("%+v", known)
	}
}

func TestFilesGoInTheFormThatADeviceTakes(t *testing.T) {
	const links = "https://b.example/f/t0k3n"
	for name, tc := range map[string]struct {
		accept []string
		text   string
		want   string // of the body, in part
		losses []string
	}{
		"a link":        {[]string{"text/plain"}, "see", "see\n\na.png (image/png, 3 bytes): " + links + "/f1/a.png", []string{string(mapping.FileAsLink)}},
		"alone":         {[]string{"text/plain", "image/png"}, "", "image/png png", nil},
		"with words":    {[]string{"text/plain", "multipart/mixed"}, "see", "Content-Disposition: attachment; filename=a.png", nil},
		"RCS":           {[]string{"text/plain", transfer.MediaType}, "", `<data url="` + links + `/f1/a.png"/>`, []string{string(mapping.FileAsLink)}},
		"external body": {[]string{"text/plain", "message/external-body"}, "", `access-type=URL; URL="` + links + `/f1/a.png"`, []string{string(mapping.FileAsLink)}},
	} {
		p, h := newDevice(t, tc.accept...)
		h.media["r1"] = []byte("png")
		d := saying("o1", "text/plain", tc.text)
		d.Links = links
		d.Files = []event.File{{Name: "a.png", Content: event.Content{MediaType: "image/png", Ref: "r1", SHA256: "s", Size: 3}}}
		reqs, r := p.gets(d, "200 OK")
		if !strings.Contains(bodyIn(reqs[0]), tc.want) || r.err != nil || !slices.Equal(r.Losses, tc.losses) {
			t.Errorf("%s: %q, %+v, %v", name, bodyIn(reqs[0]), r.Receipt, r.err)
		}
	}
}

// C09: a device that refuses a notice gets none any more; of a failure it is
// told in words.
func TestANoticeThatIsRefusedIsNotSentAgain(t *testing.T) {
	p, _ := newDevice(t)
	status := func(id string, s event.State) event.Delivery {
		d := delivery(id, "404 Not Found")
		d.Kind, d.State, d.MessageID = event.KindStatus, s, "m1"
		return d
	}
	if _, r := p.gets(status("s1", event.Delivered), "415 No"); !event.IsPermanent(r.err) {
		t.Errorf("%v", r.err)
	}
	if _, r := p.gets(status("s2", event.Delivered)); !event.IsPermanent(r.err) {
		t.Errorf("%v", r.err)
	}
	reqs, r := p.gets(status("s3", event.Failed), "200 OK")
	if bodyIn(reqs[0]) != "text/plain;charset=utf-8 Not delivered. 404 Not Found" || r.err != nil {
		t.Errorf("%q, %v", reqs, r.err)
	}
}

// C08 C09: typing goes to whom it is known that they take it, and to nobody who
// has refused it.
func TestC08Typing(t *testing.T) {
	p, h := newDevice(t)
	sign := func(id string) event.Delivery {
		return event.Delivery{ID: id, Kind: event.KindTyping, Target: "sip:bob@example.com", From: "sip:lobby@example.com", Sender: "web:u/eve", Active: true, Attempt: 1}
	}
	if err := p.s.Typing(t.Context(), sign("t0")); err != nil {
		t.Error(err)
	}
	state := composing.State{Active: true, Refresh: 90 * time.Second}
	if res := p.speaks(string(state.XML("text/plain")), "Content-Type: "+composing.MediaType); code(res) != "202" { // nothing came before: the sign t0 was not sent
		t.Fatal(res)
	}
	if got := <-h.typing; got.Sender != "sip:bob@example.com" || got.Recipient != "sip:lobby@example.com" || !got.Active || got.Refresh != 90*time.Second {
		t.Errorf("%+v", got)
	}
	sent := make(chan error, 1)
	for i, answer := range []string{"200 OK", "415 No"} {
		for end, free := p.s.turns.tryTake("sip:bob@example.com"); ; end, free = p.s.turns.tryTake("sip:bob@example.com") {
			if free { // the sign before is over: while one is under way others are lost
				end()
				break
			}
			runtime.Gosched()
		}
		go func() { sent <- p.s.Typing(context.Background(), sign("t"+string(rune('1'+i)))) }()
		req := p.mustRead()
		got, err := composing.Parse([]byte(strings.SplitN(req, "\r\n\r\n", 2)[1]))
		if err != nil || !got.Active || header1(req, "Content-Type") != composing.MediaType {
			t.Errorf("%+v, %v", got, err)
		}
		p.reply(req, answer)
		if err := <-sent; (err == nil) != (i == 0) {
			t.Errorf("%s: %v", answer, err)
		}
	}
	if err := p.s.Typing(t.Context(), sign("t3")); err != nil {
		t.Errorf("after a refusal: %v", err)
	}
	if len(h.stored()) != 0 {
		t.Error("a sign of typing was stored")
	}
}

// C08 C09: Linphone sends typing compressed in CPIM, and is then sent typing.
func TestTypingAsLinphoneSendsIt(t *testing.T) {
	p, h := newDevice(t)
	state := composing.State{Active: true, Refresh: time.Minute}
	var deflated bytes.Buffer
	z := zlib.NewWriter(&deflated)
	fmt.Fprintf(z, "From: <sip:bob@example.com>\r\nTo: <sip:lobby@example.com>\r\n\r\nContent-Type: %s\r\n\r\n%s", composing.MediaType, state.XML("text/plain"))
	z.Close()
	if res := p.speaks(deflated.String(), "Content-Type: message/cpim", "Content-Encoding: deflate", "Expires: 0"); code(res) != "202" {
		t.Fatal(res)
	}
	if got := <-h.typing; !got.Active || got.Refresh != time.Minute {
		t.Errorf("%+v", got)
	}
}

// C08: who sends notices is tried, until it refuses.
func TestTypingIsTriedWhereNoticesComeFrom(t *testing.T) {
	p, _ := newDevice(t)
	notice := imdn.Notification{MessageID: "none", DateTime: time.Now(), Kind: imdn.Delivery, Status: imdn.Delivered}
	if res := p.speaks(string(notice.XML()), "Content-Type: "+imdn.MediaType); code(res) != "202" {
		t.Fatal(res)
	}
	sign := event.Delivery{ID: "t1", Kind: event.KindTyping, Target: "sip:bob@example.com", From: "sip:lobby@example.com", Sender: "web:u/eve", Active: true, Attempt: 1}
	sent := make(chan error, 1)
	go func() { sent <- p.s.Typing(context.Background(), sign) }()
	p.reply(p.mustRead(), "415 No")
	if err := <-sent; err == nil {
		t.Error("nobody is told that it was refused")
	}
	sign.ID = "t2"
	if err := p.s.Typing(t.Context(), sign); err != nil {
		t.Errorf("after a refusal: %v", err)
	}
}

// An address behind a trunk is remembered, too.
func TestFormsByATrunk(t *testing.T) {
	f := newFar(t, "udp", "127.0.0.1:0", nil)
	_, s := outward(t, Trunk{Servers: []string{f.uri("udp")}})
	d := by("o1")
	d.Sender, d.MediaType, d.Data = "sip:alice@example.com", "text/html", []byte("<b>hi</b>")
	c := deliver(s, d)
	f.next().reply("415 No", "Accept: text/plain")
	got := f.next()
	if !strings.HasSuffix(got.text, "\r\n\r\nhi") {
		t.Error(got.text)
	}
	got.reply("200 OK")
	wantState(t, await(t, c), event.Delivered)
	d.ID = "o2"
	c = deliver(s, d)
	got = f.next()
	if !strings.HasSuffix(got.text, "\r\n\r\nhi") {
		t.Error(got.text)
	}
	got.reply("200 OK")
	wantState(t, await(t, c), event.Delivered)
}

// longMarkdown is too much for one request over UDP in any form.
func longMarkdown() string { return strings.Repeat("The street is **closed** until tomorrow.\n\n", 40) }

// parts answers all parts of a text and returns it.
func (d *device) parts(c <-chan delivered) (text string, numbers []string, r delivered) {
	d.t.Helper()
	for {
		req := d.mustRead()
		number, part := partOf(d.t, req)
		d.reply(req, "200 OK")
		text, numbers = text+part, append(numbers, number)
		if i, n, _ := strings.Cut(number, "/"); i == n {
			return text, numbers, await(d.t, c)
		}
	}
}

// M13: what a phone takes goes to it only where its way takes it, too: formatted text
// that is too much for UDP goes as plain text, in parts.
func TestFormatsThatDontFitAreLeftOut(t *testing.T) {
	for name, accept := range map[string]string{"HTML": "text/html", "markdown": "text/markdown", "CPIM": "message/cpim", "all": "text/html, text/markdown, message/cpim"} {
		p, _ := newDevice(t, "text/plain", accept)
		text, numbers, r := p.parts(deliver(p.s, saying("o1", "text/markdown", longMarkdown())))
		if r.err != nil || len(numbers) < 2 || strings.Count(text, "The street is closed until tomorrow.") != 40 {
			t.Errorf("%s: %v, parts %v: %s", name, r.err, numbers, text)
		}
		if !slices.Equal(r.Losses, []string{"emphasis removed"}) {
			t.Errorf("%s: losses %q", name, r.Losses)
		}
		reqs, r := p.gets(saying("o2", "text/markdown", "**short**"), "200 OK")
		if name != "CPIM" && bodyIn(reqs[0]) == "text/plain;charset=utf-8 short" || r.err != nil {
			t.Errorf("%s: what fits goes as %q, %v", name, reqs, r.err)
		}
	}
}

// What came from a phone in its own form is mapped where it does not fit so.
func TestWhatComesFromAPhoneAndDoesNotFitIsMapped(t *testing.T) {
	p, _ := newDevice(t)
	for id, mediaType := range map[string]string{"o1": "text/html", "o2": "text/plain;charset=iso-8859-1"} {
		d := saying(id, mediaType, strings.Repeat("<p>Die Stra\xdfe</p>", 100))
		d.Sender = "sip:alice@example.com"
		c := deliver(p.s, d)
		if id == "o1" {
			p.reply(p.mustRead(), "200 OK") // OPTIONS
		}
		if text, numbers, r := p.parts(c); r.err != nil || len(numbers) < 2 || strings.Count(text, "Die Stra") != 100 {
			t.Errorf("%s: %v, parts %v: %s", mediaType, r.err, numbers, text)
		}
	}
}

// Files that a way does not take in a message become links, as do those whose
// names are too long to be named in a header.
func TestFilesThatDontFitBecomeLinks(t *testing.T) {
	const links = "https://b.example/f/t0k3n"
	for name, tc := range map[string]struct {
		accept, text, file string
		size               int
		want               string
	}{
		"alone":                {"image/png", "", "a.png", 2000, "a.png (image/png, 2 KB): " + links + "/f1/a.png"},
		"with words":           {mixedType, "see", "a.png", 2000, "see\n\na.png (image/png, 2 KB): " + links + "/f1/a.png"},
		"in a document":        {"image/png, " + transfer.MediaType, "", "a.png", 2000, `<data url="` + links + `/f1/a.png"/>`},
		"by a long name":       {externalType, "", strings.Repeat("Straße ", 16) + ".png", 2000, links + "/f1/Stra%C3%9Fe"},
		"small enough to go":   {"image/png", "", "a.png", 200, "image/png " + strings.Repeat("x", 200)},
		"small, in CPIM as so": {mixedType + ", message/cpim", "see", "a.png", 20, "Content-Disposition: attachment; filename=a.png"},
	} {
		p, h := newDevice(t, "text/plain", tc.accept)
		h.media["r1"] = []byte(strings.Repeat("x", tc.size))
		d := saying("o1", "text/plain", tc.text)
		d.Links = links
		d.Files = []event.File{{Name: tc.file, Content: event.Content{MediaType: "image/png", Ref: "r1", SHA256: "s", Size: int64(tc.size)}}}
		reqs, r := p.gets(d, "200 OK")
		if !strings.Contains(bodyIn(reqs[0]), tc.want) || r.err != nil || len(reqs[0]) > maxRequest {
			t.Errorf("%s: %q, %+v, %v", name, bodyIn(reqs[0]), r.Receipt, r.err)
		}
	}
}

// Of several files those go in the message that its way takes, the others as
// links.
func TestSmallFilesGoAlongWhereLargeOnesDont(t *testing.T) {
	const links = "https://b.example/f/t0k3n"
	p, h := newDevice(t, "text/plain", mixedType)
	h.media["small"] = []byte("a few bytes")
	d := saying("o1", "text/plain", "see")
	d.Links = links
	for _, f := range []struct {
		ref  string
		size int64
	}{{"small", 11}, {"large", 2000}} { // which is not even read
		d.Files = append(d.Files, event.File{Name: f.ref + ".txt", Content: event.Content{MediaType: "text/plain", Ref: f.ref, SHA256: "s", Size: f.size}})
	}
	reqs, r := p.gets(d, "200 OK")
	if body := bodyIn(reqs[0]); r.err != nil || !strings.Contains(body, "\r\n\r\na few bytes\r\n") || !strings.Contains(body, "large.txt (text/plain, 2 KB): "+links+"/f2/large.txt") {
		t.Errorf("%q, %v", reqs, r.err)
	}
}

// A way that is found to be too narrow only when a server is chosen has the same
// effect.
func TestFormatsThatDontFitATrunk(t *testing.T) {
	f := newFar(t, "tcp", "", nil)
	_, s := outward(t, Trunk{Servers: []string{f.uri("tcp")}})
	d := by("o1")
	d.MediaType, d.Data = "text/markdown", []byte("short")
	c := deliver(s, d)
	f.next().reply("415 No", "Accept: text/html, text/plain")
	got := f.next()
	if !strings.HasSuffix(got.text, "\r\n\r\n<p>short</p>") {
		t.Error(got.text)
	}
	got.reply("200 OK")
	wantState(t, await(t, c), event.Delivered)
	d.ID, d.Data = "o2", []byte(longMarkdown())
	c = deliver(s, d)
	for number := ""; number != "2/2"; {
		got = f.next()
		number, _ = partOf(t, got.text)
		got.reply("200 OK")
	}
	wantState(t, await(t, c), event.Delivered)
}
