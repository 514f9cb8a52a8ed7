//go:build peers

package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// webPhones bundles JsSIP and SIP.js for a page, once for each version.
func webPhones(t *testing.T) string {
	t.Helper()
	from := []string{testdata(t, "peers/webphone/package.json"), testdata(t, "peers/webphone/package-lock.json"), testdata(t, "peers/webphone/phones.js")}
	return cached(t, "webphone", func(dir string) error {
		if err := npm(dir, from...); err != nil {
			return err
		}
		found, err := filepath.Glob(filepath.Join(dir, "node_modules/@esbuild/linux-*/bin/esbuild"))
		if err != nil || len(found) != 1 {
			return fmt.Errorf("npm has installed %d of esbuild: %v", len(found), err)
		}
		bundle := exec.Command(found[0], "phones.js", "--bundle", "--outfile=bundle.js", "--define:global=window")
		bundle.Dir = dir
		return made(bundle)
	}, from...)
}

// openWebPhone opens a page of another host and port in a browser, which
// registers there as bob over WSS.
func openWebPhone(t *testing.T, kind string, port int, serve *httptest.Server) *page {
	t.Helper()
	p := openBrowser(t, chromedp.Flag("ignore-certificate-errors", true))
	p.do("open the page", chromedp.Navigate(fmt.Sprintf("%s/#%s,wss://%s,bob,%s", serve.URL, kind, at(port), password("bob"))))
	return p
}

// Phones that live in web pages register with digest over WSS, send to a room
// and are sent to. T09 A01
func TestPeerWebPhones(t *testing.T) {
	dir := webPhones(t)
	serve := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/bundle.js" {
			http.ServeFile(w, r, filepath.Join(dir, "bundle.js"))
			return
		}
		fmt.Fprint(w, `<!doctype html><title>phone</title><script src="/bundle.js"></script>`)
	}))
	t.Cleanup(serve.Close)
	for _, kind := range []string{"jssip", "sipjs"} {
		t.Run(kind, func(t *testing.T) {
			port := ports(t, 1)[0]
			b := writeBridge(t, append(overTLS("wss", port), `origins = []`, "origins = ["+strconv.Quote(serve.URL)+"]")...)
			b.certify(time.Hour)
			b.start()
			ann := joinChat(t, b.web, "ann")
			phone := openWebPhone(t, kind, port, serve)
			phone.holds("bob's page is registered", `window.phone?.state === "registered"`)
			b.send("alice", "lobby", "Grüße an die Seite 🙂")
			phone.holds("the text is there", `window.phone.got.includes("Grüße an die Seite 🙂")`)
			phone.do("send", chromedp.Evaluate[chromedp.Void](`window.phone.send("sip:lobby@127.0.0.1", "hello from the page 🙂")`))
			phone.holds("the bridge has taken it", `window.phone.sent === 202`)
			ann.sees("hello from the page 🙂", nil)
		})
	}
}
