package records

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/symbolon/symbolon/internal/records/names"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// TestGoldenKeys compares the keys of the test persons with those of the
// normalisation version. If they differ, agreements in force would lose hits
// unseen: raise the version of this package or of names, and rewrite the file
// with -update.
func TestGoldenKeys(t *testing.T) {
	t.Parallel()
	var got bytes.Buffer
	for _, name := range ShippedNames() {
		rs, err := Shipped(name)
		if err != nil {
			t.Fatal(err)
		}
		digest, err := CanaryKeys(rs)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&got, "set %s, canary %s\n", name, digest)
		d := mustDerive(t, rs)
		for _, c := range canaries {
			r := c.record()
			keys, _ := d.Keys(nil, &r)
			for _, k := range keys {
				fmt.Fprintf(&got, "person %s\t%s\t%s\n", c.id, k.Rule, k.Value)
			}
		}
	}
	path := filepath.Join("testdata", fmt.Sprintf("keys-%s-names-%s.tsv", normalisation, names.Version))
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, got.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got.Bytes(), want) {
		a, b := bytes.Split(got.Bytes(), []byte("\n")), bytes.Split(want, []byte("\n"))
		for i := range min(len(a), len(b)) {
			if !bytes.Equal(a[i], b[i]) {
				t.Fatalf("line %d: got  %s\nwant %s", i+1, a[i], b[i])
			}
		}
		t.Fatalf("got %d lines, want %d", len(a), len(b))
	}
}
