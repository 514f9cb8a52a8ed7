package config

import (
	"crypto/md5"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"net/netip"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"
	"time"
)

var (
	instanceName = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,31}$`)
	userName     = regexp.MustCompile(`^[A-Za-z0-9._+-]{1,64}$`)
	domainName   = regexp.MustCompile(`^([A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9])?(\.[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9])?)*|\[[0-9A-Fa-f:.]+\])$`)
	realmText    = regexp.MustCompile(`^[ !#-\[\]-~]{1,255}$`)
	hexSHA256    = regexp.MustCompile(`^[0-9a-fA-F]{64}$`)
)

// check looks for what is wrong with values that are well-formed.
func (r *reader) check() {
	r.checkBus()
	r.checkSubscribers()
	r.checkNames()
	r.checkListeners()
	r.checkSIPTLS()
	r.checkHTTPTLS()
	r.checkOrigins()
	r.checkAccounts()
	r.checkSIPLimits()
	r.checkTrunks()
	r.checkRegistrations()
	r.checkAliases()
	r.checkDNS()
	r.checkTracing()
	r.checkFiles()
	for _, name := range slices.Sorted(maps.Keys(r.c.Plugins)) {
		r.checkPlugin("plugins."+name, r.c.Plugins[name])
	}
}

func (r *reader) checkTracing() {
	t := r.c.Tracing
	if s := t.Sample; !(s >= 0 && s <= 1) {
		r.problem("tracing.sample", "%v; give a part from 0 to 1, such as 0.01", s)
	}
	if t.OTLP == "" {
		return
	}
	u, err := url.Parse(t.OTLP)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || u.Port() == "" {
		r.problem("tracing.otlp", "%q; give the gRPC address of a collector, such as \"http://127.0.0.1:4317\"", t.OTLP)
	}
}

func (r *reader) checkFiles() {
	f := r.c.Files
	if f.Links != "" {
		u, err := url.Parse(f.Links)
		if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.RawQuery != "" || u.Fragment != "" || u.User != nil {
			r.problem("files.links", "%q; give where others reach the HTTP door, such as \"https://chat.example.com\"", f.Links)
		}
	}
	if f.Expire < time.Minute || f.Expire > r.c.Bus.Retention.Age {
		r.problem("files.expire", "%s; give a minute at least, and not more than bus.retention.age (%s): then the files are gone", f.Expire, r.c.Bus.Retention.Age)
	}
	if f.Max < 1<<20 || f.Max > 1<<30 {
		r.problem("files.max", "%d bytes; give 1MiB to 1GiB", f.Max)
	}
	for _, s := range f.Refuse {
		if kind, sub, ok := strings.Cut(s, "/"); !strings.HasPrefix(s, ".") && (!ok || kind == "" || sub == "") {
			r.problem("files.refuse", "%q; give the ending of names, such as \".exe\", or a MIME type", s)
		}
	}
	for _, s := range f.Fetch {
		if !isSource(s) {
			r.problem("files.fetch", "%q; give a host, such as \"files.example.com\" or \"*.example.com:8443\", or a network of private addresses, such as \"10.1.0.0/16\"", s)
		}
	}
}

// isSource tells whether s is a network, "*", or a host, with a port or not,
// whose first label may be "*".
func isSource(s string) bool {
	if strings.Contains(s, "/") {
		_, err := netip.ParsePrefix(s)
		return err == nil
	}
	u, err := url.Parse("https://" + strings.Replace(s, "*", "any", 1))
	return err == nil && u.Hostname() != "" && u.Host == strings.Replace(s, "*", "any", 1) && u.User == nil &&
		(!strings.Contains(s, "*") || s[0] == '*' && (len(s) == 1 || s[1] == '.' || s[1] == ':')) && !strings.ContainsAny(u.Host, " ,")
}

func (r *reader) checkBus() {
	b := r.c.Bus
	if !slices.Contains([]string{"fsync", "interval", "memory"}, b.Durability) {
		r.problem("bus.durability", "%q is none; give \"fsync\", \"interval\" or \"memory\"", b.Durability)
	}
	if b.Data == "" {
		r.problem("bus.data", "empty; give the folder where messages are kept")
	}
	if b.Replicas < 1 || b.Replicas > 5 {
		r.problem("bus.replicas", "%d; give 1 to 5", b.Replicas)
	}
	r.checkRetention()
	if b.Retention.IDs < 1000 {
		r.problem("bus.retention.ids", "%d is too few to recognise repetitions; give 1000 at least", b.Retention.IDs)
	}
	for _, s := range strings.Split(b.URL, ",") {
		u, err := url.Parse(strings.TrimSpace(s))
		if b.URL != "" && (err != nil || u.Host == "" || !slices.Contains([]string{"nats", "tls", "ws", "wss"}, u.Scheme)) {
			r.problem("bus.url", "is no NATS URL; give one such as \"nats://n1.example.com:4222\", several separated by commas")
			break
		}
	}
	if b.Credentials == "" {
		return
	}
	f, err := os.Open(b.Credentials)
	if err != nil {
		r.problem("bus.credentials", "can't be read: %v; make the file readable for the user that runs parley", err)
		return
	}
	_ = f.Close()
	if b.URL == "" {
		r.problem("bus.credentials", "is for external servers, and bus.url is empty; give both or none")
	}
}

func (r *reader) checkRetention() {
	k := r.c.Bus.Retention
	if k.Age <= k.Expiry || k.Age <= day {
		r.problem("bus.retention.age", "%s; give more than bus.retention.expiry (%s) and a day, so that what is waited for and repetitions are known", k.Age, k.Expiry)
	}
	if k.Bodies > k.Age {
		r.problem("bus.retention.bodies", "%s is longer than bus.retention.age (%s); give less, or \"0\" for as long", k.Bodies, k.Age)
	}
	if k.Bodies > 0 && k.Bodies < time.Minute {
		r.problem("bus.retention.bodies", "%s; give a minute at least", k.Bodies)
	}
	if k.Size > 0 && k.Size < 1<<20 {
		r.problem("bus.retention.size", "%d bytes; give 1MiB at least, or \"0\" for no limit", k.Size)
	}
}

func (r *reader) checkNames() {
	s := r.c.SIP
	if len(s.Domains) == 0 && !r.said("sip.domains") {
		r.problem("sip.domains", "empty; give the domain of your SIP users")
	}
	for _, d := range s.Domains {
		if !domainName.MatchString(d) {
			r.problem("sip.domains", "%q is no domain; give what stands behind the @ of a SIP address, without port", d)
		}
	}
	if s.Realm != "" && len(s.Domains) > 0 && s.Realm != s.Domains[0] && !realmText.MatchString(s.Realm) {
		r.problem("sip.realm", "can't stand in a digest challenge; give ASCII without quotes and backslashes")
	}
	if len(s.Digest) == 0 || slices.ContainsFunc(s.Digest, func(a string) bool { return a != "SHA-256" && a != "MD5" }) {
		r.problem("sip.digest", "%q; give \"SHA-256\", \"MD5\" or both, the one to offer first in front", s.Digest)
	}
}

// unique notes the name of the ith of several, and that an earlier one has it.
func (r *reader) unique(seen map[string]int, name string, i int, path, what string) {
	if other, ok := seen[name]; ok {
		r.problem(path, "%q is %s %d already", name, what, other+1)
	}
	seen[name] = i
}

// shipped are the passwords that everybody knows from the shipped file.
var shipped = []string{"alice-secret", "bob-secret"}

func (r *reader) checkAccounts() {
	open := r.openListener()
	seen := map[string]int{}
	for i, a := range r.c.SIP.Accounts {
		path := fmt.Sprintf("sip.account[%d]", i)
		if !userName.MatchString(a.User) && !r.said(path+".user") {
			r.problem(path+".user", "%q; give letters, digits and . _ + -, as before the @ of the SIP address", a.User)
		}
		r.unique(seen, a.User, i, path+".user", "account")
		r.checkHashes(path, a)
		switch p := a.Password.Reveal(); {
		case p == "" && (r.said(path+".password") || a.hashed()):
		case p == "":
			r.problem(path+".password", "missing; give one, or { file = \"…\" } or { env = \"…\" }, or hashes of it (parley account hash)")
		case a.hashed():
			r.problem(path+".password", "stands beside hashes; give one of them")
		case open != "" && slices.Contains(shipped, p):
			r.problem(path+".password", "is the one everybody knows from the shipped file, and %s can be reached by others; choose another", open)
		}
	}
}

func (a Account) hashed() bool { return a.HA1SHA256.Reveal() != "" || a.HA1MD5.Reveal() != "" }

func (r *reader) checkHashes(path string, a Account) {
	for _, h := range []struct {
		key  string
		hash Secret
		size int
	}{{"ha1_sha256", a.HA1SHA256, sha256.Size}, {"ha1_md5", a.HA1MD5, md5.Size}} {
		b, err := hex.DecodeString(h.hash.Reveal())
		if err != nil || len(b) != 0 && len(b) != h.size {
			r.problem(path+"."+h.key, "is no hash; \"parley account hash %s\" prints one", a.User)
		}
	}
}

func (r *reader) checkPlugin(path string, p Plugin) {
	if !instanceName.MatchString(p.Name) || p.Name == "sip" {
		r.problem(path, "%q can't be the name of a connector; use lower-case letters, digits and -, and not \"sip\"", p.Name)
	}
	if p.Use != "" && len(p.Command) > 0 {
		r.problem(path+".command", "stands beside use; give one of them")
	}
	if p.Pace.Outstanding < 0 {
		r.problem(path+".pace.outstanding", "%d deliveries at once can't be; give 1 or more, or leave it out", p.Pace.Outstanding)
	}
	switch {
	case p.SHA256 == "":
	case !hexSHA256.MatchString(p.SHA256):
		r.problem(path+".sha256", "is no SHA-256; give 64 hexadecimal digits, as sha256sum prints them")
	case len(p.Command) == 0:
		r.problem(path+".sha256", "is for a command, and there is none; a bundled connector is a part of parley itself")
	}
}
