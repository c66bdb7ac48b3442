package bench

import (
	"strings"
	"testing"

	"github.com/symbolon/symbolon/protocol"
)

// TestSearch runs both parties in this process.
func TestSearch(t *testing.T) {
	t.Parallel()
	var stages []string
	r, err := Search(t.Context(), SearchConfig{Records: 300, Queries: 6, AtOnce: 3, Form: protocol.FormCompact, Seed: 1,
		Progress: func(s string) { stages = append(stages, s) }})
	if err != nil {
		t.Fatal(err)
	}
	if !r.Correct || r.Wrong != 0 || r.Hits == 0 {
		t.Errorf("%d answers are wrong, %d hits", r.Wrong, r.Hits)
	}
	if r.Slots != 16384 || r.Processes != 1 || len(stages) < 7 || r.Form != protocol.FormCompact {
		t.Errorf("got %+v after %q", r, stages)
	}
	if r.IndexBytes <= 0 || r.Build <= 0 || r.Wall <= 0 || r.WallMax < r.Wall || r.OwnerCPU <= 0 || r.BytesUp < 400_000 || r.BytesDown < 100_000 ||
		r.KeysBytes < 1<<20 || r.AtOnceS <= 0 {
		t.Errorf("something was not measured: %+v", r)
	}
	if r.NoiseMargin < 40 || r.Security > float64(r.SecurityLimit) {
		t.Errorf("a margin of %v bits, a modulus of %v bits of %d", r.NoiseMargin, r.Security, r.SecurityLimit)
	}
}

func TestSearchConfig(t *testing.T) {
	t.Parallel()
	good := SearchConfig{Records: 10, Queries: 1}
	if err := good.Check(); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*SearchConfig){
		"records":          func(c *SearchConfig) { c.Records = 1 },
		"queries":          func(c *SearchConfig) { c.Queries = 0 },
		"searches at once": func(c *SearchConfig) { c.AtOnce = 17 },
		"form":             func(c *SearchConfig) { c.Form = "tiny" },
		"threshold":        func(c *SearchConfig) { c.Threshold = 3 },
	} {
		c := good
		change(&c)
		if err := c.Check(); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
