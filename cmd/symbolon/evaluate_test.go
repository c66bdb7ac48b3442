package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/symbolon/symbolon/internal/records"
)

// TestEvaluateRealLists measures exact rules on two governments' lists, which
// are not part of the project.
func TestEvaluateRealLists(t *testing.T) {
	t.Parallel()
	dir := os.Getenv("SYMBOLON_DATA")
	if dir == "" {
		t.Skip("SYMBOLON_DATA names no folder with the real lists")
	}
	at := func(name string) string { return filepath.Join(dir, name) }
	found, missed := filepath.Join(t.TempDir(), "found.csv"), filepath.Join(t.TempDir(), "missed.csv")
	var stdout, stderr bytes.Buffer
	code := run(t.Context(), []string{"evaluate", "--json", "--rules", "exact", "--a", at("a_sdn.csv"), "--b", at("b_other.csv"),
		"--truth", at("truth_a_b.csv"), "--ignore", at("ignore_a_b.csv"), "--out", found, "--missed", missed}, nil, &stdout, &stderr)
	if code != 0 {
		t.Fatalf("exit code %d: %s", code, &stderr)
	}
	var e records.Evaluation
	if err := json.Unmarshal(stdout.Bytes(), &e); err != nil {
		t.Fatal(err)
	}
	t.Logf("recall %.3f, precision %.3f, %d pairs", e.Recall, e.Precision, e.Pairs)
	if e.Recall < 0.85 || e.Truth != 295 || e.RecordsA != 4116 || e.RecordsB != 882 {
		t.Errorf("recall %.3f of %d pairs in %d x %d records, want at least 0.85 of 295 in 4116 x 882", e.Recall, e.Truth, e.RecordsA, e.RecordsB)
	}
	for path, want := range map[string]int{found: e.Pairs, missed: e.Missed} {
		pairs, err := records.ReadPairs(path)
		if err != nil || len(pairs) != want {
			t.Errorf("%s holds %d pairs, want %d (error %v)", filepath.Base(path), len(pairs), want, err)
		}
	}
}
