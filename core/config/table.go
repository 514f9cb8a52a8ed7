package config

import (
	"fmt"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A reader collects what is wrong while the tables are read.
type reader struct {
	c        *Config
	dir      string // of the file: relative paths begin there
	problems Problems
}

func (r *reader) problem(path, format string, args ...any) {
	r.problems = append(r.problems, Problem{r.c.File, r.c.Line(path), path, fmt.Sprintf(format, args...)})
}

func (r *reader) warning(path, format string, args ...any) {
	r.c.Warnings = append(r.c.Warnings, Problem{r.c.File, r.c.Line(path), path, fmt.Sprintf(format, args...)})
}

// said tells whether something is known to be wrong at a path.
func (r *reader) said(path string) bool {
	return slices.ContainsFunc(r.problems, func(p Problem) bool { return p.Path == path })
}

// A table is one TOML table, whose keys are taken one by one. What is left at
// the end is unknown.
type table struct {
	r      *reader
	path   string
	values map[string]any
	asked  []string
}

func (t *table) at(key string) string { return join(t.path, key) }

func (t *table) take(key string) (any, bool) {
	t.asked = append(t.asked, key)
	v, ok := t.values[key]
	return v, ok
}

func take[T any](t *table, key, want string, p *T) {
	v, ok := t.take(key)
	if !ok {
		return
	}
	x, ok := v.(T)
	if !ok {
		t.r.problem(t.at(key), "is %s; give %s", kindOf(v), want)
		return
	}
	*p = x
}

func (t *table) text(key string, p *string) { take(t, key, `a string, in quotes`, p) }

func (t *table) yes(key string, p *bool) { take(t, key, "true or false", p) }

func (t *table) number(key string, p *int) {
	n := int64(*p)
	take(t, key, "a whole number", &n)
	*p = int(n)
}

// part takes a number from 0 to 1.
func (t *table) part(key string, p *float64) {
	if v, ok := t.values[key].(int64); ok && (v == 0 || v == 1) {
		t.values[key] = float64(v)
	}
	take(t, key, "a number from 0 to 1", p)
}

// texts takes an array of strings, or one string.
func (t *table) texts(key string, p *[]string) {
	v, ok := t.take(key)
	if !ok {
		return
	}
	list, ok := v.([]any)
	if !ok {
		list = []any{v}
	}
	*p = nil
	for i, x := range list {
		s, ok := x.(string)
		if !ok {
			t.r.problem(t.at(key), "member %d is %s; give strings, in quotes", i+1, kindOf(x))
			continue
		}
		*p = append(*p, s)
	}
}

// orNone takes a limit as read does, or "0", which stands for none.
func orNone[T int64 | time.Duration](t *table, key string, p *T, read func(string, *T)) {
	if t.values[key] != "0" {
		read(key, p)
		return
	}
	t.asked = append(t.asked, key)
	*p = 0
}

// duration takes a string such as "30s" or "7d".
func (t *table) duration(key string, p *time.Duration) {
	s := ""
	t.text(key, &s)
	if s == "" {
		return
	}
	d, err := time.ParseDuration(s)
	if days, ok := strings.CutSuffix(s, "d"); ok {
		var n uint64
		n, err = strconv.ParseUint(days, 10, 16)
		d = time.Duration(n) * day
	}
	if err != nil || d <= 0 {
		t.r.problem(t.at(key), "%q is no duration; give one such as \"30s\", \"12h\" or \"7d\"", s)
		return
	}
	*p = d
}

// size takes a string such as "64MiB", or a number of bytes.
func (t *table) size(key string, p *int64) {
	v, ok := t.take(key)
	if !ok {
		return
	}
	if n, ok := v.(int64); ok && n > 0 {
		*p = n
		return
	}
	text, _ := v.(string)
	digits := strings.TrimRight(text, "KMGTiB")
	shift, known := map[string]int{"B": 0, "KiB": 10, "MiB": 20, "GiB": 30, "TiB": 40}[text[len(digits):]]
	n, err := strconv.ParseInt(strings.TrimSpace(digits), 10, 64)
	if err != nil || !known || n <= 0 || n > math.MaxInt64>>shift {
		t.r.problem(t.at(key), "%v is no size; give one such as \"64MiB\" or \"2GiB\"", v)
		return
	}
	*p = n << shift
}

func (t *table) secret(key string, p *Secret) {
	v, ok := t.take(key)
	if !ok {
		return
	}
	if s, ok := t.r.secret(t.at(key), v); ok {
		*p = Secret{s}
	}
}

// secret reads a literal, { file = "…" } or { env = "…" }.
func (r *reader) secret(path string, v any) (string, bool) {
	if s, ok := v.(string); ok {
		return s, true
	}
	from, name, ok := secretSource(v)
	switch {
	case !ok:
		r.problem(path, `is %s; give a string, { file = "…" } or { env = "…" }`, kindOf(v))
		return "", false
	case from == "env":
		s, set := os.LookupEnv(name)
		if !set {
			r.problem(path, "the environment variable %s is not set; set it for the process that runs parley", name)
		}
		return s, set
	}
	b, err := os.ReadFile(r.file(name))
	if err != nil {
		r.problem(path, "the secret can't be read: %v; make the file readable for the user that runs parley", err)
		return "", false
	}
	return strings.TrimRight(string(b), "\r\n"), true
}

// secretSource recognises a table that names where a secret is.
func secretSource(v any) (from, name string, ok bool) {
	m, isTable := v.(map[string]any)
	if !isTable || len(m) != 1 {
		return "", "", false
	}
	for from, x := range m {
		name, isText := x.(string)
		return from, name, isText && (from == "file" || from == "env")
	}
	return "", "", false
}

// file makes a path in the configuration absolute or relative to its folder.
func (r *reader) file(path string) string {
	if path == "" || filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(r.dir, path)
}

func (t *table) table(key string) *table {
	sub := &table{r: t.r, path: t.at(key), values: map[string]any{}}
	take(t, key, "a table", &sub.values)
	return sub
}

// tables takes an array of tables, written either way.
func (t *table) tables(key string) (list []*table) {
	v, ok := t.take(key)
	if !ok {
		return nil
	}
	var members []any
	switch v := v.(type) {
	case []any:
		members = v
	case []map[string]any:
		for _, m := range v {
			members = append(members, m)
		}
	default:
		t.r.problem(t.at(key), "is %s; write [[%s]] above each", kindOf(v), t.at(key))
		return nil
	}
	for i, m := range members {
		values, ok := m.(map[string]any)
		if !ok {
			t.r.problem(t.at(key), "member %d is %s; write [[%s]] above each", i+1, kindOf(m), t.at(key))
			return nil
		}
		list = append(list, &table{r: t.r, path: fmt.Sprintf("%s[%d]", t.at(key), i), values: values})
	}
	return list
}

// done reports the keys that nobody asked for.
func (t *table) done() {
	for _, key := range slices.Sorted(maps.Keys(t.values)) {
		if slices.Contains(t.asked, key) {
			continue
		}
		hint := "known are " + strings.Join(t.asked, ", ")
		if near := nearest(key, t.asked); near != "" {
			hint = fmt.Sprintf("did you mean %q?", near)
		}
		t.r.problem(t.at(key), "unknown key; %s", hint)
	}
}

func kindOf(v any) string {
	switch v.(type) {
	case string:
		return "a string"
	case bool:
		return "a boolean"
	case int64, float64:
		return "a number"
	case []any, []map[string]any:
		return "an array"
	case map[string]any:
		return "a table"
	}
	return "a date"
}

// nearest returns the name that is at most two edits away, if one is.
func nearest(key string, names []string) string {
	best, at := "", 3
	for _, n := range names {
		if d := distance(key, n); d < at && d < len(key) {
			best, at = n, d
		}
	}
	return best
}

// distance is the number of edits between two names (Levenshtein).
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		last := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			last, row[j+1] = row[j+1], min(row[j+1]+1, row[j]+1, last+cost)
		}
	}
	return row[len(b)]
}
