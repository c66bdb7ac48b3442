package main

import (
	"encoding/json"
	"strings"
	"testing"
)

// TestSearchKillOwner kills an owner in the middle of a search: when its node is
// back, the search is sent again by itself, answered, and has been charged once.
func TestSearchKillOwner(t *testing.T) {
	t.Parallel()
	w := &world{t, t.TempDir(), newProxy(t)}
	run := func(args ...string) string { return w.run(0, args...).stdout }
	if _, err := makeAgencies(w.dir, run, []string{"--modes", "search"}); err != nil {
		t.Fatal(err)
	}
	w.writeSouth(lookupPeople)
	w.run(0, "--dir", "south", "index", "--peer", "north", "--form", "compact")
	south := w.serve()
	w.net.hold(60_000) // less than the answer
	asking := w.start("--dir", "north", "--user", "ann", "search", "--peer", "south", "--name", "Person7 Test", "--dob", "1980-01-01",
		"--purpose", "p", "--case", "C", "--json")
	w.until("the search is asked", func() bool { return strings.Contains(run("--dir", "north", "search", "list"), "ann") })
	south.kill()
	w.net.release()
	w.serve()
	var v searchView
	if err := json.Unmarshal([]byte(asking.end(0).stdout), &v); err != nil {
		t.Fatal(err)
	}
	if len(v.Results) != 1 || len(v.Results[0].Handles) == 0 {
		t.Errorf("the search has given %+v", v.Results)
	}
	if peer := run("--dir", "south", "peer", "show", "north", "--json"); !strings.Contains(peer, `"items_in": 64`) {
		t.Errorf("the search is charged otherwise than once: %s", peer)
	}
	w.run(0, "--dir", "south", "audit", "verify")
	w.run(0, "--dir", "north", "audit", "verify")
}
