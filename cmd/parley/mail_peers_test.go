//go:build peers

package main

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// A mailServer is Postfix and Dovecot for mail.test, where alice, bob, carol,
// team and the bridge have mailboxes. Mail for bridge.mail.test is handed over by
// LMTP. It takes no mail from anybody who writes under another's address.
type mailServer struct {
	t                       *testing.T
	dir                     string
	smtp, submission        int
	imap, imaps             int
	bridge                  int // where LMTP for bridge.mail.test goes
	trust                   *x509.CertPool
	ca                      string // file with the authority of the certificate
	postfix, dovecot, mails *proc
}

var mailUsers = []string{"alice", "bob", "carol", "team", "parley"}

// mailPassword is that of a user of the mail server.
func mailPassword(user string) string { return "the-password-of-" + user }

func startMail(t *testing.T) *mailServer {
	t.Helper()
	if os.Getuid() != 0 {
		t.Fatal("Postfix has to be started by root: run make test-peers as root, in a container")
	}
	p := ports(t, 5)
	m := &mailServer{t: t, dir: openDir(t), smtp: p[0], submission: p[1], imap: p[2], imaps: p[3], bridge: p[4]}
	m.certify()
	m.configure()
	m.dovecot = start(t, "dovecot", exec.Command("dovecot", "-F", "-c", m.dir+"/dovecot.conf"))
	m.dovecot.says(`starting up`)
	t.Cleanup(func() { stop(m.dovecot) })
	if err := made(exec.Command("postfix", "-c", m.dir+"/etc", "check")); err != nil {
		t.Fatal(err)
	}
	m.mails = start(t, "postfix's log", exec.Command("tail", "-s", "0.1", "-n", "+1", "-F", m.dir+"/postfix.log"))
	m.postfix = start(t, "postfix", exec.Command("/usr/lib/postfix/sbin/master", "-c", m.dir+"/etc", "-d"))
	m.mails.says(`daemon started`)
	t.Cleanup(func() { stop(m.postfix) })
	return m
}

// openDir is a folder that servers can reach when they are no longer root.
func openDir(t *testing.T) string {
	t.Helper()
	dir := shortDir(t)
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

func (m *mailServer) must(err error) {
	m.t.Helper()
	if err != nil {
		m.t.Fatal(err)
	}
}

// put writes a file that every user may read.
func (m *mailServer) put(name, text string) {
	m.t.Helper()
	m.must(os.Chmod(write(m.t, m.dir, name, text), 0o644))
}

// certify makes the server's certificate.
func (m *mailServer) certify() {
	m.t.Helper()
	cert, key := certificate(m.t, 24*time.Hour, "mx.mail.test")
	m.put("cert.pem", string(cert))
	write(m.t, m.dir, "key.pem", string(key))
	m.ca, m.trust = filepath.Join(m.dir, "cert.pem"), trusting(cert)
}

func (m *mailServer) tls() *tls.Config {
	return &tls.Config{RootCAs: m.trust, ServerName: "127.0.0.1"}
}

// configure fills in the configuration of both servers.
func (m *mailServer) configure() {
	m.t.Helper()
	const nobody = 65534 // owns the mailboxes
	var users, mailboxes, senders strings.Builder
	for _, u := range mailUsers {
		fmt.Fprintf(&users, "%s@mail.test:{PLAIN}%s:%d:%d::%s/mail/%s::\n", u, mailPassword(u), nobody, nobody, m.dir, u)
		fmt.Fprintf(&mailboxes, "%s@mail.test %s\n", u, u)
		fmt.Fprintf(&senders, "%s@mail.test %[1]s@mail.test\n", u)
	}
	senders.WriteString("@bridge.mail.test parley@mail.test\n")
	fill := strings.NewReplacer("@DIR@", m.dir, "@SMTP@", strconv.Itoa(m.smtp), "@SUBMISSION@", strconv.Itoa(m.submission),
		"@IMAP@", strconv.Itoa(m.imap), "@IMAPS@", strconv.Itoa(m.imaps), "@BRIDGE@", strconv.Itoa(m.bridge))
	for from, to := range map[string]string{"dovecot.conf": "dovecot.conf", "main.cf": "etc/main.cf", "master.cf": "etc/master.cf"} {
		text, err := os.ReadFile(testdata(m.t, "peers/mail/"+from))
		m.must(err)
		m.put(to, fill.Replace(string(text)))
	}
	m.put("users", users.String())
	m.put("etc/mailboxes", mailboxes.String())
	m.put("etc/senders", senders.String())
	for _, dir := range []string{"dovecot", "mail", "queue", "data"} {
		m.must(os.Mkdir(filepath.Join(m.dir, dir), 0o755))
	}
	m.must(os.Chown(filepath.Join(m.dir, "mail"), nobody, nobody))
	m.must(made(exec.Command("chown", "postfix", filepath.Join(m.dir, "data"))))
}

func TestPeerMailFromOneHumanToAnother(t *testing.T) {
	m := startMail(t)
	alice, bob := m.human("alice"), m.human("bob")
	bob.waits() // in IDLE, before the mail comes
	alice.write("bob@mail.test", "Lunch", "at noon?")
	l := bob.sees("at noon?")
	if l.from != "alice@mail.test" || l.GetHeader("Subject") != "Lunch" {
		t.Errorf("bob sees %q from %q", l.GetHeader("Subject"), l.from)
	}
	bob.answer(l, "yes")
	back := alice.sees("yes")
	if back.GetHeader("In-Reply-To") != l.GetHeader("Message-ID") || back.GetHeader("Subject") != "Re: Lunch" {
		t.Errorf("the answer has In-Reply-To %q and Subject %q", back.GetHeader("In-Reply-To"), back.GetHeader("Subject"))
	}
	if n := len(bob.letters()); n != 1 {
		t.Errorf("bob has %d letters", n)
	}
	if err := alice.submit("bob@mail.test", "bob@mail.test", "x"); code(err) != 553 {
		t.Errorf("alice may write as bob: %v", err)
	}
	if err := alice.submit("alice@mail.test", "nobody@mail.test", "x"); code(err) != 550 {
		t.Errorf("somebody who is not there gets mail: %v", err)
	}
}

func TestPeerMailThatCannotBeHandedOverWaits(t *testing.T) {
	m := startMail(t)
	alice := m.human("alice")
	alice.write("somebody@bridge.mail.test", "Hello", "is anybody there?")
	m.mails.says(`to=<somebody@bridge\.mail\.test>.*status=deferred .*Connection refused`)
}
