package sipedge

import (
	"strings"
	"testing"
	"time"

	"github.com/emiago/sipgo/sip"
)

// FuzzAnswer: whatever a server answers, no credentials are made for another
// realm than the configured one, a redirection is a SIP URI, and no time is
// without end.
func FuzzAnswer(f *testing.F) {
	for _, s := range []string{
		`Digest realm="pbx.example.net", nonce="n", qop="auth,auth-int", algorithm=SHA-256`, `Digest realm=pbx.example.net,nonce=`, `Digest realm="x", realm="pbx.example.net"`,
		`<sip:a@b;transport=tcp?x=y>;q=0.5, "B" <sips:[::1]:5061>;expires=60`, `*`, `<sip:p-token@x>;expires=99999999999`, `120 (soon);duration=5`, "\x00", `,<`,
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, value string) {
		if strings.ContainsAny(value, "\r\n") {
			return // it ends the line
		}
		req := sip.NewRequest(sip.MESSAGE, sip.Uri{Scheme: "sip", User: "100", Host: "pbx.example.net"})
		res := &sip.Response{StatusCode: 401}
		for _, name := range []string{"WWW-Authenticate", "Contact", "Expires", "Min-Expires", "Retry-After"} {
			res.AppendHeader(sip.NewHeader(name, value))
		}
		l := pbxLogin.answerer()
		if l.Take(res) == nil {
			_ = l.Authorize(req)
		}
		if h := req.GetHeader("Authorization"); h != nil && (!strings.Contains(h.Value(), `realm="pbx.example.net"`) || strings.ContainsAny(h.Value(), "\r\n")) {
			t.Errorf("%s answers %q", h.Value(), value)
		}
		for _, u := range contactsOf(res) {
			if _, err := (domains{}).aor(u.String()); err == nil && strings.ContainsAny(u.String(), "\r\n") {
				t.Errorf("it redirects to %q", u.String())
			}
		}
		if d := grantedBy(res, "p-token", time.Minute); d < 10*time.Second || d > 24*time.Hour {
			t.Errorf("granted for %s", d)
		}
		if d := wait(res); d < 0 || d > time.Hour {
			t.Errorf("a pause of %s", d)
		}
	})
}
