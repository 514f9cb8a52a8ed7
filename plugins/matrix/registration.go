package matrix

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
	"os"
	"regexp"
	"strings"

	"gopkg.in/yaml.v3"
	"maunium.net/go/mautrix/appservice"
)

// The names that Register gives.
const (
	ghostPrefix = "_parley_"
	botName     = "_parley_bot"
)

// Register writes the registration file of an application service with new
// random tokens for the server name domain. address is the URL at which the
// homeserver reaches the connector. It refuses to overwrite a file, for the
// homeserver may know its tokens.
func Register(path, domain, address string) error {
	if u, err := url.Parse(address); err != nil || u.Host == "" {
		return fmt.Errorf("%q is no URL; give the one at which the homeserver reaches the connector, such as http://127.0.0.1:8025/c/matrix", address)
	}
	if domain == "" || strings.ContainsAny(domain, "/@ ") {
		return fmt.Errorf("%q is no server name; give what stands after the colon in @user:example.com", domain)
	}
	data, err := yaml.Marshal(newRegistration(domain, strings.TrimRight(address, "/")))
	if err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, os.ErrExist) {
		return fmt.Errorf("%s is there already; its tokens may be in use. Remove it first if they are not", path)
	}
	if err != nil {
		return err
	}
	if _, err = f.Write(data); err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

func newRegistration(domain, address string) *appservice.Registration {
	limited := false
	space := func(sigil string) appservice.NamespaceList {
		return appservice.NamespaceList{{Regex: sigil + ghostPrefix + ".*:" + regexp.QuoteMeta(domain), Exclusive: true}}
	}
	return &appservice.Registration{
		ID: "parley", URL: address, AppToken: token(), ServerToken: token(), SenderLocalpart: botName, RateLimited: &limited,
		Namespaces:      appservice.Namespaces{UserIDs: space("@"), RoomAliases: space("#")},
		EphemeralEvents: true, SoruEphemeralEvents: true,
	}
}

func token() string {
	var b [32]byte
	rand.Read(b[:]) // never fails: crypto/rand
	return hex.EncodeToString(b[:])
}

// readRegistration reads what the homeserver has been told, and the names that
// follow from it.
func readRegistration(path, domain string) (*appservice.Registration, names, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, names{}, fmt.Errorf("registration: %w", err)
	}
	r := &appservice.Registration{}
	if err := yaml.Unmarshal(data, r); err != nil {
		return nil, names{}, fmt.Errorf("registration %s: %w", path, err)
	}
	if r.ID == "" || r.AppToken == "" || r.ServerToken == "" || r.SenderLocalpart == "" {
		return nil, names{}, fmt.Errorf("registration %s: id, as_token, hs_token and sender_localpart must not be empty", path)
	}
	n := names{domain: domain}
	n.bot = n.user(r.SenderLocalpart)
	if n.prefix, err = readSpace("users", "@", r.Namespaces.UserIDs, domain); err == nil {
		n.aliases, err = readSpace("aliases", "#", r.Namespaces.RoomAliases, domain)
	}
	if err != nil {
		return nil, n, fmt.Errorf("registration %s: %w", path, err)
	}
	return r, n, nil
}

// readSpace returns the prefix that a namespace reserves. Other forms than the
// one that Register writes are refused: the prefix could not be told.
func readSpace(kind, sigil string, list appservice.NamespaceList, domain string) (string, error) {
	for _, ns := range list {
		prefix, rest, ok := strings.Cut(strings.TrimPrefix(ns.Regex, "^"), ".*:")
		prefix, sigiled := strings.CutPrefix(prefix, sigil)
		same := strings.TrimSuffix(rest, "$") == regexp.QuoteMeta(domain) || rest == domain
		if ok && sigiled && same && ns.Exclusive && isPrefix(prefix) {
			return prefix, nil
		}
	}
	return "", fmt.Errorf("namespaces.%s: there is no exclusive %s for this domain; give one such as %q", kind, kind,
		sigil+ghostPrefix+".*:"+regexp.QuoteMeta(domain))
}

// isPrefix tells whether s begins localparts of ours: it is literal, and ends
// with "_" so that it cannot begin the name of somebody else by chance.
func isPrefix(s string) bool {
	for i := range len(s) {
		if !plain(s[i]) && s[i] != '_' || s[i] == '.' || s[i] == '+' {
			return false
		}
	}
	return len(s) > 1 && strings.HasSuffix(s, "_")
}
