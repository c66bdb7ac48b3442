package psi

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
	"testing"
)

// A ran is the outcome of a run, made up without an engine: items
// 0..shared-1 of the sender are items 0..shared-1 of the receiver.
type ran struct {
	p   Params
	out Outputs
	res Result
}

func newRan(t testing.TB, senders, receivers, shared int) *ran {
	t.Helper()
	r := &ran{p: Params{
		Mode: ModeMutual, Security: SemiHonest, SenderItems: senders, ReceiverItems: receivers,
		Session: [32]byte{9},
	}}
	rand := NewStream(bytes.Repeat([]byte{3}, 32), "run")
	order, err := Permutation(rand, senders)
	if err != nil {
		t.Fatal(err)
	}
	r.out = Outputs{TagLen: r.p.TagLen(), Order: order, FullLen: 32, Full: make([]byte, 32*senders)}
	if _, err := io.ReadFull(rand, r.out.Full); err != nil {
		t.Fatal(err)
	}
	at := make([]uint32, senders)
	for p, item := range order {
		at[item] = uint32(p)
		tag := Derive(DeriveTag, r.p.Context(), r.out.At(p))
		r.out.Tags = append(r.out.Tags, tag[:r.out.TagLen]...)
	}
	r.res.Count = shared
	for i := range shared {
		p := int(at[i])
		r.res.Hits = append(r.res.Hits, Hit{uint32(i), uint32(p), r.out.Tag(p), r.out.At(p)})
	}
	return r
}

func labelRand() io.Reader { return NewStream(bytes.Repeat([]byte{4}, 32), "labels") }

// testLabels is a sender with 40 items: item i belongs to records i and i+1
// for i under 20, item 20 to records 0 to 8, and the rest pad.
var testParams = LabelParams{Associated: []byte("agreement, session, version"), LabelLen: 12, Slots: 4, Rows: 30}

func testRecordsOf(item uint32) []uint32 {
	switch {
	case item < 20:
		return []uint32{item, item + 1}
	case item == 20:
		return []uint32{0, 1, 2, 3, 4, 5, 6, 7, 8}
	}
	return nil
}

func testLabel(record int) ([]byte, error) { return fmt.Appendf(nil, "case %d", record), nil }

// sealed returns the entries and rows of the test's sender, and the number of
// items that were cut.
func sealed(t testing.TB, r *ran) (entries, rows []byte, cut int) {
	t.Helper()
	rand := labelRand()
	table, err := NewLabelTable(testParams, rand, rand, 25, testLabel)
	if err != nil {
		t.Fatal(err)
	}
	s, err := NewLabelSealer(table, r.p.Context(), &r.out, testRecordsOf, rand)
	if err != nil {
		t.Fatal(err)
	}
	collect := func(done func() bool, next func(context.Context) ([]byte, error)) (all []byte) {
		for !done() {
			b, err := next(context.Background())
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, b...)
		}
		if b, err := next(context.Background()); b != nil || err != nil {
			t.Fatalf("after the last batch: %d bytes, error %v", len(b), err)
		}
		return all
	}
	entries = collect(s.Done, s.Next)
	rows = collect(table.Done, table.Next)
	return entries, rows, s.Cut()
}

func newOpener(t testing.TB, r *ran) *LabelOpener {
	t.Helper()
	o, err := NewLabelOpener(testParams, r.p.Context(), r.p.SenderItems, &r.res)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func openAll(t testing.TB, o *LabelOpener, entries, rows []byte) {
	t.Helper()
	if err := o.Entries(context.Background(), entries); err != nil {
		t.Fatal(err)
	}
	if err := o.Rows(context.Background(), rows); err != nil {
		t.Fatal(err)
	}
	if !o.Done() {
		t.Fatal("not done after all entries and rows")
	}
}

func TestLabels(t *testing.T) {
	r := newRan(t, 40, 50, 21)
	entries, rows, cut := sealed(t, r)
	if len(entries) != 40*testParams.EntryLen() || len(rows) != 30*testParams.RowLen() || cut != 1 {
		t.Fatalf("got %d bytes of entries, %d of rows, %d cut", len(entries), len(rows), cut)
	}
	o := newOpener(t, r)
	if l, err := o.Labels(); l != nil || err != nil {
		t.Fatal("there are labels before anything has come")
	}
	openAll(t, o, entries, rows)
	labels, err := o.Labels()
	if err != nil {
		t.Fatal(err)
	}
	rowOf := map[string]uint32{}
	for i, l := range labels {
		want := testRecordsOf(uint32(i))
		if more := len(want) > testParams.Slots; l.More != more {
			t.Errorf("hit %d: more is %v", i, l.More)
		} else if more {
			want = want[:testParams.Slots]
		}
		if len(l.Labels) != len(want) || l.Broken {
			t.Fatalf("hit %d has %d labels, want %d", i, len(l.Labels), len(want))
		}
		for j, got := range l.Labels {
			if w := fmt.Sprintf("case %d", want[j]); string(got.Label) != w {
				t.Errorf("hit %d: label %d is %q, want %q", i, j, got.Label, w)
			}
			if row, ok := rowOf[string(got.Label)]; ok && row != got.Row {
				t.Errorf("%q is in rows %d and %d", got.Label, row, got.Row)
			}
			rowOf[string(got.Label)] = got.Row
		}
	}
	again, rowsAgain, _ := sealed(t, r)
	if !bytes.Equal(again, entries) || !bytes.Equal(rowsAgain, rows) {
		t.Error("labels don't reproduce from a seed")
	}
}

// TestLabelsStayShut checks that neither a receiver without the item nor one
// in another session, run or place opens an entry or a row.
func TestLabelsStayShut(t *testing.T) {
	r := newRan(t, 40, 50, 21)
	entries, rows, _ := sealed(t, r)
	brokenHits := func(name string, p LabelParams, run []byte, res Result, entries, rows []byte) {
		t.Helper()
		o, err := NewLabelOpener(p, run, 40, &res)
		if err != nil {
			t.Fatal(err)
		}
		openAll(t, o, entries, rows)
		labels, err := o.Labels()
		if !errors.Is(err, ErrPeer) {
			t.Fatalf("%s: got error %v", name, err)
		}
		for i, l := range labels {
			if !l.Broken {
				t.Errorf("%s: hit %d opened: %v", name, i, l)
			}
		}
	}
	other := testParams
	other.Associated = []byte("another session")
	brokenHits("other session", other, r.p.Context(), r.res, entries, rows)
	brokenHits("other run", testParams, []byte("another run"), r.res, entries, rows)

	guessed := Result{Hits: make([]Hit, 21)}
	for i, h := range r.res.Hits {
		guessed.Hits[i] = Hit{Item: h.Item, Position: h.Position, Full: bytes.Repeat([]byte{1}, 32)}
	}
	brokenHits("item not held", testParams, r.p.Context(), guessed, entries, rows)

	n := testParams.RowLen()
	turned := append(bytes.Clone(rows[n:]), rows[:n]...)
	brokenHits("rows moved", testParams, r.p.Context(), r.res, entries, turned)
}

// TestBrokenLabels checks that a sender can't tell hits by labels that don't
// open: the exchange goes on, and only its end says what was wrong.
func TestBrokenLabels(t *testing.T) {
	r := newRan(t, 40, 50, 10)
	size := testParams.EntryLen()
	ctx := context.Background()
	for _, tt := range []struct {
		name   string
		change func(plain []byte)
		flip   bool
	}{
		{"flipped bit", nil, true},
		{"unknown flag", func(b []byte) { b[0] = 2 }, false},
		{"row beyond the table", func(b []byte) { binary.BigEndian.PutUint32(b[1:], 30) }, false},
		{"no record", func(b []byte) {
			for s := b[1:]; len(s) > 0; s = s[slotLen:] {
				binary.BigEndian.PutUint32(s, noRow)
			}
		}, false},
		{"gap between slots", func(b []byte) { binary.BigEndian.PutUint32(b[1:], noRow) }, false},
		{"wrong record key", func(b []byte) { b[5] ^= 1 }, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			entries, rows, _ := sealed(t, r)
			pos := int(r.res.Hits[3].Position)
			box := entries[pos*size:][:size]
			if tt.flip {
				box[size-1] ^= 1
			} else {
				key := Derive(DeriveLabelKey, r.p.Context(), r.out.At(pos))
				ad := newAssociated(domainEntry, testParams.Associated, r.p.Context()).at(pos)
				plain, ok := open(box, key, ad)
				if !ok {
					t.Fatal("the honest entry does not open")
				}
				tt.change(plain)
				seal(box, key, plain, ad)
			}
			o := newOpener(t, r)
			openAll(t, o, entries, rows)
			labels, err := o.Labels()
			if !errors.Is(err, ErrPeer) || !strings.Contains(err.Error(), "1 of 10 hits") {
				t.Fatalf("got error %v", err)
			}
			for i, l := range labels {
				if l.Broken != (i == 3) {
					t.Errorf("hit %d: broken is %v", i, l.Broken)
				}
			}
		})
	}
	t.Run("label length beyond the row", func(t *testing.T) {
		p := testParams
		p.Rows = 1
		o, err := NewLabelOpener(p, nil, 0, &Result{})
		if err != nil {
			t.Fatal(err)
		}
		o.labels = make([]HitLabels, 1)
		o.labels[0].Labels = make([]RecordLabel, 1)
		o.rows[0] = []openSlot{{}}
		row := make([]byte, p.RowLen())
		plain := make([]byte, 2+p.LabelLen)
		binary.BigEndian.PutUint16(plain, uint16(p.LabelLen)+1)
		seal(row, [recordKeyLen]byte{}, plain, o.rowAD.at(0))
		if err := o.Rows(ctx, row); err != nil {
			t.Fatal(err)
		}
		if _, err := o.Labels(); !errors.Is(err, ErrPeer) {
			t.Fatalf("got error %v", err)
		}
	})
}

func TestMalformedLabels(t *testing.T) {
	r := newRan(t, 40, 50, 10)
	entries, rows, _ := sealed(t, r)
	ctx := context.Background()
	for _, tt := range []struct {
		name, says string
		run        func(o *LabelOpener) error
	}{
		{"no entries", "got 0 bytes", func(o *LabelOpener) error { return o.Entries(ctx, nil) }},
		{"too few entries", "bytes, want", func(o *LabelOpener) error { return o.Entries(ctx, entries[testParams.EntryLen():]) }},
		{"too many entries", "bytes, want", func(o *LabelOpener) error { return o.Entries(ctx, append(bytes.Clone(entries), entries...)) }},
		{"entries twice", "beyond the 40", func(o *LabelOpener) error {
			return errors.Join(o.Entries(ctx, entries), o.Entries(ctx, entries))
		}},
		{"rows before entries", "after 0 of 40", func(o *LabelOpener) error { return o.Rows(ctx, rows) }},
		{"short rows", "bytes, want", func(o *LabelOpener) error {
			return errors.Join(o.Entries(ctx, entries), o.Rows(ctx, rows[1:]))
		}},
		{"rows twice", "beyond the 30", func(o *LabelOpener) error {
			return errors.Join(o.Entries(ctx, entries), o.Rows(ctx, rows), o.Rows(ctx, rows))
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o := newOpener(t, r)
			err := tt.run(o)
			if !errors.Is(err, ErrPeer) || !strings.Contains(err.Error(), tt.says) {
				t.Fatalf("got error %v, want one that says %q", err, tt.says)
			}
			if o.Done() {
				t.Fatal("done after an error")
			}
			if _, err := o.Labels(); !errors.Is(err, ErrPeer) {
				t.Fatalf("Labels: got error %v", err)
			}
		})
	}
}

func TestLabelLimits(t *testing.T) {
	r := newRan(t, 40, 50, 10)
	ctx := context.Background()
	with := func(f func(p *LabelParams)) LabelParams { p := testParams; f(&p); return p }
	for name, p := range map[string]LabelParams{
		"no label":        with(func(p *LabelParams) { p.LabelLen = 0 }),
		"long label":      with(func(p *LabelParams) { p.LabelLen = 1 << 16 }),
		"no slots":        with(func(p *LabelParams) { p.Slots = 0 }),
		"many slots":      with(func(p *LabelParams) { p.Slots = 256 }),
		"negative rows":   with(func(p *LabelParams) { p.Rows = -1 }),
		"fewer than held": with(func(p *LabelParams) { p.Rows = 24 }),
	} {
		if _, err := NewLabelTable(p, labelRand(), labelRand(), 25, testLabel); err == nil {
			t.Errorf("%s: the table accepts it", name)
		}
		if name == "fewer than held" {
			continue
		}
		if _, err := NewLabelOpener(p, nil, 40, &r.res); err == nil {
			t.Errorf("%s: the opener accepts it", name)
		}
	}

	long := func(record int) ([]byte, error) { return make([]byte, 13), nil }
	table, err := NewLabelTable(testParams, labelRand(), labelRand(), 25, long)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := table.Next(ctx); err == nil || !strings.Contains(err.Error(), "13 bytes, at most 12") {
		t.Errorf("a label that is too long: got error %v", err)
	}

	table, err = NewLabelTable(testParams, labelRand(), labelRand(), 25, testLabel)
	if err != nil {
		t.Fatal(err)
	}
	beyond := func(uint32) []uint32 { return []uint32{25} }
	s, err := NewLabelSealer(table, nil, &r.out, beyond, labelRand())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Next(ctx); err == nil {
		t.Error("an entry points to a record that does not exist")
	}
	if _, err := NewLabelSealer(table, nil, &Outputs{Order: []uint32{0}}, beyond, labelRand()); err == nil {
		t.Error("labels work without outputs")
	}
	bare := Result{Hits: []Hit{{}}}
	if _, err := NewLabelOpener(testParams, nil, 40, &bare); err == nil {
		t.Error("an opener works without outputs")
	}
}

// TestLabelBatches has more entries and rows than one message takes.
func TestLabelBatches(t *testing.T) {
	p := LabelParams{LabelLen: 500, Slots: 200, Rows: 5000}
	r := newRan(t, 300, 300, 300)
	rand := labelRand()
	table, err := NewLabelTable(p, rand, rand, 5000, func(record int) ([]byte, error) {
		return bytes.Repeat([]byte{byte(record)}, record%501), nil
	})
	if err != nil {
		t.Fatal(err)
	}
	s, err := NewLabelSealer(table, r.p.Context(), &r.out, func(item uint32) []uint32 { return []uint32{item * 7} }, rand)
	if err != nil {
		t.Fatal(err)
	}
	o, err := NewLabelOpener(p, r.p.Context(), 300, &r.res)
	if err != nil {
		t.Fatal(err)
	}
	ctx := context.Background()
	batches := 0
	for _, stage := range []struct {
		next func(context.Context) ([]byte, error)
		take func(context.Context, []byte) error
	}{{s.Next, o.Entries}, {table.Next, o.Rows}} {
		for {
			b, err := stage.next(ctx)
			if err != nil {
				t.Fatal(err)
			}
			if b == nil {
				break
			}
			if len(b) > MaxPayload {
				t.Fatalf("a batch of %d bytes", len(b))
			}
			batches++
			if err := stage.take(ctx, b); err != nil {
				t.Fatal(err)
			}
		}
	}
	labels, err := o.Labels()
	if err != nil || batches < 5 {
		t.Fatalf("%d batches, error %v", batches, err)
	}
	for i, l := range labels {
		record := i * 7
		if want := bytes.Repeat([]byte{byte(record)}, record%501); !bytes.Equal(l.Labels[0].Label, want) {
			t.Fatalf("hit %d has another label", i)
		}
	}
}

func BenchmarkLabelEntries(b *testing.B) {
	r := newRan(b, 4096, 4096, 0)
	table, err := NewLabelTable(LabelParams{LabelLen: 64, Slots: 4, Rows: 4096}, labelRand(), labelRand(), 4096, testLabel)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		s, err := NewLabelSealer(table, r.p.Context(), &r.out, func(i uint32) []uint32 { return []uint32{i} }, labelRand())
		if err != nil {
			b.Fatal(err)
		}
		for !s.Done() {
			if _, err := s.Next(context.Background()); err != nil {
				b.Fatal(err)
			}
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/4096, "ns/entry")
}

// TestRowOpener opens the rows of two runs at once, of which one was read in
// another process: its slots have been stored.
func TestRowOpener(t *testing.T) {
	ctx := context.Background()
	first, second := newRan(t, 40, 50, 10), newRan(t, 40, 50, 12)
	var slots []HitSlots
	var rows []byte
	want := 0
	for _, r := range []*ran{first, second} {
		var entries []byte
		entries, rows, _ = sealed(t, r)
		o := newOpener(t, r)
		if o.EntriesDone() {
			t.Fatal("done before the entries")
		}
		if err := o.Entries(ctx, entries); err != nil {
			t.Fatal(err)
		}
		if !o.EntriesDone() {
			t.Fatal("not done after the entries")
		}
		slots = append(slots, o.Slots()...)
		want += len(r.res.Hits)
	}
	o, err := NewRowOpener(testParams, slots)
	if err != nil {
		t.Fatal(err)
	}
	if err := o.Rows(ctx, rows); err != nil {
		t.Fatal(err)
	}
	labels, err := o.Labels()
	if err != nil || len(labels) != want {
		t.Fatalf("%d labels, error %v", len(labels), err)
	}
	whole := newOpener(t, first)
	entries, rows, _ := sealed(t, first)
	openAll(t, whole, entries, rows)
	once, err := whole.Labels()
	if err != nil {
		t.Fatal(err)
	}
	for i := range once {
		if len(labels[i].Labels) != len(once[i].Labels) || labels[i].More != once[i].More {
			t.Fatalf("hit %d differs", i)
		}
		for j := range once[i].Labels {
			if !bytes.Equal(labels[i].Labels[j].Label, once[i].Labels[j].Label) {
				t.Errorf("hit %d, label %d differs", i, j)
			}
		}
	}
	if _, err := NewRowOpener(testParams, []HitSlots{{Slots: []LabelSlot{{Row: uint32(testParams.Rows)}}}}); err == nil {
		t.Error("a row beyond the table is taken")
	}
}

// FuzzOpenEntry seals whatever an entry may hold.
func FuzzOpenEntry(f *testing.F) {
	good := make([]byte, 1+testParams.Slots*slotLen)
	f.Add(good)
	f.Add(bytes.Repeat([]byte{0xff}, len(good)))
	f.Fuzz(func(t *testing.T, plain []byte) {
		if len(plain) != len(good) {
			return
		}
		box := make([]byte, testParams.EntryLen())
		seal(box, [32]byte{1}, plain, nil)
		h := testParams.OpenEntry(box, [32]byte{1}, nil)
		if h.Broken != (len(h.Slots) == 0) || len(h.Slots) > testParams.Slots {
			t.Fatalf("%d slots, broken is %v", len(h.Slots), h.Broken)
		}
		for _, s := range h.Slots {
			if int(s.Row) >= testParams.Rows {
				t.Fatalf("row %d of %d", s.Row, testParams.Rows)
			}
		}
		if h.Broken {
			return
		}
		again := make([]byte, len(box))
		testParams.SealEntry(again, [32]byte{1}, h.Slots, h.More, nil)
		if got := testParams.OpenEntry(again, [32]byte{1}, nil); !reflect.DeepEqual(got, h) {
			t.Fatalf("sealed again it says %v, want %v", got, h)
		}
	})
}
