package matrix

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"maunium.net/go/mautrix/id"

	"parley.im/bus/event"
	"parley.im/plugins/matrix/matrixtest"
	"parley.im/plugins/sdk"
	"parley.im/plugins/sdk/sdktest"
)

func file(name, mediaType, data string) event.File {
	return event.File{Name: name, Content: event.Content{MediaType: mediaType, Data: []byte(data)}}
}

func TestFilesFollowTheirMessageInItsThread(t *testing.T) {
	hs := newHomeserver(t)
	room := hs.Human("bob", "").Create(matrixtest.Room{Alias: "ops", Public: true})
	b := start(t, hs, sdktest.NewBackend())
	d := to("matrix:r/ops:hs.org", event.ModeDesk, "d1", "look")
	d.Files = []event.File{file("a.png", "image/png", "png"), file("b.pdf", "application/pdf; x=1", "pdf")}
	r := b.deliver(d)
	msgs := hs.Messages(room)
	if !slices.Equal(bodies(msgs), []string{"look", "a.png", "b.pdf"}) || len(r.RemoteIDs) != 3 || len(r.Losses) != 0 {
		t.Fatalf("%q, %+v", bodies(msgs), r)
	}
	for i, want := range []struct{ kind, mime, data string }{{"m.image", "image/png", "png"}, {"m.file", "application/pdf", "pdf"}} {
		c := msgs[i+1].Content
		uri, _ := c["url"].(string)
		f, ok := hs.File(uri)
		relates, _ := c["m.relates_to"].(map[string]any)
		if c["msgtype"] != want.kind || !ok || string(f.Data) != want.data || f.Type != want.mime || relates["event_id"] != msgs[0].ID {
			t.Errorf("%v: %+v", c, f)
		}
	}
	again := d
	again.Attempt = 2
	b.deliver(again) // the homeserver knows them
	if n := len(hs.Messages(room)); n != 3 {
		t.Errorf("%d messages after a repetition", n)
	}
	if got, found, err := b.Find(t.Context(), d, d.Sent); !found || err != nil || !reflect.DeepEqual(got, r) {
		t.Errorf("found: %v, %v, %+v; the receipt was %+v", found, err, got, r)
	}
	d.Files = append(d.Files, file("c.txt", "text/plain", "x"))
	if _, found, err := b.Find(t.Context(), d, d.Sent); found || err != nil {
		t.Errorf("a message whose last file is missing is found: %v, %v", found, err)
	}
}

func TestFilesAloneAreTheMessage(t *testing.T) {
	hs := newHomeserver(t)
	room := hs.Human("bob", "").Create(matrixtest.Room{Alias: "ops", Public: true})
	b := start(t, hs, sdktest.NewBackend())
	var want []string
	for i, words := range []string{"", " \n", " \n"} {
		files := 1 + i/2
		d := to("matrix:r/ops:hs.org", event.ModeRoom, fmt.Sprint("d", i), words)
		for n := range files {
			d.Files = append(d.Files, file(fmt.Sprint(i, n, ".ogg"), "audio/ogg", "ogg"))
			want = append(want, d.Files[n].Name)
		}
		r := b.deliver(d)
		if got, found, err := b.Find(t.Context(), d, d.Sent); !found || err != nil || !reflect.DeepEqual(got, r) || len(r.RemoteIDs) != files {
			t.Errorf("%q: found: %v, %v, %+v; the receipt was %+v", words, found, err, got, r)
		}
	}
	msgs := hs.Messages(room)
	if !slices.Equal(bodies(msgs), want) || msgs[0].Content["msgtype"] != "m.audio" {
		t.Errorf("%+v", msgs)
	}
}

func TestAFileThatTheHomeserverRefusesIsNamed(t *testing.T) {
	hs := newHomeserver(t)
	room := hs.Human("bob", "").Create(matrixtest.Room{Alias: "ops", Public: true})
	b := start(t, hs, sdktest.NewBackend())
	hs.LimitFiles(10)
	d := to("matrix:r/ops:hs.org", event.ModeRoom, "d1", "look")
	d.Files = []event.File{file("big.png", "image/png", strings.Repeat("x", 11)), file("s.png", "image/png", "x")}
	r := b.deliver(d)
	got := bodies(hs.Messages(room))
	if len(got) != 3 || got[0] != "look" || !strings.Contains(got[1], "big.png") || got[2] != "s.png" || !slices.Equal(r.Losses, []string{string(notUploaded)}) {
		t.Errorf("%q, %+v", got, r)
	}
	if found, ok, err := b.Find(t.Context(), d, d.Sent); !ok || err != nil || !reflect.DeepEqual(found, r) {
		t.Errorf("found: %v, %v, %+v; the receipt was %+v", ok, err, found, r)
	}
}

// K07: what goes wrong with a file neither holds up nor repeats what was said.
func TestAFileThatCanNotBeUploadedDoesNotTakeItsTextAlong(t *testing.T) {
	for _, tc := range []struct {
		name  string
		fault func(*matrixtest.Server, *bridge)
	}{
		{"the homeserver fails", func(hs *matrixtest.Server, _ *bridge) { hs.FailAt("/upload", 9, 500, "M_UNKNOWN") }},
		{"a proxy answers for it", func(hs *matrixtest.Server, _ *bridge) { hs.FailAt("/upload", 9, 504, "") }},
		{"it is too fast", func(hs *matrixtest.Server, _ *bridge) { hs.FailAt("/upload", 9, 429, "M_LIMIT_EXCEEDED") }},
		{"it takes too long", func(hs *matrixtest.Server, b *bridge) {
			hs.StallAt("/upload")
			b.uploadFor = 200 * time.Millisecond
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			hs := newHomeserver(t)
			room := hs.Human("bob", "").Create(matrixtest.Room{Alias: "ops", Public: true})
			b := start(t, hs, sdktest.NewBackend())
			tc.fault(hs, b)
			d := to("matrix:r/ops:hs.org", event.ModeDesk, "d1", "look")
			d.Files = []event.File{file("a.png", "image/png", "png")}
			for range fileTries { // the first ends when the text stands
				r, err := b.Deliver(t.Context(), d)
				if scope, after, ok := event.AsRetry(err); !ok || scope != event.ScopeTarget || after <= 0 || after > fileRest {
					t.Fatalf("attempt %d: %v, again after %v", d.Attempt, err, after)
				}
				d = next(d, r)
				if got := bodies(hs.Messages(room)); !slices.Equal(got, []string{"look"}) {
					t.Fatalf("before attempt %d the room shows %q", d.Attempt, got)
				}
				hs.Forget()
			}
			r := b.deliver(d)
			got := bodies(hs.Messages(room))
			if !slices.Equal(got, []string{"look", "[file not passed on: a.png]"}) || len(r.RemoteIDs) != 2 || !slices.Equal(r.Losses, []string{string(notUploaded)}) {
				t.Errorf("%q, %+v", got, r)
			}
		})
	}
}

func TestAFileThatIsNotKeptAnyMoreIsNamed(t *testing.T) {
	hs := newHomeserver(t)
	room := hs.Human("bob", "").Create(matrixtest.Room{Alias: "ops", Public: true})
	b := start(t, hs, sdktest.NewBackend())
	d := to("matrix:r/ops:hs.org", event.ModeRoom, "d1", "look")
	d.Files = []event.File{{Name: "a.png", Content: event.Content{MediaType: "image/png", Ref: "gone", Size: 5}}}
	r := b.deliver(d)
	if got := bodies(hs.Messages(room)); !slices.Equal(got, []string{"look", "[file not passed on: a.png]"}) || len(r.Losses) != 1 {
		t.Errorf("%q, %+v", got, r)
	}
}

// What an attempt has done the next one finds, also when the homeserver has
// forgotten the transaction ids.
func TestAnAttemptGoesOnWhereTheLastOneEnded(t *testing.T) {
	hs := newHomeserver(t)
	room := hs.Human("bob", "").Create(matrixtest.Room{Alias: "ops", Public: true})
	b := start(t, hs, sdktest.NewBackend())
	d := to("matrix:r/ops:hs.org", event.ModeRoom, "d1", "")
	d.Files = []event.File{file("a.png", "image/png", "a"), file("b.png", "image/png", "b")}
	hs.FailAt("filename=b.png", 1, 500, "M_UNKNOWN")
	if _, err := b.Deliver(t.Context(), d); err == nil {
		t.Fatal("delivered without a file")
	}
	hs.Forget()
	d.Attempt = 2
	r := b.deliver(d)
	if got := bodies(hs.Messages(room)); !slices.Equal(got, []string{"a.png", "b.png"}) || len(r.RemoteIDs) != 2 || len(r.Losses) != 0 || b.asked("/upload") != 3 {
		t.Errorf("%q after %d uploads, %+v", got, b.asked("/upload"), r)
	}
}

func TestFilesWaitForAHomeserverThatIsAway(t *testing.T) {
	hs := newHomeserver(t)
	hs.URL = "http://127.0.0.1:1" // nobody listens there
	b := open(t, hs, sdktest.NewBackend())
	for range fileTries + 1 {
		_, err := b.attached(t.Context(), &attachment{File: file("a.png", "image/png", "a"), key: "d1/f1"})
		if scope, _, ok := event.AsRetry(sending(err)); !ok || scope != event.ScopeConnector {
			t.Errorf("%v", err)
		}
	}
}

// undone delivers a message as the host does, with at most that much time for
// each attempt, until it is done, and returns how its attempts ended.
func (b *bridge) undone(d event.Delivery, most time.Duration) (r event.Receipt, ends []error) {
	b.t.Helper()
	for d.Attempt < 100 {
		ctx, cancel := context.WithTimeout(b.t.Context(), most)
		again, err := b.Deliver(ctx, d)
		cancel()
		if err == nil {
			return again, ends
		}
		ends, d = append(ends, err), next(d, again)
		b.hs.Forget()
	}
	b.t.Fatalf("never done: %v", ends)
	return r, ends
}

// A message's own slow files never look like a homeserver that is away.
func TestFilesThatAreTooSlowHoldUpTheirRoomOnly(t *testing.T) {
	hs := newHomeserver(t)
	room := hs.Human("bob", "").Create(matrixtest.Room{Alias: "ops", Public: true})
	b := start(t, hs, sdktest.NewBackend())
	hs.StallAt("/upload")
	b.uploadFor = 20 * time.Millisecond
	d := to("matrix:r/ops:hs.org", event.ModeRoom, "d1", "look")
	d.Files = []event.File{file("a.png", "image/png", "a"), file("b.png", "image/png", "b"), file("c.png", "image/png", "c")}
	r, ends := b.undone(d, time.Minute)
	for i, err := range ends {
		if scope, _, ok := event.AsRetry(err); !ok || scope != event.ScopeTarget {
			t.Errorf("attempt %d: %v", i+1, err)
		}
	}
	want := []string{"look", "[file not passed on: a.png]", "[file not passed on: b.png]", "[file not passed on: c.png]"}
	if got := bodies(hs.Messages(room)); !slices.Equal(got, want) || len(ends) != 3*(fileTries-1) || len(r.RemoteIDs) != 4 {
		t.Errorf("%q after %d attempts, %+v", got, len(ends)+1, r)
	}
	if len(r.Losses) != 3 {
		t.Errorf("what earlier attempts lost is not told: %q", r.Losses)
	}
	if len(b.efforts.of) != 0 {
		t.Errorf("what is done is remembered: %v", b.efforts.of)
	}
}

// Whether the homeserver can be reached is not known when nobody has waited for it.
func TestTimeThatIsOverSaysNothingOfTheHomeserver(t *testing.T) {
	hs := newHomeserver(t)
	b := start(t, hs, sdktest.NewBackend())
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	err := b.api.call(ctx, "", http.MethodGet, []any{"v3", "account", "whoami"}, nil, nil, nil)
	var f *failure
	if !errors.As(err, &f) || f.unreachable() || f.away() || f.unknown() {
		t.Errorf("%+v", f)
	}
	if scope, _, ok := event.AsRetry(sending(err)); !ok || scope != event.ScopeTarget {
		t.Errorf("%v", sending(err))
	}
}

// A file is given up for its own failures, however many attempts the others need.
func TestEachFileHasItsOwnTries(t *testing.T) {
	hs := newHomeserver(t)
	room := hs.Human("bob", "").Create(matrixtest.Room{Alias: "ops", Public: true})
	b := start(t, hs, sdktest.NewBackend())
	d := to("matrix:r/ops:hs.org", event.ModeRoom, "d1", "look")
	want := []string{"look"}
	for i := range 6 {
		name := fmt.Sprint(i, ".png")
		d.Files, want = append(d.Files, file(name, "image/png", "x")), append(want, name)
		hs.FailAt("filename="+name, fileTries-1, 500, "M_UNKNOWN")
	}
	r, ends := b.undone(d, 10*time.Minute)
	if got := bodies(hs.Messages(room)); !slices.Equal(got, want) || len(r.RemoteIDs) != 7 || len(r.Losses) != 0 || len(ends) != 6*(fileTries-1) {
		t.Errorf("%q after %d attempts, %+v", got, len(ends)+1, r)
	}
}

// No file is begun in a time that may be too short for it, unless nothing else
// was done in it.
func TestADeliveryEndsBeforeItsTimeDoes(t *testing.T) {
	hs := newHomeserver(t)
	room := hs.Human("bob", "").Create(matrixtest.Room{Alias: "ops", Public: true})
	b := start(t, hs, sdktest.NewBackend())
	b.uploadFor = time.Hour
	d := to("matrix:r/ops:hs.org", event.ModeRoom, "d1", "look")
	want := []string{"look"}
	for i := range 15 {
		d.Files, want = append(d.Files, file(fmt.Sprint(i, ".png"), "image/png", "x")), append(want, fmt.Sprint(i, ".png"))
	}
	r, ends := b.undone(d, time.Minute)
	for i, err := range ends {
		if scope, after, ok := event.AsRetry(err); !ok || scope != event.ScopeTarget || after != time.Millisecond {
			t.Errorf("attempt %d: %v", i+1, err)
		}
	}
	if got := bodies(hs.Messages(room)); !slices.Equal(got, want) || len(ends) != 15 || b.asked("/upload") != 15 || len(r.Losses) != 0 {
		t.Errorf("%q after %d attempts and %d uploads, %+v", got, len(ends)+1, b.asked("/upload"), r)
	}
}

// The host learns the thread before the files: somebody may answer in it while
// they are on their way.
func TestAThreadIsToldOfBeforeItsFilesAreUploaded(t *testing.T) {
	for _, tc := range []struct {
		name, words string
		kept        bool // by the host
		blind       bool // what is there can't be looked at
		uploads     int  // before the host is told
	}{
		{"words and files", "look", true, false, 0},
		{"files alone", "", true, false, 1},
		{"the host could not keep it", "look", false, false, 0},
		{"nor can it be looked for", "look", false, true, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			hs := newHomeserver(t)
			room := hs.Human("bob", "").Create(matrixtest.Room{Alias: "ops", Public: true})
			b := start(t, hs, sdktest.NewBackend())
			d := to("matrix:r/ops:hs.org", event.ModeDesk, "d1", tc.words)
			d.Files = []event.File{file("a.png", "image/png", "a"), file("b.png", "image/png", "b")}
			first, err := b.Deliver(t.Context(), d)
			msgs := hs.Messages(room)
			if scope, after, ok := event.AsRetry(err); !ok || scope != event.ScopeTarget || after != time.Millisecond || len(msgs) != 1 || b.asked("/upload") != tc.uploads {
				t.Fatalf("%v; the room shows %q after %d uploads", err, bodies(msgs), b.asked("/upload"))
			}
			if want := (event.Receipt{Anchor: anchor(id.RoomID(room), id.EventID(msgs[0].ID))}); !reflect.DeepEqual(first, want) {
				t.Errorf("%+v; want %+v", first, want)
			}
			again := next(d, event.Receipt{})
			if tc.kept {
				again = next(d, first)
			}
			if tc.blind {
				hs.FailAt("/messages", 1, http.StatusForbidden, "M_FORBIDDEN")
			} else {
				hs.Forget()
			}
			r, err := b.Deliver(t.Context(), again)
			msgs = hs.Messages(room)
			want := []string{"look", "a.png", "b.png"}
			if tc.words == "" {
				want = want[1:]
			}
			if got := bodies(msgs); err != nil || !slices.Equal(got, want) || len(r.RemoteIDs) != len(want) || r.Anchor != first.Anchor {
				t.Errorf("%v: %q, %+v", err, got, r)
			}
			for _, m := range msgs[1:] {
				if relates, _ := m.Content["m.relates_to"].(map[string]any); relates["event_id"] != msgs[0].ID {
					t.Errorf("%q stands in %v", m.Text(), relates)
				}
			}
		})
	}
}

// What is remembered of files on their way has an end.
func TestEffortsAreBounded(t *testing.T) {
	e := newEfforts()
	for i := range 2 * maxKnown {
		e.failed(fmt.Sprint("d", i, "/f1"))
	}
	if e.failed("d/f1") != 1 || e.failed("d/f2") != 1 || e.failed("d/f1") != 2 || !e.begin("d") || e.begin("d") || len(e.of) > maxKnown {
		t.Errorf("%d are remembered, of one %+v", len(e.of), e.of["d"])
	}
	e.forget("d")
	if e.failed("d/f1") != 1 || !e.begin("d") {
		t.Error("what was forgotten counts")
	}
}

func TestFormatsGoBothWays(t *testing.T) {
	hs := newHomeserver(t)
	bob := hs.Human("bob", "")
	room := bob.Create(matrixtest.Room{Alias: "ops", Public: true})
	b := start(t, hs, sdktest.NewBackend())
	d := to("matrix:r/ops:hs.org", event.ModeRoom, "d1", "**now** @room <script>x</script>")
	d.MediaType = "text/markdown"
	b.deliver(d)
	c := hs.Messages(room)[0].Content
	if c["format"] != "org.matrix.custom.html" || !strings.HasPrefix(c["formatted_body"].(string), "<strong>now</strong> @\u200broom ") ||
		strings.Contains(c["formatted_body"].(string), "<script") || !strings.HasPrefix(c["body"].(string), "now @\u200broom") {
		t.Errorf("%q", c)
	}
	bob.Send(room, "m.room.message", map[string]any{
		"msgtype": "m.text", "body": "> quoted\n\nyes", "format": "org.matrix.custom.html",
		"formatted_body": `<mx-reply>quoted</mx-reply><b onclick="x">yes</b> <a href="https://matrix.to/#/@_parley_sip_alice_example.com:hs.org">Al</a>`,
	})
	bob.Send(room, "m.room.message", map[string]any{"msgtype": "m.text", "body": "plain", "format": "org.matrix.custom.html", "formatted_body": "<p>plain</p>"})
	b.settled()
	in := b.Inbounds()
	if len(in) != 2 || in[0].MediaType != "text/html;charset=utf-8" || string(in[0].Data) != "<p><strong>yes</strong> @Al</p>" ||
		in[1].MediaType != "text/plain;charset=utf-8" || string(in[1].Data) != "plain" {
		for _, i := range in {
			t.Errorf("%s %q", i.MediaType, i.Data)
		}
	}
}

func TestFilesOfPeopleAreFetched(t *testing.T) {
	hs := newHomeserver(t)
	bob := hs.Human("bob", "")
	b := start(t, hs, sdktest.NewBackend())
	room := direct(t, hs, bob)
	data := bytes.Repeat([]byte("large "), 100_000)
	uri := bob.Upload(matrixtest.File{Name: "x", Type: "image/png", Data: data})
	bob.Send(room, "m.room.message", map[string]any{
		"msgtype": "m.image", "body": "see", "filename": "a\u202e.png", "url": uri, "info": map[string]any{"mimetype": "image/png"},
	})
	bob.Send(room, "m.room.message", map[string]any{"msgtype": "m.file", "body": "gone.txt", "url": "mxc://hs.org/none", "info": "odd"})
	bob.Send(room, "m.room.message", map[string]any{"msgtype": "m.file", "body": "odd.txt", "url": "https://example.com/x"})
	b.settled()
	in := b.Inbounds()
	if len(in) != 3 {
		t.Fatalf("%d came in", len(in))
	}
	if len(in[0].Files) != 1 || in[0].Files[0].Name != "a.png" || in[0].Files[0].MediaType != "image/png" || string(in[0].Data) != "see" {
		t.Fatalf("%+v", in[0])
	}
	got, err := sdk.Body(t.Context(), b.Media(), in[0].Files[0].Content, 1<<20)
	if err != nil || !bytes.Equal(got, data) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	if string(in[1].Data) != "[file: gone.txt]" || string(in[2].Data) != "[file: odd.txt]" {
		t.Errorf("%q, %q", in[1].Data, in[2].Data)
	}
}
