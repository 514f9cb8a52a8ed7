package sipedge

import (
	"crypto/md5"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/icholy/digest"

	"parley.im/bus/event"
)

// The algorithms offered, the stronger first (RFC 8760, section 2).
const (
	algSHA256 = "SHA-256"
	algMD5    = "MD5"
)

var (
	errNoCredentials = errors.New("no credentials for this realm")
	errWrongDigest   = errors.New("wrong digest")
)

// guard knows the accounts and judges digest credentials (RFC 7616, with the
// MD5 of RFC 3261, section 22). It keeps hashes, no passwords.
type guard struct {
	realm      string
	algorithms []string // offered and taken, in this order
	domains    domains
	nonces     *nonces
	accounts   atomic.Pointer[map[string]account] // by user; replaced whole
}

type account struct {
	aor    event.Address
	hashes map[string]string // H(user:realm:password) by algorithm
}

func newAccount(aor event.Address, user, realm, password string) account {
	a1 := []byte(user + ":" + realm + ":" + password)
	s, m := sha256.Sum256(a1), md5.Sum(a1)
	return account{aor, map[string]string{algSHA256: hex.EncodeToString(s[:]), algMD5: hex.EncodeToString(m[:])}}
}

// challenge returns the values of the WWW-Authenticate headers.
func (g *guard) challenge(stale bool) []string {
	var all []string
	nonce := g.nonces.issue()
	for _, alg := range g.algorithms {
		c := digest.Challenge{Realm: g.realm, Nonce: nonce, Algorithm: alg, QOP: []string{"auth"}, Stale: stale}
		all = append(all, c.String())
	}
	return all
}

// claim is a right digest: somebody who knows the password of an account made
// it for this method and URI. It may still be a repetition.
type claim struct {
	aor   event.Address
	nonce string
	count int
}

// verify looks among Authorization header values for a right digest, computed
// with the nonce as given, whoever made that nonce.
func (g *guard) verify(values []string, method, uri string) (claim, error) {
	err := errNoCredentials
	for _, v := range values {
		c, parseErr := digest.ParseCredentials(v)
		if parseErr != nil || c.Realm != g.realm {
			continue
		}
		if a, ok := g.right(c, method, uri); ok {
			return claim{a.aor, c.Nonce, c.Nc}, nil
		}
		err = errWrongDigest
	}
	return claim{}, err
}

// right computes the digest anew, and returns whose it is. An unknown user
// takes as long as a wrong password.
func (g *guard) right(c *digest.Credentials, method, uri string) (account, bool) {
	alg := strings.ToUpper(c.Algorithm)
	if alg == "" {
		alg = algMD5
	}
	if !slices.Contains(g.algorithms, alg) || c.QOP != "auth" || c.Nc <= 0 || c.Cnonce == "" || c.Userhash {
		return account{}, false
	}
	a, known := (*g.accounts.Load())[c.Username]
	a1 := a.hashes[alg]
	if !known {
		a1 = strings.Repeat("0", sha256.Size*2)
	}
	chal := digest.Challenge{Realm: c.Realm, Nonce: c.Nonce, Algorithm: alg, QOP: []string{"auth"}}
	want, err := digest.Digest(&chal, digest.Options{
		Method: method, URI: c.URI, Username: c.Username, A1: a1, Cnonce: c.Cnonce, Count: c.Nc,
	})
	if err != nil {
		return account{}, false
	}
	same := subtle.ConstantTimeCompare([]byte(want.Response), []byte(strings.ToLower(c.Response))) == 1
	return a, same && known && g.sameURI(c.URI, uri)
}

// sameURI compares the digest's uri with the Request-URI. Parameters and port
// are left out, because clients differ in whether they repeat them.
func (g *guard) sameURI(a, b string) bool {
	userA, hostA, errA := g.domains.parts(a)
	userB, hostB, errB := g.domains.parts(b)
	return errA == nil && errB == nil && userA == userB && hostA == hostB
}

// spend uses up the claim's nonce count. It returns false for a repetition
// and for a nonce that is stale: then the client is challenged with stale=true.
func (g *guard) spend(c claim) bool { return g.nonces.spend(c.nonce, c.count) }
