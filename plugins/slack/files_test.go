package slack

import (
	"bytes"
	"slices"
	"strings"
	"testing"
	"time"

	"parley.im/bus/event"
	"parley.im/plugins/sdk"
	"parley.im/plugins/slack/slacktest"
)

func file(name, data string) event.File {
	return event.File{Name: name, Content: event.Content{MediaType: "image/png", Data: []byte(data)}}
}

func names(files []slacktest.File) (list []string) {
	for _, f := range files {
		list = append(list, f.Name+" "+string(f.Data))
	}
	return list
}

func TestFilesFollowTheirText(t *testing.T) {
	s := newWorkspace(t, slacktest.Options{})
	p := start(t, s, bySocket(s))
	ops := s.Channel("ops")
	d := from("o1", address(s.Team, ops), event.ModeDesk, "look")
	d.Files = []event.File{file("a.png", "one"), file("b.png", "two")}
	r := p.deliver(d)
	root := s.Messages(ops)[0]
	got := s.Files(ops)
	if root.Text != "look" || !slices.Equal(names(got), []string{"a.png one", "b.png two"}) || got[0].ThreadTS != root.TS || got[1].ThreadTS != root.TS {
		t.Errorf("%+v, %+v", root, got)
	}
	if r.Anchor != ops+"/"+root.TS || len(r.Losses) != 0 {
		t.Errorf("%+v", r)
	}
	again := p.deliver(d) // after a crash, say: all is done
	if len(s.Messages(ops)) != 1 || len(s.Files(ops)) != 2 || again.Anchor != r.Anchor {
		t.Errorf("%d messages, %d files, %+v", len(s.Messages(ops)), len(s.Files(ops)), again)
	}
	if f, found, err := p.c.Find(t.Context(), d, time.Now()); !found || err != nil || f.RemoteIDs[0] != r.RemoteIDs[0] {
		t.Errorf("found: %v, %+v, %v", found, f, err)
	}
}

func TestATextIsNotPostedTwiceForItsFiles(t *testing.T) {
	s := newWorkspace(t, slacktest.Options{})
	p := start(t, s, bySocket(s))
	ops := s.Channel("ops")
	d := from("o1", address(s.Team, ops), event.ModeRoom, "look")
	p.deliver(d) // a life that ended before the file, and before its note
	d.Files = []event.File{file("a.png", "one")}
	if _, found, err := p.c.Find(t.Context(), d, time.Now()); found || err != nil {
		t.Errorf("found without its file: %v, %v", found, err)
	}
	p.deliver(d)
	if len(s.Messages(ops)) != 1 || !slices.Equal(names(s.Files(ops)), []string{"a.png one"}) {
		t.Errorf("%d messages, %q", len(s.Messages(ops)), names(s.Files(ops)))
	}
}

func TestAFileThatSlackRefusesIsNamed(t *testing.T) {
	s := newWorkspace(t, slacktest.Options{})
	p := start(t, s, bySocket(s))
	ops := s.Channel("ops")
	s.LimitFiles(4)
	d := from("o1", address(s.Team, ops), event.ModeRoom, "")
	d.Files = []event.File{file("big.png", "12345"), file("s.png", "1")}
	r := p.deliver(d)
	m := s.Messages(ops)
	if len(m) != 2 || !strings.Contains(m[0].Text, "big.png, s.png") || !strings.Contains(m[1].Text, "file not passed on: big.png: file_upload_size_restricted") ||
		!slices.Equal(names(s.Files(ops)), []string{"s.png 1"}) || !slices.Equal(r.Losses, []string{string(notUploaded)}) {
		t.Errorf("%+v, %q, %+v", m, names(s.Files(ops)), r)
	}
}

func TestAnAppWithoutTheScopeForFilesStillPosts(t *testing.T) {
	s := newWorkspace(t, slacktest.Options{NoFiles: true})
	p := start(t, s, bySocket(s))
	ops := s.Channel("ops")
	d := from("o1", address(s.Team, ops), event.ModeRoom, "look")
	d.Files = []event.File{file("a.png", "1")}
	p.deliver(d)
	if m := s.Messages(ops); len(m) != 2 || m[0].Text != "look" || !strings.Contains(m[1].Text, "missing_scope (files:write)") {
		t.Errorf("%+v", m)
	}
}

func TestFilesOfPeopleComeBehindTheirText(t *testing.T) {
	s := newWorkspace(t, slacktest.Options{})
	p := start(t, s, bySocket(s)).connected()
	ops, bob := s.Channel("ops"), s.Person("Bob")
	data := bytes.Repeat([]byte("large "), 100_000)
	s.Fail(500)
	share := func(ts, text string, f ...map[string]any) {
		s.Tell(ops, map[string]any{"type": "message", "subtype": "file_share", "ts": ts, "user": bob, "text": text, "files": f})
	}
	share("1700000001.000000", "see", s.Attach("a.png", "image/png", data))
	share("1700000002.000000", "", s.Attach("b.txt", "text/plain", []byte("b")))
	p.got(1)
	s.Fail(0)
	in := p.got(3)
	if string(in[0].Data) != "see" || len(in[0].Files) != 0 {
		t.Errorf("first %+v", in[0])
	}
	for i, want := range map[int]string{1: "a.png", 2: "b.txt"} {
		if len(in[i].Files) != 1 || in[i].Files[0].Name != want || len(in[i].Data) != 0 || in[i].Sender != address(s.Team, bob) || in[i].Recipient != address(s.Team, ops) {
			t.Fatalf("%d: %+v", i, in[i])
		}
	}
	got, err := sdk.Body(t.Context(), p.backend.Media(), in[1].Files[0].Content, 1<<20)
	if err != nil || !bytes.Equal(got, data) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	if left, err := p.backend.State().List(t.Context(), errandPrefix, "", 10); len(left) != 0 || err != nil {
		t.Errorf("errands left: %v, %v", left, err)
	}
}

func TestFilesThatCantBeFetchedAreNamed(t *testing.T) {
	s := newWorkspace(t, slacktest.Options{NoFiles: true})
	p := start(t, s, bySocket(s)).connected()
	ops, bob := s.Channel("ops"), s.Person("Bob")
	elsewhere := map[string]any{"id": "F1", "name": "x.png", "mimetype": "image/png", "mode": "hosted", "url_private_download": "https://files.slack.com.example.com/x"}
	s.Tell(ops, map[string]any{"type": "message", "subtype": "file_share", "ts": "1700000001.000000", "user": bob, "text": "", "files": []any{
		s.Attach("a.png", "image/png", []byte("x")), elsewhere,
	}})
	in := p.got(2)
	if string(in[0].Data) != "[file: a.png]" || string(in[1].Data) != "[file: x.png]" {
		t.Errorf("%q, %q", in[0].Data, in[1].Data)
	}
}
