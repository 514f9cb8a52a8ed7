//go:build peers

package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// A page is the chat page in a headless Chromium, used as a person does.
type page struct {
	t   *testing.T
	ctx context.Context
}

// mouse makes a browser without a screen believe that it has one.
const mouse = "primaryHoverType=2,availableHoverTypes=2,primaryPointerType=4,availablePointerTypes=4"

// openPage opens the chat page of a bridge in a browser of its own: of a desk
// with a mouse, or of a phone with a touch screen.
func openPage(t *testing.T, b *bridge, width, height int64) *page {
	t.Helper()
	options := []chromedp.ExecAllocatorOption{chromedp.Flag("disable-quic", true)}
	if width > height {
		options = append(options, chromedp.Flag("blink-settings", mouse))
	}
	p := openBrowser(t, options...)
	p.do("open the page", chromedp.EmulateViewport(width, height),
		chromedp.Navigate(fmt.Sprintf("http://%s/c/web/", at(b.web))))
	return p
}

// openBrowser starts one that leaves nothing behind.
func openBrowser(t *testing.T, more ...chromedp.ExecAllocatorOption) *page {
	t.Helper()
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.NoSandbox, chromedp.DisableGPU, chromedp.UserDataDir(t.TempDir()),
		chromedp.Env("TMPDIR="+shortDir(t), "PULSE_RUNTIME_PATH="+t.TempDir()), // a socket's path is short
		chromedp.Flag("disable-component-update", true))
	started, stop := chromedp.NewExecAllocator(t.Context(), append(options, more...)...)
	ctx, leave := chromedp.NewContext(started)
	t.Cleanup(func() {
		leave()
		stop() // returns when Chromium is gone
	})
	if err := chromedp.Do(ctx); err != nil { // a deadline on the first run would end the browser
		t.Fatalf("start Chromium: %v", err)
	}
	return &page{t, ctx}
}

// do takes steps and fails when they take too long.
func (p *page) do(what string, steps ...chromedp.Action[chromedp.Void]) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	if err := chromedp.Do(ctx, steps...); err != nil {
		p.t.Fatalf("%s: %v", what, err)
	}
}

// join takes a name with the keyboard alone: the field has the focus.
func (p *page) join(name string) {
	p.t.Helper()
	p.holds("the name can be typed at once", `document.activeElement?.id === "join-name"`)
	p.keys(name + kb.Enter)
	p.holds("the chat is open", `!document.getElementById("chat").hidden && document.getElementById("conv-title").textContent === "# lobby"`)
}

// keys presses keys where the focus is.
func (p *page) keys(keys string) { p.t.Helper(); p.do("press keys", chromedp.KeyEvent(keys)) }

// holds waits until an expression is true in the page.
func (p *page) holds(what, expression string) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	if _, err := chromedp.Run(ctx, chromedp.Poll[bool](expression, chromedp.WithPollingTimeout(0))); err != nil {
		p.picture("failed.png")
		p.t.Fatalf("never came true: %s: %v", what, err)
	}
}

// shows waits for a message with this text, and this mark if one is wanted.
func (p *page) shows(text, mark string) {
	p.t.Helper()
	p.holds(fmt.Sprintf("a message %q marked %q", text, mark), fmt.Sprintf(
		`[...document.querySelectorAll("#log .body")].some((b) =>
			b.querySelector(".text").textContent === %s && (%[2]s === "" || b.querySelector(".mark-words")?.textContent === %[2]s))`,
		strconv.Quote(text), strconv.Quote(mark)))
}

// picture keeps what the page looks like.
func (p *page) picture(name string) {
	p.t.Helper()
	png, err := chromedp.Run(p.ctx, chromedp.CaptureScreenshot())
	if err != nil {
		p.t.Fatalf("take a picture: %v", err)
	}
	if err := os.WriteFile(filepath.Join(p.t.ArtifactDir(), name), png, 0o644); err != nil {
		p.t.Fatal(err)
	}
}

func TestPeerChromiumBothWaysWithTheKeyboardAlone(t *testing.T) {
	b := newBridge(t)
	bob := b.phone("bob", "u1")
	bob.register()
	bob.listen()
	page := openPage(t, b, 1280, 800)
	page.picture("join.png")
	page.join("ann")
	page.keys("hello phones" + kb.Enter)
	bob.uas.says(`GOT from=.*ann.* body=hello phones$`)
	page.shows("hello phones", "delivered")
	b.send("alice", "lobby", "hello page")
	page.shows("hello page", "") // without loading it again
	b.send("alice", "web-ann", "only for ann")
	page.holds("a conversation with alice, unread", `document.getElementById("direct").textContent.includes("alice")`)
	page.do("go to it", chromedp.KeyEvent(kb.ArrowDown, chromedp.KeyModifiers(chromedp.ModifierAlt)))
	page.shows("only for ann", "")
	page.do("go back", chromedp.KeyEvent(kb.ArrowUp, chromedp.KeyModifiers(chromedp.ModifierAlt)))
	page.shows("hello page", "")
	page.picture("wide.png")
}

func TestPeerChromiumShowsHostileTextAsText(t *testing.T) {
	b := newBridge(t)
	page := openPage(t, b, 1280, 800)
	page.join("ann")
	for _, text := range []string{
		`<img src=x onerror="window.hostile=1">`,
		`<script>window.hostile=1</script>`,
		`"><svg onload=window.hostile=1>`,
		`javascript:window.hostile=1`,
	} {
		b.send("alice", "lobby", text)
		page.shows(text, "")
	}
	page.holds("nothing of it became part of the page or ran",
		`window.hostile === undefined && !document.querySelector("#log img, #log script, #log .text svg, #log a[href^='javascript:']")`)
	page.picture("hostile.png")
}

func TestPeerChromiumIsUsableAtPhoneWidth(t *testing.T) {
	b := newBridge(t)
	ann := joinChat(t, b.web, "ann")
	page := openPage(t, b, 360, 740)
	page.picture("narrow-join.png")
	page.join("eve")
	b.send("alice", "lobby", "a long line that has to be broken somewhere, for a phone is not wide, and an-endless-word-"+
		"without-any-space-in-it-must-not-push-the-page-beyond-its-edge")
	page.do("touch the composer and write", chromedp.Click(chromedp.CSS("#text")), chromedp.KeyEvent("from a small screen"), chromedp.Click(chromedp.CSS("#send")))
	ann.sees("from a small screen", nil)
	page.shows("from a small screen", "")
	page.holds("nothing is wider than the screen", `document.documentElement.scrollWidth <= innerWidth`)
	for _, id := range []string{"text", "send"} {
		page.holds(id+" is on the screen and large enough for a finger", fmt.Sprintf(`(() => {
			const r = document.getElementById(%q).getBoundingClientRect();
			return r.left >= 0 && r.right <= innerWidth && r.top >= 0 && r.bottom <= innerHeight && r.height >= 36 && r.width >= 36;
		})()`, id))
	}
	page.picture("narrow.png")
	page.do("open the list", chromedp.Click(chromedp.CSS("#side-open")))
	page.holds("the list has come onto the screen", `document.getAnimations().length === 0 && document.getElementById("side").getBoundingClientRect().left >= 0`)
	page.picture("narrow-list.png")
}

func TestPeerChromiumShowsFormatsAndPictures(t *testing.T) {
	b := newBridge(t)
	page := openPage(t, b, 1280, 800)
	page.join("ann")
	b.sends("alice", "sip:lobby@127.0.0.1", "text/html", `<p>be <b>bold</b><img src=x onerror="window.hostile=1">`+
		`<a href="javascript:window.hostile=1">here</a> <a href="https://example.com/a">there</a></p><script>window.hostile=1</script>`)
	page.holds("words with their formats", `document.querySelector("#log .rich strong")?.textContent === "bold"`)
	page.holds("a link that is safe", `[...document.querySelectorAll("#log .rich a")].map((a) => a.href + a.rel).join() === "https://example.com/anoopener noreferrer nofollow"`)
	page.holds("nothing else", `window.hostile === undefined && !document.querySelector("#log .rich img, #log .rich script")`)
	sample, err := os.ReadFile(filepath.Join("testdata", "mime", "phone-picture.eml"))
	if err != nil {
		t.Fatal(err)
	}
	_, body, _ := strings.Cut(string(sample), "\n\n")
	b.sends("alice", "sip:lobby@127.0.0.1", "multipart/mixed;boundary=b", body)
	page.holds("a picture", `[...document.querySelectorAll("#log .file img")].some((i) => i.complete && i.naturalWidth > 0 && i.alt === "cat.png")`)
	plan := filepath.Join(t.TempDir(), "plan.txt")
	if err := os.WriteFile(plan, []byte("the plan"), 0o600); err != nil {
		t.Fatal(err)
	}
	page.do("add a file", chromedp.SetUploadFiles(chromedp.CSS("#attach"), []string{plan}))
	page.holds("the file waits", `document.getElementById("attached").textContent.includes("plan.txt")`)
	page.do("send it", chromedp.Click(chromedp.CSS("#send")))
	page.holds("the file is sent", `[...document.querySelectorAll("#log .own .file")].some((a) => a.download === "plan.txt") && !document.querySelector("#attached li")`)
	page.picture("files.png")
}

// press presses a button of a message with the keyboard.
func (p *page) press(selector string) {
	p.t.Helper()
	p.holds("there is "+selector, fmt.Sprintf(`(() => { const b = document.querySelector(%q); b?.focus(); return !!b && document.activeElement === b; })()`, selector))
	p.keys(kb.Enter)
}

func TestPeerChromiumEditsReactsAnswersAndDeletes(t *testing.T) {
	b := newBridge(t)
	ben := joinChat(t, b.web, "ben")
	page := openPage(t, b, 1280, 800)
	page.join("ann")
	page.keys("helo" + kb.Enter)
	helo := ben.sees("helo", nil)

	page.holds("it is sent", `document.getElementById("text").value === ""`)
	page.keys("a draft")
	page.press(`#log .own [data-do="Edit"]`)
	page.holds("the words are there to be changed", `document.getElementById("text").value === "helo" && document.activeElement.id === "text"`)
	page.keys(" all" + kb.Enter)
	page.shows("helo all", "")
	page.holds("it is marked, and the draft is back", `!!document.querySelector("#log .own .edited") && document.getElementById("text").value === "a draft"`)
	ben.where(helo, "the new words", func(m chatMessage) bool { return m.Text == "helo all" && m.Edited != 0 })

	ben.touch("react", helo, map[string]any{"emoji": "🎉"})
	page.holds("a reaction, with a count and who", `document.querySelector(".reaction")?.textContent === "🎉1" && document.querySelector(".reaction").title === "ben"`)
	page.press(".reaction")
	page.holds("the person's own beside it", `document.querySelector(".reaction")?.textContent === "🎉2" && document.activeElement.getAttribute("aria-pressed") === "true"`)
	page.keys(kb.Enter)
	page.holds("it is taken back", `document.querySelector(".reaction")?.textContent === "🎉1" && document.activeElement.getAttribute("aria-pressed") === "false"`)
	page.press(`#log .own [data-do="React"]`)
	page.holds("emoji to choose from", `document.activeElement.getAttribute("aria-label") === "React with 👍"`)
	page.picture("picker.png")
	page.keys(kb.Enter)
	ben.where(helo, "ann's reaction", func(m chatMessage) bool {
		return len(m.Reactions) == 2 && m.Reactions[1].Emoji == "👍" && m.Reactions[1].Name == "ann"
	})

	ben.say("r:lobby", "where?")
	question := ben.sees("where?", nil)
	page.holds("the composer is emptied", `(document.getElementById("text").value = "") === ""`)
	page.press(`#log li:last-child:not(.own) [data-do="Reply"]`)
	page.keys("<b>here</b>" + kb.Enter)
	ben.where(ben.sees("<b>here</b>", nil), "what it answers", func(m chatMessage) bool { return m.Reply == question.Seq })
	page.holds("what it answers is quoted", `document.querySelector("#log .own .quote")?.textContent === "↳ ben: where?"`)
	page.picture("answered.png")
	page.press("#log .own .quote")
	page.holds("it leads there", `document.activeElement.matches(".message") && document.activeElement.textContent.includes("where?")`)
	ben.touch("edit", question, map[string]any{"text": "<img src=x onerror='window.hostile=1'>"})
	page.holds("the quote follows", `document.querySelector("#log .own .quote")?.textContent === "↳ ben: <img src=x onerror='window.hostile=1'>" && window.hostile === undefined`)

	page.holds("what is asked will be agreed to", `!!(window.confirm = () => true)`)
	page.press(`#log .own [data-do="Delete"]`)
	page.shows("message deleted", "")
	ben.where(helo, "that it is gone", func(m chatMessage) bool { return m.Deleted && m.Text == "" && m.Reactions == nil })
	page.holds("nothing is left of it", `!document.querySelector(".reaction, #log .own .edited")`)
	page.picture("deleted.png")
}
