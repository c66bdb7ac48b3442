package records

import (
	"math"
	"strings"
)

// Scorer estimates how much a shared key says, from the local records alone.
// The weights are those of Fellegi and Sunter (A Theory for Record Linkage,
// JASA 1969): a value that agrees counts log2 1/u bits, where u is the
// probability that two different people share it. u comes from how often the
// value, or each word of it, stands in the local keys of the rule; the parts of
// a key are taken as independent. It needs no labelled pairs, and its figures
// order hits for review; they are not probabilities of identity.
type Scorer struct {
	index *Index
	// count[rule] counts the postings whose key holds a word at a clause.
	count []map[clauseWord]uint32
	total []uint32
}

type clauseWord struct {
	clause uint8
	word   string
}

// NewScorer counts the words of an index's keys. Memory is that of the distinct
// words.
func NewScorer(x *Index) *Scorer {
	s := &Scorer{index: x, count: make([]map[clauseWord]uint32, len(x.Rules().Rules)), total: make([]uint32, len(x.Rules().Rules))}
	for i := range s.count {
		s.count[i] = map[clauseWord]uint32{}
	}
	for i := range x.Len() {
		rule, n := x.rules[i], uint32(x.Shared(i))
		s.total[rule] += n
		eachWord(x.keys.at(i), func(w clauseWord) { s.count[rule][w] += n })
	}
	return s
}

// eachWord yields the words of a key's value with the place of their clause.
func eachWord(value string, yield func(clauseWord)) {
	clause := uint8(0)
	for part := range strings.SplitSeq(value, "|") {
		for word := range strings.SplitSeq(part, " ") {
			if word != "" {
				yield(clauseWord{clause, word})
			}
		}
		clause++
	}
}

// KeyScore is what sharing one key says.
type KeyScore struct {
	Rule string `json:"rule"`
	// Bits is the agreement weight.
	Bits float64 `json:"bits"`
	// Records counts the local records that have the key: a key of several
	// tells less.
	Records int `json:"records"`
}

// Key scores key i of the index.
func (s *Scorer) Key(i int) KeyScore {
	x := s.index
	rule := x.rules[i]
	clauses := x.Rules().Rules[rule].Clauses
	total := float64(s.total[rule])
	k := KeyScore{Rule: x.Rules().Rules[rule].ID, Records: x.Shared(i)}
	eachWord(x.keys.at(i), func(w clauseWord) {
		c := clauses[min(int(w.clause), len(clauses)-1)]
		// What no one else has is taken to be as rare as the field's domain
		// allows; of names and dates, within reason for so few records.
		rarest := c.valueDomain()
		if !c.identifies() {
			rarest = math.Min(rarest, math.Max(30*total, 1000))
		}
		u := math.Max(float64(s.count[rule][w]-1)/total, 1/math.Max(rarest, 1))
		k.Bits -= math.Log2(math.Min(u, 1))
	})
	// Two local records with the key are two candidates for one hit.
	k.Bits = math.Max(0, k.Bits-math.Log2(float64(max(k.Records, 1))))
	return k
}

// valueDomain is how many values one word of a clause can take.
func (c Clause) valueDomain() float64 {
	if c.Field == fieldName {
		return c.wordDomain()
	}
	return c.domain()
}

// HitScore is what a pair of records shares.
type HitScore struct {
	// Bits adds the best key of each kind of evidence: document, phone, e-mail,
	// other identifier, and name with date.
	Bits float64    `json:"bits"`
	Keys []KeyScore `json:"keys"`
}

// Hit scores a pair of records by the keys that they share, given as indices
// of the index.
func (s *Scorer) Hit(keys []int) HitScore {
	var h HitScore
	best := map[string]float64{}
	for _, i := range keys {
		k := s.Key(i)
		h.Keys = append(h.Keys, k)
		kind := s.index.Rules().Rules[s.index.rules[i]].evidence()
		best[kind] = math.Max(best[kind], k.Bits)
	}
	for _, bits := range best {
		h.Bits += bits
	}
	return h
}

// evidence names what a rule goes by: two rules of one kind are not
// independent.
func (r *Rule) evidence() string {
	for _, c := range r.Clauses {
		if c.identifies() {
			if c.Field == fieldDocNumber {
				return fieldDocument
			}
			return c.Field
		}
	}
	return fieldName
}
