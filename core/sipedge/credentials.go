package sipedge

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"

	"github.com/emiago/sipgo/sip"
	"github.com/icholy/digest"
)

// Credentials are what Parley proves itself with to a server. They answer that
// realm's challenges alone, and only those of that server: whoever else asks
// would collect hashes of the password.
type Credentials struct {
	User, Password, Realm string
	Digest                []string // algorithms that may be used, such as "SHA-256"; SHA-256 and MD5 if empty
}

// strengths are the digest algorithms, the strongest first (RFC 8760, section
// 2.6); a challenge without one means MD5.
var strengths = []string{"SHA-512-256", algSHA256, algMD5}

// answerer answers the challenges of one server or of those that stand for each
// other. It keeps the last, so that most requests are not challenged at all.
type answerer struct {
	Credentials

	mu        sync.Mutex
	challenge *digest.Challenge
	header    string // that answers it
	count     int    // uses of its nonce
}

func newAnswerer(c Credentials) *answerer {
	if len(c.Digest) == 0 {
		c.Digest = []string{algSHA256, algMD5}
	}
	return &answerer{Credentials: c}
}

// takes keeps the strongest challenge of a response, or says why none of them
// is answered.
func (l *answerer) takes(res *sip.Response) error {
	ask, header := "WWW-Authenticate", "Authorization"
	if res.StatusCode == 407 {
		ask, header = "Proxy-Authenticate", "Proxy-Authorization"
	}
	if l.Password == "" {
		return errors.New("it asks for credentials, and none are configured")
	}
	why := errors.New("it asks for credentials without a challenge that could be answered")
	var best *digest.Challenge
	for _, h := range res.GetHeaders(ask) {
		c, err := digest.ParseChallenge(h.Value())
		if err != nil {
			continue
		}
		c.Algorithm = strings.ToUpper(c.Algorithm)
		for i, q := range c.QOP {
			c.QOP[i] = strings.ToLower(strings.TrimSpace(q))
		}
		switch {
		case c.Realm != l.Realm:
			why = fmt.Errorf("it asks for credentials of the realm %q, and those that are configured are of %q", plain(c.Realm, 80), l.Realm)
		case !slices.Contains(l.Digest, algorithm(c)) || !digest.CanDigest(c):
			why = fmt.Errorf("it asks for a digest by %s, and %s may be used", plain(algorithm(c), 20), strings.Join(l.Digest, " and "))
		case best == nil || slices.Index(strengths, algorithm(c)) < slices.Index(strengths, algorithm(best)):
			best = c
		}
	}
	if best == nil {
		return why
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.challenge, l.header, l.count = best, header, 0
	return nil
}

func algorithm(c *digest.Challenge) string {
	if c.Algorithm == "" {
		return algMD5
	}
	return c.Algorithm
}

// authorize adds credentials for the last challenge, if there was one.
func (l *answerer) authorize(req *sip.Request) error {
	l.mu.Lock()
	if l.challenge == nil {
		l.mu.Unlock()
		return nil
	}
	l.count++
	c, count, header := *l.challenge, l.count, l.header
	l.mu.Unlock()
	cred, err := digest.Digest(&c, digest.Options{
		Method: string(req.Method), URI: req.Recipient.String(), Username: l.User, Password: l.Password, Count: count,
		GetBody: func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(req.Body())), nil },
	})
	if err != nil {
		return fmt.Errorf("credentials: %w", err)
	}
	req.RemoveHeader(header)
	req.AppendHeader(sip.NewHeader(header, cred.String()))
	return nil
}
