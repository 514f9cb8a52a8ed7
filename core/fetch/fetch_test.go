package fetch

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"parley.im/bus/event"
)

// A shelf keeps what is stored.
type shelf struct {
	mu   sync.Mutex
	kept []string // type and body
}

func (s *shelf) store(_ context.Context, mediaType string, r io.Reader) (event.Content, error) {
	data, err := io.ReadAll(r)
	if err != nil {
		return event.Content{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.kept = append(s.kept, mediaType+" "+string(data))
	return event.Content{MediaType: mediaType, Ref: fmt.Sprint(len(s.kept)), Size: int64(len(data))}, nil
}

const png = "\x89PNG\r\n\x1a\n"

// newFetcher fetches from a server, and from where else the list says. Its
// largest file is of 1000 bytes.
func newFetcher(t *testing.T, h http.Handler, list ...string) (*Fetcher, *shelf, *httptest.Server) {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	kept := &shelf{}
	list = append([]string{strings.TrimPrefix(s.URL, "http://")}, list...)
	return New(Config{
		Sources: func() []string { return list }, Max: func() int64 { return 1000 }, Store: kept.store, Discard: func(event.Content) {},
	}), kept, s
}

func TestFetch(t *testing.T) {
	f, kept, s := newFetcher(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Cookie")+r.Header.Get("Authorization")+r.Header.Get("Referer")+r.Header.Get("Accept-Encoding") != "" {
			t.Errorf("it sends %v", r.Header)
		}
		http.SetCookie(w, &http.Cookie{Name: "a", Value: "b"})
		switch r.URL.Path {
		case "/first":
			http.Redirect(w, r, "/second?token=1", http.StatusFound)
		case "/second":
			w.Header().Set("Content-Type", "application/octet-stream")
			fmt.Fprint(w, png+r.URL.RawQuery)
		}
	}), "127.0.0.0/8")
	c, err := f.Fetch(t.Context(), s.URL+"/first")
	if err != nil || c.MediaType != "image/png" || kept.kept[0] != "image/png "+png+"token=1" {
		t.Errorf("%+v %q %v", c, kept.kept, err)
	}
}

// A file is asked for once, by however many deliveries at once; what could not
// be had is asked for again after a while.
func TestAFileIsFetchedOnce(t *testing.T) {
	var asked atomic.Int32
	release := make(chan struct{})
	f, _, s := newFetcher(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		<-release
		w.WriteHeader(http.StatusTeapot)
	}), "127.0.0.0/8")
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			if _, err := f.Fetch(t.Context(), s.URL+"/x"); err == nil || !strings.Contains(err.Error(), "418") {
				t.Error(err)
			}
		})
	}
	close(release)
	all.Wait()
	if n := asked.Load(); n != 1 {
		t.Errorf("asked %d times", n)
	}
	x := f.visits.all[s.URL+"/x"]
	if _, first := f.visits.enter(s.URL+"/x", x.until.Add(-time.Second)); first {
		t.Error("a failure is forgotten at once")
	}
	if _, first := f.visits.enter(s.URL+"/x", x.until.Add(time.Second)); !first {
		t.Error("a failure is never forgotten")
	}
}

// What went wrong here is no reason not to ask a server again: a turn that did
// not come while others took long, or a store that took nothing.
func TestOurTroubleIsNotTheServers(t *testing.T) {
	var asked atomic.Int32
	f, kept, s := newFetcher(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if asked.Add(1); r.URL.Path == "/cut" {
			w.Header().Set("Content-Length", "500")
		}
		fmt.Fprint(w, "x")
	}), "127.0.0.0/8")
	store := f.Store
	f.Store = func(ctx context.Context, kind string, r io.Reader) (event.Content, error) {
		if _, err := io.ReadAll(r); err != nil {
			return event.Content{}, err
		}
		return event.Content{}, errors.New("the disk is full")
	}
	for path, again := range map[string]bool{"/whole": true, "/cut": false} {
		asked.Store(0)
		for range 2 {
			if _, err := f.Fetch(t.Context(), s.URL+path); err == nil {
				t.Error("it was fetched")
			}
		}
		if n := asked.Load(); (n == 2) != again {
			t.Errorf("%s: asked %d times", path, n)
		}
	}
	f.Store = store
	synctest.Test(t, func(t *testing.T) {
		f.slots = make(chan struct{}, 1)
		f.slots <- struct{}{} // another fetch, which takes long
		if _, err := f.Fetch(t.Context(), s.URL+"/turn"); !errors.Is(err, errOurs) {
			t.Errorf("its turn did not come: %v", err)
		}
	})
	f.slots = make(chan struct{}, 1)
	if _, err := f.Fetch(t.Context(), s.URL+"/turn"); err != nil || len(kept.kept) != 1 {
		t.Errorf("when its turn comes: %v", err)
	}
}

// Who does not wait any more takes nothing from the others who wait.
func TestWhoGoesEndsNoFetch(t *testing.T) {
	arrived, release := make(chan struct{}), make(chan struct{})
	f, _, s := newFetcher(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		close(arrived)
		<-release
		fmt.Fprint(w, "x")
	}), "127.0.0.0/8")
	ctx, leave := context.WithCancel(t.Context())
	go func() { <-arrived; leave() }()
	if _, err := f.Fetch(ctx, s.URL); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	close(release)
	if _, err := f.Fetch(t.Context(), s.URL); err != nil {
		t.Errorf("the server's answer was not waited for: %v", err)
	}
}

func TestOnlySoMuchIsKept(t *testing.T) {
	f, kept, s := newFetcher(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, strings.Repeat("x", 1000)) }), "127.0.0.0/8")
	for i := range maxKept {
		if _, err := f.Fetch(t.Context(), fmt.Sprint(s.URL, "/", i)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := f.Fetch(t.Context(), s.URL+"/more"); err == nil || len(kept.kept) != maxKept {
		t.Errorf("%d are kept, %v", len(kept.kept), err)
	}
}

func TestWhatIsNotFetched(t *testing.T) {
	var hit atomic.Int32
	secret := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { hit.Add(1) }))
	defer secret.Close()
	answers := map[string]func(w http.ResponseWriter, r *http.Request){
		"/large":     func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Content-Length", "5000") },
		"/endless":   func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, strings.Repeat("x", 5000)) },
		"/zipped":    func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Content-Encoding", "gzip") },
		"/loop":      func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/loop", http.StatusFound) },
		"/elsewhere": func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, secret.URL, http.StatusFound) },
		"/file": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "file:///etc/passwd", http.StatusFound)
		},
		"/missing": http.NotFound,
		"/broken": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "500")
			fmt.Fprint(w, "x")
		},
	}
	f, kept, s := newFetcher(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/plain")
		answers[r.URL.Path](w, r)
	}), "127.0.0.0/8")
	for path := range answers {
		if _, err := f.Fetch(t.Context(), s.URL+path); err == nil || strings.Contains(err.Error(), "http://") {
			t.Errorf("%s: %v", path, err)
		}
	}
	for _, raw := range []string{
		secret.URL, "file:///etc/passwd", "ftp://127.0.0.1/", "//127.0.0.1/", "http://", "%zz", "gopher://x", "http:127.0.0.1",
		strings.Replace(s.URL, "http://", "http://user:pw@", 1), "http://127.0.0.1.evil.example/", "",
	} {
		if _, err := f.Fetch(t.Context(), raw); err == nil {
			t.Errorf("%s was fetched", raw)
		}
	}
	if hit.Load() > 0 || len(kept.kept) > 0 {
		t.Errorf("%d requests went elsewhere; kept %q", hit.Load(), kept.kept)
	}
}

// An address is judged when the connection is made: what name it had, and what
// a first look at that name said, does not count.
func TestPrivateAddresses(t *testing.T) {
	var hit atomic.Int32
	f, _, s := newFetcher(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { hit.Add(1) }), "*:1", "localhost", "10.0.0.0/8")
	_, port, _ := strings.Cut(strings.TrimPrefix(s.URL, "http://"), ":")
	f.Sources = func() []string { return []string{"*:" + port, "10.0.0.0/8"} }
	for _, host := range []string{"127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]", "0.0.0.0", "[::]", "0x7f000001", "2130706433"} {
		if _, err := f.Fetch(t.Context(), "http://"+host+":"+port+"/"); err == nil {
			t.Errorf("%s was fetched", host)
		}
	}
	if hit.Load() > 0 {
		t.Errorf("%d requests arrived", hit.Load())
	}
	guard := sources{networks: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}}.guard()
	for at, ok := range map[string]bool{
		"8.8.8.8:80": true, "[2606:4700::1]:443": true, "10.1.2.3:80": true,
		"192.168.1.1:80": false, "172.16.0.1:80": false, "169.254.169.254:80": false, "100.64.0.1:80": false, "127.0.0.1:80": false, "0.0.0.0:80": false,
		"224.0.0.1:80": false, "255.255.255.255:80": false, "[fe80::1]:80": false, "[fd00::1]:80": false, "[::ffff:8.8.8.8]:80": false,
		"[64:ff9b::7f00:1]:80": false, "[2002:7f00:1::]:80": false,
	} {
		network := "tcp4"
		if strings.HasPrefix(at, "[") {
			network = "tcp6"
		}
		if err := guard.Safe(network, at, nil); (err == nil) != ok {
			t.Errorf("%s: %v", at, err)
		}
	}
}

func TestSources(t *testing.T) {
	list := parseSources([]string{"files.example.com", "*.example.org:8443", "Big.Example.", "192.0.2.1", "10.0.0.0/8"})
	for raw, ok := range map[string]bool{
		"https://files.example.com/a": true, "http://FILES.example.com./a": true, "https://files.example.com:443/": true,
		"https://files.example.com:8443/": false, "https://x.files.example.com/": false, "https://example.com/": false,
		"https://a.example.org:8443/": true, "https://a.b.example.org:8443/": true, "https://a.example.org/": false, "https://example.org:8443/": false,
		"https://aexample.org:8443/": false, "https://big.example/": true, "http://192.0.2.1/": true, "http://192.0.2.2/": false, "http://10.0.0.1/": false,
	} {
		u, err := url.Parse(raw)
		if err != nil {
			t.Fatal(err)
		}
		if err := list.allows(u); (err == nil) != ok || err != nil && !errors.Is(err, ErrSource) {
			t.Errorf("%s: %v", raw, err)
		}
	}
	if err := parseSources(nil).allows(&url.URL{Scheme: "https", Host: "x"}); err == nil {
		t.Error("without a list something is allowed")
	}
}

func TestVisitsAreForgotten(t *testing.T) {
	v := visits{all: map[string]*visit{}}
	now := time.Now()
	for i := range 3 * maxVisits {
		x, _ := v.enter(fmt.Sprint(i), now)
		if i%2 == 0 {
			v.end(x, event.Content{}, nil, now)
		} else {
			v.end(x, event.Content{}, io.EOF, now)
		}
	}
	if len(v.all) > maxVisits {
		t.Errorf("%d are kept", len(v.all))
	}
}

func FuzzAllows(f *testing.F) {
	f.Add("https://files.example.com/a", "*.example.com")
	f.Add("http://[::1]:80/", "10.0.0.0/8")
	f.Fuzz(func(t *testing.T, raw, entry string) {
		u, err := url.Parse(raw)
		if err != nil {
			return
		}
		if parseSources([]string{entry}).allows(u) == nil && (u.Hostname() == "" || u.Scheme != "http" && u.Scheme != "https" || bytes.ContainsAny([]byte(u.Host), "@/")) {
			t.Fatalf("%q by %q", raw, entry)
		}
	})
}
