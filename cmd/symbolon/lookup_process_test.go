package main

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// newLookupWorld makes two agencies that may look each other up.
func newLookupWorld(t *testing.T) *world {
	w := &world{t, t.TempDir(), newProxy(t)}
	run := func(args ...string) string { return w.run(0, args...).stdout }
	// Long labels make a filter of several chunks out of few people.
	draft := []string{"--modes", "lookup", "--delta-hours", "0", "--label-bytes", "256"}
	if _, err := makeAgencies(w.dir, run, draft); err != nil {
		t.Fatal(err)
	}
	return w
}

// lookupPeople is how many people south publishes: enough that publishing can be
// killed, and that the filter has several chunks.
const lookupPeople = 12_000

// writeSouth writes the people numbered from 0 to n.
func (w *world) writeSouth(n int) {
	w.Helper()
	var b strings.Builder
	b.WriteString("id,primary_name,date_of_birth,source_ref\n")
	for p := range n {
		fmt.Fprintf(&b, "s-%d,Person%d Test,1980-01-01,REF-%d\n", p, p, p)
	}
	if err := os.WriteFile(filepath.Join(w.dir, "south.csv"), []byte(b.String()), 0o600); err != nil {
		w.Fatal(err)
	}
}

// known looks one person up and reports the references of the hits.
func (w *world) known(person int) []string {
	w.Helper()
	out := w.run(0, "--dir", "north", "--user", "ann", "lookup", "--peer", "south", "--name", fmt.Sprintf("Person%d Test", person),
		"--dob", "1980-01-01", "--purpose", "p", "--case", "C", "--json")
	var v lookupView
	if err := json.Unmarshal([]byte(out.stdout), &v); err != nil {
		w.Fatal(err)
	}
	var refs []string
	for _, h := range v.Results[0].Hits {
		refs = append(refs, h.Reference)
	}
	return refs
}

func (w *world) publications() []publicationView {
	w.Helper()
	var v struct{ Publications []publicationView }
	if err := json.Unmarshal([]byte(w.run(0, "--dir", "south", "publish", "list", "--json").stdout), &v); err != nil {
		w.Fatal(err)
	}
	return v.Publications
}

// files counts the bytes of the files below a directory, by name.
func (w *world) files(dir string) map[string]int64 {
	w.Helper()
	out := map[string]int64{}
	err := filepath.WalkDir(filepath.Join(w.dir, dir), func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return nil // what comes and goes is no failure
		}
		if st, err := d.Info(); err == nil {
			out[d.Name()] = st.Size()
		}
		return nil
	})
	if err != nil {
		w.Fatal(err)
	}
	return out
}

// TestLookupKillOwner kills an owner in the middle of publishing: the filter
// before is served as if nothing had happened, and the next attempt succeeds.
func TestLookupKillOwner(t *testing.T) {
	t.Parallel()
	w := newLookupWorld(t)
	w.writeSouth(100)
	w.run(0, "--dir", "south", "publish", "--peer", "north")
	before := w.files("south/lookup")
	w.writeSouth(lookupPeople)
	p := w.start("--dir", "south", "publish", "--peer", "north")
	w.until("the second version is in the making", func() bool {
		for name, size := range w.files("south/lookup") {
			if before[name] != size {
				return true
			}
		}
		return false
	})
	p.kill()
	if all := w.publications(); len(all) != 1 || all[0].Serial != 1 || all[0].State != "current" {
		t.Fatalf("after the kill there is %+v", all)
	}
	w.serve()
	if refs := w.known(7); len(refs) != 1 || refs[0] != "REF-7" {
		t.Errorf("a person of the first version gives %q", refs)
	}
	if refs := w.known(lookupPeople - 1); len(refs) != 0 {
		t.Errorf("a person of the version that was killed gives %q", refs)
	}
	w.run(0, "--dir", "south", "publish", "--peer", "north")
	if refs := w.known(lookupPeople - 1); len(refs) != 1 || refs[0] != fmt.Sprintf("REF-%d", lookupPeople-1) {
		t.Errorf("a person of the second version gives %q", refs)
	}
	w.run(0, "--dir", "south", "audit", "verify")
	w.run(0, "--dir", "north", "audit", "verify")
}

// TestLookupKillAsker kills an asker in the middle of fetching, whose network
// stalls: the next fetch goes on where it stopped.
func TestLookupKillAsker(t *testing.T) {
	t.Parallel()
	w := newLookupWorld(t)
	w.writeSouth(lookupPeople)
	w.run(0, "--dir", "south", "publish", "--peer", "north")
	w.serve()
	w.net.hold(2_500_000) // bytes that come through: two chunks and some
	p := w.start("--dir", "north", "fetch", "--peer", "south")
	w.until("some of the filter is on disk", func() bool {
		for name, size := range w.files("north/lookup") {
			if strings.HasPrefix(name, "part") && size > 1_000_000 {
				return true
			}
		}
		return false
	})
	p.kill()
	var filters struct{ Filters []filterView }
	if err := json.Unmarshal([]byte(w.run(0, "--dir", "north", "fetch", "list", "--json").stdout), &filters); err != nil || len(filters.Filters) != 0 {
		t.Fatalf("half a filter is listed: %+v, %v", filters, err)
	}
	w.net.release()
	var f filterView
	if err := json.Unmarshal([]byte(w.run(0, "--dir", "north", "fetch", "--peer", "south", "--json").stdout), &f); err != nil {
		t.Fatal(err)
	}
	if !f.New || f.Received == 0 || f.Received > f.FilterBytes-900_000 {
		t.Errorf("the fetch brought %d of %d bytes: it did not go on where it stopped", f.Received, f.FilterBytes)
	}
	if refs := w.known(lookupPeople - 1); len(refs) != 1 {
		t.Errorf("a person gives %q", refs)
	}
}
