package sipedge

import (
	"crypto/md5"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"net/netip"
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

func newAccount(aor event.Address, a Account, realm string) account {
	if a.Password != "" {
		a.SHA256, a.MD5 = Hash(a.User, realm, a.Password)
	}
	return account{aor, map[string]string{algSHA256: strings.ToLower(a.SHA256), algMD5: strings.ToLower(a.MD5)}}
}

// Hash returns what an Account may have instead of its password, in hex. Who
// has the hash of an algorithm can log in with it as with the password, but
// only in that realm.
func Hash(user, realm, password string) (sha, md string) {
	a1 := []byte(user + ":" + realm + ":" + password)
	s, m := sha256.Sum256(a1), md5.Sum(a1)
	return hex.EncodeToString(s[:]), hex.EncodeToString(m[:])
}

// challenge returns the values of the WWW-Authenticate headers for a client at
// an address.
func (g *guard) challenge(to netip.Addr, stale bool) []string {
	var all []string
	nonce := g.nonces.issue(to)
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

// credentials returns those of our realm among Authorization header values.
func (g *guard) credentials(values []string) (all []*digest.Credentials) {
	for _, v := range values {
		if c, err := digest.ParseCredentials(v); err == nil && c.Realm == g.realm {
			all = append(all, c)
		}
	}
	return all
}

// aor returns the account that credentials name, empty if there is none.
func (g *guard) aor(c *digest.Credentials) event.Address {
	return (*g.accounts.Load())[c.Username].aor
}

// right computes the digest anew, with the nonce as given, whoever made it, and
// returns what it proves. An unknown user takes as long as a wrong password.
func (g *guard) right(c *digest.Credentials, method, uri string) (claim, bool) {
	alg := strings.ToUpper(c.Algorithm)
	if alg == "" {
		alg = algMD5
	}
	if !slices.Contains(g.algorithms, alg) || c.QOP != "auth" || c.Nc <= 0 || c.Cnonce == "" || c.Userhash {
		return claim{}, false
	}
	a, known := (*g.accounts.Load())[c.Username]
	a1 := a.hashes[alg]
	if known = known && a1 != ""; !known {
		a1 = strings.Repeat("0", sha256.Size*2)
	}
	chal := digest.Challenge{Realm: c.Realm, Nonce: c.Nonce, Algorithm: alg, QOP: []string{"auth"}}
	want, err := digest.Digest(&chal, digest.Options{
		Method: method, URI: c.URI, Username: c.Username, A1: a1, Cnonce: c.Cnonce, Count: c.Nc,
	})
	if err != nil {
		return claim{}, false
	}
	same := subtle.ConstantTimeCompare([]byte(want.Response), []byte(strings.ToLower(c.Response))) == 1
	return claim{a.aor, c.Nonce, c.Nc}, same && known && g.sameURI(c.URI, uri)
}

// sameURI compares the digest's uri with the Request-URI. Parameters and port
// are left out, because clients differ in whether they repeat them.
func (g *guard) sameURI(a, b string) bool {
	userA, hostA, errA := g.domains.parts(a)
	userB, hostB, errB := g.domains.parts(b)
	return errA == nil && errB == nil && userA == userB && hostA == hostB
}

// isAccount tells whether an address is that of an account.
func (g *guard) isAccount(a event.Address) bool {
	for _, x := range *g.accounts.Load() {
		if x.aor == a {
			return true
		}
	}
	return false
}
