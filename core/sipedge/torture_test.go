package sipedge

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/emiago/sipgo/sip"

	"parley.im/bus/event"
)

// torture is a message of RFC 4475 or RFC 5118 and what a server of MESSAGE,
// REGISTER and OPTIONS owes to it.
type torture struct {
	file   string
	method string // put in the place of its own, so that there is more to say of it than 405
	user   string // the account that answers the challenge it gets
	want   string // the codes that are right; none if it has to be ignored
	has    string // in the answer
	to     event.Address
	tcp    string // what becomes of a TCP connection that is not as before: it "ends", or is "left" alone since more may come or rubbish has come
	gap    string // why the answer is another one as yet
}

// as4475 has the sections of RFC 4475 in their order. Where it leaves a choice
// there are several codes.
var as4475 = []torture{
	// 3.1.1: valid messages.
	{file: "wsinv", want: "405"},                    // 3.1.1.1: well-formed
	{file: "wsinv", method: "MESSAGE", want: "481"}, // its To has a tag
	{file: "intmeth", want: "501"},                  // 3.1.1.2: endpoints say 501
	{file: "intmeth", method: "MESSAGE", want: "202", to: "sip:1_unusual.URI~(to-be!sure)&isn't+it$/crazy?,/;;*@example.com"},
	{file: "esc01", want: "405"}, // 3.1.1.3: well-formed
	{file: "esc01", method: "MESSAGE", want: "202", to: "sip:sips%3Auser%40example.com@example.com"},
	{file: "escnull", want: "401"},                  // 3.1.1.4: well-formed; but nobody here has such a name
	{file: "esc02", want: "501"},                    // 3.1.1.5: an unknown method, not REGISTER
	{file: "esc02", method: "MESSAGE", want: "404"}, // well-formed; nobody is named in its Request-URI
	{file: "lwsdisp", want: "200"},                  // 3.1.1.6: to be accepted
	{file: "lwsdisp", method: "MESSAGE", want: "202"},
	{file: "longreq", want: "405"}, // 3.1.1.7: well-formed
	{file: "longreq", method: "MESSAGE", want: "202"},
	{file: "dblreq", user: "j.user", want: "200", tcp: "left"}, // 3.1.1.8: what follows in the datagram is ignored
	{file: "semiuri", want: "200"},                             // 3.1.1.9: well-formed
	{file: "semiuri", method: "MESSAGE", want: "202", to: "sip:user;par=u%40example.net@example.com"},
	{file: "transports", want: "200"}, // 3.1.1.10: well-formed
	{file: "transports", method: "MESSAGE", want: "202"},
	{file: "mpart01", want: "202", to: "sip:kumiko@example.com"}, // 3.1.1.11: well-formed
	{file: "unreason"}, // 3.1.1.12: a response
	{file: "noreason"}, // 3.1.1.13: a response

	// 3.1.2: invalid messages.
	{file: "badinv01", want: "400"}, // 3.1.2.1
	{file: "badinv01", method: "MESSAGE", want: "400"},
	{file: "clerr", want: "400", tcp: "left"}, // 3.1.2.2: 400 over UDP; over TCP the rest is waited for
	{file: "clerr", method: "MESSAGE", want: "400", tcp: "left"},
	{file: "ncl", want: "400", tcp: "ends"}, // 3.1.2.3: an error, and the end of a connection
	{file: "ncl", method: "MESSAGE", want: "400", tcp: "ends"},
	{file: "scalar02", user: "user", want: "400"}, // 3.1.2.4: 400 for the CSeq
	{file: "scalarlg"},             // 3.1.2.5: a response, to be discarded
	{file: "quotbal", want: "400"}, // 3.1.2.6: 400; the missing quote is not inferred here
	{file: "quotbal", method: "MESSAGE", want: "400"},
	{file: "ltgtruri", want: "400"}, // 3.1.2.7: always reasonable to say 400
	{file: "ltgtruri", method: "MESSAGE", want: "400"},
	{file: "lwsruri", want: "400"}, // 3.1.2.8
	{file: "lwsruri", method: "MESSAGE", want: "400"},
	{file: "lwsstart", want: "400"}, // 3.1.2.9: may be refused, and is
	{file: "lwsstart", method: "MESSAGE", want: "400"},
	{file: "trws", want: "400 200"}, // 3.1.2.10: may be refused, or the blanks ignored
	{file: "trws", method: "MESSAGE", want: "400 202"},
	{file: "escruri", want: "400 405"}, // 3.1.2.11: may be refused, or the headers ignored
	{file: "escruri", method: "MESSAGE", want: "400 202"},
	{file: "baddate", want: "405"},                        // 3.1.2.12: nobody looks at the Date of an INVITE here
	{file: "baddate", method: "MESSAGE", want: "400 202"}, // may be refused, or the Date ignored
	{file: "regbadct", user: "user", want: "400 200"},     // 3.1.2.13: 400 is reasonable, or brackets are inferred
	{file: "badaspec", want: "400 200"},                   // 3.1.2.14: 400 is reasonable, or the blanks are ignored
	{file: "badaspec", method: "MESSAGE", want: "400 202"},
	{file: "baddn", want: "400 200"}, // 3.1.2.15: 400 is always reasonable; quotes may be inferred
	{file: "baddn", method: "MESSAGE", want: "400 202"},
	{file: "badvers", want: "505"}, // 3.1.2.16
	{file: "badvers", method: "MESSAGE", want: "505"},
	{file: "mismatch01", want: "400"}, // 3.1.2.17
	{file: "mismatch02", want: "501"}, // 3.1.2.18: 501 is preferred to 400
	{file: "bigcode"},                 // 3.1.2.19: a response, to be dropped

	// 3.2: the transaction layer.
	{file: "badbranch", want: "400 200"}, // 3.2.1: 400, or as RFC 2543 has it
	{file: "badbranch", method: "MESSAGE", want: "400 202"},

	// 3.3: the application layer.
	{file: "insuf", want: "400"}, // 3.3.1
	{file: "insuf", method: "MESSAGE", want: "400"},
	{file: "unkscm", want: "416"}, // 3.3.2
	{file: "unkscm", method: "MESSAGE", want: "416"},
	{file: "novelsc", want: "416"}, // 3.3.3: a scheme that is never accepted
	{file: "novelsc", method: "MESSAGE", want: "416"},
	{file: "unksm2", user: "user", want: "400"}, // 3.3.4: a registrar says 400
	{file: "bext01", want: "420", has: "Unsupported: nothingSupportsThis, nothingSupportsThisEither"}, // 3.3.5
	{file: "bext01", method: "MESSAGE", want: "420", has: "Unsupported: nothingSupportsThis, nothingSupportsThisEither"},
	{file: "invut", want: "405"}, // 3.3.6: it is for an endpoint of INVITE to say 415
	{file: "invut", method: "MESSAGE", want: "415", has: "Accept: text/plain"},
	{file: "regaut01", want: "401"}, // 3.3.7: 401 with what is understood
	{file: "regaut01", user: "j.user", want: "200"},
	{file: "multi01", want: "400"}, // 3.3.8
	{file: "multi01", method: "MESSAGE", want: "400"},
	{file: "mcl01", want: "400", tcp: "ends"}, // 3.3.9: an error, and the end of a connection
	{file: "mcl01", method: "MESSAGE", want: "400", tcp: "ends"},
	{file: "bcast"},                                  // 3.3.10: a response, to be discarded
	{file: "zeromf", want: "200"},                    // 3.3.11: an endpoint answers OPTIONS all the same
	{file: "zeromf", method: "MESSAGE", want: "483"}, // but a MESSAGE would go further
	{file: "cparam01", user: "watson", want: "200", has: "Contact: <sip:+19725552222@gw1.example.net>;"},              // 3.3.12: a parameter of the Contact
	{file: "cparam02", user: "watson", want: "200", has: "Contact: <sip:+19725552222@gw1.example.net;unknownparam>;"}, // 3.3.13: one of its URI
	{file: "regescrt", user: "user", want: "200", has: "Contact: <sip:user@example.com>;"},                            // 3.3.14: its Route is left out: messages go only the way that a phone registered
	{file: "sdp01", want: "405"},                    // 3.3.15: 406 or 400 are for endpoints of INVITE
	{file: "sdp01", method: "MESSAGE", want: "202"}, // the response has no body

	// 3.4: compatibility, which elements may want.
	{file: "inv2543", want: "400 405", tcp: "ends"}, // 3.4.1
	{file: "inv2543", method: "MESSAGE", want: "400 202", tcp: "ends"},
}

// as5118 has the sections of RFC 5118.
var as5118 = []torture{
	{file: "ipv6-good", user: "user", want: "200", has: "Contact: <sip:caller@[2001:db8::1]>"}, // 4.1
	{file: "ipv6-bad", want: "400"},                                         // 4.2
	{file: "port-ambiguous", want: "404"},                                   // 4.3: a host of another address
	{file: "port-unambiguous", user: "user", want: "200"},                   // 4.4
	{file: "via-received-param-with-delim", want: "405"},                    // 4.5: to be accepted with the delimiters
	{file: "via-received-param-with-delim", method: "MESSAGE", want: "481"}, // its To has a tag
	{file: "via-received-param-no-delim", want: "200"},                      // 4.5: and without
	{file: "via-received-param-no-delim", method: "MESSAGE", want: "404"},   // nobody is named in its Request-URI
	{file: "ipv6-in-sdp", want: "405"},                                      // 4.6
	{file: "ipv6-in-sdp", method: "MESSAGE", want: "202", to: "sip:user@example.com"},
	{file: "mult-ip-in-header", want: "405"}, // 4.7
	{file: "mult-ip-in-header", method: "MESSAGE", want: "481"},
	{file: "mult-ip-in-sdp", want: "405"}, // 4.8
	{file: "mult-ip-in-sdp", method: "MESSAGE", want: "202", to: "sip:user@example.com"},
	{file: "ipv4-mapped-ipv6", want: "405"}, // 4.9
	{file: "ipv4-mapped-ipv6", method: "MESSAGE", want: "202"},
	{file: "ipv6-bug-abnf-3-colons", want: "404"},     // 4.10: to be tolerated; it is not our address
	{file: "ipv6-correct-abnf-2-colons", want: "404"}, // 4.10
}

// S20: what is valid is read, what is not gets the answer that the RFC prefers,
// and afterwards the edge serves as before.
func TestTortureMessages(t *testing.T) {
	phones, trunk, h := tortureEdges(t)
	for _, m := range slices.Concat(as4475, as5118) {
		t.Run(strings.TrimSuffix(m.file+"-"+m.method, "-")+m.user, func(t *testing.T) {
			msg, gaps := m.read(t), 0
			for _, network := range []string{"udp", "tcp"} {
				s := phones
				if strings.HasPrefix(msg, "MESSAGE ") {
					s = trunk
				}
				why := m.wrong(t, s, h, network, msg)
				switch {
				case why == "":
				case m.gap != "":
					gaps++
					t.Logf("%s: %s; known: %s", network, why, m.gap)
				default:
					t.Errorf("%s: %s", network, why)
				}
				if why := dial(t, s, network).alive(""); why != "" {
					t.Errorf("on another socket: %s", why)
				}
			}
			if m.gap != "" && gaps == 0 {
				t.Errorf("this gap is closed: %s", m.gap)
			}
		})
	}
}

// S20
func TestNoTortureIsLeftOut(t *testing.T) {
	files, err := filepath.Glob("testdata/torture/*.dat")
	if err != nil || len(files) != 49+12 {
		t.Fatalf("%d messages, %v", len(files), err)
	}
	for _, f := range files {
		name := strings.TrimSuffix(filepath.Base(f), ".dat")
		if !slices.ContainsFunc(slices.Concat(as4475, as5118), func(m torture) bool { return m.file == name && m.method == "" }) {
			t.Errorf("nothing is said of %s", name)
		}
	}
}

// S17 S20: wherever a message is cut off, nothing breaks; and cut in two it is
// still the same.
func TestTortureInPieces(t *testing.T) {
	phones, _, _ := tortureEdges(t)
	u := dial(t, phones, "udp")
	for _, m := range slices.Concat(as4475, as5118) {
		msg := m.read(t)
		for cut := range len(msg) / 16 {
			u.send(u.answerable(msg)[:16*cut])
		}
		if m.want == "" || m.tcp != "" || m.gap != "" || m.user != "" || strings.HasPrefix(msg, "MESSAGE ") {
			continue
		}
		for _, at := range []int{1, strings.Index(msg, "\r\n") + 1, len(msg) / 2, len(msg) - 1} {
			p := dial(t, phones, "tcp")
			whole := p.answerable(msg)
			p.send(whole[:at])
			p.send(whole[at:])
			if res := p.mustRead(); !slices.Contains(strings.Fields(m.want), code(res)) {
				t.Errorf("%s cut at %d: got %s; want %s", m.file, at, res, m.want)
			}
			p.conn.Close()
		}
	}
	if why := dial(t, phones, "udp").alive(""); why != "" {
		t.Error(why)
	}
	if n := phones.Stats().Broken; n != 0 {
		t.Errorf("%d requests broke their handler", n)
	}
}

// tortureEdges starts an edge for phones and one that believes us as a trunk,
// with one host.
func tortureEdges(t *testing.T) (phones, trunk *started, h picky) {
	t.Helper()
	h = picky{newHost()}
	c := config(h.fakeHost)
	c.Domains = []string{"example.com", "example.org", "example.net", "chair-dnrc.example.com", "registrar.example.com", "[2001:db8::10]"}
	c.Trunks = []Trunk{{Name: "carrier", Peers: home}}
	trunk = run(t, c, h)
	c.Trunks, c.Accounts = nil, nil
	for _, user := range []string{"user", "watson", "j.user"} {
		c.Accounts = append(c.Accounts, Account{User: user, Password: tortureWord})
	}
	return run(t, c, h), trunk, h
}

const tortureWord = "open sesame"

// picky is a host that does not take every type.
type picky struct{ *fakeHost }

func (h picky) Check(ctx context.Context, in event.Inbound) error {
	if in.MediaType == "application/unknownformat" {
		return &TypeError{Accept: []string{"text/plain"}}
	}
	return h.fakeHost.Check(ctx, in)
}

func (h picky) Composing(context.Context, event.Typing) error                  { return nil }
func (h picky) Body(_ context.Context, c event.Content) (event.Content, error) { return c, nil }
func (h picky) Registered(event.Address)                                       {}

var (
	startMethod = regexp.MustCompile(`^\S+`)
	cseqMethod  = regexp.MustCompile(`(?im)^(cseq[ \t]*:\s*\d+\s+)\S+`)
	topVia      = regexp.MustCompile(`(?im)^(via|v)[ \t]*:(\r\n[ \t]|[^\r\n;,])*`)
	viaBranch   = regexp.MustCompile(`(?i);\s*branch\s*=\s*[^;,\s]+`)
)

// read returns a message with the method that the test is about.
func (m torture) read(t *testing.T) string {
	t.Helper()
	b, err := os.ReadFile("testdata/torture/" + m.file + ".dat")
	if err != nil {
		t.Fatal(err)
	}
	if m.method == "" {
		return string(b)
	}
	return cseqMethod.ReplaceAllString(startMethod.ReplaceAllString(string(b), m.method), "${1}"+m.method)
}

// answerable changes the first Via of a request so that the answer comes back
// here (RFC 3581), and to this request alone.
func (p *probe) answerable(msg string) string {
	at := topVia.FindStringIndex(msg)
	if at == nil {
		return msg
	}
	via, after := msg[:at[1]], msg[at[1]:]
	line, rest, _ := strings.Cut(after, "\r\n")
	if !strings.Contains(line, ";rport") {
		via += ";rport"
	}
	p.n++
	_, port, _ := net.SplitHostPort(p.local())
	mine := fmt.Sprintf("%s.%d", port, p.n)
	if b := viaBranch.FindStringIndex(line); b != nil && !strings.HasSuffix(line[:b[1]], sip.RFC3261BranchMagicCookie) {
		line = line[:b[1]] + "." + mine + line[b[1]:]
	} else {
		via += ";probe=" + mine
	}
	return via + line + "\r\n" + rest
}

// owed are the headers that answers have to have (RFC 3261, section 21.4).
var owed = map[string]string{
	"401": "\r\nWWW-Authenticate: Digest ", "405": "\r\nAllow: " + allowed, "415": "\r\nAccept: ", "420": "\r\nUnsupported: ", "501": "\r\nAllow: " + allowed,
}

// wrong sends a message and returns what is wrong with the answer, or with what
// becomes of the connection.
func (m torture) wrong(t *testing.T, s *started, h picky, network, msg string) string {
	t.Helper()
	p := dial(t, s, network)
	p.send(p.answerable(msg))
	if network == "tcp" && m.tcp == "left" {
		return ""
	}
	if m.want == "" {
		return p.alive("")
	}
	res := p.read(m.patience())
	if code(res) == "401" && m.user != "" {
		p = dial(t, s, network)
		line, rest, _ := strings.Cut(msg, "\r\n")
		auth := login(header1(res, "WWW-Authenticate"), m.user, tortureWord, "REGISTER", strings.Fields(line)[1], 1)
		p.send(p.answerable(line + "\r\nAuthorization: " + auth + "\r\n" + rest))
		res = p.read(m.patience())
	}
	if !slices.Contains(strings.Fields(m.want), code(res)) || !strings.Contains(res, m.has) || !strings.Contains(res, owed[code(res)]) {
		return fmt.Sprintf("got %q; want %s %s", res, m.want, m.has)
	}
	_, body, _ := strings.Cut(msg, "\r\n\r\n")
	if code(res) == "202" && !slices.ContainsFunc(h.stored(), func(in event.Inbound) bool {
		return in.NativeID == header1(res, "Call-ID") && strings.HasPrefix(body, string(in.Data)) && len(in.Data) > 0 == (len(body) > 0) && (m.to == "" || in.Recipient == m.to)
	}) {
		return fmt.Sprintf("nothing is stored for %s: %+v", m.to, h.stored())
	}
	if network == "tcp" && m.tcp == "ends" {
		p.closed()
		return ""
	}
	return p.alive(res)
}

// patience is short where it is known that nothing may come.
func (m torture) patience() time.Duration {
	if m.gap != "" {
		return time.Second
	}
	return patience
}

// alive asks for the answer to an OPTIONS and returns what is wrong with it.
// Before it there may come only what came already.
func (p *probe) alive(earlier string) string {
	p.t.Helper()
	d := p.message("sip:example.com", "")
	d.method, d.cseq = "OPTIONS", fmt.Sprintf("%d OPTIONS", p.n)
	if _, err := io.WriteString(p.conn, d.String()); err != nil {
		return err.Error()
	}
	res := p.read(patience)
	for earlier != "" && res == earlier { // a repetition
		res = p.read(patience)
	}
	if code(res) != "200" || header1(res, "Call-ID") != d.callID {
		return fmt.Sprintf("%s: an OPTIONS afterwards is answered %q", p.network(), res)
	}
	return ""
}
