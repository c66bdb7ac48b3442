package lookup

import (
	"bytes"
	"slices"
	"testing"
)

// Whoever keeps every serial still can't count the real keys and records: a
// good part of the padding has neither gone nor changed.
func TestPaddingKeepsStill(t *testing.T) {
	m := newModel(t, testParams())
	for range 1500 {
		m.person(4)
	}
	first := m.publish()
	to := m.mirror()
	f := m.fetch(to).Filter
	owner := newOwnerKeys(&m.params, testSecret)
	b, err := openBook(fileOf(m.dir, namedBook, 1), &m.params, &owner)
	if err != nil {
		t.Fatal(err)
	}
	defer b.close()
	free := map[int]bool{}
	for row := range first.Manifest.Labels.Rows {
		free[row] = true
	}
	for _, r := range b.records {
		delete(free, int(r.row))
	}
	dummies := slices.Clone(b.dummies)
	padding, rows := len(dummies), len(free)
	for range 12 {
		m.change(4)
		m.publish()
		g := m.fetch(to).Filter
		dummies = slices.DeleteFunc(dummies, func(d fingerprint) bool {
			was, _ := f.table.find(d)
			is, ok := g.table.find(d)
			return !ok || !sameBoxes(t, f, g, f.entryAt(was), g.entryAt(is), f.label.EntryLen())
		})
		for row := range free {
			if !sameBoxes(t, f, g, f.rowAt(row), g.rowAt(row), f.label.RowLen()) {
				delete(free, row)
			}
		}
	}
	if 3*len(dummies) < padding || 10*len(free) < 3*rows {
		t.Errorf("after twelve serials %d of %d dummies and %d of %d free rows are as they were", len(dummies), padding, len(free), rows)
	}
}

// sameBoxes reports whether two filters hold the same at two places.
func sameBoxes(t *testing.T, f, g *Filter, at, is int64, size int) bool {
	t.Helper()
	a, err := f.box(at, size)
	if err != nil {
		t.Fatal(err)
	}
	b, err := g.box(is, size)
	if err != nil {
		t.Fatal(err)
	}
	return bytes.Equal(a, b)
}
