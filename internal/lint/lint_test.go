// Package lint checks the project's own structure under plain go test.
package lint

import (
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/symbolon/symbolon/"

// layers lists the packages from top to bottom, by path below the module: a
// package imports only packages of lower lines, and of its own line only its
// own subfolders.
var layers = [][]string{
	{"cmd"},
	{"bench"},
	{"protocol"},
	{"psi/dhpsi", "psi/volepsi", "psi/lookup", "psi/sealed"},
	{"psi"},
	{"bloom"},
	{"keys"},
	{"internal/records"},
	{"internal/audit", "internal/store"},
	{"internal/vole"},
	{"internal/ot", "internal/okvs", "internal/voprf"},
	{"internal/bitvec", "internal/oracle", "internal/hugepage", "internal/ristretto"},
	{"internal/field"},
	{"internal/parallel", "internal/binomial", "internal/cpu"},
	{"internal/secret", "internal/disk"},
}

// place returns the layer of a package and the entry that holds it, the
// longest that fits.
func place(pkg string) (layer int, entry string) {
	layer = -1
	for i, line := range layers {
		for _, e := range line {
			if (pkg == e || strings.HasPrefix(pkg, e+"/")) && len(e) > len(entry) {
				layer, entry = i, e
			}
		}
	}
	return layer, entry
}

// walk calls fn with every Go file of the project, by slash-separated path from
// its root.
func walk(t *testing.T, fn func(path, full string)) {
	t.Helper()
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	files := 0
	err = filepath.WalkDir(root, func(full string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := d.Name()
		if d.IsDir() && full != root && (strings.HasPrefix(name, ".") || strings.HasPrefix(name, "_") || name == "testdata") {
			return filepath.SkipDir
		}
		if d.IsDir() || !strings.HasSuffix(name, ".go") {
			return nil
		}
		rel, err := filepath.Rel(root, full)
		if err != nil {
			return err
		}
		files++
		fn(filepath.ToSlash(rel), full)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if files < 50 {
		t.Fatalf("only %d Go files found", files)
	}
}

func TestImportsPointDown(t *testing.T) {
	walk(t, func(path, full string) {
		pkg := path[:max(0, strings.LastIndex(path, "/"))]
		if strings.HasSuffix(path, "_test.go") {
			return // a test may bring in what its package only meets through an interface
		}
		from, fromEntry := place(pkg)
		if from < 0 {
			t.Errorf("%s is in no layer", path)
			return
		}
		f, err := parser.ParseFile(token.NewFileSet(), full, nil, parser.ImportsOnly)
		if err != nil {
			t.Error(err)
			return
		}
		for _, spec := range f.Imports {
			imported, err := strconv.Unquote(spec.Path.Value)
			if err != nil || !strings.HasPrefix(imported, module) {
				continue
			}
			imported = strings.TrimPrefix(imported, module)
			to, toEntry := place(imported)
			if to < from || to == from && toEntry != fromEntry {
				t.Errorf("%s imports %s, which is not below it", path, imported)
			}
		}
	})
}

// Generated and test files may be longer.
func TestFilesHoldOneIdea(t *testing.T) {
	const most = 700 // lines
	walk(t, func(path, full string) {
		if strings.HasSuffix(path, "_test.go") || strings.HasSuffix(path, ".pb.go") {
			return
		}
		b, err := os.ReadFile(full)
		if err != nil {
			t.Error(err)
			return
		}
		if n := strings.Count(string(b), "\n"); n > most {
			t.Errorf("%s has %d lines, at most %d", path, n, most)
		}
	})
}
