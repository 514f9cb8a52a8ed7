//go:build peers

package main

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha1"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"maunium.net/go/mautrix"
	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"
)

// A dendrite is a Matrix homeserver that is none of ours.
type dendrite struct {
	*proc
	url, domain, secret string
	web                 *http.Client
	command             []string
	dir                 string
}

const dendriteModule = "../../plugins/matrix/testdata/dendrite"

// dendritePrograms builds Dendrite, once for each version.
func dendritePrograms(t *testing.T) string {
	t.Helper()
	return cached(t, "dendrite", func(dir string) error {
		cmd := exec.Command("go", "build", "-mod=readonly", "-trimpath", "-o", dir+"/", "tool")
		cmd.Dir = dendriteModule
		cmd.Env = append(os.Environ(), "CGO_ENABLED=1", "GOFLAGS=", "GOWORK=off")
		return made(cmd)
	}, dendriteModule+"/go.mod", dendriteModule+"/go.sum")
}

// startDendrite starts a homeserver that knows the application service of a
// registration file.
func startDendrite(t *testing.T, domain, registration string) *dendrite {
	t.Helper()
	programs, dir, port := dendritePrograms(t), t.TempDir(), ports(t, 1)[0]
	d := &dendrite{url: "http://" + at(port), domain: domain, secret: "only-for-this-test", web: &http.Client{Timeout: 2 * patience}}
	t.Cleanup(d.web.CloseIdleConnections)
	if err := made(exec.Command(filepath.Join(programs, "generate-keys"), "--private-key", dir+"/matrix_key.pem")); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(testdata(t, "peers/dendrite/dendrite.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	config := write(t, dir, "dendrite.yaml", strings.NewReplacer("@DIR@", dir, "@DOMAIN@", domain, "@SECRET@", d.secret,
		"@REGISTRATION@", registration).Replace(string(text)))
	d.dir, d.command = dir, []string{filepath.Join(programs, "dendrite"), "--config", config, "--http-bind-address", at(port)}
	d.run(t)
	return d
}

// run starts the homeserver, again after it was killed, and waits for it.
func (d *dendrite) run(t *testing.T) {
	t.Helper()
	cmd := exec.Command(d.command[0], d.command[1:]...)
	cmd.Dir = d.dir
	p := start(t, "dendrite", cmd)
	d.proc = p
	d.up()
	t.Cleanup(func() { stop(p) })
}

// up waits until the homeserver answers: it does not say so by itself.
func (d *dendrite) up() {
	d.t.Helper()
	for end := time.Now().Add(patience); ; {
		r, err := d.web.Get(d.url + "/_matrix/client/versions")
		if err == nil {
			r.Body.Close()
			if r.StatusCode == http.StatusOK {
				return
			}
		}
		if time.Now().After(end) {
			d.t.Fatalf("Dendrite does not answer: %v", err)
		}
		select {
		case <-d.done:
			d.t.Fatal("Dendrite has ended")
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// stop lets a server end in order: it closes its databases, or ends its
// children.
func stop(p *proc) {
	select {
	case <-p.done:
		return
	default:
	}
	p.signal(syscall.SIGTERM)
	select {
	case <-p.done:
	case <-time.After(patience):
		p.t.Errorf("%s does not end", p.name)
	}
}

// call makes a request of the client API that mautrix has no words for.
func (d *dendrite) call(method, path, token string, body, answer any) error {
	j, err := json.Marshal(body)
	if err != nil {
		return err
	}
	r, err := http.NewRequest(method, d.url+path, bytes.NewReader(j))
	if err != nil {
		return err
	}
	r.Header.Set("Authorization", "Bearer "+token)
	resp, err := d.web.Do(r)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s %s: %s %s", method, path, resp.Status, data)
	}
	if err != nil || answer == nil {
		return err
	}
	return json.Unmarshal(data, answer)
}

// register makes an account with the secret that the operator has.
func (d *dendrite) register(user, password string) {
	d.t.Helper()
	const path = "/_synapse/admin/v1/register"
	var asked struct{ Nonce string }
	if err := d.call("GET", path, "", nil, &asked); err != nil {
		d.t.Fatal(err)
	}
	mac := hmac.New(sha1.New, []byte(d.secret))
	fmt.Fprintf(mac, "%s\x00%s\x00%s\x00notadmin", asked.Nonce, user, password)
	if err := d.call("POST", path, "", map[string]any{"nonce": asked.Nonce, "username": user, "password": password,
		"admin": false, "mac": hex.EncodeToString(mac.Sum(nil))}, nil); err != nil {
		d.t.Fatal(err)
	}
}

// A matrixHuman uses the homeserver as people do, by a client that is none of
// ours.
type matrixHuman struct {
	t      testing.TB
	client *mautrix.Client
	since  string // where the next sync begins
	rooms  map[id.RoomID][]*event.Event
	calls  map[id.RoomID]id.UserID // rooms that one was invited to, and by whom
}

// human makes an account and logs in.
func (d *dendrite) human(user, name string) *matrixHuman {
	d.t.Helper()
	password := "the password of " + user
	d.register(user, password)
	client, err := mautrix.NewClient(d.url, "", "")
	if err != nil {
		d.t.Fatal(err)
	}
	client.Client = d.web
	h := &matrixHuman{t: d.t, client: client, rooms: map[id.RoomID][]*event.Event{}, calls: map[id.RoomID]id.UserID{}}
	if _, err := client.Login(d.t.Context(), &mautrix.ReqLogin{Type: mautrix.AuthTypePassword, StoreCredentials: true, Password: password,
		Identifier: mautrix.UserIdentifier{Type: mautrix.IdentifierTypeUser, User: user}}); err != nil {
		d.t.Fatalf("log %s in: %v", user, err)
	}
	h.must(client.SetDisplayName(d.t.Context(), name))
	return h
}

func (h *matrixHuman) must(err error) {
	h.t.Helper()
	if err != nil {
		h.t.Fatalf("%s: %v", h.client.UserID, err)
	}
}

// create makes a public room with an alias.
func (h *matrixHuman) create(alias string) id.RoomID {
	h.t.Helper()
	r, err := h.client.CreateRoom(h.t.Context(), &mautrix.ReqCreateRoom{Preset: "public_chat", RoomAliasName: alias, Name: alias})
	h.must(err)
	return r.RoomID
}

// ask opens a room with somebody who is invited to it.
func (h *matrixHuman) ask(who id.UserID) id.RoomID {
	h.t.Helper()
	r, err := h.client.CreateRoom(h.t.Context(), &mautrix.ReqCreateRoom{Preset: "trusted_private_chat", IsDirect: true, Invite: []id.UserID{who}})
	h.must(err)
	return r.RoomID
}

// join goes into a room by its id or alias.
func (h *matrixHuman) join(room string) id.RoomID {
	h.t.Helper()
	r, err := h.client.JoinRoom(h.t.Context(), room, nil)
	h.must(err)
	return r.RoomID
}

func (h *matrixHuman) say(room id.RoomID, text string) id.EventID {
	h.t.Helper()
	r, err := h.client.SendText(h.t.Context(), room, text)
	h.must(err)
	return r.EventID
}

// answer says something in the thread of another message.
func (h *matrixHuman) answer(room id.RoomID, root id.EventID, text string) {
	h.t.Helper()
	content := &event.MessageEventContent{MsgType: event.MsgText, Body: text}
	content.SetThread(&event.Event{ID: root})
	_, err := h.client.SendMessageEvent(h.t.Context(), room, event.EventMessage, content)
	h.must(err)
}

// until syncs until ok holds.
func (h *matrixHuman) until(what string, ok func() bool) {
	h.t.Helper()
	ctx, cancel := context.WithTimeout(h.t.Context(), patience)
	defer cancel()
	for !ok() {
		r, err := h.client.SyncRequest(ctx, 10_000, h.since, "", h.since == "", event.PresenceOnline)
		if err != nil {
			h.t.Fatalf("%s: %s: %v; what is known: %s", h.client.UserID, what, err, h.seen())
		}
		h.since = r.NextBatch
		for room, joined := range r.Rooms.Join {
			h.rooms[room] = append(h.rooms[room], joined.Timeline.Events...)
		}
		for room, invited := range r.Rooms.Invite {
			for _, e := range invited.State.Events {
				if e.Type.Type == event.StateMember.Type && e.GetStateKey() == string(h.client.UserID) {
					h.calls[room] = e.Sender
				}
			}
		}
	}
}

// sees waits for a text in a room and returns the event.
func (h *matrixHuman) sees(room id.RoomID, text string) (found *event.Event) {
	h.t.Helper()
	h.until(fmt.Sprintf("waits for %q in %s", text, room), func() bool {
		for _, e := range h.rooms[room] {
			if body(e) == text {
				found = e
			}
		}
		return found != nil
	})
	return found
}

// invited waits for an invitation by somebody and returns the room.
func (h *matrixHuman) invited(by id.UserID) (room id.RoomID) {
	h.t.Helper()
	h.until("waits for an invitation by "+string(by), func() bool {
		for at, sender := range h.calls {
			if sender == by {
				room = at
			}
		}
		return room != ""
	})
	delete(h.calls, room)
	return room
}

// said returns what a room has, in order, as "author: text".
func (h *matrixHuman) said(room id.RoomID) (list []string) {
	h.t.Helper()
	r, err := h.client.Messages(h.t.Context(), room, "", "", mautrix.DirectionBackward, nil, 100)
	h.must(err)
	for _, e := range r.Chunk {
		if e.Type.Type == event.EventMessage.Type {
			list = append([]string{string(e.Sender) + ": " + body(e)}, list...)
		}
	}
	return list
}

func (h *matrixHuman) seen() string {
	var b strings.Builder
	for room, events := range h.rooms {
		for _, e := range events {
			fmt.Fprintf(&b, "\n%s %s %s %q", room, e.Sender, e.Type.Type, body(e))
		}
	}
	return b.String()
}

// body is the text of a message, "" of anything else.
func body(e *event.Event) string {
	text, _ := e.Content.Raw["body"].(string)
	return text
}

// thread is the root of the thread that a message stands in.
func thread(e *event.Event) string {
	related, _ := e.Content.Raw["m.relates_to"].(map[string]any)
	root, _ := related["event_id"].(string)
	return root
}

// A registration file for a test of the homeserver alone. Nobody listens at
// its URL.
const someRegistration = `id: some
url: http://127.0.0.1:1
as_token: as-token
hs_token: hs-token
sender_localpart: some_bot
rate_limited: false
namespaces:
  users: [{exclusive: true, regex: "@some_.*:hs\\.test"}]
  aliases: [{exclusive: true, regex: "#some_.*:hs\\.test"}]
  rooms: []
`

func TestPeerDendriteHasHumansAndApplicationServices(t *testing.T) {
	d := startDendrite(t, "hs.test", write(t, t.TempDir(), "some.yaml", someRegistration))
	ann, ben := d.human("ann", "Ann"), d.human("ben", "Ben")
	room := ann.create("talk")
	if at := ben.join("#talk:hs.test"); at != room {
		t.Fatalf("the alias leads to %s, not to %s", at, room)
	}
	ann.say(room, "hello Ben")
	ben.sees(room, "hello Ben")
	root := ben.say(room, "hello Ann")
	ann.sees(room, "hello Ann")
	ann.answer(room, root, "in the thread")
	if e := ben.sees(room, "in the thread"); thread(e) != string(root) {
		t.Errorf("it stands in the thread of %q", thread(e))
	}
	if got := fmt.Sprint(ben.said(room)); got != "[@ann:hs.test: hello Ben @ben:hs.test: hello Ann @ann:hs.test: in the thread]" {
		t.Errorf("the room has %s", got)
	}
	var ghost struct {
		User string `json:"user_id"`
	}
	if err := d.call("POST", "/_matrix/client/v3/register", "as-token", map[string]any{
		"type": "m.login.application_service", "username": "some_ghost", "inhibit_login": true}, &ghost); err != nil {
		t.Fatal(err)
	}
	if ghost.User != "@some_ghost:hs.test" {
		t.Errorf("the ghost is %q", ghost.User)
	}
	if err := d.call("POST", "/_matrix/client/v3/register", "another-token", map[string]any{
		"type": "m.login.application_service", "username": "some_other"}, nil); err == nil {
		t.Error("a ghost is made with a wrong token")
	}
}
