package bench

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/symbolon/symbolon/internal/records"
)

// TestShippedRulesOnPopulation holds the shipped rule sets to their figures on
// the synthetic population. False pairs grow with the product of the sizes, so
// that the small run tells of recall only; SYMBOLON_LONG=1 takes 100,000 people
// a side.
func TestShippedRulesOnPopulation(t *testing.T) {
	t.Parallel()
	size := 10_000
	if os.Getenv("SYMBOLON_LONG") != "" {
		size = 100_000
	}
	dir := t.TempDir()
	p, err := NewPopulation(PopulationConfig{Seed: 7, SizeA: size, SizeB: size, Shared: size / 10})
	if err != nil {
		t.Fatal(err)
	}
	if err := p.WriteFiles(dir); err != nil {
		t.Fatal(err)
	}
	truth, err := records.ReadPairs(filepath.Join(dir, FileTruth))
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		set               string
		recall, precision float64
	}{{"strict", 0.78, 0.985}, {"standard", 0.88, 0.965}} {
		rules, err := records.Shipped(tt.set)
		if err != nil {
			t.Fatal(err)
		}
		index := func(name string) *records.Index {
			s, err := records.Open(filepath.Join(dir, name), nil)
			if err != nil {
				t.Fatal(err)
			}
			d, err := records.NewDeriver(rules, records.NormalisationVersion())
			if err != nil {
				t.Fatal(err)
			}
			x, _, err := records.BuildIndex(t.Context(), s, d, records.ReadOptions{})
			if err != nil {
				t.Fatal(err)
			}
			return x
		}
		e, err := records.Evaluate(index(FileA), index(FileB), truth, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%s on %d x %d: recall %.4f, precision %.4f, %d false pairs, %.2f keys a record",
			tt.set, size, size, e.Recall, e.Precision, e.FalsePositives, e.KeysPerRecordA)
		// A thousand true pairs leave a standard error of one per cent.
		slack := 0.0
		if size < 100_000 {
			slack = 0.025
		}
		if e.Recall < tt.recall-slack || e.Precision < tt.precision {
			t.Errorf("%s: recall %.4f, precision %.4f; want at least %.2f and %.3f", tt.set, e.Recall, e.Precision, tt.recall, tt.precision)
		}
	}
}
