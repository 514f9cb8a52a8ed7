package config

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
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
	pair := http.table("tls")
	pair.text("certificate", &r.c.HTTP.TLS.Certificate)
	pair.text("key", &r.c.HTTP.TLS.Key)
	pair.done()
	http.done()
	r.c.HTTP.TLS.Certificate, r.c.HTTP.TLS.Key = r.file(r.c.HTTP.TLS.Certificate), r.file(r.c.HTTP.TLS.Key)
	files := top.table("files")
	files.text("links", &r.c.Files.Links)
	files.duration("expire", &r.c.Files.Expire)
	files.size("max", &r.c.Files.Max)
	files.texts("refuse", &r.c.Files.Refuse)
	files.texts("fetch", &r.c.Files.Fetch)
	files.done()
	kinds := top.table("kinds")
	kinds.yes("edits", &r.c.Kinds.Edits)
	kinds.yes("deletions", &r.c.Kinds.Deletions)
	kinds.yes("reactions", &r.c.Kinds.Reactions)
	kinds.done()
	tracing := top.table("tracing")
	tracing.text("otlp", &r.c.Tracing.OTLP)
	tracing.part("sample", &r.c.Tracing.Sample)
	tracing.done()
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
	t.size("reserve", &b.Reserve)
	keep := t.table("retention")
	keep.duration("expiry", &b.Retention.Expiry)
	keep.duration("age", &b.Retention.Age)
	orNone(keep, "bodies", &b.Retention.Bodies, keep.duration)
	keep.duration("dead", &b.Retention.Dead)
	orNone(keep, "size", &b.Retention.Size, keep.size)
	keep.number("ids", &b.Retention.IDs)
	keep.done()
	t.text("listen", &b.Listen)
	files := t.table("tls")
	files.text("cert", &b.TLS.Cert)
	files.text("key", &b.TLS.Key)
	files.done()
	for _, t := range t.tables("subscriber") {
		var s Subscriber
		t.text("name", &s.Name)
		t.text("nkey", &s.NKey)
		t.texts("subjects", &s.Subjects)
		t.done()
		b.Subscribers = append(b.Subscribers, s)
	}
	t.done()
	b.Data, b.Credentials = r.file(b.Data), r.file(b.Credentials)
	b.TLS.Cert, b.TLS.Key = r.file(b.TLS.Cert), r.file(b.TLS.Key)
}

func (r *reader) sip(t *table) {
	s := &r.c.SIP
	t.texts("domains", &s.Domains)
	t.text("realm", &s.Realm)
	t.texts("digest", &s.Digest)
	t.texts("listen", &s.Listen)
	files := t.table("tls")
	files.text("certificate", &s.TLS.Certificate)
	files.text("key", &s.TLS.Key)
	files.text("client_ca", &s.TLS.ClientCA)
	files.done()
	ws := t.table("ws")
	ws.texts("origins", &s.Origins)
	ws.done()
	r.sipLimits(t.table("limits"))
	for _, t := range t.tables("account") {
		var a Account
		t.text("user", &a.User)
		t.secret("password", &a.Password)
		t.secret("ha1_sha256", &a.HA1SHA256)
		t.secret("ha1_md5", &a.HA1MD5)
		t.done()
		s.Accounts = append(s.Accounts, a)
	}
	t.texts("dns", &s.DNS)
	r.prefixes(t, "safe_paths", &s.Safe)
	for _, t := range t.tables("trunk") {
		r.trunk(t)
	}
	for _, t := range t.tables("registration") {
		r.registration(t)
	}
	r.aliases(t.table("aliases"))
	t.done()
	for _, f := range []*string{&s.TLS.Certificate, &s.TLS.Key, &s.TLS.ClientCA} {
		*f = r.file(*f)
	}
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
	t.pace(&p.Pace)
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
		if !filepath.IsAbs(p.Command[0]) { // a bare name would be looked for in $PATH
			p.Command[0] = "." + string(filepath.Separator) + p.Command[0]
		}
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
	case []map[string]any:
		for i, x := range v {
			_ = r.resolve(fmt.Sprintf("%s[%d]", path, i), x)
		}
	}
	return v
}
