// Package sketch encodes a person record for fuzzy search under encryption: as
// K symbols below m, of which two records of one person share many and two
// people few, whatever the length of their names.
//
// The symbols are b-bit MinHash values (Li and König, WWW 2010; Broder, 1997):
// of each group's share of the record, its name or a part of its date of
// birth, the hash that is least under the group's seed, reduced to log2(m)
// bits. Two sets that share a part J of their features agree in a group with
// probability J + (1-J)/m. What counts more has more groups, or stands in its
// set several times. Written one-hot, a sketch has constant weight K, so that
// the inner product of two is their Score.
//
// A name's spelling, word order and script matter as little as the names
// package and the features here allow. A record without a date of birth has
// symbols there that are its own, so that it agrees with others by chance, once
// in m groups; it neither matches every date nor is ruled out.
//
// README.md beside this file says how K, m, the threshold and the weights were
// chosen, and how to measure them again.
package sketch

import (
	"errors"
	"fmt"
	"math/bits"
	"slices"

	"github.com/symbolon/symbolon/internal/records"
	"github.com/symbolon/symbolon/internal/records/names"
)

// Version numbers features, weights and hashing: sketches of different
// versions have nothing in common.
const Version = "1"

// Params is the shape of sketches and the score at which a record opens. Both
// parties use the same.
type Params struct {
	// Groups is K, the number of symbols: a power of two from 16 to 128.
	Groups int `json:"groups"`
	// Symbols is m, how many values a symbol has: 2, 4, 8 or 16.
	Symbols int `json:"symbols"`
	// Threshold is T, the least Score at which a record opens, from 1 to Groups.
	Threshold int `json:"threshold"`
}

// Default returns the shape of the trade-off in README.md: 64 groups of 4
// symbols, opening at 49, so that 16 scores open.
func Default() Params { return Params{Groups: 64, Symbols: 4, Threshold: 49} }

// Validate checks the shape.
func (p Params) Validate() error {
	switch {
	case p.Groups < 16 || p.Groups > 128 || !powerOfTwo(p.Groups):
		return fmt.Errorf("sketch: %d groups are not a power of two from 16 to 128", p.Groups)
	case p.Symbols < 2 || p.Symbols > 16 || !powerOfTwo(p.Symbols):
		return fmt.Errorf("sketch: %d symbols are not 2, 4, 8 or 16", p.Symbols)
	case p.Threshold < 1 || p.Threshold > p.Groups:
		return fmt.Errorf("sketch: threshold %d is outside [1, %d]", p.Threshold, p.Groups)
	}
	return nil
}

// Dimension returns d = K*m, the length of a sketch written one-hot.
func (p Params) Dimension() int { return p.Groups * p.Symbols }

func powerOfTwo(n int) bool { return bits.OnesCount(uint(n)) == 1 }

// Role tells the records that are searched from the query. Only the symbols of
// missing fields depend on it.
type Role uint8

// The roles.
const (
	Owner Role = iota + 1
	Query
)

// Form is the sketch of one name of a record.
type Form struct {
	// Name is the index into the record's Names.
	Name int
	// Symbols holds K values below m.
	Symbols []uint8
}

// Sketcher makes sketches. It is not safe for concurrent use: Clone it.
type Sketcher struct {
	p      Params
	role   Role
	seeds  []uint64
	blocks []block
	// date holds the symbols of the groups that no name changes.
	date     []uint8
	features []uint64
	seen     [][]uint64
}

// New returns a Sketcher under the agreement's normalisation version; another
// version than ours is an error. The salt, which may be public, separates
// agreements and epochs: sketches are comparable under equal salts only.
func New(p Params, normalisation string, salt []byte, role Role) (*Sketcher, error) {
	if err := p.Validate(); err != nil {
		return nil, err
	}
	if v := records.NormalisationVersion(); normalisation != v {
		return nil, fmt.Errorf("sketch: the agreement wants normalisation %q, this program has %q", normalisation, v)
	}
	if role != Owner && role != Query {
		return nil, errors.New("sketch: neither the owner's role nor a query's")
	}
	return &Sketcher{p: p, role: role, seeds: groupSeeds(p, normalisation, salt), blocks: layout(p.Groups)}, nil
}

// Clone returns an independent Sketcher of the same sketches.
func (s *Sketcher) Clone() *Sketcher {
	return &Sketcher{p: s.p, role: s.role, seeds: s.seeds, blocks: s.blocks}
}

// Params returns the shape.
func (s *Sketcher) Params() Params { return s.p }

// Append appends to dst one Form for each name of the record, primary name
// first. Names that leave the same words in another order fall together, and
// a name without a word has no form, so that there may be none at all.
func (s *Sketcher) Append(dst []Form, r *records.Record) []Form {
	s.seen = s.seen[:0]
	s.date = s.date[:0]
	fill := fillSeed(s.role, r.ID)
	for i := range r.Names {
		tokens := names.Parse(r.Names[i].Full)
		if len(tokens) == 0 {
			continue
		}
		s.features = appendName(s.features[:0], tokens)
		slices.Sort(s.features)
		s.features = slices.Compact(s.features)
		if slices.ContainsFunc(s.seen, func(f []uint64) bool { return slices.Equal(f, s.features) }) {
			continue
		}
		s.seen = append(s.seen, slices.Clone(s.features))
		dst = append(dst, Form{Name: i, Symbols: s.symbols(r, fill)})
	}
	return dst
}

// symbols returns the sketch of the name whose features are at hand.
func (s *Sketcher) symbols(r *records.Record, fill uint64) []uint8 {
	out := make([]uint8, 0, s.p.Groups)
	group := s.blocks[0].groups
	for _, seed := range s.seeds[:group] {
		out = append(out, s.symbol(s.features, seed, fill))
	}
	if len(s.date) == 0 {
		for _, b := range s.blocks[1:] {
			s.features = appendDates(s.features[:0], b.kind, r.Births)
			for _, seed := range s.seeds[group : group+b.groups] {
				s.date = append(s.date, s.symbol(s.features, seed, fill))
			}
			group += b.groups
		}
	}
	return append(out, s.date...)
}

// symbol returns the MinHash of a set of features under a group's seed or, of
// an empty set, a value of the record's own.
func (s *Sketcher) symbol(features []uint64, seed, fill uint64) uint8 {
	least := mix(fill ^ seed)
	if len(features) > 0 {
		least = ^uint64(0)
		for _, f := range features {
			least = min(least, mix(f^seed))
		}
	}
	return uint8(least) & uint8(s.p.Symbols-1)
}

// Score returns the number of equal positions of two sketches of one shape.
func Score(a, b []uint8) int {
	if len(a) != len(b) {
		panic("sketch: scores of sketches of different lengths")
	}
	n := 0
	for i := range a {
		if a[i] == b[i] {
			n++
		}
	}
	return n
}
