package sealed

import (
	"context"
	crand "crypto/rand"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
)

// small is a shape in a ring that gives no security but runs quickly.
func small(groups, symbols, threshold int) Params {
	return Params{Groups: groups, Symbols: symbols, Threshold: threshold, ring: 10}
}

var testScope = Scope{Agreement: [32]byte{1, 2, 3}, Epoch: 7}

// party is an asker, its keys as the owner has them, and an owner's index.
type party struct {
	p        Params
	asker    *Asker
	keys     *Keys
	index    *Index
	sketches map[int][]uint8 // by ordinal
	rng      *rand.Rand
}

func newParty(t testing.TB, p Params, form Form, capacity int) *party {
	t.Helper()
	a, err := NewAsker(p, testScope, [32]byte{9})
	if err != nil {
		t.Fatal(err)
	}
	k, err := ReadKeys(p, testScope, a.Keys())
	if err != nil {
		t.Fatal(err)
	}
	x, err := CreateIndex(t.TempDir(), p, testScope, IndexOptions{Form: form, Capacity: capacity, Seed: [32]byte{8}})
	if err != nil {
		t.Fatal(err)
	}
	f := &party{p: p, asker: a, keys: k, index: x, sketches: map[int][]uint8{}, rng: rand.New(rand.NewPCG(1, 2))}
	t.Cleanup(func() { f.index.Close() })
	return f
}

func (f *party) random() []uint8 {
	s := make([]uint8, f.p.Groups)
	for i := range s {
		s[i] = uint8(f.rng.IntN(f.p.Symbols))
	}
	return s
}

// like returns a sketch that agrees with the query in exactly score positions.
func (f *party) like(query []uint8, score int) []uint8 {
	s := f.random()
	for i, g := range f.rng.Perm(f.p.Groups) {
		if i < score {
			s[g] = query[g]
		} else if s[g] == query[g] {
			s[g] = (s[g] + 1) % uint8(f.p.Symbols)
		}
	}
	return s
}

// chacha is randomness that a failing test repeats.
func (f *party) chacha() *rand.ChaCha8 { return rand.NewChaCha8([32]byte{byte(f.rng.Uint32())}) }

func (f *party) put(t testing.TB, ordinal int, sketch []uint8) {
	t.Helper()
	if err := f.index.Put(ordinal, sketch); err != nil {
		t.Fatal(err)
	}
	f.sketches[ordinal] = sketch
}

func (f *party) flush(t testing.TB) {
	t.Helper()
	if err := f.index.Flush(context.Background(), 2, nil); err != nil {
		t.Fatal(err)
	}
}

// want returns the slots that plaintext comparison opens.
func (f *party) want(t testing.TB, query []uint8) []uint32 {
	t.Helper()
	return f.wantAt(t, query, f.p.Threshold)
}

func (f *party) wantAt(t testing.TB, query []uint8, threshold int) []uint32 {
	t.Helper()
	var out []uint32
	for ordinal, s := range f.sketches {
		score := 0
		for g, v := range s {
			if v == query[g] {
				score++
			}
		}
		if score >= threshold {
			slot, err := f.index.Slot(ordinal)
			if err != nil {
				t.Fatal(err)
			}
			out = append(out, slot)
		}
	}
	slices.Sort(out)
	return out
}

// search sends queries through the index in one batch.
func (f *party) search(t testing.TB, queries ...*Query) [][]uint32 {
	t.Helper()
	var encrypted []*EncryptedQuery
	var collectors []*Collector
	for _, q := range queries {
		e, err := f.keys.ReadQuery(q.Message())
		if err != nil {
			t.Fatal(err)
		}
		encrypted = append(encrypted, e)
		collectors = append(collectors, f.asker.Collect(q.ID()))
	}
	err := f.index.Scan(context.Background(), encrypted, ScanOptions{Rand: crand.Reader}, func(q, block int, msg []byte) error {
		return collectors[q].Add(msg)
	})
	if err != nil {
		t.Fatal(err)
	}
	var out [][]uint32
	for _, c := range collectors {
		slots, err := c.Slots()
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, slots)
	}
	return out
}

func (f *party) query(t testing.TB, number uint64, sketch []uint8) *Query {
	t.Helper()
	q, err := f.asker.Query(number, sketch)
	if err != nil {
		t.Fatal(err)
	}
	return q
}

func TestSearch(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		p    Params
		form Form
	}{
		{small(16, 4, 9), Fast},
		{small(16, 4, 1), Compact},
		{small(64, 8, 49), Fast},
		{small(64, 8, 33), Fast}, // the wide window
		{small(64, 8, 40), Compact},
		{small(32, 4, 20), Fast},
		{small(8, 2, 6), Compact},
	} {
		t.Run(fmt.Sprintf("%d of %d, %d, %s", row.p.Groups, row.p.Symbols, row.p.Threshold, row.form), func(t *testing.T) {
			t.Parallel()
			n := row.p.blockSlots()
			f := newParty(t, row.p, row.form, n+n/2)
			var sketches [][]uint8
			for range 3 {
				sketches = append(sketches, f.random())
			}
			// Every score against one of the queries, many times, and gaps.
			for i := 0; i < n+n/2; i++ {
				if i%7 != 3 {
					f.put(t, i, f.like(sketches[i%3], i/3%(row.p.Groups+1)))
				}
			}
			f.flush(t)
			var queries []*Query
			for i, s := range sketches {
				queries = append(queries, f.query(t, uint64(i), s))
			}
			got := f.search(t, queries...)
			opened := 0
			for i, s := range sketches {
				want := f.want(t, s)
				opened += len(want)
				if !slices.Equal(got[i], want) {
					t.Errorf("query %d: opened %d slots, want %d", i, len(got[i]), len(want))
				}
				for _, slot := range got[i] {
					if ordinal, ok := f.index.Ordinal(slot); !ok || f.sketches[ordinal] == nil {
						t.Errorf("slot %d opened and has no entry", slot)
					}
				}
			}
			if opened == 0 {
				t.Error("nothing should open")
			}
			// Thresholds of the query's own.
			for limit := row.p.Threshold + 1; limit <= row.p.Groups; limit += 3 {
				q, err := f.asker.QueryAt(uint64(limit), sketches[0], limit)
				if err != nil {
					t.Fatal(err)
				}
				if got, want := f.search(t, q)[0], f.wantAt(t, sketches[0], limit); !slices.Equal(got, want) {
					t.Errorf("threshold %d: opened %d slots, want %d", limit, len(got), len(want))
				}
			}
			for _, limit := range []int{row.p.Threshold - 1, row.p.Groups + 1} {
				if _, err := f.asker.QueryAt(1, sketches[0], limit); err == nil {
					t.Errorf("threshold %d is accepted", limit)
				}
			}
		})
	}
}

// TestMalformedQuery sends queries whose plaintext is no sketch. Were they
// answered, each would open slots or split scores; with the check every slot is
// random, so about one in 65537 opens.
func TestMalformedQuery(t *testing.T) {
	t.Parallel()
	p := small(16, 4, 9)
	n := p.blockSlots()
	f := newParty(t, p, Compact, 2*n)
	target := f.random()
	for i := range 2 * n {
		f.put(t, i, f.like(target, i%(p.Groups+1)))
	}
	f.flush(t)
	c := f.asker.c
	half := uint32(65538 / 2)
	other := f.random()
	edit := func(change func(slots []uint32)) []uint32 {
		slots := c.OneHot(target)
		change(slots)
		return slots
	}
	fill := func(slots []uint32, v uint32) {
		for i := range slots {
			slots[i] = v
		}
	}
	d := p.Groups * p.Symbols
	rows := map[string][]uint32{
		"threshold times a unit vector": edit(func(s []uint32) {
			fill(s, 0)
			for i := 0; i < n; i += d {
				s[i] = uint32(p.Threshold)
			}
		}),
		"all zero": edit(func(s []uint32) { fill(s, 0) }),
		"all ones": edit(func(s []uint32) { fill(s, 1) }),
		"negative group": edit(func(s []uint32) {
			for i := range s {
				if i%d%p.Groups == 0 {
					s[i] = 65536
				}
			}
		}),
		"fractional group": edit(func(s []uint32) {
			for i := range s {
				if i%d == 0 || i%d == p.Groups {
					s[i] = half
				} else if i%d%p.Groups == 0 {
					s[i] = 0
				}
			}
		}),
		"one group empty": edit(func(s []uint32) {
			for i := range s {
				if i%d%p.Groups == 0 {
					s[i] = 0
				}
			}
		}),
		"two symbols in a group": edit(func(s []uint32) {
			for i := range s {
				if i%d%p.Groups == 0 {
					s[i] = 1
				}
			}
		}),
		"two people in turn": edit(func(s []uint32) {
			copy(s[d:2*d], c.OneHot(other)[:d])
		}),
		"another person in the second row": edit(func(s []uint32) {
			copy(s[n/2:], c.OneHot(other)[n/2:])
		}),
		"one slot off by one": edit(func(s []uint32) { s[n-1] = (s[n-1] + 1) % 65537 }),
	}
	var queries []*Query
	var names []string
	for name, slots := range rows {
		names = append(names, name)
		queries = append(queries, f.asker.encrypt(uint64(len(names)), p.Threshold, target, slots))
	}
	for i, slots := range f.search(t, queries...) {
		// 2048 slots open at 1/65537 each: four or more happen once in 10^7.
		if len(slots) > 3 {
			t.Errorf("%s: %d slots opened", names[i], len(slots))
		}
	}
	honest := f.search(t, f.query(t, 100, target))[0]
	if want := f.want(t, target); !slices.Equal(honest, want) {
		t.Errorf("an honest query opened %d slots, want %d", len(honest), len(want))
	}
}

func TestMessages(t *testing.T) {
	t.Parallel()
	p := small(16, 4, 9)
	f := newParty(t, p, Compact, 1)
	f.put(t, 0, f.random())
	f.flush(t)
	q := f.query(t, 1, f.random())
	e, err := f.keys.ReadQuery(q.Message())
	if err != nil {
		t.Fatal(err)
	}
	var answer []byte
	err = f.index.Scan(context.Background(), []*EncryptedQuery{e}, ScanOptions{Rand: crand.Reader}, func(_, _ int, msg []byte) error {
		answer = msg
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	otherScope := testScope
	otherScope.Epoch++
	otherAgreement := testScope
	otherAgreement.Agreement[31] ^= 1
	wide := p
	wide.Threshold--
	change := func(msg []byte, at int, v ...byte) []byte {
		out := slices.Clone(msg)
		copy(out[at:], v)
		return out
	}
	for name, m := range map[string]struct {
		msg  []byte
		read func(p Params, s Scope, msg []byte) error
	}{
		"keys": {f.asker.Keys(), func(p Params, s Scope, msg []byte) error { _, err := ReadKeys(p, s, msg); return err }},
		"query": {q.Message(), func(p Params, s Scope, msg []byte) error {
			k := *f.keys
			k.p, k.scope = p, s
			_, err := k.ReadQuery(msg)
			return err
		}},
		"answer": {answer, func(p Params, s Scope, msg []byte) error {
			a := *f.asker
			a.p, a.scope = p, s
			return a.Collect(q.ID()).Add(msg)
		}},
	} {
		if err := m.read(p, testScope, m.msg); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		for what, row := range map[string]struct {
			p    Params
			s    Scope
			msg  []byte
			want error
		}{
			"empty":               {p, testScope, nil, ErrFormat},
			"truncated header":    {p, testScope, m.msg[:headerSize-1], ErrFormat},
			"truncated body":      {p, testScope, m.msg[:len(m.msg)-1], ErrFormat},
			"header alone":        {p, testScope, m.msg[:headerSize], ErrFormat},
			"oversized":           {p, testScope, append(slices.Clone(m.msg), 0), ErrFormat},
			"magic":               {p, testScope, change(m.msg, 0, 'X'), ErrFormat},
			"version":             {p, testScope, change(m.msg, 4, 9), ErrFormat},
			"kind":                {p, testScope, change(m.msg, 5, 9), ErrFormat},
			"ring":                {p, testScope, change(m.msg, 6, 14), ErrParams},
			"groups":              {p, testScope, change(m.msg, 8, 32), ErrParams},
			"threshold":           {p, testScope, change(m.msg, 12, 8), ErrParams},
			"limit":               {p, testScope, change(m.msg, 14, 17), nil},
			"reserved":            {p, testScope, change(m.msg, 7, 1), ErrFormat},
			"reserved after":      {p, testScope, change(m.msg, headerSize-1, m.msg[headerSize-1]^1), nil},
			"coefficient":         {p, testScope, change(m.msg, headerSize, 0xff, 0xff, 0xff, 0xff), ErrFormat},
			"other epoch":         {p, otherScope, m.msg, ErrScope},
			"other agreement":     {p, otherAgreement, m.msg, ErrScope},
			"other parameters":    {wide, testScope, m.msg, ErrParams},
			"other number or key": {p, testScope, change(m.msg, 56, 0xff, 0xff, 0xff, 0xff), nil},
		} {
			err := m.read(row.p, row.s, row.msg)
			if row.want == nil {
				if err == nil && (name != "query" || what == "limit") {
					t.Errorf("%s: %s: no error", name, what)
				}
			} else if !errors.Is(err, row.want) {
				t.Errorf("%s: %s: got error %v, want %v", name, what, err, row.want)
			}
		}
	}
	// Answers of the wrong query, twice, and of another number of blocks.
	c := f.asker.Collect([32]byte{1})
	if err := c.Add(answer); !errors.Is(err, ErrScope) {
		t.Errorf("another query's answer: %v", err)
	}
	c = f.asker.Collect(q.ID())
	if _, err := c.Slots(); err == nil {
		t.Error("slots before an answer")
	}
	if err := c.Add(answer); err != nil {
		t.Fatal(err)
	}
	if err := c.Add(answer); !errors.Is(err, ErrFormat) {
		t.Errorf("an answer twice: %v", err)
	}
	if err := c.Add(change(answer, 60, 2)); !errors.Is(err, ErrFormat) {
		t.Errorf("an answer of two blocks after one of one: %v", err)
	}
	// A query under other keys of the same scope.
	other, err := NewAsker(p, testScope, [32]byte{10})
	if err != nil {
		t.Fatal(err)
	}
	foreign, err := other.Query(1, f.random())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.keys.ReadQuery(foreign.Message()); !errors.Is(err, ErrScope) {
		t.Errorf("a query under other keys: %v", err)
	}
}

func TestAudit(t *testing.T) {
	t.Parallel()
	p := small(16, 4, 9)
	seed := [32]byte{9}
	a, err := NewAsker(p, testScope, seed)
	if err != nil {
		t.Fatal(err)
	}
	sketch := []uint8{0, 1, 2, 3, 0, 1, 2, 3, 3, 3, 3, 3, 0, 0, 0, 0}
	q, err := a.Query(5, sketch)
	if err != nil {
		t.Fatal(err)
	}
	again, err := a.Query(5, sketch)
	if err != nil || !slices.Equal(q.Message(), again.Message()) {
		t.Error("the same query is not the same message")
	}
	number, got, err := AuditQuery(p, testScope, seed, q.Message())
	if err != nil || number != 5 || !slices.Equal(got, sketch) {
		t.Errorf("audit: %d, %v, %v", number, got, err)
	}
	lazy, err := NewAskerFor(p, testScope, seed, a.KeysID())
	if err != nil {
		t.Fatal(err)
	}
	if other, err := lazy.Query(5, sketch); err != nil || !slices.Equal(other.Message(), q.Message()) {
		t.Error("an asker that knows its keys' ID sends another message")
	}
	if !slices.Equal(lazy.Keys(), a.Keys()) {
		t.Error("an asker that knows its keys' ID derives other keys")
	}
	if err := AuditKeys(p, testScope, seed, a.Keys()); err != nil {
		t.Error(err)
	}
	if err := AuditKeys(p, testScope, [32]byte{1}, a.Keys()); err == nil {
		t.Error("keys of another seed pass")
	}
	bent := slices.Clone(a.Keys())
	bent[len(bent)-1] ^= 1
	if err := AuditKeys(p, testScope, seed, bent); err == nil {
		t.Error("bent keys pass")
	}
	slots := a.c.OneHot(sketch)
	slots[0] = 3
	if _, _, err := AuditQuery(p, testScope, seed, a.encrypt(5, p.Threshold, sketch, slots).Message()); err == nil {
		t.Error("a malformed query passes")
	}
	noisy := slices.Clone(q.Message())
	noisy[headerSize] ^= 1
	if _, _, err := AuditQuery(p, testScope, seed, noisy); err == nil {
		t.Error("a query with other noise passes")
	}
}

func TestScanEnds(t *testing.T) {
	t.Parallel()
	p := small(16, 4, 9)
	f := newParty(t, p, Compact, 4*p.blockSlots())
	f.put(t, 0, f.random())
	q, err := f.keys.ReadQuery(f.query(t, 1, f.random()).Message())
	if err != nil {
		t.Fatal(err)
	}
	scan := func(ctx context.Context, o ScanOptions, emit func(int, int, []byte) error) error {
		return f.index.Scan(ctx, []*EncryptedQuery{q}, o, emit)
	}
	o := ScanOptions{Rand: crand.Reader, Workers: 2}
	ignore := func(int, int, []byte) error { return nil }
	if err := scan(context.Background(), o, ignore); err == nil {
		t.Error("a scan before the first flush succeeds")
	}
	f.flush(t)
	if err := scan(context.Background(), ScanOptions{}, ignore); err == nil {
		t.Error("a scan without randomness succeeds")
	}
	ctx, cancel := context.WithCancel(context.Background())
	seen := 0
	err = scan(ctx, o, func(int, int, []byte) error { seen++; cancel(); return nil })
	if !errors.Is(err, context.Canceled) || seen == 0 || seen == 4 {
		t.Errorf("cancelled scan: %v after %d answers", err, seen)
	}
	boom := errors.New("boom")
	if err := scan(context.Background(), o, func(int, int, []byte) error { return boom }); !errors.Is(err, boom) {
		t.Errorf("emit's error is lost: %v", err)
	}
	// Two at once, and a flush between.
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			n := 0
			if err := scan(context.Background(), o, func(int, int, []byte) error { n++; return nil }); err != nil || n != 4 {
				t.Errorf("%d answers, %v", n, err)
			}
		})
	}
	f.put(t, 1, f.random())
	f.flush(t)
	wg.Wait()
}
