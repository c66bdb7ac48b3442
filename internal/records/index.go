package records

import (
	"context"
	"fmt"
	"hash/maphash"
	"math"
	"slices"
	"strings"
)

// Index holds the distinct match keys of a set of records, and which records
// have each. It keeps ids and references of the records but no other field, in
// flat memory: about 30 bytes a key beside its text, 8 more for each record
// that has it. It is not safe for concurrent use while records are added.
type Index struct {
	deriver *Deriver
	ids     arena
	refs    arena
	keys    arena
	// rules[i] is the rule of key i by its place in the set, first[i] the last
	// posting of key i plus one.
	rules []uint8
	first []uint32
	// postings: a record, and the posting before it of the same key, plus one.
	record, before []uint32
	// table holds key indices plus one, by open addressing; its length is a
	// power of two.
	table   []uint32
	seed    maphash.Seed
	byID    map[string]uint8
	notes   map[uint32][2]string // contact and note, of records that have any
	traits  []traits
	scratch []Key
	cut     int
}

// NewIndex returns an empty index of the keys that d derives. It takes over d.
func NewIndex(d *Deriver) *Index {
	x := &Index{deriver: d, table: make([]uint32, 1024), seed: maphash.MakeSeed(), byID: map[string]uint8{}}
	for i, r := range d.rules.Rules {
		x.byID[r.ID] = uint8(i)
	}
	return x
}

// BuildIndex reads a source into an index. Reading and deriving take about as
// long as one another, so they go on side by side.
func BuildIndex(ctx context.Context, s *Source, d *Deriver, opts ReadOptions) (*Index, *Report, error) {
	x := NewIndex(d)
	full, free := make(chan *recordBatch, batches), make(chan *recordBatch, batches)
	for range batches {
		free <- new(recordBatch)
	}
	var added error // set before done is closed
	done := make(chan struct{})
	go func() {
		defer close(done)
		for b := range full {
			for i := range b.records[:b.n] {
				if added == nil {
					added = x.Add(&b.records[i])
				}
			}
			b.n = 0
			free <- b
		}
	}()
	at := <-free
	report, err := s.Each(ctx, opts, func(r *Record) error {
		if at.n == len(at.records) {
			full <- at
			at = <-free
		}
		at.records[at.n].set(r)
		at.n++
		return nil
	})
	full <- at
	close(full)
	<-done
	if err == nil {
		err = added
	}
	if err != nil {
		return nil, report, err
	}
	return x, report, nil
}

// batches is how many batches of records there are between who reads and who
// derives.
const batches = 3

// recordBatch is a batch of records that were read.
type recordBatch struct {
	n       int
	records [256]Record
}

// Add derives the keys of a record and adds them.
func (x *Index) Add(r *Record) error {
	var cut bool
	x.scratch, cut = x.deriver.Keys(x.scratch[:0], r)
	return x.add(r, x.scratch, cut)
}

func (x *Index) add(r *Record, keys []Key, cut bool) error {
	if x.ids.len() == math.MaxUint32-1 || len(x.record)+len(keys) >= math.MaxUint32 {
		return fmt.Errorf("records: more than %d records or keys in one index", math.MaxUint32-1)
	}
	if cut {
		x.cut++
	}
	rec := uint32(x.ids.len())
	x.ids.add(r.ID)
	x.refs.add(r.SourceRef)
	x.traits = append(x.traits, traitsOf(r))
	if r.Contact != "" || r.Note != "" {
		if x.notes == nil {
			x.notes = map[uint32][2]string{}
		}
		x.notes[rec] = [2]string{strings.Clone(r.Contact), strings.Clone(r.Note)}
	}
	for _, k := range keys {
		i := x.intern(x.byID[k.Rule], k.Value)
		x.record = append(x.record, rec)
		x.before = append(x.before, x.first[i])
		x.first[i] = uint32(len(x.record))
	}
	return nil
}

// intern returns the index of a key, adding it if it is new.
func (x *Index) intern(rule uint8, value string) uint32 {
	if 4*x.Len() >= 3*len(x.table) {
		x.grow()
	}
	at := x.slot(rule, value)
	if x.table[at] != 0 {
		return x.table[at] - 1
	}
	i := uint32(x.Len())
	x.keys.add(value)
	x.rules = append(x.rules, rule)
	x.first = append(x.first, 0)
	x.table[at] = i + 1
	return i
}

// slot returns where a key is, or where it belongs.
func (x *Index) slot(rule uint8, value string) int {
	mask := len(x.table) - 1
	at := int(maphash.String(x.seed, value)+uint64(rule)*0x9e3779b97f4a7c15) & mask
	for ; x.table[at] != 0; at = (at + 1) & mask {
		i := int(x.table[at] - 1)
		if x.rules[i] == rule && x.keys.is(i, value) {
			break
		}
	}
	return at
}

func (x *Index) grow() {
	x.table = make([]uint32, 2*len(x.table))
	for i := range x.Len() {
		x.table[x.slot(x.rules[i], x.keys.at(i))] = uint32(i) + 1
	}
}

// Len returns the number of distinct keys.
func (x *Index) Len() int { return x.keys.len() }

// Key returns key i; its order is that of first appearance.
func (x *Index) Key(i int) Key {
	return Key{Rule: x.deriver.rules.Rules[x.rules[i]].ID, Value: x.keys.at(i)}
}

// Find returns the index of a key, or -1.
func (x *Index) Find(k Key) int {
	rule, ok := x.byID[k.Rule]
	if !ok {
		return -1
	}
	return int(x.table[x.slot(rule, k.Value)]) - 1
}

// RecordsOf appends to dst the records that have key i, in the order added.
func (x *Index) RecordsOf(dst []uint32, i int) []uint32 {
	head := len(dst)
	for p := x.first[i]; p != 0; p = x.before[p-1] {
		dst = append(dst, x.record[p-1])
	}
	slices.Reverse(dst[head:])
	return dst
}

// Shared returns how many records have key i.
func (x *Index) Shared(i int) int {
	n := 0
	for p := x.first[i]; p != 0; p = x.before[p-1] {
		n++
	}
	return n
}

// Records returns the number of records.
func (x *Index) Records() int { return x.ids.len() }

// ID returns the id of a record.
func (x *Index) ID(record uint32) string { return x.ids.at(int(record)) }

// SourceRef returns the reference of a record, which may be empty.
func (x *Index) SourceRef(record uint32) string { return x.refs.at(int(record)) }

// Notes returns the contact and the note of a record, which may be empty.
func (x *Index) Notes(record uint32) (contact, note string) {
	n := x.notes[record]
	return n[0], n[1]
}

// Postings returns the number of pairs of a record and a key.
func (x *Index) Postings() int { return len(x.record) }

// Cut returns how many records had more keys than the rule set allows.
func (x *Index) Cut() int { return x.cut }

// Rules returns the rule set.
func (x *Index) Rules() *RuleSet { return x.deriver.rules }

// arena holds many strings in one buffer.
type arena struct {
	text []byte
	ends []uint64
}

func (a *arena) add(s string) {
	a.text = append(a.text, s...)
	a.ends = append(a.ends, uint64(len(a.text)))
}

func (a *arena) len() int { return len(a.ends) }

func (a *arena) at(i int) string { return string(a.bytes(i)) }

// is reports whether string i is s, without a copy.
func (a *arena) is(i int, s string) bool { return string(a.bytes(i)) == s }

func (a *arena) bytes(i int) []byte {
	var start uint64
	if i > 0 {
		start = a.ends[i-1]
	}
	return a.text[start:a.ends[i]]
}
