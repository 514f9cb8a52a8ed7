//go:build peers

package main

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"parley.im/plugins/content/transfer"
)

// A linphone is a softphone of Linphone's library, driven by lines.
type linphone struct{ *proc }

// startLinphone starts a softphone that registers user and waits until it has.
func startLinphone(b *bridge, user, transport string) linphone {
	b.t.Helper()
	return startLinphoneWith(b, user, transport, "")
}

// startLinphoneWith gives the phone a server to which it uploads files.
func startLinphoneWith(b *bridge, user, transport, uploads string) linphone {
	b.t.Helper()
	dir, p := b.t.TempDir(), ports(b.t, 1)
	rc := write(b.t, dir, "rc", fmt.Sprintf(`[sip]
sip_port=%[5]d
sip_tcp_port=%[5]d
sip_tls_port=0
sip_random_port=0
register_only_when_network_is_up=0
use_ipv6=0
default_proxy=0
[proxy_0]
reg_proxy=<sip:127.0.0.1:%[4]d;transport=%[3]s>
reg_route=<sip:127.0.0.1:%[4]d;transport=%[3]s;lr>
reg_identity=sip:%[1]s@127.0.0.1
reg_expires=300
reg_sendregister=1
publish=0
quality_reporting_enabled=0
[auth_info_0]
username=%[1]s
passwd=%[2]s
realm=127.0.0.1
domain=127.0.0.1
[video]
enabled=0
capture=0
display=0
[misc]
file_transfer_server_url=%[7]s
store_chat_logs=0
uuid=00000000-0000-4000-8000-00000000%04[5]x
contacts-vcard-list=
[storage]
uri=%[6]s/linphone.db
backend=sqlite3
[lime]
lime_update_threshold=0
`, user, password(user), transport, b.sip, p[0], dir, uploads))
	if err := os.MkdirAll(dir+"/.local/share/linphone", 0o755); err != nil {
		b.t.Fatal(err)
	}
	cmd := exec.Command("python3", testdata(b.t, "peers/linphone/phone.py"), rc)
	cmd.Env = append(os.Environ(), "HOME="+dir, "XDG_DATA_HOME="+dir, "XDG_CONFIG_HOME="+dir)
	l := linphone{start(b.t, "linphone "+user, cmd)}
	l.tells("registered")
	return l
}

// does gives a command.
func (l linphone) does(words ...string) {
	l.t.Helper()
	if _, err := fmt.Fprintln(l.in, strings.Join(words, " ")); err != nil {
		l.t.Fatalf("%s takes no command: %v", l.name, err)
	}
}

// message sends a text to an address.
func (l linphone) message(to, text string) { l.t.Helper(); l.does("say", to, text) }

// tells waits until the phone tells something.
func (l linphone) tells(words ...string) {
	l.t.Helper()
	l.says("^phone: " + regexp.QuoteMeta(strings.Join(words, " ")) + "$")
}

// receives waits until a text from an address has come to the phone.
func (l linphone) receives(from, text string) {
	l.t.Helper()
	l.tells("got", from, strconv.Quote(text))
}

func TestPeerLinphoneBothWays(t *testing.T) {
	for _, transport := range []string{"udp", "tcp"} {
		t.Run(transport, func(t *testing.T) {
			b := newBridge(t)
			ann := joinChat(t, b.web, "ann")
			alice := startLinphone(b, "alice", transport)
			alice.message("sip:lobby@127.0.0.1", "hello from linphone")
			if m := ann.sees("hello from linphone", nil); m.From != "sip:alice@127.0.0.1" {
				t.Errorf("the room sees it from %q", m.From)
			}
			ann.say("r:lobby", "hello linphone")
			alice.receives("sip:lobby@127.0.0.1", "hello linphone")
			ann.marked("hello linphone", "delivered")
		})
	}
}

// C09: a phone says by itself what became of a message.
func TestPeerLinphoneNoticesStayOutOfTheChat(t *testing.T) {
	for _, transport := range []string{"udp", "tcp"} {
		t.Run(transport, func(t *testing.T) {
			b := newBridge(t)
			ann := joinChat(t, b.web, "ann")
			alice := startLinphone(b, "alice", transport)
			ann.say("r:lobby", "tell me about it")
			alice.says(`^<imdn|\?><imdn xmlns=.*<delivered/>`) // in the trace, before it is compressed
			alice.receives("sip:lobby@127.0.0.1", "tell me about it")
			alice.message("sip:lobby@127.0.0.1", "texts still come")
			ann.sees("texts still come", nil)
			if got := fmt.Sprint(ann.texts("")); got != "[tell me about it texts still come]" {
				t.Errorf("the room has %s", got)
			}
		})
	}
}

// Linphone writes CPIM and asks for notices of delivery and display, sends them,
// compressed, and shows them; it tells that somebody is composing, and shows it.
func TestPeerLinphoneCPIMNoticesAndTyping(t *testing.T) {
	for _, transport := range []string{"udp", "tcp"} {
		t.Run(transport, func(t *testing.T) {
			b := newBridge(t)
			alice, bob := startLinphone(b, "alice", transport), startLinphone(b, "bob", transport)
			for _, way := range []struct {
				from, to          linphone
				sender, recipient string
			}{{alice, bob, "sip:alice@127.0.0.1", "sip:bob@127.0.0.1"}, {bob, alice, "sip:bob@127.0.0.1", "sip:alice@127.0.0.1"}} {
				text := "grüße von " + way.sender
				way.from.message(way.recipient, text)
				way.from.says(`^Content-Type: message/cpim$`)
				way.to.receives(way.sender, text)
				way.from.tells("state delivered", text)
				way.to.does("read", way.sender)
				way.from.tells("state displayed", text)
				way.from.does("compose", way.recipient)
				way.to.tells("composing", way.sender)
			}
			alice.message("sip:bob@127.0.0.1", "once more")
			bob.says(`^imdn\.Disposition-Notification: display$`) // to who speaks CPIM it goes in CPIM, too
			bob.does("read", "sip:alice@127.0.0.1")
			alice.tells("state displayed", "once more")
		})
	}
}

// What a person in Matrix does is what Linphone shows, and the other way round.
func TestPeerLinphoneAndMatrix(t *testing.T) {
	tn := newTown(t)
	alice := startLinphone(tn.bridge, "alice", "tcp")
	alice.message("sip:town@127.0.0.1", "hello")
	tn.shown("hello", "matrix")
	alice.does("compose", "sip:town@127.0.0.1")
	ghost := tn.hs.Messages(tn.room)[0].Sender
	tn.await("matrix", func() bool { return tn.hs.Typing(tn.room, ghost) }, func() string { return "nobody composes in Matrix" })
	tn.mia.Type(tn.room, true)
	alice.tells("composing", "sip:town@127.0.0.1")
	tn.mia.Say(tn.room, "and hello")
	alice.receives("sip:town@127.0.0.1", "and hello")
	alice.tells("idle", "sip:town@127.0.0.1")
}

// A picture from the chat is a file transfer to Linphone, which it gets.
func TestPeerLinphoneGetsFiles(t *testing.T) {
	b := newBridge(t, `links  = ""`, `links  = "http://127.0.0.1:8025/"`)
	ann := joinChat(t, b.web, "ann")
	alice := startLinphone(b, "alice", "tcp")
	picture := []byte("\x89PNG\r\n\x1a\n" + strings.Repeat("picture", 1000))
	ann.sayWith("r:lobby", "", "dog.png", picture)
	alice.tells("file sip:lobby@127.0.0.1 dog.png")
	into := filepath.Join(t.TempDir(), "got.png")
	alice.does("fetch", "sip:lobby@127.0.0.1", into)
	alice.tells("state fetched", "sip:lobby@127.0.0.1")
	if got, err := os.ReadFile(into); err != nil || !bytes.Equal(got, picture) {
		t.Errorf("it has %d bytes, not %d: %v", len(got), len(picture), err)
	}
}

// Linphone puts a picture on its file server and sends a document that names it:
// the chat has the picture.
func TestPeerLinphoneSendsFiles(t *testing.T) {
	s := newFileServer(t)
	_, port, _ := strings.Cut(strings.TrimPrefix(s.URL, "http://"), ":")
	b := newBridge(t, "fetch  = []", `fetch  = ["127.0.0.1:`+port+`", "127.0.0.0/8"]`)
	ann := joinChat(t, b.web, "ann")
	alice := startLinphoneWith(b, "alice", "tcp", s.URL+"/upload")
	picture := "\x89PNG\r\n\x1a\n" + strings.Repeat("picture", 1000)
	alice.does("send", "sip:lobby@127.0.0.1", write(t, t.TempDir(), "cat.png", picture))
	m := ann.sees("", func(m chatMessage) bool { return len(m.Files) == 1 && m.Files[0].Name == "cat.png" })
	if status, data, _ := fetched(t, &ann.web, fmt.Sprintf("%sapi/file?conv=%s&seq=%d&n=0", ann.base, m.Conv, m.Seq)); status != 200 || data != picture {
		t.Errorf("%d, %d bytes", status, len(data))
	}
}

// newFileServer is one to which RCS devices and Linphone upload: an empty POST
// asks whether they may, the next has the file as a form, and is answered with
// the document about it (GSMA RCC.07, section 3.2.5).
func newFileServer(t *testing.T) *httptest.Server {
	var s *httptest.Server
	var stored []byte
	var mu sync.Mutex
	s = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		if r.Method == http.MethodGet {
			w.Header().Set("Content-Type", "application/octet-stream")
			_, _ = w.Write(stored)
			return
		}
		if r.ContentLength == 0 {
			w.WriteHeader(http.StatusNoContent)
			return
		}
		f, h, err := r.FormFile("File")
		if err == nil {
			stored, err = io.ReadAll(f)
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		doc := transfer.File{Name: h.Filename, MediaType: "image/png", Size: h.Size, URL: s.URL + "/file", Until: time.Now().Add(time.Hour)}
		w.Header().Set("Content-Type", transfer.MediaType)
		_, _ = w.Write(doc.XML())
	}))
	t.Cleanup(s.Close)
	return s
}
