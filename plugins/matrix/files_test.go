package matrix

import (
	"bytes"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

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
			for d.Attempt = 1; d.Attempt < fileTries; d.Attempt++ {
				_, err := b.Deliver(t.Context(), d)
				if scope, _, ok := event.AsRetry(err); !ok || scope != event.ScopeMessage {
					t.Fatalf("attempt %d: %v", d.Attempt, err)
				}
				if got := bodies(hs.Messages(room)); !slices.Equal(got, []string{"look"}) {
					t.Fatalf("after attempt %d the room shows %q", d.Attempt, got)
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
	_, err := b.attached(t.Context(), &attachment{File: file("a.png", "image/png", "a"), last: true, until: time.Now().Add(time.Minute)})
	if scope, _, ok := event.AsRetry(sending(err)); !ok || scope != event.ScopeConnector {
		t.Errorf("%v", err)
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
