package records

import (
	"os"
	"path/filepath"
	"testing"
)

// realData returns the folder of real lists, which are not part of the
// project.
func realData(t testing.TB) string {
	t.Helper()
	dir := os.Getenv("SYMBOLON_DATA")
	if dir == "" {
		t.Skip("SYMBOLON_DATA names no folder with the real lists")
	}
	return dir
}

func indexFile(t testing.TB, rs *RuleSet, path string) *Index {
	t.Helper()
	d, err := NewDeriver(rs, NormalisationVersion())
	if err != nil {
		t.Fatal(err)
	}
	s, err := Open(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	x, report, err := BuildIndex(t.Context(), s, d, ReadOptions{OnBadRow: KeepBadRow})
	if err != nil {
		t.Fatalf("%v (%v)", err, report)
	}
	return x
}

func evaluateReal(t testing.TB, rs *RuleSet, a, b, truth, ignore string) *Evaluation {
	t.Helper()
	dir := realData(t)
	pairs := func(name string) [][2]string {
		if name == "" {
			return nil
		}
		p, err := ReadPairs(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	e, err := Evaluate(indexFile(t, rs, filepath.Join(dir, a)), indexFile(t, rs, filepath.Join(dir, b)), pairs(truth), pairs(ignore), 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%s on %s x %s: recall %.4f, %d true, %d false, %d missed, %.2f and %.2f keys a record, cut %d %d",
		rs.Name, a, b, e.Recall, e.TruePositives, e.FalsePositives, e.Missed, e.KeysPerRecordA, e.KeysPerRecordB, e.CutA, e.CutB)
	for _, r := range e.Rules {
		t.Logf("  %-24s true %4d, false %3d, keys %.2f %.2f", r.ID, r.TruePositives, r.FalsePositives, r.KeysPerRecordA, r.KeysPerRecordB)
	}
	return e
}

func TestExactOnRealLists(t *testing.T) {
	rs, err := Shipped("exact")
	if err != nil {
		t.Fatal(err)
	}
	e := evaluateReal(t, rs, "a_sdn.csv", "b_other.csv", "truth_a_b.csv", "ignore_a_b.csv")
	if e.Recall < 0.85 {
		t.Errorf("recall %.3f, want at least 0.85", e.Recall)
	}
}
