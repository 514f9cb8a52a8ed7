package event

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

//go:generate go test -run ^TestTheDocsSayWhatTheCodeDoes$ -update .

// An attribute is a header of an event, as the documentation shows it.
type attribute struct {
	header string
	field  reflect.StructField
	text   string
}

// kinds are the events, in the order in which they happen to a message.
var kinds = []struct {
	name  string
	event Event
	types []string
	about string
}{
	{"inbound", Inbound{}, []string{TypeInbound}, "A message entered the bridge."},
	{"outbound", Outbound{}, []string{TypeOutbound}, "An Inbound was assigned to one target address."},
	{"status", Status{}, []string{TypeAccepted, TypeDelivered, TypeDisplayed, TypeFailed}, "What became of an Outbound."},
	{"dead", Dead{}, []string{TypeDead}, "The stored copy of an Outbound that failed."},
	{"signal", Typing{}, []string{TypeTyping}, "Somebody is composing, or has stopped. It is not stored."},
}

// base are the attributes that every event has, by CloudEvents.
var base = []string{"ce-specversion", "ce-type", "ce-id", "ce-source"}

// headless are the fields that are no header of their own.
var headless = map[string]string{
	"Data":  "it is the payload",
	"State": "of a Status: it is in ce-type",
}

// attributes finds out which header each field of e is, by setting one field
// after the other. It fails for a field that is none, and for one that is not
// described.
func attributes(t *testing.T, e Event) (list []attribute) {
	t.Helper()
	empty := encoded(t, e)
	described := comments(t)
	for _, f := range leaves(reflect.TypeOf(e)) {
		v := reflect.New(reflect.TypeOf(e)).Elem()
		v.Set(reflect.ValueOf(e))
		set(t, v.FieldByIndex(f.Index))
		with := encoded(t, v.Interface().(Event))
		var changed []string
		for h := range with {
			if with[h] != empty[h] && h != "ce-type" && (h != "ce-id" || reflect.TypeOf(e) != reflect.TypeOf(Typing{})) {
				changed = append(changed, h)
			}
		}
		if len(changed) == 0 && headless[f.Name] != "" {
			continue
		}
		owner := reflect.TypeOf(e)
		if len(f.Index) > 1 {
			owner = owner.FieldByIndex(f.Index[:len(f.Index)-1]).Type
		}
		text := described[owner.Name()+"."+f.Name]
		if len(changed) != 1 || text == "" {
			t.Fatalf("%T.%s is in the headers %q, with the comment %q; want one header and a comment", e, f.Name, changed, text)
		}
		if !attributeName.MatchString(changed[0]) {
			t.Errorf("%q is no name that CloudEvents wants", changed[0])
		}
		list = append(list, attribute{changed[0], f, text})
	}
	slices.SortFunc(list, func(a, b attribute) int { return strings.Compare(a.header, b.header) })
	return list
}

// CloudEvents 1.0, section "Naming conventions".
var attributeName = regexp.MustCompile(`^ce-[a-z0-9]{1,20}$`)

func encoded(t *testing.T, e Event) map[string]string {
	t.Helper()
	w, err := Encode(e)
	if err != nil {
		t.Fatal(err)
	}
	return w.Header
}

// leaves returns the fields of a struct, those of embedded ones, too, without
// what an outer field hides.
func leaves(typ reflect.Type) (list []reflect.StructField) {
	for _, f := range reflect.VisibleFields(typ) {
		if promoted, ok := typ.FieldByName(f.Name); !f.Anonymous && ok && (len(promoted.Index) <= len(f.Index)) {
			list = append(list, f)
		}
	}
	return list
}

func set(t *testing.T, v reflect.Value) {
	t.Helper()
	switch v.Interface().(type) {
	case time.Time:
		v.Set(reflect.ValueOf(time.Unix(1, 0)))
		return
	case time.Duration:
		v.Set(reflect.ValueOf(time.Minute))
		return
	case File:
		v.Set(reflect.ValueOf(File{Content: Content{Ref: "x"}}))
		return
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString("x")
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int64:
		v.SetInt(1)
	case reflect.Uint64:
		v.SetUint(1)
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		set(t, v.Index(0))
	case reflect.Uint8:
		v.SetUint('x')
	default:
		t.Fatalf("the documentation does not know %s", v.Type())
	}
}

var internal = regexp.MustCompile(`: see \w+ID$`)

// comments returns what the sources of this package say of each field, by
// "Type.Field", and of each string constant, by "Type=value".
func comments(t *testing.T) map[string]string {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "event.go", nil, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.TypeSpec:
			body, ok := n.Type.(*ast.StructType)
			if !ok {
				return true
			}
			for _, f := range body.Fields.List {
				for _, name := range f.Names {
					all[n.Name.Name+"."+name.Name] = internal.ReplaceAllString(strings.TrimSpace(f.Comment.Text()), "")
				}
			}
		case *ast.ValueSpec:
			typ, ok := n.Type.(*ast.Ident)
			if !ok || len(n.Values) != 1 {
				return true
			}
			if value, ok := n.Values[0].(*ast.BasicLit); ok && value.Kind == token.STRING {
				text, _ := strconv.Unquote(value.Value)
				all[typ.Name+"="+text] = strings.TrimSpace(n.Comment.Text())
			}
		}
		return true
	})
	return all
}

// values returns the values that a type of strings may have, sorted.
func values(described map[string]string, typ reflect.Type) (list []string) {
	for key := range described {
		if v, ok := strings.CutPrefix(key, typ.Name()+"="); ok {
			list = append(list, v)
		}
	}
	slices.Sort(list)
	return list
}

// form says how a field stands in its header.
func form(f reflect.StructField) string {
	switch {
	case f.Type == reflect.TypeFor[time.Time]():
		return "time"
	case f.Type == reflect.TypeFor[time.Duration]():
		return "seconds"
	case f.Type == reflect.TypeFor[Address]():
		return "address"
	case f.Type == reflect.TypeFor[[]File]():
		return "files"
	}
	switch f.Type.Kind() {
	case reflect.Bool:
		return "flag"
	case reflect.Int, reflect.Int64, reflect.Uint64:
		return "number"
	case reflect.Slice:
		return "list"
	}
	if f.Type.Name() != "string" {
		return "one of"
	}
	return "text"
}

// tables writes the parts of docs/events.md that come from the code.
func tables(t *testing.T) map[string]string {
	described := comments(t)
	parts := map[string]string{}
	var subjects strings.Builder
	subjects.WriteString("| type | subject | stream |\n|---|---|---|\n")
	for _, k := range kinds {
		stream := "`PARLEY_" + strings.ToUpper(k.name) + "`"
		if k.name == "signal" {
			stream = "none"
		}
		for _, typ := range k.types {
			fmt.Fprintf(&subjects, "| `%s` | `%s` | %s |\n", typ, address(k.name, k.event), stream)
		}
		var b strings.Builder
		fmt.Fprintf(&b, "%s\n\n| header | form | meaning |\n|---|---|---|\n", k.about)
		for _, a := range attributes(t, k.event) {
			how := form(a.field)
			if how == "one of" {
				how = "`" + strings.Join(values(described, a.field.Type), "`, `") + "`"
			}
			fmt.Fprintf(&b, "| `%s` | %s | %s |\n", a.header, how, strings.ReplaceAll(a.text, "|", `\|`))
		}
		parts[k.name] = b.String()
	}
	parts["subjects"] = subjects.String()
	for name, typ := range map[string]reflect.Type{
		"values-kind": reflect.TypeFor[Kind](), "values-state": reflect.TypeFor[State](), "values-reason": reflect.TypeFor[Reason](), "values-mode": reflect.TypeFor[Mode](),
	} {
		var b strings.Builder
		b.WriteString("| value | meaning |\n|---|---|\n")
		for _, v := range values(described, typ) {
			fmt.Fprintf(&b, "| `%s` | %s |\n", v, described[typ.Name()+"="+v])
		}
		parts[name] = b.String()
	}
	return parts
}

// address is the subject of an event with names for what varies.
func address(name string, e Event) string {
	if name == "outbound" {
		return "parley.outbound.{connector}.{partition}.{lane}"
	}
	return strings.TrimSuffix(e.Subject(), "..") + ".{connector}.{lane}"
}

var marked = regexp.MustCompile(`(?s)(<!-- from the code: ([a-z-]+) -->\n).*?(<!-- end -->)`)

// TestTheDocsSayWhatTheCodeDoes compares the documents with what is made from
// the types of this package; -update writes them.
func TestTheDocsSayWhatTheCodeDoes(t *testing.T) {
	const page, spec = "../../docs/events.md", "../../docs/asyncapi.yaml"
	before, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	parts := tables(t)
	missing := maps.Clone(parts)
	after := marked.ReplaceAllStringFunc(string(before), func(s string) string {
		m := marked.FindStringSubmatch(s)
		if parts[m[2]] == "" {
			t.Errorf("%s wants %q, which nothing makes", page, m[2])
		}
		delete(missing, m[2])
		return m[1] + parts[m[2]] + m[3]
	})
	for name := range missing {
		t.Errorf("%s lacks the part %q", page, name)
	}
	for name, want := range map[string]string{page: after, spec: asyncAPI(t)} {
		if *update {
			if err := os.WriteFile(name, []byte(want), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if got, err := os.ReadFile(name); err != nil || string(got) != want {
			t.Errorf("%s is not what the code makes (%v); \"go generate ./bus/event\" writes it, and then look at what changed", name, err)
		}
	}
}

// The golden files show every attribute there is.
func TestTheExamplesSetEveryAttribute(t *testing.T) {
	all := examples()
	for name, example := range map[string]string{"inbound": "inbound", "outbound": "outbound", "status": "failed", "dead": "dead", "signal": "typing"} {
		shown := encoded(t, all[example])
		for _, k := range kinds {
			if k.name != name {
				continue
			}
			for _, a := range attributes(t, k.event) {
				if a.header == "ce-state" || strings.HasPrefix(a.header, "ce-data") && name == "inbound" {
					continue // of kind status; of large bodies, as in outbound
				}
				if shown[a.header] == "" {
					t.Errorf("the example of %s has no %s", name, a.header)
				}
			}
		}
	}
}

var block = regexp.MustCompile("(?s)```event\n(.*?)\n```")

// What the page shows as captured are events that this package reads.
func TestTheEventsInTheDocsCanBeRead(t *testing.T) {
	page, err := os.ReadFile("../../docs/events.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := block.FindAllStringSubmatch(string(page), -1)
	if len(blocks) < 2 {
		t.Fatalf("%d events", len(blocks))
	}
	for _, b := range blocks {
		head, body, _ := strings.Cut(b[1]+"\n", "\n\n")
		lines := strings.Split(head, "\n")
		w := Wire{Header: map[string]string{}, Data: []byte(strings.TrimSuffix(body, "\n"))}
		for _, l := range lines[1:] {
			name, value, _ := strings.Cut(l, ": ")
			w.Header[name] = value
		}
		e, err := Decode(w)
		if err != nil || e.Subject() != lines[0] || e.EventID() != w.Header["Nats-Msg-Id"] || w.Header["Nats-Subject"] != StoredPrefix+lines[0] {
			t.Errorf("%s\nis read as %+v, %v", b[1], e, err)
		}
	}
}
