// Package scaffold writes new connectors: copies of the examples, which the
// program carries with it.
package scaffold

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"parley.im/examples"
)

// Languages returns those in which a connector can be begun.
func Languages() []string { return []string{"go", "python"} }

// Write writes a connector into dir, which must not exist or be empty. In Go
// it builds against the checkout of Parley at the path parley. It returns the
// names of the files it wrote.
func Write(dir, language, parley string) ([]string, error) {
	content, err := contents(dir, language, parley)
	if err != nil {
		return nil, err
	}
	there, err := os.ReadDir(dir)
	switch {
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return nil, err
	case len(there) > 0:
		return nil, fmt.Errorf("%s: there is something in it already; give a new folder", dir)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	var names []string
	for name := range content {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		if err := write(filepath.Join(dir, name), content[name]); err != nil {
			return nil, err
		}
	}
	return names, nil
}

// write makes a new file, executable when it begins as a script does.
func write(name string, data []byte) error {
	mode := os.FileMode(0o644)
	if strings.HasPrefix(string(data), "#!") {
		mode = 0o755
	}
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	return errors.Join(err, f.Close())
}

// contents returns the files of a connector, by name.
func contents(dir, language, parley string) (map[string][]byte, error) {
	if !slices.Contains(Languages(), language) {
		return nil, fmt.Errorf("no connector can be begun in %q; there is %s", language, strings.Join(Languages(), ", "))
	}
	folder := "connector-" + language
	list, err := fs.ReadDir(examples.Files, folder)
	if err != nil {
		return nil, err
	}
	content := map[string][]byte{}
	for _, f := range list {
		data, err := fs.ReadFile(examples.Files, path.Join(folder, f.Name()))
		if err != nil {
			return nil, err
		}
		content[f.Name()] = data
	}
	if language == "go" {
		return content, module(content, dir, parley)
	}
	return content, nil
}

// module adds what makes a module of its own. It names all that Parley itself
// is built with, in the same versions, so that nothing has to be looked up;
// "go mod tidy" removes what is too much.
func module(content map[string][]byte, dir, parley string) error {
	parley, err := filepath.Abs(parley)
	if err != nil {
		return err
	}
	theirs, err := os.ReadFile(filepath.Join(parley, "go.mod"))
	if err != nil {
		return err
	}
	sums, err := os.ReadFile(filepath.Join(parley, "go.sum"))
	if err != nil {
		return err
	}
	name, err := moduleName(dir)
	if err != nil {
		return err
	}
	var b strings.Builder
	fmt.Fprintf(&b, "module %s\n\n", name)
	fmt.Fprintf(&b, "%s\n\nrequire parley.im v0.0.0\n\n", goVersion.Find(theirs))
	fmt.Fprintf(&b, "// Parley is used from this folder, whatever version is there.\nreplace parley.im => %s\n\nrequire (\n", quoted(parley))
	for _, m := range required.FindAllSubmatch(theirs, -1) {
		fmt.Fprintf(&b, "\t%s // indirect\n", m[1])
	}
	b.WriteString(")\n")
	content["go.mod"], content["go.sum"] = []byte(b.String()), sums
	return nil
}

var (
	goVersion = regexp.MustCompile(`(?m)^go .*$`)
	required  = regexp.MustCompile(`(?m)^\t(\S+ v\S+)`)
	unfit     = regexp.MustCompile(`[^a-z0-9.-]+`)
)

// moduleName makes a module path of the folder's name.
func moduleName(dir string) (string, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	name := strings.Trim(unfit.ReplaceAllString(strings.ToLower(filepath.Base(dir)), "-"), "-.")
	if name == "" {
		name = "connector"
	}
	return "example.com/" + name, nil
}

// quoted is a path as go.mod wants it.
func quoted(p string) string {
	if strings.ContainsAny(p, " \t\"'`") {
		return fmt.Sprintf("%q", p)
	}
	return p
}
