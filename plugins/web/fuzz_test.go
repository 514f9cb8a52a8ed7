package web

import (
	"net/http"
	"strings"
	"testing"
	"unicode/utf8"

	"parley.im/bus/event"
)

func FuzzNames(f *testing.F) {
	for _, s := range []string{"eve", "Eve", "a.b-c_d", "-x", "", "..", "a/b", "é", "ｅve", strings.Repeat("a", 33), "a\x00b", "x:y"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		name, err := checkName(s)
		if err != nil {
			return
		}
		if again, err := checkName(name); err != nil || again != name {
			t.Errorf("%q became %q, then %q, %v", s, name, again, err)
		}
		if kind, back, err := readAddress(personAddress(name)); err != nil || kind != "u" || back != name {
			t.Errorf("%q does not come back from its address: %q, %v", name, back, err)
		}
		if err := personAddress(name).Check(); err != nil {
			t.Errorf("%q makes no address: %v", name, err)
		}
		names, _ := members(outsideConv(name, event.Address(s)))
		if len(names) != 1 || names[0] != name {
			t.Errorf("%q is not the member of its conversation: %q", name, names)
		}
	})
}

func FuzzNativeID(f *testing.F) {
	for _, s := range []string{"r:lobby/00000000000000000001", "", "/", "x:eve:abc/1", "a/b/00000000000000000001", "r:lobby/-0000000000000000001"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		conv, seq, err := readNativeID(s)
		if err == nil && nativeID(conv, seq) != s {
			t.Errorf("%q came back as %q", s, nativeID(conv, seq))
		}
		members(conv)
	})
}

func FuzzClean(f *testing.F) {
	for _, s := range []string{"hello\r\nworld", "\x00\x1b[0m\u202e", "\xff\xfe", "a\u2028b"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		for _, lines := range []bool{false, true} {
			got := clean(s, lines)
			if !utf8.ValidString(got) || strings.ContainsAny(got, "\x00\x1b\r\x7f") || !lines && strings.Contains(got, "\n") {
				t.Errorf("%q became %q", s, got)
			}
			m := &message{Conv: "r:lobby", Name: clean(s, false), Text: got}
			back, err := decodeMessage(m.encode())
			if err != nil || back.Text != got || back.Name != m.Name {
				t.Errorf("%q came back from State as %+v, %v", got, back, err)
			}
		}
	})
}

func FuzzStoredMessage(f *testing.F) {
	f.Add([]byte("{}\nhi"))
	f.Add([]byte("{\"seq\":1e99}\n"))
	f.Add([]byte("null\n"))
	f.Fuzz(func(_ *testing.T, value []byte) {
		if m, err := decodeMessage(value); err == nil {
			m.view()
		}
	})
}

func FuzzRequests(f *testing.F) {
	for i, s := range []string{
		`{"name":"eve","password":""}`, `{"to":"sip:a@b"}`, `{"conv":"r:lobby","seq":-9223372036854775808}`,
		`{"conv":"r:lobby","text":"x","nonce":"12345678","reply":-1}`,
		`{"conv":"r:lobby","seq":1,"text":"x"}`, `{"conv":"r:lobby","seq":1}`, `{"conv":"r:lobby","seq":1,"emoji":"\ud800","remove":true}`, `[`, `{"conv":null}`, `"`,
	} {
		f.Add(i, s)
	}
	paths := []string{"/api/join", "/api/open", "/api/read", "/api/messages", "/api/edit", "/api/delete", "/api/react"}
	f.Fuzz(func(t *testing.T, path int, body string) {
		c := start(t, newState(), "")
		eve := c.join("eve")
		code, answer := eve.post(paths[uint(path)%uint(len(paths))], body)
		if code >= http.StatusInternalServerError || !utf8.ValidString(answer) {
			t.Errorf("%q: %d %s", body, code, answer)
		}
		q := eve.request("GET", "/api/history", nil)
		q.URL.RawQuery = body
		if code, answer := eve.do(q); code >= http.StatusInternalServerError {
			t.Errorf("%q: %d %s", body, code, answer)
		}
	})
}
