package disk

import (
	"os"
	"path/filepath"
	"testing"
)

func TestReplace(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	for _, parts := range [][][]byte{{[]byte("old")}, {[]byte("ne"), nil, []byte("wer")}} {
		if err := Replace(path, parts...); err != nil {
			t.Fatal(err)
		}
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	b, unmap, err := Map(f, 5)
	if err != nil {
		t.Fatal(err)
	}
	if string(b) != "newer" {
		t.Errorf("the file holds %q", b)
	}
	if err := unmap(); err != nil {
		t.Error(err)
	}
	if st, err := f.Stat(); err != nil || st.Mode().Perm()&0o077 != 0 {
		t.Errorf("mode %v, %v: others can read it", st.Mode(), err)
	}
}

func TestReplaceLeavesTheOld(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "taken")
	if err := os.MkdirAll(filepath.Join(path, "inside"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := Replace(path, []byte("new")); err == nil {
		t.Error("a directory was replaced")
	}
	if all, err := os.ReadDir(dir); err != nil || len(all) != 1 {
		t.Errorf("%d entries are left, want the old one: %v", len(all), err)
	}
}
