package records

import (
	"bytes"
	"context"
	"fmt"
	"hash/maphash"
	"math"
	"slices"
	"strings"

	"github.com/symbolon/symbolon/internal/parallel"
)

// Index holds the distinct match keys of a set of records, and which records
// have each. It keeps ids and references of the records but no other field, in
// flat memory: about 35 bytes a key beside its text, 8 more for each record
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
	// table finds keys by open addressing from the low bits of their hash. An
	// entry is that hash, and above it the key's index plus one, so that a key
	// is looked at only where all bits agree; 0 is empty. The length is a power
	// of two.
	table  []uint64
	seed   maphash.Seed
	byID   map[string]uint8
	notes  map[uint32][2]string // contact and note, of records that have any
	traits []traits
	cut    int
}

// NewIndex returns an empty index of the keys that d derives. It takes over d.
func NewIndex(d *Deriver) *Index {
	x := &Index{deriver: d, table: make([]uint64, 1024), seed: maphash.MakeSeed(), byID: map[string]uint8{}}
	for i, r := range d.rules.Rules {
		x.byID[r.ID] = uint8(i)
	}
	return x
}

// BuildIndex reads a source into an index, on all processors unless the options
// say otherwise. Index and report are those of adding what Each yields.
func BuildIndex(ctx context.Context, s *Source, d *Deriver, opts ReadOptions) (*Index, *Report, error) {
	x := NewIndex(d)
	opts.Workers = parallel.Workers(opts.Workers)
	report, err := s.read(ctx, opts, &consumer{
		prepare: func() func(*reading) {
			d := d.Clone()
			return func(r *reading) { x.derive(d, r) }
		},
		take: x.add,
	})
	if err != nil {
		return nil, report, err
	}
	return x, report, nil
}

// Add derives the keys of a record and adds them.
func (x *Index) Add(r *Record) error {
	one := reading{record: *r}
	x.derive(x.deriver, &one)
	return x.add(&one)
}

// derive derives what the index holds of a record. It may run on several
// goroutines at once, each with its own deriver.
func (x *Index) derive(d *Deriver, r *reading) {
	r.cut = d.derive(&r.keys, &r.record)
	r.traits = traitsOf(&r.record)
	r.hashes = r.hashes[:0]
	for i := range r.keys.len() {
		r.hashes = append(r.hashes, x.hash(r.keys.rules[i], r.keys.at(i)))
	}
}

// hash returns the bits of a key's hash that the table goes by.
func (x *Index) hash(rule uint8, value []byte) uint32 {
	return uint32((maphash.Bytes(x.seed, value) + uint64(rule)*0x9e3779b97f4a7c15) >> 32)
}

// add adds a record with what derive found.
func (x *Index) add(r *reading) error {
	n := r.keys.len()
	if x.ids.len() == math.MaxUint32-1 || len(x.record)+n >= math.MaxUint32 {
		return fmt.Errorf("records: more than %d records or keys in one index", math.MaxUint32-1)
	}
	if r.cut {
		x.cut++
	}
	rec := uint32(x.ids.len())
	x.ids.add(r.record.ID)
	x.refs.add(r.record.SourceRef)
	x.traits = append(x.traits, r.traits)
	if contact, note := r.record.Contact, r.record.Note; contact != "" || note != "" {
		if x.notes == nil {
			x.notes = map[uint32][2]string{}
		}
		x.notes[rec] = [2]string{strings.Clone(contact), strings.Clone(note)}
	}
	for k := range n {
		i := x.intern(r.hashes[k], r.keys.rules[k], r.keys.at(k))
		x.record = append(x.record, rec)
		x.before = append(x.before, x.first[i])
		x.first[i] = uint32(len(x.record))
	}
	return nil
}

// intern returns the index of a key, adding it if it is new.
func (x *Index) intern(hash uint32, rule uint8, value []byte) uint32 {
	if 4*x.Len() >= 3*len(x.table) {
		x.grow()
	}
	at := x.slot(hash, rule, value)
	if e := x.table[at]; e != 0 {
		return uint32(e>>32) - 1
	}
	i := uint32(x.Len())
	x.keys.addBytes(value)
	x.rules = append(x.rules, rule)
	x.first = append(x.first, 0)
	x.table[at] = uint64(i+1)<<32 | uint64(hash)
	return i
}

// slot returns where a key is, or where it belongs.
func (x *Index) slot(hash uint32, rule uint8, value []byte) int {
	mask := len(x.table) - 1
	at := int(hash) & mask
	for ; x.table[at] != 0; at = (at + 1) & mask {
		e := x.table[at]
		if i := int(e>>32) - 1; uint32(e) == hash && x.rules[i] == rule && bytes.Equal(x.keys.bytes(i), value) {
			break
		}
	}
	return at
}

func (x *Index) grow() {
	old := x.table
	x.table = make([]uint64, 2*len(old))
	mask := len(x.table) - 1
	for _, e := range old {
		if e == 0 {
			continue
		}
		at := int(uint32(e)) & mask
		for x.table[at] != 0 {
			at = (at + 1) & mask
		}
		x.table[at] = e
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
	value := []byte(k.Value)
	return int(x.table[x.slot(x.hash(rule, value), rule, value)]>>32) - 1
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

func (a *arena) addBytes(b []byte) {
	a.text = append(a.text, b...)
	a.ends = append(a.ends, uint64(len(a.text)))
}

func (a *arena) len() int { return len(a.ends) }

func (a *arena) at(i int) string { return string(a.bytes(i)) }

func (a *arena) bytes(i int) []byte {
	var start uint64
	if i > 0 {
		start = a.ends[i-1]
	}
	return a.text[start:a.ends[i]]
}
