package config

import (
	"encoding/json"
	"errors"
	"maps"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/BurntSushi/toml"
)

// Load reads a configuration. It returns all problems at once; the Config is
// nil only if the text can't be read at all.
func Load(path string) (*Config, Problems) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, Problems{{File: path, Text: "can't be read: " + reason(err) + "; say where it is with --config"}}
	}
	values := map[string]any{}
	if _, err := toml.Decode(string(text), &values); err != nil {
		return nil, Problems{syntax(path, err)}
	}
	c := Default()
	c.File, c.lines = path, locate(string(text))
	r := &reader{c: c, dir: filepath.Dir(path)}
	r.read(&table{r: r, values: values})
	r.check()
	return c, r.problems
}

func reason(err error) string {
	var p *os.PathError
	if errors.As(err, &p) {
		return p.Err.Error()
	}
	return err.Error()
}

// syntax words what the parser found.
func syntax(path string, err error) Problem {
	var p toml.ParseError
	if errors.As(err, &p) {
		return Problem{File: path, Line: p.Position.Line, Text: "not valid TOML: " + p.Message}
	}
	return Problem{File: path, Text: "not valid TOML: " + err.Error()}
}

func (r *reader) read(top *table) {
	r.bus(top.table("bus"))
	r.sip(top.table("sip"))
	http := top.table("http")
	http.text("listen", &r.c.HTTP.Listen)
	http.secret("password", &r.c.HTTP.Password)
	http.done()
	plugins := top.table("plugins")
	for _, name := range slices.Sorted(maps.Keys(plugins.values)) {
		r.plugin(name, plugins.table(name))
	}
	for _, t := range top.tables("route") {
		var x Route
		t.text("name", &x.Name)
		t.text("mode", &x.Mode)
		t.text("sip", &x.SIP)
		t.texts("members", &x.Members)
		t.texts("to", &x.To)
		t.text("via", &x.Via)
		t.done()
		r.c.Routes = append(r.c.Routes, x)
	}
	top.done()
}

func (r *reader) bus(t *table) {
	b := &r.c.Bus
	t.text("data", &b.Data)
	t.text("durability", &b.Durability)
	t.text("url", &b.URL)
	t.text("credentials", &b.Credentials)
	t.yes("trust_sync", &b.TrustSync)
	t.number("replicas", &b.Replicas)
	keep := t.table("retention")
	keep.duration("expiry", &b.Retention.Expiry)
	keep.number("ids", &b.Retention.IDs)
	keep.done()
	t.done()
	b.Data, b.Credentials = r.file(b.Data), r.file(b.Credentials)
}

func (r *reader) sip(t *table) {
	s := &r.c.SIP
	t.texts("domains", &s.Domains)
	t.text("realm", &s.Realm)
	t.texts("digest", &s.Digest)
	t.texts("listen", &s.Listen)
	for _, t := range t.tables("account") {
		var a Account
		t.text("user", &a.User)
		t.secret("password", &a.Password)
		t.done()
		s.Accounts = append(s.Accounts, a)
	}
	t.done()
	if s.Realm == "" && len(s.Domains) > 0 {
		s.Realm = s.Domains[0]
	}
}

// plugin reads the keys that are the host's and passes on the rest.
func (r *reader) plugin(name string, t *table) {
	p := Plugin{Name: name}
	t.text("use", &p.Use)
	t.texts("command", &p.Command)
	t.text("sha256", &p.SHA256)
	rest := map[string]any{}
	for key, v := range t.values {
		if !slices.Contains(t.asked, key) {
			rest[key] = r.resolve(t.at(key), v)
		}
	}
	if p.Use == "" && len(p.Command) == 0 {
		p.Use = name
	}
	if len(p.Command) > 0 && strings.HasPrefix(p.Command[0], ".") {
		p.Command[0] = r.file(p.Command[0])
	}
	var err error
	if p.Settings, err = json.Marshal(rest); err != nil {
		r.problem(t.path, "%v", err)
	}
	r.c.Plugins[name] = p
}

// resolve replaces tables that name where a secret is by the secret.
func (r *reader) resolve(path string, v any) any {
	if _, _, ok := secretSource(v); ok {
		s, _ := r.secret(path, v)
		return s
	}
	switch v := v.(type) {
	case map[string]any:
		for key, x := range v {
			v[key] = r.resolve(join(path, key), x)
		}
	case []any:
		for i, x := range v {
			v[i] = r.resolve(path, x)
		}
	}
	return v
}

var (
	instanceName = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,31}$`)
	userName     = regexp.MustCompile(`^[A-Za-z0-9._+-]{1,64}$`)
	hexSHA256    = regexp.MustCompile(`^[0-9a-fA-F]{64}$`)
)

// check looks for what is wrong with values that are well-formed.
func (r *reader) check() {
	c := r.c
	if !slices.Contains([]string{"fsync", "interval", "memory"}, c.Bus.Durability) {
		r.problem("bus.durability", "%q is none; give \"fsync\", \"interval\" or \"memory\"", c.Bus.Durability)
	}
	if c.Bus.Data == "" {
		r.problem("bus.data", "empty; give the folder where messages are kept")
	}
	if c.Bus.Replicas < 1 || c.Bus.Replicas > 5 {
		r.problem("bus.replicas", "%d; give 1 to 5", c.Bus.Replicas)
	}
	if c.Bus.Retention.IDs < 1000 {
		r.problem("bus.retention.ids", "%d is too few to recognise repetitions; give 1000 at least", c.Bus.Retention.IDs)
	}
	if len(c.SIP.Domains) == 0 {
		r.problem("sip.domains", "empty; give the domain of your SIP users")
	}
	if len(c.SIP.Digest) == 0 || slices.ContainsFunc(c.SIP.Digest, func(a string) bool { return a != "SHA-256" && a != "MD5" }) {
		r.problem("sip.digest", "%q; give \"SHA-256\", \"MD5\" or both, the one to offer first in front", c.SIP.Digest)
	}
	for name, p := range c.Plugins {
		path := "plugins." + name
		switch {
		case !instanceName.MatchString(name) || name == "sip":
			r.problem(path, "%q can't be the name of a connector; use lower-case letters, digits and -, and not \"sip\"", name)
		case p.Use != "" && len(p.Command) > 0:
			r.problem(path+".command", "stands beside use; give one of them")
		case p.SHA256 != "" && !hexSHA256.MatchString(p.SHA256):
			r.problem(path+".sha256", "is no SHA-256; give 64 hexadecimal digits, as sha256sum prints them")
		}
	}
	r.checkListeners()
	r.checkAccounts()
}

func (r *reader) checkListeners() {
	c, taken := r.c, map[string]string{}
	claim := func(path, network, address string) {
		if other, ok := taken[network+address]; ok && !strings.HasSuffix(address, ":0") {
			r.problem(path, "%s is in %s already", address, other)
		}
		taken[network+address] = path
	}
	for _, l := range c.SIP.Listen {
		network, address, _ := strings.Cut(l, ":")
		if network != "udp" && network != "tcp" {
			r.problem("sip.listen", "%q: give network:host:port, such as \"udp:127.0.0.1:5060\"; networks are udp and tcp", l)
			continue
		}
		if r.address("sip.listen", address, "127.0.0.1:5060") {
			claim("sip.listen", network, address)
		}
	}
	if r.address("http.listen", c.HTTP.Listen, "127.0.0.1:8025") {
		claim("http.listen", "tcp", c.HTTP.Listen)
		if !loopback(c.HTTP.Listen) && c.HTTP.Password.Reveal() == "" {
			r.problem("http.listen", "%s can be reached by others, and there is no password; set http.password, or listen on 127.0.0.1", c.HTTP.Listen)
		}
	}
}

func (r *reader) address(path, address, example string) bool {
	host, port, err := net.SplitHostPort(address)
	_, numeric := strconv.ParseUint(port, 10, 16)
	if err != nil || numeric != nil || host == "" {
		r.problem(path, "%q is no host:port, such as %q", address, example)
		return false
	}
	return true
}

func loopback(address string) bool {
	host, _, _ := net.SplitHostPort(address)
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.IsLoopback()
}

// said tells whether something is known to be wrong at a path.
func (r *reader) said(path string) bool {
	return slices.ContainsFunc(r.problems, func(p Problem) bool { return p.Path == path })
}

// shipped are the passwords that everybody knows from the shipped file.
var shipped = []string{"alice-secret", "bob-secret"}

func (r *reader) checkAccounts() {
	open := slices.IndexFunc(r.c.SIP.Listen, func(l string) bool {
		_, address, _ := strings.Cut(l, ":")
		return !loopback(address)
	})
	seen := map[string]int{}
	for i, a := range r.c.SIP.Accounts {
		path := "sip.account[" + strconv.Itoa(i) + "]"
		if !userName.MatchString(a.User) {
			r.problem(path+".user", "%q; give letters, digits and . _ + -, as before the @ of the SIP address", a.User)
		}
		if other, ok := seen[a.User]; ok {
			r.problem(path+".user", "%q is account %d already", a.User, other+1)
		}
		seen[a.User] = i
		switch p := a.Password.Reveal(); {
		case p == "" && !r.said(path+".password"):
			r.problem(path+".password", "missing; give one, or { file = \"…\" } or { env = \"…\" }")
		case open >= 0 && slices.Contains(shipped, p):
			r.problem(path+".password", "is the one everybody knows from the shipped file, and %s can be reached by others; choose another", r.c.SIP.Listen[open])
		}
	}
}
