package sealed

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

func TestIndexChanges(t *testing.T) {
	t.Parallel()
	for _, form := range []Form{Fast, Compact} {
		t.Run(form.String(), func(t *testing.T) {
			t.Parallel()
			p := small(16, 4, 9)
			n := p.blockSlots()
			f := newParty(t, p, form, 3*n)
			target := f.random()
			check := func(when string, number uint64) {
				t.Helper()
				if got, want := f.search(t, f.query(t, number, target))[0], f.want(t, target); !slices.Equal(got, want) {
					t.Errorf("%s: opened %d slots, want %d", when, len(got), len(want))
				}
			}
			for i := range n {
				f.put(t, i, f.like(target, i%17))
			}
			f.flush(t)
			check("filled", 1)
			if got := f.index.Len(); got != n {
				t.Errorf("%d entries, want %d", got, n)
			}
			// Changed, new and removed entries.
			f.put(t, 5, f.like(target, 16))
			f.put(t, 2*n, f.like(target, 9))
			f.put(t, 2*n+1, f.like(target, 8))
			if err := f.index.Remove(14); err != nil {
				t.Fatal(err)
			}
			delete(f.sketches, 14)
			f.flush(t)
			check("changed", 2)
			if got := f.index.Len(); got != n+1 {
				t.Errorf("%d entries, want %d", got, n+1)
			}
			before := f.index.Bytes()

			// Staged changes that were not flushed are lost, nothing else is.
			staged := f.like(target, 16)
			if err := f.index.Put(6, staged); err != nil {
				t.Fatal(err)
			}
			dir := f.index.dir
			if err := f.index.Close(); err != nil {
				t.Fatal(err)
			}
			if _, err := OpenIndex(dir, p, testScope, [32]byte{1}); err == nil {
				t.Error("another seed opens the index")
			}
			if _, err := OpenIndex(dir, small(16, 4, 8), testScope, [32]byte{8}); err == nil {
				t.Error("other parameters open the index")
			}
			x, err := OpenIndex(dir, p, testScope, [32]byte{8})
			if err != nil {
				t.Fatal(err)
			}
			f.index = x
			check("opened again", 3)
			if x.Bytes() != before || x.Len() != n+1 || x.Form() != form || x.Capacity() != 3*n || x.Blocks() != 3 {
				t.Errorf("the index opened differs: %d bytes, %d entries, %s, capacity %d", x.Bytes(), x.Len(), x.Form(), x.Capacity())
			}
			// An unchanged entry changes no file.
			info := func() fs.FileInfo {
				s, err := os.Stat(x.blockPath(0))
				if err != nil {
					t.Fatal(err)
				}
				return s
			}
			old := info()
			for i, s := range f.sketches {
				f.put(t, i, s)
			}
			f.flush(t)
			if !os.SameFile(old, info()) {
				t.Error("a block without changes was written anew")
			}
		})
	}
}

func TestIndexDamage(t *testing.T) {
	t.Parallel()
	p := small(16, 4, 9)
	f := newParty(t, p, Fast, 1)
	f.put(t, 0, f.random())
	f.flush(t)
	dir := f.index.dir
	f.index.Close()
	start, end := f.index.layout()
	whole, err := os.ReadFile(f.index.blockPath(0))
	if err != nil {
		t.Fatal(err)
	}
	if int64(len(whole)) != end {
		t.Fatalf("%d bytes, want %d", len(whole), end)
	}
	for name, change := range map[string]func(b []byte) []byte{
		"truncated": func(b []byte) []byte { return b[:len(b)-1] },
		"longer":    func(b []byte) []byte { return append(b, 0) },
		"magic":     func(b []byte) []byte { b[0]++; return b },
		"number":    func(b []byte) []byte { b[8]++; return b },
		"index":     func(b []byte) []byte { b[40]++; return b },
		"padding":   func(b []byte) []byte { b[blockPage-1]++; return b },
		"sketches":  func(b []byte) []byte { b[blockPage+7]++; return b },
		"diagonals": func(b []byte) []byte { b[start+9]++; return b },
	} {
		if err := os.WriteFile(f.index.blockPath(0), change(slices.Clone(whole)), 0o600); err != nil {
			t.Fatal(err)
		}
		x, err := OpenIndex(dir, p, testScope, [32]byte{8})
		if name == "diagonals" {
			// Found by the scan that would read them.
			if err != nil {
				t.Fatal(err)
			}
			q, e := f.keys.ReadQuery(f.query(t, 1, f.random()).Message())
			if e != nil {
				t.Fatal(e)
			}
			err = x.Scan(context.Background(), []*EncryptedQuery{q}, ScanOptions{Rand: f.chacha()}, func(int, int, []byte) error { return nil })
			x.Close()
		}
		if err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	for name, b := range map[string][]byte{"short": {1}, "zero": make([]byte, headLength)} {
		if err := os.WriteFile(filepath.Join(dir, headName), b, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := OpenIndex(dir, p, testScope, [32]byte{8}); err == nil {
			t.Errorf("head %s: no error", name)
		}
	}
}

func TestIndexMisuse(t *testing.T) {
	t.Parallel()
	p := small(16, 4, 9)
	f := newParty(t, p, Compact, 10)
	for name, err := range map[string]error{
		"ordinal under":  f.index.Put(-1, f.random()),
		"ordinal over":   f.index.Put(10, f.random()),
		"short sketch":   f.index.Put(0, f.random()[1:]),
		"large symbol":   f.index.Put(0, append(f.random()[1:], 4)),
		"removing over":  f.index.Remove(10),
		"no capacity":    second(CreateIndex(t.TempDir(), p, testScope, IndexOptions{Form: Fast})),
		"no form":        second(CreateIndex(t.TempDir(), p, testScope, IndexOptions{Capacity: 1})),
		"bad parameters": second(CreateIndex(t.TempDir(), small(15, 4, 9), testScope, IndexOptions{Form: Fast, Capacity: 1})),
		"taken":          second(CreateIndex(f.index.dir, p, testScope, IndexOptions{Form: Fast, Capacity: 1})),
		"absent":         second(OpenIndex(t.TempDir(), p, testScope, [32]byte{8})),
	} {
		if err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if _, err := CreateIndex(f.index.dir, p, testScope, IndexOptions{Form: Fast, Capacity: 1}); !errors.Is(err, fs.ErrExist) {
		t.Errorf("creating twice: %v", err)
	}
	if _, ok := f.index.Ordinal(1 << 31); ok {
		t.Error("a slot outside the index has an entry")
	}
	// A flush that is cancelled leaves its blocks staged.
	f.put(t, 0, f.random())
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := f.index.Flush(ctx, 1, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled flush: %v", err)
	}
	f.flush(t)
	target := f.sketches[0]
	if got, want := f.search(t, f.query(t, 1, target))[0], f.want(t, target); !slices.Equal(got, want) {
		t.Errorf("opened %v, want %v", got, want)
	}
}

func second[T any](_ T, err error) error { return err }

func TestValidate(t *testing.T) {
	t.Parallel()
	for _, p := range []Params{
		{}, {Groups: 64, Symbols: 8}, {Groups: 63, Symbols: 8, Threshold: 49}, {Groups: 64, Symbols: 7, Threshold: 49},
		{Groups: 64, Symbols: 8, Threshold: 65}, {Groups: 64, Symbols: 8, Threshold: 32}, {Groups: 256, Symbols: 8, Threshold: 250},
		{Groups: 4, Symbols: 2, Threshold: 3}, {Groups: 4, Symbols: 256, Threshold: 3}, {Groups: -64, Symbols: -8, Threshold: 1},
	} {
		if err := p.Validate(); err == nil {
			t.Errorf("%+v is accepted", p)
		}
	}
	for _, p := range []Params{{64, 8, 49, 0}, {64, 8, 33, 0}, {128, 4, 113, 0}, {64, 16, 49, 0}} {
		modulus, limit, err := p.Security()
		if err != nil || modulus > float64(limit) {
			t.Errorf("%+v: modulus of %.1f bits, at most %d allowed: %v", p, modulus, limit, err)
		}
		keys, err1 := p.KeysSize()
		query, err2 := p.QuerySize()
		answer, err3 := p.AnswerSize()
		if err := errors.Join(err1, err2, err3); err != nil {
			t.Fatal(err)
		}
		t.Logf("%+v: log QP %.1f, keys %.1f MiB, query %.2f MiB, answer %.0f KiB", p, modulus,
			float64(keys)/(1<<20), float64(query)/(1<<20), float64(answer)/1024)
		if keys > 24<<20 || query > 6<<20/10 || 7*answer > 1<<20 {
			t.Errorf("%+v: keys %d, query %d or answer %d bytes are over the mark", p, keys, query, answer)
		}
	}
}
