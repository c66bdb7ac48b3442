package sketch

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/symbolon/symbolon/internal/records"
)

// slotsOf reads CSV text with the header id,primary_name,alt_names,date_of_birth.
func slotsOf(t *testing.T, s *Sketcher, rows string) *Slots {
	t.Helper()
	path := filepath.Join(t.TempDir(), "records.csv")
	if err := os.WriteFile(path, []byte("id,primary_name,alt_names,date_of_birth\n"+rows), 0o600); err != nil {
		t.Fatal(err)
	}
	source, err := records.Open(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	slots, _, err := Read(t.Context(), source, s, records.ReadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return slots
}

// TestMeasure counts by hand: one pair opens at every threshold by an alias,
// one never, for it is of unknown ids; of two strangers one has b1's name.
func TestMeasure(t *testing.T) {
	owner, query := newSketcher(t, Default(), "x", Owner), newSketcher(t, Default(), "x", Query)
	a := slotsOf(t, owner, "a1,Ludwig Gabler,Erika Mustermann,1964-08-12\na2,Iwan Petrow,,1970-01-02\n")
	b := slotsOf(t, query, "b1,Erika Mustermann,Someone Else,1964-08-12\nb2,,,1970-01-02\n")
	strangers := slotsOf(t, owner, "s1,\"MUSTERMANN, Erika\",,1964-08-12\ns2,Olof Oom,,2001-11-30\n")
	truth := [][2]string{{"a1", "b1"}, {"a2", "b2"}, {"a9", "b1"}, {"a1", "b1"}}
	c, err := Measure(t.Context(), a, b, strangers, []*Slots{strangers, a}, truth, truth[1:3], 1)
	if err != nil {
		t.Fatal(err)
	}
	if c.Pairs != (Found{3, 2}) || c.Slots != 2 || len(c.Queries) != 3 || c.Queries[0] != 1 || c.Queries[2] != 1 {
		t.Errorf("got %v pairs, %d slots, %v queries", c.Pairs, c.Slots, c.Queries)
	}
	if got := len(c.Points); got != 65 {
		t.Fatalf("%d points, want one for each score", got)
	}
	top, half := c.Points[64], c.Points[49]
	if top.Threshold != 64 || top.Found != (Found{1, 0}) || top.FalseSlots[0] != 1 || top.FalseSlots[1] != 1 || top.FalseSlots[2] != 0 {
		t.Errorf("at 64: %+v", top)
	}
	if half.Found != (Found{1, 0}) || half.FalseSlots[0] != 1 {
		t.Errorf("at 49: %+v", half)
	}
	if all := c.Points[0]; all.Found != (Found{1, 0}) || all.FalseSlots[0] != 2 {
		t.Errorf("at 0: %+v", all)
	}
	other := slotsOf(t, newSketcher(t, Params{32, 4, 20}, "x", Query), "b1,Erika Mustermann,,\n")
	if _, err := Measure(t.Context(), a, other, strangers, nil, nil, nil, 1); err == nil {
		t.Error("compared sketches of two shapes")
	}
}
