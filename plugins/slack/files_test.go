package slack

import (
	"bytes"
	"encoding/json"
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	slackgo "github.com/slack-go/slack"

	"parley.im/bus/event"
	"parley.im/plugins/sdk"
	"parley.im/plugins/sdk/sdktest"
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
	ids := []string{ops + "/" + root.TS, "file/" + got[0].ID, "file/" + got[1].ID}
	if r.Anchor != ids[0] || len(r.Losses) != 0 || !slices.Equal(r.RemoteIDs, ids) {
		t.Errorf("%+v", r)
	}
	again := p.deliver(d) // after a crash, say: all is done
	if len(s.Messages(ops)) != 1 || len(s.Files(ops)) != 2 || !reflect.DeepEqual(again, r) {
		t.Errorf("%d messages, %d files, %+v", len(s.Messages(ops)), len(s.Files(ops)), again)
	}
	if f, found, err := p.c.Find(t.Context(), d, time.Now()); !found || err != nil || !reflect.DeepEqual(f, r) {
		t.Errorf("found: %v, %+v, %v", found, f, err)
	}
}

// The thread that a text begins is named as soon as it stands, before any of its
// files is on its way: who answers there is heard. A host that has not kept it is
// told once more, and the whole comes once and in order.
func TestAThreadIsNamedBeforeTheFiles(t *testing.T) {
	for name, tc := range map[string]struct {
		mode   event.Mode
		anchor string // of the first attempt: the beginning of a thread
		keeps  bool   // the host does, each time
		named  int
	}{
		"a desk":                       {event.ModeDesk, "", true, 1},
		"a person":                     {event.ModeDirect, "", true, 1},
		"a host that keeps nothing":    {event.ModeDesk, "", false, 2},
		"a thread that is gone":        {event.ModeDesk, "1500000000.000000", true, 1},
		"a thread that stays gone":     {event.ModeDesk, "1500000000.000000", false, 1},
		"a thread that there has been": {event.ModeDesk, "before", true, 0},
		"a room":                       {event.ModeRoom, "", true, 0},
	} {
		t.Run(name, func(t *testing.T) {
			s := newWorkspace(t, slacktest.Options{})
			p := start(t, s, bySocket(s))
			where, bob := s.Channel("support"), s.Person("Bob")
			target := address(s.Team, where)
			if tc.mode == event.ModeDirect {
				where, target = s.Direct(bob), address(s.Team, bob)
			}
			if tc.anchor == "before" {
				tc.anchor = s.Say(bob, where, "before", "")
			}
			d := from("o1", target, tc.mode, "look")
			d.Files = []event.File{file("a.png", "one"), file("b.png", "two")}
			if tc.anchor != "" {
				d.Anchor = where + "/" + tc.anchor
			}
			before := len(s.Messages(where))
			for range tc.named {
				r, err := sdktest.Deliver(t.Context(), p.c, d)
				scope, after, _ := event.AsRetry(err)
				m := s.Messages(where)[before]
				if scope != event.ScopeTarget || after > pace || r.Anchor != where+"/"+m.TS || s.Requests("files.getUploadURLExternal") != 0 {
					t.Fatalf("%+v, %v after %d uploads", r, err, s.Requests("files.getUploadURLExternal"))
				}
				if tc.keeps {
					d.Anchor = r.Anchor
				}
				p.open() // the life before has ended
			}
			r, err := sdktest.Deliver(t.Context(), p.c, d)
			m, files := s.Messages(where)[before:], s.Files(where)
			if err != nil || len(m) != 1 || m[0].Text != "look" || !slices.Equal(names(files), []string{"a.png one", "b.png two"}) {
				t.Fatalf("%v, %+v, %q", err, m, names(files))
			}
			thread, _ := readSpot(r.Anchor)
			if files[0].ThreadTS != files[1].ThreadTS || tc.mode != event.ModeRoom && files[0].ThreadTS != thread.ts {
				t.Errorf("%+v, %+v", r, files)
			}
		})
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

// A life that ends between the text and the files, or between two files, sends
// no text again and loses no file, and the receipt names all of them in order.
// The files stay in the thread of their text, wherever the conversation went.
func TestFilesGoOnWhereAnEarlierLifeEnded(t *testing.T) {
	s := newWorkspace(t, slacktest.Options{})
	p := start(t, s, bySocket(s))
	desk := s.Channel("support")
	other := p.deliver(from("o0", address(s.Team, desk), event.ModeDesk, "before"))
	d := from("o1", address(s.Team, desk), event.ModeDesk, "look")
	d.Files = []event.File{file("a.png", "one"), file("b.png", "two"), file("c.png", "three")}
	first := time.Now()
	for _, end := range []func(){
		func() {}, // behind the text, which has begun a thread
		func() { s.Mute("files.getUploadURLExternal", 1) },                                          // before the first file
		func() { p.c.haste = haste{deliver: patience, least: time.Hour, most: time.Hour, rate: 1} }, // behind a file
	} {
		end()
		if _, err := p.c.Deliver(t.Context(), d); err == nil || event.IsPermanent(err) {
			t.Fatalf("it did not end: %v", err)
		}
		p.open()
		d.Anchor = other.Anchor
		if r, found, err := p.c.Find(t.Context(), d, first); found || err != nil {
			t.Errorf("found without its files: %+v, %v", r, err)
		}
	}
	if got := names(s.Files(desk)); !slices.Equal(got, []string{"a.png one"}) {
		t.Errorf("before the last life: %q", got)
	}
	r := p.deliver(d)
	root, files := s.Messages(desk)[1], s.Files(desk)
	if len(s.Messages(desk)) != 2 || !slices.Equal(names(files), []string{"a.png one", "b.png two", "c.png three"}) {
		t.Fatalf("%+v, %q", s.Messages(desk), names(files))
	}
	want := event.Receipt{State: event.Delivered, Anchor: desk + "/" + root.TS, RemoteIDs: []string{
		desk + "/" + root.TS, "file/" + files[0].ID, "file/" + files[1].ID, "file/" + files[2].ID,
	}}
	for _, f := range files {
		if f.ThreadTS != root.TS {
			t.Errorf("%s stands in %q", f.Name, f.ThreadTS)
		}
	}
	f, found, err := p.c.Find(t.Context(), d, first)
	if err != nil || !found || !reflect.DeepEqual(r, want) || !reflect.DeepEqual(f, want) {
		t.Errorf("%+v, found %v %+v, %v, want %+v", r, found, f, err, want)
	}
}

// A file that is shown although its answer was lost is not shown twice.
func TestAFileIsNotShownAgainWhenItsAnswerIsLost(t *testing.T) {
	s := newWorkspace(t, slacktest.Options{})
	p := start(t, s, bySocket(s))
	ops, bob := s.Channel("ops"), s.Person("Bob")
	for _, where := range []string{ops, s.Direct(bob)} {
		target := address(s.Team, ops)
		if where != ops {
			target = address(s.Team, bob)
		}
		d := from("o-"+where, target, event.ModeDirect, "look")
		d.Files = []event.File{file("a.png", "one"), file("b.png", "two")}
		s.Mute("files.completeUploadExternal", 1)
		if _, err := p.attempt(d); err == nil || policy(err) || event.IsPermanent(err) {
			t.Errorf("nobody can tell what became of it, but: %v", err)
		}
		p.open()
		r := p.deliver(d)
		files := s.Files(where)
		if !slices.Equal(names(files), []string{"a.png one", "b.png two"}) || !slices.Equal(r.RemoteIDs[1:], []string{"file/" + files[0].ID, "file/" + files[1].ID}) {
			t.Errorf("%q, %+v", names(files), r)
		}
	}
}

// Files that take too long are tried a few times, and are then named: what
// follows in the channel waits no longer. Each try is told as one of the
// message's, never as trouble of the connector.
func TestFilesThatAreTooSlowAreNamed(t *testing.T) {
	s := newWorkspace(t, slacktest.Options{})
	p := start(t, s, bySocket(s))
	ops := s.Channel("ops")
	p.c.haste = haste{deliver: time.Hour, least: time.Second, most: time.Second, rate: 1}
	s.Slow("upload", patience)
	d := from("o1", address(s.Team, ops), event.ModeRoom, "look")
	d.Files = []event.File{file("a.png", "one"), file("b.png", "two")}
	for range maxUploads - 1 {
		if _, err := p.c.Deliver(t.Context(), d); err == nil || policy(err) || event.IsPermanent(err) {
			t.Fatalf("too slow: %v", err)
		}
	}
	r := p.deliver(d)
	m := s.Messages(ops)
	if len(m) != 3 || !strings.Contains(m[1].Text, "not passed on: a.png: handing it to Slack took too long") || !strings.Contains(m[2].Text, "b.png") || strings.Contains(m[1].Text, "http") {
		t.Errorf("shown is %+v", m)
	}
	if !slices.Equal(r.Losses, []string{string(notUploaded), string(notUploaded)}) || len(r.RemoteIDs) != 3 || s.Requests("upload") != maxUploads+1 {
		t.Errorf("%+v after %d uploads", r, s.Requests("upload"))
	}
	if f, found, err := p.c.Find(t.Context(), d, time.Now()); err != nil || !found || !reflect.DeepEqual(f, r) {
		t.Errorf("found %v %+v, %v", found, f, err)
	}
	p.deliver(about(d, "o2", event.KindRedact, "", r.RemoteIDs...)) // the names of the files, too
	if left := s.Messages(ops); len(left) != 0 {
		t.Errorf("left is %+v", left)
	}
}

// While nobody can tell whether a file is shown it is not sent again.
func TestAFileWaitsUntilSlackSaysWhetherItIsShown(t *testing.T) {
	s := newWorkspace(t, slacktest.Options{})
	p := start(t, s, bySocket(s))
	ops := s.Channel("ops")
	d := from("o1", address(s.Team, ops), event.ModeRoom, "look")
	d.Files = []event.File{file("a.png", "one")}
	for _, method := range []string{"files.completeUploadExternal", "files.info"} {
		s.Mute(method, 1)
		if _, err := p.c.Deliver(t.Context(), d); err == nil || policy(err) || event.IsPermanent(err) {
			t.Errorf("%s: %v", method, err)
		}
	}
	if p.deliver(d); s.Requests("upload") != 1 || len(s.Files(ops)) != 1 {
		t.Errorf("%d uploads, %q", s.Requests("upload"), names(s.Files(ops)))
	}
}

// What nobody will ask for any more is not kept.
func TestOldNotesAreForgotten(t *testing.T) {
	s := newWorkspace(t, slacktest.Options{})
	p := start(t, s, bySocket(s))
	state := p.backend.State()
	for _, prefix := range []string{progressPrefix, reactionPrefix, sharedPrefix} {
		for name, at := range map[string]time.Time{"old": time.Now().Add(-keepNotes - time.Hour), "new": time.Now()} {
			value, err := json.Marshal(progress{At: at})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := state.Put(t.Context(), prefix+name, value, 0); err != nil {
				t.Fatal(err)
			}
		}
		if err := p.c.forget(t.Context(), prefix); err != nil {
			t.Error(err)
		}
		if left, err := state.List(t.Context(), prefix, "", 10); err != nil || len(left) != 1 || left[0].Key != prefix+"new" {
			t.Errorf("left are %v, %v", left, err)
		}
	}
}

// More files than the time of one Deliver allows follow in the next, without
// using up the message's attempts.
func TestMoreFilesFollowInTheNextDeliver(t *testing.T) {
	s := newWorkspace(t, slacktest.Options{})
	p := start(t, s, bySocket(s))
	ops := s.Channel("ops")
	p.c.haste = haste{deliver: patience, least: time.Hour, most: time.Hour, rate: 1}
	d := from("o1", address(s.Team, ops), event.ModeRoom, "look")
	d.Files = []event.File{file("a.png", "one"), file("b.png", "two")}
	for want := range len(d.Files) {
		_, err := p.c.Deliver(t.Context(), d)
		if scope, _, ok := event.AsRetry(err); !ok || scope != event.ScopeTarget {
			t.Errorf("after %d files: %v", want, err)
		}
		if got := len(s.Files(ops)); got != want {
			t.Errorf("%d files are shown, want %d", got, want)
		}
	}
	if p.deliver(d); len(s.Messages(ops)) != 1 || !slices.Equal(names(s.Files(ops)), []string{"a.png one", "b.png two"}) {
		t.Errorf("%+v, %q", s.Messages(ops), names(s.Files(ops)))
	}
}

func TestTheTimeOfAFileGrowsWithItAndFitsIntoADeliver(t *testing.T) {
	h := usualHaste()
	if h.file(1) >= h.file(1<<20) || h.file(maxFile) != h.most || h.most >= h.deliver || h.deliver >= 90*time.Second {
		t.Errorf("%v, %v, %v of %v", h.file(1), h.file(1<<20), h.file(maxFile), h.deliver)
	}
}

// Where Slack asks for a slower pace the file is sent later; when its upload
// host answers with nonsense that is no fault of the app.
func TestWhatAnErrorOfAnUploadSays(t *testing.T) {
	if declined(answered(&refusal{code: "ratelimited"})) {
		t.Error("a slower pace is a refusal")
	}
	for _, err := range []error{slackgo.StatusCodeError{Code: 404}, slackgo.StatusCodeError{Code: 500}, errors.New("reset")} {
		if got := uploadFault(err); policy(got) || event.IsPermanent(got) {
			t.Errorf("%v became %v", err, got)
		}
	}
	if got := uploadFault(&slackgo.RateLimitedError{RetryAfter: time.Second}); !policy(got) {
		t.Errorf("a slower pace became %v", got)
	}
}

func TestAFileThatIsGoneIsNamed(t *testing.T) {
	s := newWorkspace(t, slacktest.Options{})
	p := start(t, s, bySocket(s))
	ops := s.Channel("ops")
	d := from("o1", address(s.Team, ops), event.ModeRoom, "look")
	d.Files = []event.File{{Name: "a.png", Content: event.Content{MediaType: "image/png", Ref: "gone", SHA256: "gone", Size: 3}}, file("b.png", "two")}
	r := p.deliver(d)
	if m := s.Messages(ops); len(m) != 2 || !strings.Contains(m[1].Text, "a.png: the file is not kept any more") || !slices.Equal(names(s.Files(ops)), []string{"b.png two"}) || len(r.Losses) != 1 {
		t.Errorf("%+v, %q, %+v", m, names(s.Files(ops)), r)
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
