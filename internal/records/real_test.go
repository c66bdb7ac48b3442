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

// TestShippedSetsOnRealLists holds the shipped sets to their figures. FEBRL is
// evaluated without documents, which would decide it.
func TestShippedSetsOnRealLists(t *testing.T) {
	type data struct{ a, b, truth, ignore string }
	lists := data{"a_sdn.csv", "b_other.csv", "truth_a_b.csv", "ignore_a_b.csv"}
	aliases := data{"a_sdn.csv", "aka_b.csv", "truth_a_aka.csv", ""}
	febrl := data{"febrl_a.csv", "febrl_b.csv", "truth_febrl.csv", ""}
	for _, tt := range []struct {
		set      string
		data     data
		without  []string
		recall   float64
		falsePos int
		keys     float64
	}{
		{"exact", lists, nil, 0.85, 4, 10},
		{"strict", lists, nil, 0.95, 4, 10},
		{"standard", lists, nil, 0.985, 12, 10},
		{"standard", aliases, nil, 0.64, 20, 10},
		{"standard", febrl, []string{"document"}, 0.89, 12, 12},
		{"wide", aliases, nil, 0.90, 120, 16},
		{"wide", febrl, []string{"document"}, 0.94, 60, 20},
	} {
		t.Run(tt.set+" on "+tt.data.b, func(t *testing.T) {
			rs, err := Shipped(tt.set)
			if err != nil {
				t.Fatal(err)
			}
			if rs, err = rs.Without(tt.without...); err != nil {
				t.Fatal(err)
			}
			e := evaluateReal(t, rs, tt.data.a, tt.data.b, tt.data.truth, tt.data.ignore)
			if e.Recall < tt.recall || e.FalsePositives > tt.falsePos || e.KeysPerRecordA > tt.keys {
				t.Errorf("recall %.4f, %d false pairs, %.2f keys a record; want at least %.3f, at most %d, at most %.0f",
					e.Recall, e.FalsePositives, e.KeysPerRecordA, tt.recall, tt.falsePos, tt.keys)
			}
		})
	}
}
