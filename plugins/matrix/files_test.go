package matrix

import (
	"bytes"
	"slices"
	"strings"
	"testing"

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
	if _, found, err := b.Find(t.Context(), d, d.Sent); !found || err != nil {
		t.Errorf("found: %v, %v", found, err)
	}
	d.Files = append(d.Files, file("c.txt", "text/plain", "x"))
	if _, found, err := b.Find(t.Context(), d, d.Sent); found || err != nil {
		t.Errorf("a message whose last file is missing is found: %v, %v", found, err)
	}
}

func TestAFileAloneIsTheMessage(t *testing.T) {
	hs := newHomeserver(t)
	room := hs.Human("bob", "").Create(matrixtest.Room{Alias: "ops", Public: true})
	b := start(t, hs, sdktest.NewBackend())
	d := to("matrix:r/ops:hs.org", event.ModeRoom, "d1", "")
	d.Files = []event.File{file("a.ogg", "audio/ogg", "ogg")}
	b.deliver(d)
	if msgs := hs.Messages(room); len(msgs) != 1 || msgs[0].Content["msgtype"] != "m.audio" {
		t.Errorf("%+v", msgs)
	}
	if _, found, err := b.Find(t.Context(), d, d.Sent); !found || err != nil {
		t.Errorf("found: %v, %v", found, err)
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
