package email

import (
	"strings"
	"testing"
)

// TestWhatDMARCVouchesFor: RFC 8601, with everything a stranger could write.
func TestWhatDMARCVouchesFor(t *testing.T) {
	for _, tc := range []struct {
		name   string
		fields string
		want   bool
	}{
		{"pass", "Authentication-Results: mx; dmarc=pass header.from=example.com", true},
		{"pass among others", "Authentication-Results: mx 1; spf=fail smtp.mailfrom=x; dkim=pass header.d=example.com; dmarc=pass (p=reject dis=none) header.from=Example.Com", true},
		{"folded and spaced", "Authentication-Results: MX;\r\n\tdmarc = pass\r\n\theader.from=example.com", true},
		{"a version", "Authentication-Results: mx; dmarc/1=pass", true},
		{"two fields of the server", "Authentication-Results: mx; dkim=pass\r\nAuthentication-Results: mx; dmarc=pass header.from=example.com", true},
		{"below the server's own trace", "Received: by mx\r\nAuthentication-Results: mx; dmarc=pass", true},
		{"fail", "Authentication-Results: mx; dmarc=fail header.from=example.com", false},
		{"none", "Authentication-Results: mx; none", false},
		{"no field", "Subject: dmarc=pass", false},
		{"another server", "Authentication-Results: evil; dmarc=pass header.from=example.com", false},
		{"the server below another", "Authentication-Results: evil; x=y\r\nAuthentication-Results: mx; dmarc=pass", false},
		{"the server below a fail", "Authentication-Results: mx; dmarc=fail\r\nAuthentication-Results: mx; dmarc=pass", false},
		{"a stranger's below the trace", "Authentication-Results: mx; spf=none\r\nReceived: by mx\r\nAuthentication-Results: mx; dmarc=pass", false},
		{"another domain", "Authentication-Results: mx; dmarc=pass header.from=other.com", false},
		{"in a comment", "Authentication-Results: mx; spf=fail (dmarc=pass; dmarc=pass)", false},
		{"in nested comments", "Authentication-Results: mx; spf=fail (a (b) ; dmarc=pass)", false},
		{"in a quote", `Authentication-Results: mx; spf=fail reason="x; dmarc=pass"`, false},
		{"behind an escaped quote", `Authentication-Results: mx; spf=fail reason="\"; dmarc=pass; x=\""`, false},
		{"a property", "Authentication-Results: mx; spf=fail dmarc=pass", false},
		{"a method of another name", "Authentication-Results: mx; x-dmarc=pass", false},
		{"a result of another name", "Authentication-Results: mx; dmarc=passed", false},
		{"the server's name as a prefix", "Authentication-Results: mx.evil; dmarc=pass", false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			l := readLetter([]byte(tc.fields + "\r\nFrom: Bob <bob@example.com>\r\n\r\nhi"))
			if got := l.vouched("mx"); got != tc.want {
				t.Errorf("vouched %v, want %v", got, tc.want)
			}
			if l.vouched("") {
				t.Error("vouched for by nobody")
			}
		})
	}
}

// FuzzAuthenticationResults: a comment or a quote never vouches.
func FuzzAuthenticationResults(f *testing.F) {
	f.Add("spf=fail", "x")
	f.Add(`a (b \) c`, `\`)
	f.Fuzz(func(t *testing.T, before, inside string) {
		clean := strings.Map(func(r rune) rune {
			if strings.ContainsRune("()\\\"\r\n", r) {
				return -1
			}
			return r
		}, inside)
		if strings.Contains(before, "dmarc") || strings.ContainsAny(before, "()\\\"\r\n") {
			return
		}
		l := readLetter([]byte("Authentication-Results: mx; " + before + " (" + clean + "; dmarc=pass) \"" + clean + "; dmarc=pass\"\r\nFrom: <bob@example.com>\r\n\r\n"))
		if l.vouched("mx") {
			t.Errorf("%q and %q vouch", before, inside)
		}
	})
}
