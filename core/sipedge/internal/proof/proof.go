// Package proof answers the digest challenges of servers (RFC 3261, section
// 22; RFC 8760), for the edge and for the small client.
package proof

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

// Credentials are what a client proves itself with. They answer the challenges
// of one realm alone.
type Credentials struct {
	User, Password string
	Realm          string   // any if empty
	Digest         []string // algorithms that may be used; SHA-256 and MD5 if empty
}

const md5 = "MD5" // what a challenge without an algorithm means

// strengths are the algorithms, the strongest first (RFC 8760, section 2.6).
var strengths = []string{"SHA-512-256", "SHA-256", md5}

// Answerer answers the challenges of one server or of those that stand for each
// other. It keeps the last, so that most requests are not challenged at all.
// Its methods may be called from several goroutines.
type Answerer struct {
	Credentials

	mu        sync.Mutex
	challenge *digest.Challenge
	header    string // that answers it
	count     int    // uses of its nonce
}

// New returns an Answerer that was not challenged yet.
func New(c Credentials) *Answerer {
	if len(c.Digest) == 0 {
		c.Digest = []string{"SHA-256", md5}
	}
	return &Answerer{Credentials: c}
}

// Take keeps the strongest challenge of a 401 or 407, or says why none of them
// is answered.
func (a *Answerer) Take(res *sip.Response) error {
	ask, header := "WWW-Authenticate", "Authorization"
	if res.StatusCode == sip.StatusProxyAuthRequired {
		ask, header = "Proxy-Authenticate", "Proxy-Authorization"
	}
	if a.Password == "" {
		return errors.New("it asks for credentials, and none are configured")
	}
	why := errors.New("it asks for credentials without a challenge that could be answered")
	var best *digest.Challenge
	for _, h := range res.GetHeaders(ask) {
		c, err := digest.ParseChallenge(h.Value())
		if err != nil {
			continue
		}
		tidy(c)
		if err := a.fits(c); err != nil {
			why = err
		} else if best == nil || slices.Index(strengths, algorithm(c)) < slices.Index(strengths, algorithm(best)) {
			best = c
		}
	}
	if best == nil {
		return why
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.challenge, a.header, a.count = best, header, 0
	return nil
}

// tidy writes what has no case as the library expects it.
func tidy(c *digest.Challenge) {
	c.Algorithm = strings.ToUpper(c.Algorithm)
	for i, q := range c.QOP {
		c.QOP[i] = strings.ToLower(strings.TrimSpace(q))
	}
}

// fits says why a challenge is not answered.
func (a *Answerer) fits(c *digest.Challenge) error {
	if a.Realm != "" && c.Realm != a.Realm {
		return fmt.Errorf("it asks for credentials of the realm %.80q, and those that are configured are of %q", c.Realm, a.Realm)
	}
	if !slices.Contains(a.Digest, algorithm(c)) || !digest.CanDigest(c) {
		return fmt.Errorf("it asks for a digest by %.20q, and %s may be used", algorithm(c), strings.Join(a.Digest, " and "))
	}
	return nil
}

func algorithm(c *digest.Challenge) string {
	if c.Algorithm == "" {
		return md5
	}
	return c.Algorithm
}

// Authorize adds credentials for the last challenge, if there was one, to a
// request that has its body.
func (a *Answerer) Authorize(req *sip.Request) error {
	a.mu.Lock()
	if a.challenge == nil {
		a.mu.Unlock()
		return nil
	}
	a.count++
	c, count, header := *a.challenge, a.count, a.header
	a.mu.Unlock()
	cred, err := digest.Digest(&c, digest.Options{
		Method: string(req.Method), URI: req.Recipient.String(), Username: a.User, Password: a.Password, Count: count,
		GetBody: func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(req.Body())), nil },
	})
	if err != nil {
		return fmt.Errorf("credentials: %w", err)
	}
	req.RemoveHeader(header)
	req.AppendHeader(sip.NewHeader(header, cred.String()))
	return nil
}
