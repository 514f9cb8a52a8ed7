package core_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "parley.im"

// source is one Go file, by its package's folder within the module.
type source struct {
	folder string
	name   string
	file   *ast.File
}

func (s source) isTest() bool { return strings.HasSuffix(s.name, "_test.go") }

// imports returns the paths that s imports; ours are given without the module.
func (s source) imports() []string {
	var all []string
	for _, i := range s.file.Imports {
		p, _ := strconv.Unquote(i.Path.Value)
		all = append(all, strings.TrimPrefix(p, module+"/"))
	}
	return all
}

// The sets of packages that the layers are made of.

type set func(folder string) bool

// in has the named folders; a name that ends in "/..." has all below, too.
func in(names ...string) set {
	return func(folder string) bool {
		return slices.ContainsFunc(names, func(n string) bool {
			if top, ok := strings.CutSuffix(n, "/..."); ok {
				return folder == top || strings.HasPrefix(folder, top+"/")
			}
			return folder == n
		})
	}
}

func except(not set) set { return func(folder string) bool { return !not(folder) } }

func and(a, b set) set { return func(folder string) bool { return a(folder) && b(folder) } }

// ours are the packages of this module, connectors those that join a network.
var (
	ours       = in("bus/...", "cmd/...", "core/...", "plugins/...", "examples/...")
	connectors = and(in("plugins/...", "examples/..."), except(in("plugins", "plugins/sdk/...", "plugins/content/...")))
)

func thirdParty(path string) bool {
	first, _, _ := strings.Cut(path, "/")
	return !ours(path) && strings.Contains(first, ".")
}

func standard(path string) bool { return !ours(path) && !thirdParty(path) }

// ourOthers are packages of ours that are not allowed.
func ourOthers(allowed ...string) set { return and(ours, except(in(allowed...))) }

// outside is what reaches out of the process.
func outside(path string) bool {
	return in("net", "net/http/...", "os/...", "syscall", "log/...", "database/...")(path)
}

// layers says who must not import what. The sentences are those of the
// design's layout; tests may reach further where tests is false.
var layers = []struct {
	sentence string
	who      set
	not      set
	tests    bool // holds for _test.go files, too
}{
	{"nothing imports core but cmd", except(in("core", "cmd/...")), in("core"), true},
	{"nothing imports cmd", and(ours, except(in("cmd/..."))), in("cmd/..."), true},
	{"only cmd imports connectors", and(except(in("cmd/...")), except(connectors)), connectors, false},
	{"only bus and subscribers import NATS", except(in("bus", "bus/bustest/...", "examples/subscriber")), in("github.com/nats-io/..."), true},
	{"only sipedge imports sipgo and digest", except(in("core/sipedge/...")), in("github.com/emiago/...", "github.com/icholy/..."), true},
	{"only sipedge asks DNS itself", except(in("core/sipedge/...")), in("github.com/miekg/..."), true},
	{"only the SDK and plughost import go-plugin", except(in("plugins/sdk/...", "core/plughost")), in("github.com/hashicorp/..."), true},
	{"only cmd imports cobra", except(in("cmd/...")), in("github.com/spf13/..."), true},
	{"event imports the standard library only", in("bus/event"), except(standard), false},
	{"event does no I/O", in("bus/event"), outside, false},
	{"bus imports of ours event only", in("bus"), ourOthers("bus/event"), false},
	{"content is pure", in("plugins/content/..."), outside, false},
	{"content imports of ours nothing but event", in("plugins/content/..."), ourOthers("bus/event", "plugins/content/..."), false},
	{"route is pure", in("core/route"), outside, false},
	{"route imports of ours event only", in("core/route"), ourOthers("bus/event"), false},
	{"stages import of ours bus, event and content", and(in("core/..."), except(in("core", "core/plughost", "core/sipedge/..."))), ourOthers("bus", "bus/event", "plugins/content/...", "core/..."), false},
	{"sipedge does not know the bus", in("core/sipedge/..."), ourOthers("bus/event", "plugins/content/...", "core/sipedge/..."), false},
	{"plughost imports of ours event and the SDK", in("core/plughost"), ourOthers("bus/event", "plugins/sdk", "plugins/sdk/client", "plugins/sdk/wire"), false},
	{"the wire imports of ours event only", in("plugins/sdk/wire"), ourOthers("bus/event"), false},
	{"the SDK imports of ours event and wire only", in("plugins/sdk"), ourOthers("bus/event", "plugins/sdk/wire"), false},
	{"the client imports of ours event, SDK and wire only", in("plugins/sdk/client"), ourOthers("bus/event", "plugins/sdk", "plugins/sdk/wire"), false},
	{"the conformance suite does not know the host", in("plugins/sdk/sdktest/..."), in("core/...", "bus", "bus/bustest"), true},
	{"cmd imports core and what commands need", in("cmd/..."), ourOthers("bus/event", "core", "core/config", "core/route", "core/httpd", "core/sipedge/uac", "plugins/...", "examples", "cmd/..."), false},
}

func TestLayers(t *testing.T) {
	all := sources(t, "..")
	if len(all) < 20 {
		t.Fatalf("only %d files found: this test looks at the wrong place", len(all))
	}
	for _, complaint := range broken(all) {
		t.Error(complaint)
	}
}

// broken returns every import and exported signature that a layer forbids.
func broken(all []source) (complaints []string) {
	for _, s := range all {
		if s.folder == "core/zdeps" {
			continue
		}
		where := path.Join(s.folder, s.name)
		for _, imported := range s.imports() {
			for _, l := range layers {
				if l.who(s.folder) && l.not(imported) && (l.tests || !s.isTest()) {
					complaints = append(complaints, where+" imports "+imported+": "+l.sentence)
				}
			}
			if a, b := stage(s.folder), stage(imported); a != "" && b != "" && a != b && !s.isTest() {
				complaints = append(complaints, where+" imports "+imported+": stages do not import each other")
			}
			if own := connector(s.folder); own != "" && !in("plugins/sdk", "plugins/content/...", "bus/event", own+"/...")(imported) && ours(imported) &&
				!(s.isTest() && in("plugins/sdk/...")(imported)) {
				complaints = append(complaints, where+" imports "+imported+": connectors import sdk, content and event only")
			}
		}
		if !s.isTest() && s.isPublic() {
			for _, shown := range foreign(s) {
				complaints = append(complaints, where+" shows "+shown+": exported signatures have no third-party types")
			}
		}
	}
	return complaints
}

// isPublic: could another part of the project see what s exports? The wire is
// made of generated code.
func (s source) isPublic() bool {
	return s.file.Name.Name != "main" && s.folder != "plugins/sdk/wire" && !strings.Contains(s.folder, "/internal/")
}

// stage returns the folder directly under core that p is in.
func stage(p string) string {
	rest, ok := strings.CutPrefix(p, "core/")
	if !ok {
		return ""
	}
	name, _, _ := strings.Cut(rest, "/")
	return name
}

// connector returns the folder of the connector that p belongs to.
func connector(p string) string {
	if !connectors(p) {
		return ""
	}
	parts := strings.SplitN(p, "/", 3)
	return strings.Join(parts[:min(2, len(parts))], "/")
}

// foreign returns the third-party types in the exported signatures of s.
func foreign(s source) (shown []string) {
	names := map[string]string{}
	for _, i := range s.file.Imports {
		p, _ := strconv.Unquote(i.Path.Value)
		if !thirdParty(strings.TrimPrefix(p, module+"/")) {
			continue
		}
		name := packageName(p)
		if i.Name != nil {
			name = i.Name.Name
		}
		names[name] = p
	}
	look := func(n ast.Node) {
		if n == nil {
			return
		}
		ast.Inspect(n, func(n ast.Node) bool {
			if sel, ok := n.(*ast.SelectorExpr); ok {
				if x, ok := sel.X.(*ast.Ident); ok && names[x.Name] != "" {
					shown = append(shown, x.Name+"."+sel.Sel.Name)
				}
			}
			return true
		})
	}
	for _, d := range s.file.Decls {
		switch d := d.(type) {
		case *ast.FuncDecl:
			if d.Name.IsExported() && (d.Recv == nil || isExportedReceiver(d.Recv)) {
				look(d.Type)
			}
		case *ast.GenDecl:
			for _, spec := range d.Specs {
				lookSpec(spec, look)
			}
		}
	}
	return shown
}

func lookSpec(spec ast.Spec, look func(ast.Node)) {
	switch spec := spec.(type) {
	case *ast.ValueSpec:
		if spec.Type != nil && slices.ContainsFunc(spec.Names, (*ast.Ident).IsExported) {
			look(spec.Type)
		}
	case *ast.TypeSpec:
		if !spec.Name.IsExported() {
			return
		}
		body, ok := spec.Type.(*ast.StructType)
		if !ok {
			look(spec.Type)
			return
		}
		for _, f := range body.Fields.List {
			if len(f.Names) == 0 || slices.ContainsFunc(f.Names, (*ast.Ident).IsExported) {
				look(f.Type)
			}
		}
	}
}

func isExportedReceiver(r *ast.FieldList) bool {
	exported := false
	ast.Inspect(r.List[0].Type, func(n ast.Node) bool {
		if id, ok := n.(*ast.Ident); ok {
			exported = exported || id.IsExported()
			return false
		}
		return true
	})
	return exported
}

// packageName guesses the name of the package at an import path: its last
// element that is no version, without what people add around it.
func packageName(p string) string {
	name := path.Base(p)
	if len(name) > 1 && name[0] == 'v' && name[1] >= '0' && name[1] <= '9' {
		name = path.Base(path.Dir(p))
	}
	name = strings.TrimSuffix(name, ".go")
	return strings.TrimPrefix(name, "go-")
}

// sources parses the Go files of the module at root.
func sources(t *testing.T, root string) (all []source) {
	t.Helper()
	set := token.NewFileSet()
	err := filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && p != root {
			_, nested := os.Stat(filepath.Join(p, "go.mod"))
			if d.Name() == "testdata" || strings.HasPrefix(d.Name(), ".") || nested == nil {
				return filepath.SkipDir
			}
		}
		if d.IsDir() || !strings.HasSuffix(p, ".go") {
			return nil
		}
		f, err := parser.ParseFile(set, p, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		folder, err := filepath.Rel(root, filepath.Dir(p))
		all = append(all, source{filepath.ToSlash(folder), d.Name(), f})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// The checks themselves are checked: each of these breaks a layer, or none.
func TestLayersNoticeWhatTheyForbid(t *testing.T) {
	for _, tc := range []struct {
		where string
		code  string
		want  string // in the complaint; empty: nothing is wrong
	}{
		{"core/core.go", `import ("parley.im/bus"; "parley.im/core/route"; "parley.im/core/sipedge")`, ""},
		{"cmd/parley/main.go", `import ("parley.im/core"; "parley.im/plugins/web"; "github.com/spf13/cobra")`, ""},
		{"cmd/parley/main.go", `import "parley.im/core/deliver"`, "cmd imports core and what commands need"},
		{"cmd/parley/main.go", `import "parley.im/bus"`, "cmd imports core and what commands need"},
		{"core/route/table.go", `import "parley.im/core/config"`, "stages do not import each other"},
		{"core/route/table.go", `import "os"`, "route is pure"},
		{"core/sipedge/uac/uac.go", `import "parley.im/core/sipedge"; import "github.com/emiago/sipgo/sip"`, ""},
		{"core/deliver/stage.go", `import "parley.im/core"`, "nothing imports core but cmd"},
		{"core/deliver/stage.go", `import ("context"; "parley.im/bus"; "parley.im/bus/event"; "parley.im/plugins/content")`, ""},
		{"core/deliver/stage.go", `import "parley.im/plugins/web"`, "only cmd imports connectors"},
		{"core/deliver/stage.go", `import "github.com/nats-io/nats.go"`, "only bus and subscribers import NATS"},
		{"core/deliver/stage_test.go", `import "github.com/nats-io/nats.go"`, "only bus and subscribers import NATS"},
		{"bus/bustest/suite.go", `import "github.com/nats-io/nats-server/v2/server"`, ""},
		{"bus/event/event.go", `import "golang.org/x/text/unicode/norm"`, "standard library only"},
		{"bus/event/event.go", `import "parley.im/plugins/sdk"`, "standard library only"},
		{"bus/event/event_test.go", `import "pgregory.net/rapid"`, ""},
		{"plugins/web/web.go", `import "parley.im/bus"`, "connectors import sdk, content and event only"},
		{"plugins/web/web.go", `import "parley.im/core/httpd"`, "connectors import sdk, content and event only"},
		{"plugins/web/web.go", `import "parley.im/plugins/slack"`, "connectors import sdk, content and event only"},
		{"plugins/web/web.go", `import ("parley.im/plugins/sdk"; "parley.im/plugins/web/page")`, ""},
		{"plugins/web/web.go", `import "parley.im/plugins/sdk/sdktest"`, "connectors import sdk, content and event only"},
		{"plugins/web/web_test.go", `import "parley.im/plugins/sdk/sdktest"`, ""},
		{"plugins/sdk/serve.go", `import "parley.im/plugins/sdk/client"`, "event and wire only"},
		{"plugins/sdk/serve.go", `import "github.com/hashicorp/go-plugin"`, ""},
		{"core/deliver/stage.go", `import "github.com/hashicorp/go-plugin"`, "only the SDK and plughost import go-plugin"},
		{"core/sipedge/edge.go", `import "github.com/emiago/sipgo/sip"; func Send(*sip.Request) {}`, "shows sip.Request"},
		{"core/sipedge/edge.go", `import "github.com/emiago/sipgo/sip"; func send(*sip.Request) {}; type edge struct{}; func (edge) Do(sip.Request) {}; type Edge struct { r *sip.Request }`, ""},
		{"core/sipedge/edge.go", `import x "github.com/emiago/sipgo/sip"; type Request = x.Request`, "shows x.Request"},
		{"core/sipedge/edge.go", `import "github.com/emiago/sipgo/sip"; type Edge struct { *sip.Request }`, "shows sip.Request"},
		{"core/sipedge/edge.go", `import "github.com/emiago/sipgo/sip"; type Edge[T any] struct{}; func (e *Edge[T]) Do() []sip.Header { return nil }`, "shows sip.Header"},
		{"core/sipedge/internal/proof/proof.go", `import "github.com/emiago/sipgo/sip"; func Take(*sip.Response) {}`, ""},
		{"bus/bus.go", `import "github.com/nats-io/nats.go"; type Conn interface { Do(map[string]chan *nats.Msg) }`, "shows nats.Msg"},
		{"core/plughost/host.go", `import "github.com/hashicorp/go-plugin"; var Client *plugin.Client`, "shows plugin.Client"},
	} {
		f, err := parser.ParseFile(token.NewFileSet(), tc.where, "package p; "+tc.code, parser.SkipObjectResolution)
		if err != nil {
			t.Fatalf("%s: %v", tc.code, err)
		}
		got := broken([]source{{path.Dir(tc.where), path.Base(tc.where), f}})
		switch {
		case tc.want == "" && len(got) > 0:
			t.Errorf("%s: %s\n\tgot %q, want no complaint", tc.where, tc.code, got)
		case tc.want != "" && !slices.ContainsFunc(got, func(c string) bool { return strings.Contains(c, tc.want) }):
			t.Errorf("%s: %s\n\tgot %q, want %q among them", tc.where, tc.code, got, tc.want)
		}
	}
}
