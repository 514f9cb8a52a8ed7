package sipedge

import (
	"bytes"
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	gotoken "go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write docs/rfc3428.md")

// rule is one of the rules that the SIP side keeps, in our words.
type rule struct {
	id, section, text string
	but               string // why no test names it, or what is missing still
}

var rules = []struct {
	title string
	rules []rule
}{
	{"MESSAGE (RFC 3428)", []rule{
		{"M01", "4, 7", "text/plain goes both ways, byte for byte.", ""},
		{"M02", "4", "A MESSAGE that is sent has no Contact.", ""},
		{"M03", "7", "Nor has a 2xx to one.", ""},
		{"M04", "7", "A 2xx to a MESSAGE has no body.", ""},
		{"M05", "7", "What is stored and passed on is answered 202; 200 would say that somebody has it.", ""},
		{"M06", "7", "The answer does not wait for the network where a message goes.", ""},
		{"M07", "7", "4xx and 5xx say that a message was not delivered, 6xx that its recipient refused it; senders are told which.", ""},
		{"M08", "4", "A phone's 202 means accepted, its 200 delivered, neither read.", ""},
		{"M09", "4", "A message may reach several phones: it stays one message.", ""},
		{"M10", "4", "Expires goes with a Date.", ""},
		{"M11", "7", "Expires counts from Date, without one from the arrival; without Expires a message never expires.", ""},
		{"M12", "7", "What expired before it was delivered fails, and its sender is told.", ""},
		{"M13", "8", "A request over a way that is not known to be safe has at most 1300 bytes.", "Longer plain text goes in numbered parts, one after the other; anything else that is longer goes in a form that fits, or fails with the reason."},
		{"M14", "8", "One MESSAGE at a time is under way to one address.", ""},
		{"M15", "8", "Within dialogs, too.", "There are no dialogs here: M21."},
		{"M16", "8", "A transport with congestion control is preferred.", ""},
		{"M17", "5", "im: of our domain is sip: of our domain; From and To of what is sent are sip:.", ""},
		{"M18", "5", "No im: in Route and Record-Route.", ""},
		{"M19", "9", "Record-Route makes no dialog; 405 has Allow, 415 has Accept.", ""},
		{"M20", "9", "The case of a method's name matters.", ""},
		{"M21", "2, 3", "No dialog comes of a MESSAGE, and what claims to be in one is answered 481.", ""},
		{"M22", "11.4", "A signed message with a Date of another hour is refused; a trunk may have kept it meanwhile.", ""},
		{"M23", "11.3", "Signed and encrypted bodies are not refused.", "They are passed on whole; no signature is checked and nothing is decrypted, so no 493 is sent."},
		{"M24", "11.1", "A challenge of a proxy is answered, once.", ""},
	}},
	{"SIP (RFC 3261 and its updates)", []rule{
		{"S01", "8.1.1, 16.3", "A request without To, From, Call-ID, CSeq, Via or Max-Forwards is answered 400.", ""},
		{"S02", "8.2.6.2", "A response has the request's Vias in order, From, To with a tag, Call-ID and CSeq.", ""},
		{"S03", "17.2.2", "A retransmission has the same effect and the same answer as the first, on any transport and over a restart.", ""},
		{"S04", "8.2.2.2", "A request that comes a second time on another way, while the first is in work, is answered 482; or as refused as the first.", ""},
		{"S05", "17.1.2", "A request over UDP is repeated after 0.5, 1, 2, 4, 4… s and given up after 32 s.", "The library's timers; no test of ours measures them yet."},
		{"S06", "RFC 4320", "No 408 and no early provisional response.", ""},
		{"S07", "16.3", "A MESSAGE with no hops left is answered 483.", ""},
		{"S08", "8.2.2.3", "A required extension that is not known is answered 420 with Unsupported.", ""},
		{"S09", "8.2.3, 21.4.13", "A type that nobody takes where a message goes is answered 415 with Accept, a content coding that is not known 415 with Accept-Encoding; any language is taken.", ""},
		{"S10", "20.11, RFC 5621", "A body for a use that is not known is refused, unless its sender lets it be ignored.", ""},
		{"S11", "RFC 5621, 3", "multipart bodies are taken, and opened for whoever can't read them (docs/mime.md).", ""},
		{"S12", "8.2.2", "Unknown scheme 416, unknown user 404; in To, and in headers that nobody knows, anything is allowed. Whose phone is off has the message stored.", ""},
		{"S13", "8.2.1, 21.5.2", "A method that is not for us is answered 405 with Allow, one that is not known 501.", ""},
		{"S14", "11.2", "OPTIONS tells what there is; it is answered 200 for our domain, 404 for another.", ""},
		{"S15", "21.4.11, 21.4.12, 21.5.7", "A body too large is answered 413, a URI too long 414, too many header fields 513.", ""},
		{"S16", "12.2.2", "A tag in To is of no dialog: 481.", ""},
		{"S17", "18.3", "Content-Length ends a message on a stream, wherever it is cut; a datagram with less is answered 400, what is beyond is ignored.", ""},
		{"S18", "18.1.1", "A request too large for UDP does not go by UDP; a response goes whatever its size.", ""},
		{"S19", "18, 26.2, 26.3", "UDP, TCP and TLS, with certificates of clients where they are asked for; datagrams up to 65,507 bytes; sips: is refused on any way that is not TLS.", ""},
		{"S20", "7.3, RFC 4475, RFC 5118", "What is odd but valid is taken; what is not is answered 4xx.", ""},
		{"S21", "19.1.4", "Addresses that are equal as URIs are one.", ""},
		{"S22", "21.5.6", "Another version than SIP/2.0 is answered 505.", ""},
		{"S23", "21.5.4, RFC 3263, 4.3", "After a 503 the next server is tried, and the first left alone for its Retry-After.", ""},
		{"S24", "8.1.3.4", "Redirections of servers are followed, within limits; those of phones are not (decision 14).", ""},
		{"S25", "10.3", "The registrar lists all bindings, refuses short times with 423, takes Expires: 0 and *, and keeps the order of requests; nobody registers for another.", ""},
		{"S26", "RFC 5393", "Loops are found when requests fork.", "Nothing is proxied: a message is stored and sent anew, with a hop less."},
		{"S27", "RFC 7339, 4", "Overload is answered 503, early and cheaply.", "The parameters of RFC 7339 are neither offered nor obeyed."},
	}},
	{"Transport, NAT, registration", []rule{
		{"T01", "RFC 3581, 4", "rport and received are filled in, and answers go back to where a request came from.", ""},
		{"T02", "RFC 3581, 3", "What is sent asks for rport.", ""},
		{"T03", "18.2.1", "received is added where a sender sees itself elsewhere.", ""},
		{"T04", "RFC 3263, 4", "NAPTR, SRV, addresses.", ""},
		{"T05", "RFC 3263, 4.3", "Failover sends the same request with a new branch.", ""},
		{"T06", "RFC 5626", "Keep-alives are answered; a phone's flows are told apart and used one at a time; a dead one is never dialled.", ""},
		{"T07", "RFC 3327", "Path is kept and becomes Route.", ""},
		{"T08", "RFC 5627", "GRUU.", "Not offered: there are no dialogs that would need one."},
		{"T09", "RFC 7118", "WebSockets, of subprotocol sip.", ""},
		{"T10", "RFC 8599", "The parameters that wake a phone are kept with its binding.", "Nothing is woken by them yet."},
	}},
	{"Content", []rule{
		{"C01", "RFC 3862, 2 to 4", "CPIM is read and written: header names with their case, UTF-8, escapes.", ""},
		{"C02", "RFC 3862, 4.7", "A message that requires a CPIM header nobody knows is refused.", ""},
		{"C03", "RFC 3862", "What somebody takes as it came keeps its bytes, so that signatures hold.", ""},
		{"C05", "RFC 5438, 6", "Receipts are asked for and given by IMDN.", ""},
		{"C06", "RFC 5438, 7, 8", "A receipt causes no receipt, and each kind comes once.", ""},
		{"C07", "RFC 5438, 10", "A receipt goes in CPIM, with the disposition notification.", ""},
		{"C08", "RFC 3994", "Typing goes both ways, is never stored, and goes to whom it is known that they take it.", ""},
		{"C09", "", "Signs and notices that can't be used are answered 202, and none goes again to who has refused one.", ""},
		{"C10", "RFC 2046", "Text of any charset arrives as UTF-8; bytes without meaning are replaced, not dropped.", ""},
		{"C11", "", "HTML is written anew from words and formats; nothing of its source passes.", ""},
		{"C12", "RFC 5365, 4, 7", "One MESSAGE to a list of recipients is one to each, once; lists elsewhere are not fetched.", "No consent is asked for (470): a list reaches nobody whom its sender could not write to alone."},
	}},
	{"Identity and security", []rule{
		{"A01", "RFC 8760", "Challenges: the strongest first, each algorithm once, qop auth.", ""},
		{"A02", "RFC 7616", "Credentials serve once, for one method and URI, with a nonce that is young.", ""},
		{"A03", "22", "Who sends is who has proved to be: From must name them, and so must To of a REGISTER.", ""},
		{"A04", "RFC 3325", "Only a trunk's P-Asserted-Identity is believed.", ""},
		{"A05", "RFC 3323", "Who asks to be anonymous is, everywhere; no text makes a line of its own.", ""},
		{"A06", "RFC 8224", "Identity headers are verified.", "Not built: they are ignored, as an unknown header is."},
		{"A07", "RFC 8996, RFC 5922", "TLS 1.2 and later.", ""},
		{"A08", "", "Rates, guesses and bans: a source or an account that wants too much is refused, and nobody else.", ""},
	}},
}

// TestEveryRuleHasATestOrAReason keeps docs/rfc3428.md: -update writes it.
func TestEveryRuleHasATestOrAReason(t *testing.T) {
	proofs := map[string][]string{}
	for _, dir := range []string{".", "uac", "resolve", "../deliver", "../../cmd/parley", "../../plugins/content/mapping", "../../plugins/content/markup", "../../plugins/content/text", "../../plugins/content/cpim"} {
		files, err := filepath.Glob(filepath.Join(dir, "*_test.go"))
		if err != nil || len(files) == 0 {
			t.Fatalf("no tests in %s: %v", dir, err)
		}
		for _, f := range files {
			if filepath.Base(f) != "rules_test.go" {
				collect(t, f, proofs)
			}
		}
	}
	var doc bytes.Buffer
	doc.WriteString(preface)
	known := map[string]bool{}
	for _, part := range rules {
		fmt.Fprintf(&doc, "\n## %s\n\n| | Rule | Section | Proved by |\n|---|---|---|---|\n", part.title)
		for _, r := range part.rules {
			known[r.id] = true
			tests := proofs[r.id]
			if len(tests) == 0 && r.but == "" {
				t.Errorf("%s has neither a test nor a reason", r.id)
			}
			slices.Sort(tests)
			if r.but != "" {
				tests = append(tests, r.but)
			}
			fmt.Fprintf(&doc, "| %s | %s | %s | %s |\n", r.id, r.text, r.section, strings.Join(tests, "<br>"))
		}
	}
	for id := range proofs {
		if !known[id] {
			t.Errorf("tests name %s, which is no rule: %v", id, proofs[id])
		}
	}
	for _, c := range checks {
		for id := range strings.FieldsSeq(c.rule) {
			if !known[id] {
				t.Errorf("a check names %s, which is no rule", id)
			}
		}
	}
	const path = "../../docs/rfc3428.md"
	if *update {
		if err := os.WriteFile(path, doc.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, doc.Bytes()) {
		t.Errorf("docs/rfc3428.md is not what the tests say (%v): go test ./core/sipedge -run EveryRule -update", err)
	}
}

const preface = `# What SIP asks of a MESSAGE server, and where it is proved

Made from the tests by ` + "`go test ./core/sipedge -run EveryRule -update`" + `; a test fails when this page is not what they say.
A test that names a rule, in its comment or in a case of its table, fails when the rule is broken. Where something is missing, the last
line of a rule says what. Sections are those of the RFC in the heading if no other is named; in the second table, of RFC 3261.
`

var ruleID = regexp.MustCompile(`\b[MSTAC]\d\d\b`)

// collect finds the rules that the tests of a file name.
func collect(t *testing.T, file string, proofs map[string][]string) {
	t.Helper()
	set := gotoken.NewFileSet()
	parsed, err := parser.ParseFile(set, file, nil, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range parsed.Decls {
		f, ok := d.(*ast.FuncDecl)
		if !ok || !strings.HasPrefix(f.Name.Name, "Test") && !strings.HasPrefix(f.Name.Name, "Fuzz") {
			continue
		}
		from := f.Pos()
		if f.Doc != nil {
			from = f.Doc.Pos()
		}
		source := text[set.Position(from).Offset:set.Position(f.End()).Offset]
		path, err := filepath.Rel("../..", filepath.Clean(file))
		if err != nil || strings.HasPrefix(path, "..") {
			path = filepath.Join("core/sipedge", file)
		}
		for _, id := range ruleID.FindAllString(string(source), -1) {
			proof := fmt.Sprintf("[%s](../%s)", f.Name.Name, filepath.ToSlash(filepath.Clean(path)))
			if !slices.Contains(proofs[id], proof) {
				proofs[id] = append(proofs[id], proof)
			}
		}
	}
}
