package lookup

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

func TestPublishAndFetch(t *testing.T) {
	eachMode(t, func(t *testing.T, p Params) {
		m := newModel(t, p)
		for range 300 {
			m.person(4)
		}
		s := m.publish()
		if s.Manifest.Serial != 1 || s.Stats.Items != len(m.keys) || s.Stats.Added != len(m.keys) || s.Stats.Evaluated != len(m.keys) || int(m.evaluated.Load()) != len(m.keys) {
			t.Errorf("serial %d, %+v for %d keys", s.Manifest.Serial, s.Stats, len(m.keys))
		}
		if n := s.Manifest.Keys; n != paddedCount(n) || n < len(m.keys)+reserve(len(m.keys)) {
			t.Errorf("a table of %d slots for %d keys", n, len(m.keys))
		}
		to := m.mirror()
		if _, _, ok := to.Current(); ok {
			t.Error("a filter is installed before any was fetched")
		}
		if _, err := to.Open(); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("got error %v", err)
		}
		u := m.fetch(to)
		m.check(u.Filter)
		for k := range m.keys {
			if !changed(t, u, m.seed(k)) {
				t.Fatal("a key of the first serial is not new")
			}
		}
		sameFile(t, fileOf(m.dir, namedFilter, 1), fileOf(to.dir, namedFilter, 1))

		again, err := OpenMirror(to.dir, p)
		if err != nil {
			t.Fatal(err)
		}
		if _, have, ok := again.Current(); !ok || have.Hash() != s.Manifest.Hash() {
			t.Error("the installed manifest is lost")
		}
		f, err := again.Open()
		if err != nil {
			t.Fatal(err)
		}
		m.check(f)
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		if _, err := again.Begin(m.serve().Signed); !errors.Is(err, ErrCurrent) {
			t.Errorf("the same serial again: %v", err)
		}
	})
}

// Several askers follow an owner whose data changes at random, by deltas, by
// several at once, or not at all until the end: all have the owner's filter.
func changed(t *testing.T, u *Update, s Seed) bool {
	t.Helper()
	c, err := u.Changed(s)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// hitOf is what a filter says of a key.
func hitOf(t *testing.T, f *Filter, s Seed) string {
	t.Helper()
	h, ok, err := f.Test(s)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprint(ok, h.More, h.Broken, h.Labels)
}

// Changed sees a key that comes, a further record behind a key, another label of a
// record, and the other keys of a record that has gained one; nothing else.
func TestChanged(t *testing.T) {
	m := newModel(t, testParams())
	m.people[1], m.people[2], m.people[3] = Label{Reference: "one"}, Label{Reference: "two"}, Label{Reference: "three"}
	m.keys["a"], m.keys["b"], m.keys["c"] = []int{1}, []int{2}, []int{3}
	m.publish()
	to := m.mirror()
	m.fetch(to)
	m.keys["a"], m.keys["d"] = []int{1, 3}, []int{2}
	m.people[2] = Label{Reference: "two", Text: "again"}
	m.publish()
	u := m.fetch(to)
	m.people[4], m.keys["e"] = Label{Reference: "four"}, []int{4}
	m.publish()
	v := m.fetch(to)
	m.people[1] = Label{Reference: "first"}
	m.publish()
	w := m.fetch(to)
	for k, want := range map[string][3]bool{
		"a": {true, false, true}, "b": {true, false, false}, "c": {true, false, false},
		"d": {true, false, false}, "e": {false, true, false}, "x": {},
	} {
		if got := [3]bool{changed(t, u, m.seed(k)), changed(t, v, m.seed(k)), changed(t, w, m.seed(k))}; got != want {
			t.Errorf("%s changed %v, want %v", k, got, want)
		}
	}
}

func TestDeltas(t *testing.T) {
	eachMode(t, func(t *testing.T, p Params) {
		m := newModel(t, p)
		for range 400 {
			m.person(3)
		}
		m.publish()
		always, sometimes := m.mirror(), m.mirror()
		m.fetch(always)
		m.fetch(sometimes)
		deltas, stayed := 0, 0
		for i := range 12 {
			before := map[string]bool{}
			for k := range m.keys {
				before[k] = true
			}
			gone := m.change(1 + m.rng.IntN(40))
			s := m.publish()
			if int(m.evaluated.Load()) > m.nextKey {
				t.Fatalf("%d keys were evaluated of %d that ever were", m.evaluated.Load(), m.nextKey)
			}
			u := m.fetch(always)
			m.check(u.Filter, gone...)
			if len(u.deltas) > 0 {
				deltas++
			}
			for k := range m.keys {
				got := changed(t, u, m.seed(k))
				if was, is := hitOf(t, u.old, m.seed(k)), hitOf(t, u.Filter, m.seed(k)); !got && was != is || got && before[k] && !p.Labelled() {
					t.Fatalf("serial %d: %s says %s after %s, changed %v", s.Manifest.Serial, k, is, was, got)
				}
				if !got {
					stayed++
				}
			}
			sameFile(t, fileOf(m.dir, namedFilter, s.Manifest.Serial), fileOf(always.dir, namedFilter, s.Manifest.Serial))
			if i%3 == 2 {
				u := m.fetch(sometimes)
				m.check(u.Filter, gone...)
				sameFile(t, fileOf(m.dir, namedFilter, s.Manifest.Serial), fileOf(sometimes.dir, namedFilter, s.Manifest.Serial))
			}
		}
		if deltas < 10 || stayed < 6*len(m.keys) {
			t.Errorf("%d of 12 fetches were deltas, and left %d keys alone", deltas, stayed)
		}
		// A fresh publisher of the same data publishes the same contents.
		fresh := newModel(t, p)
		fresh.keys, fresh.people = m.keys, m.people
		fresh.publish()
		fresh.check(fresh.fetch(fresh.mirror()).Filter)
		if len(names(t, always.dir)) != 2 {
			t.Errorf("the asker's directory holds %v", names(t, always.dir))
		}
	})
}

// Changes of one label, one key, or one person's number leave the rest alone.
func TestSmallChanges(t *testing.T) {
	p := testParams()
	m := newModel(t, p)
	for range 300 {
		m.person(4)
	}
	m.publish()
	serial := func(change func()) Stats {
		t.Helper()
		change()
		return m.publish().Stats
	}
	person := m.somebody()
	if s := serial(func() { m.relabel(person) }); s.Rewritten != 1 || s.Relabelled+s.Added+s.Removed != 0 {
		t.Errorf("another label: %+v", s)
	}
	mine := 0
	for _, owners := range m.keys {
		if slices.Contains(owners, person) {
			mine++
		}
	}
	if s := serial(func() { m.keys["new"] = []int{person} }); s.Rewritten != 1 || s.Added != 1 || s.Removed != 0 || s.Relabelled < mine-1 || s.Relabelled > mine {
		t.Errorf("another key of somebody with %d: %+v", mine, s)
	}
	// A key with more people than slots may not show the person.
	if s := serial(func() { delete(m.keys, "new") }); s.Rewritten != 1 || s.Removed != 1 || s.Added != 0 || s.Evaluated != 0 {
		t.Errorf("a key less: %+v", s)
	}
	if s := serial(func() { m.keys["new"] = []int{person} }); s.Evaluated != 0 || s.Added != 1 {
		t.Errorf("the key again: %+v", s)
	}
	m.check(m.fetch(m.mirror()).Filter)
	p2 := m.open()
	defer p2.Close()
	if _, err := p2.Stage(context.Background(), m.input(), m.evaluate, testTerms()); !errors.Is(err, ErrUnchanged) {
		t.Errorf("the same data in another order: %v", err)
	}
	other := testTerms()
	other.PublicKey[0]++
	if _, err := p2.Stage(context.Background(), m.input(), m.evaluate, other); !errors.Is(err, ErrRotate) {
		t.Errorf("another public key: %v", err)
	}
}

// Who opened a record through a key that it no longer has reads nothing new.
func TestRecordKeysChange(t *testing.T) {
	m := newModel(t, testParams())
	m.people[1], m.people[2] = Label{Reference: "one"}, Label{Reference: "two"}
	m.keys["a"], m.keys["b"], m.keys["c"] = []int{1, 2}, []int{2}, []int{1}
	m.publish()
	to := m.mirror()
	f := m.fetch(to).Filter
	rank, _ := f.table.find(f.keys.fingerprint(m.seed("a")))
	box := make([]byte, f.label.EntryLen())
	if _, err := f.file.ReadAt(box, f.entryAt(rank)); err != nil {
		t.Fatal(err)
	}
	old := f.label.OpenEntry(box, f.keys.labelKey(m.seed("a")), f.label.entryAD)
	m.keys["a"] = []int{1}
	m.people[2] = Label{Reference: "secret"}
	m.publish()
	g := m.fetch(to).Filter
	m.check(g)
	if len(old.Slots) != 2 {
		t.Fatal("the key has not two records")
	}
	for _, slot := range old.Slots {
		if l, ok, err := g.row(slot); err != nil || ok != (l.Reference == "one") {
			t.Errorf("a row opens: %v, %v, %v", l, ok, err)
		}
	}
}

func TestRecordsOfOneID(t *testing.T) {
	m := newModel(t, testParams())
	in := Input{
		Items: func(yield func(Item, []uint32) error) error {
			for i := range 3 {
				if err := yield(m.item(fmt.Sprint(i)), []uint32{uint32(i)}); err != nil {
					return err
				}
			}
			return nil
		},
		Records: 3,
		Record:  func(n int) (string, Label, error) { return "same", Label{Reference: fmt.Sprint("record ", n)}, nil },
	}
	p := m.open()
	defer p.Close()
	s, err := p.Stage(context.Background(), in, m.evaluate, testTerms())
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Commit(nil); err != nil {
		t.Fatal(err)
	}
	f := m.fetch(m.mirror()).Filter
	for i := range 3 {
		if hit, ok, err := f.Test(m.seed(fmt.Sprint(i))); err != nil || !ok || len(hit.Labels) != 1 || hit.Labels[0].Reference != fmt.Sprint("record ", i) {
			t.Errorf("record %d: %+v, %v, %v", i, hit, ok, err)
		}
	}
}

func TestBadInput(t *testing.T) {
	p := testParams()
	good := func(m *model) Input {
		for range 5 {
			m.person(2)
		}
		return m.input()
	}
	for _, tt := range []struct {
		name   string
		change func(m *model, in *Input)
	}{
		{"an item twice", func(m *model, in *Input) {
			once := in.Items
			in.Items = func(yield func(Item, []uint32) error) error { return errors.Join(once(yield), once(yield)) }
		}},
		{"a record beyond the last", func(_ *model, in *Input) { in.Records = 1 }},
		{"no record", func(m *model, in *Input) {
			in.Items = func(yield func(Item, []uint32) error) error { return yield(m.item("x"), nil) }
		}},
		{"a long label", func(_ *model, in *Input) {
			in.Record = func(int) (string, Label, error) { return "", Label{Text: string(make([]byte, 101))}, nil }
		}},
		{"a label that is no text", func(_ *model, in *Input) {
			in.Record = func(int) (string, Label, error) { return "", Label{Text: "\xff"}, nil }
		}},
		{"a failing record", func(_ *model, in *Input) {
			in.Record = func(int) (string, Label, error) { return "", Label{}, errTest }
		}},
		{"a failing walk", func(_ *model, in *Input) {
			in.Items = func(func(Item, []uint32) error) error { return errTest }
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := newModel(t, p)
			in := good(m)
			tt.change(m, &in)
			pub := m.open()
			defer pub.Close()
			if _, err := pub.Stage(context.Background(), in, m.evaluate, testTerms()); err == nil {
				t.Fatal("no error")
			}
			if _, err := OpenPublication(m.dir, 0); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("published: %v", err)
			}
			// The same publisher goes on with good data.
			if _, err := pub.Stage(context.Background(), good(m), m.evaluate, testTerms()); err != nil {
				t.Fatal(err)
			}
		})
	}
	t.Run("a failing evaluation", func(t *testing.T) {
		m := newModel(t, p)
		pub := m.open()
		defer pub.Close()
		fail := func(context.Context, [][OutputSize]byte, []Item) error { return errTest }
		if _, err := pub.Stage(context.Background(), good(m), fail, testTerms()); !errors.Is(err, errTest) {
			t.Fatalf("got error %v", err)
		}
	})
	t.Run("cancelled", func(t *testing.T) {
		m := newModel(t, p)
		pub := m.open()
		defer pub.Close()
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		if _, err := pub.Stage(ctx, good(m), m.evaluate, testTerms()); !errors.Is(err, context.Canceled) {
			t.Fatalf("got error %v", err)
		}
	})
}

func TestEmpty(t *testing.T) {
	eachMode(t, func(t *testing.T, p Params) {
		m := newModel(t, p)
		m.publish()
		to := m.mirror()
		m.check(m.fetch(to).Filter)
		m.person(3)
		m.publish()
		m.check(m.fetch(to).Filter)
		m.withdraw(m.somebody())
		s := m.publish()
		u := m.fetch(to)
		m.check(u.Filter, "key 1", "key 2", "key 3")
		// A table doesn't shrink within an epoch.
		if s.Manifest.Keys != 72 {
			t.Errorf("%d slots for no keys", s.Manifest.Keys)
		}
	})
}

// What is on the owner's disk names no item and opens no label.
func TestOwnersDisk(t *testing.T) {
	m := newModel(t, testParams())
	for range 100 {
		m.person(3)
	}
	m.publish()
	m.change(30)
	m.publish()
	var all []byte
	files, err := os.ReadDir(m.dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		b, err := os.ReadFile(filepath.Join(m.dir, f.Name()))
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, b...)
		if fi, err := f.Info(); err != nil || fi.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s has mode %v, error %v", f.Name(), fi.Mode(), err)
		}
	}
	for k, owners := range m.keys {
		item, seed, output := m.item(k), m.seed(k), outputOf(m.item(k))
		label := m.people[owners[0]]
		for what, secret := range map[string][]byte{"item": item[:8], "seed": seed[:8], "output": output[:8], "label": []byte(label.Reference)} {
			if bytes.Contains(all, secret) {
				t.Fatalf("the %s of a key is on disk", what)
			}
		}
	}
	other := bytes.Repeat([]byte{8}, SecretSize)
	if _, err := OpenPublisher(m.dir, m.params, other, Options{Rand: m.rand}); err == nil {
		t.Error("another secret opens the directory")
	}
}

// A step tells no exact count: neighbours in number look alike.
func TestOnlyStepsShow(t *testing.T) {
	eachMode(t, func(t *testing.T, p Params) {
		sizes := func(people, change int) [2]int64 {
			m := newModel(t, p)
			for range people {
				m.person(2)
			}
			m.publish()
			for range change {
				m.withdraw(m.somebody())
			}
			for range change / 2 {
				m.person(1)
			}
			s := m.publish()
			return [2]int64{s.Manifest.Filter.Bytes, s.Manifest.Deltas[0].Bytes}
		}
		if a, b := sizes(500, 10), sizes(505, 14); a != b {
			t.Errorf("sizes are %v and %v", a, b)
		}
	})
}

func TestPaddedCount(t *testing.T) {
	before := 0
	for n := range 100_000 {
		p := paddedCount(n)
		if p < n || p < before || paddedCount(p) != p || n > 64 && (p-n)*8 > n {
			t.Fatalf("%d is padded to %d", n, p)
		}
		before = p
	}
	if got := paddedCount(1_000_000); got != 1<<20 {
		t.Errorf("a million is padded to %d", got)
	}
}

// Deltas are kept as long as they are worth it, and no longer: who is behind
// them fetches the whole filter.
func TestTooFarBehind(t *testing.T) {
	m := newModel(t, modes()["plain"])
	for range 500 {
		m.person(3)
	}
	m.publish()
	far, near := m.mirror(), m.mirror()
	m.fetch(far)
	for {
		m.person(1)
		s := m.publish()
		total := int64(0)
		for _, d := range s.Manifest.Deltas {
			total += d.Bytes
		}
		if 2*total > s.Manifest.Filter.Bytes {
			t.Fatalf("deltas of %d bytes for a filter of %d", total, s.Manifest.Filter.Bytes)
		}
		if n := len(s.Manifest.Deltas); n > 0 && s.Manifest.Deltas[0].From > 2 {
			break
		} else if n == 2 {
			m.fetch(near)
		}
		if s.Manifest.Serial > maxDeltas+2 {
			t.Fatal("no delta is ever given up")
		}
	}
	deltas := 0
	for _, f := range names(t, m.dir) {
		if _, ok := serialOf(f, namedDelta); ok {
			deltas++
		}
	}
	p := m.serve()
	if kept := len(p.Manifest.Deltas); deltas < kept || deltas > kept+1 {
		t.Errorf("%d deltas are on disk, %d in the manifest", deltas, kept)
	}
	for name, tt := range map[string]struct {
		to      *Mirror
		byDelta bool
	}{"far": {far, false}, "near": {near, true}} {
		f, err := tt.to.Begin(p.Signed)
		if err != nil {
			t.Fatal(err)
		}
		if f.ByDelta() != tt.byDelta {
			t.Errorf("%s: by delta is %v", name, f.ByDelta())
		}
		feed(t, f, p)
		u, err := f.Finish(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		m.check(u.Filter)
		// The person who came last is new to both, one of the first to neither.
		if last, first := m.seed(fmt.Sprint("key ", m.nextKey)), m.seed("key 1"); !changed(t, u, last) || changed(t, u, first) {
			t.Errorf("%s: the last key is new: %v, the first: %v", name, changed(t, u, last), changed(t, u, first))
		}
		u.Close()
	}
}
