package uac

import (
	"strings"

	"github.com/emiago/sipgo/sip"
	"github.com/icholy/digest"
)

// challenge is the last one that the server gave, and how often its nonce is
// used.
type challenge struct {
	digest.Challenge
	header string // that answers it
	count  int
}

// challenged keeps the strongest challenge of a response that we can answer:
// SHA-256, else MD5. It returns false if there is none.
func (c *Client) challenged(res *sip.Response) bool {
	ask, header := "WWW-Authenticate", "Authorization"
	if res.StatusCode == 407 {
		ask, header = "Proxy-Authenticate", "Proxy-Authorization"
	}
	var best *digest.Challenge
	for _, h := range res.GetHeaders(ask) {
		ch, err := digest.ParseChallenge(h.Value())
		if err != nil {
			continue
		}
		for i, q := range ch.QOP {
			ch.QOP[i] = strings.ToLower(strings.TrimSpace(q))
		}
		ch.Algorithm = strings.ToUpper(ch.Algorithm)
		if digest.CanDigest(ch) && (best == nil || rank(ch.Algorithm) > rank(best.Algorithm)) {
			best = ch
		}
	}
	if best == nil {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.challenge = &challenge{Challenge: *best, header: header}
	return true
}

func rank(algorithm string) int {
	switch algorithm {
	case "SHA-256":
		return 2
	case "MD5", "":
		return 1
	}
	return 0
}

// authorize adds credentials for the last challenge, if there was one.
func (c *Client) authorize(req *sip.Request, uri string) error {
	c.mu.Lock()
	ch := c.challenge
	if ch == nil {
		c.mu.Unlock()
		return nil
	}
	ch.count++
	asked, count, header := ch.Challenge, ch.count, ch.header
	c.mu.Unlock()
	cred, err := digest.Digest(&asked, digest.Options{
		Method: string(req.Method), URI: uri, Username: c.User, Password: c.Password, Count: count,
	})
	if err != nil {
		return err
	}
	req.AppendHeader(sip.NewHeader(header, cred.String()))
	return nil
}
