package sketch

import (
	"context"
	"fmt"
	"sync"

	"github.com/symbolon/symbolon/internal/parallel"
	"github.com/symbolon/symbolon/internal/records"
)

// Slots are the sketches of a source: one slot for each form of each record,
// in the order read.
type Slots struct {
	*Table
	// first[i] is the first slot of record i; one more stands at the end.
	first []int
	byID  map[string]int
}

// Read sketches a source. It keeps ids and sketches, and no other field.
func Read(ctx context.Context, source *records.Source, s *Sketcher, opts records.ReadOptions) (*Slots, *records.Report, error) {
	slots := &Slots{Table: NewTable(s.p), first: []int{0}, byID: map[string]int{}}
	var forms []Form
	report, err := source.Each(ctx, opts, func(r *records.Record) error {
		slots.byID[r.ID] = len(slots.first) - 1
		forms = s.Append(forms[:0], r)
		for _, f := range forms {
			slots.Add(f.Symbols)
		}
		slots.first = append(slots.first, slots.Len())
		return nil
	})
	if err != nil {
		return nil, report, err
	}
	return slots, report, nil
}

// Records returns the number of records.
func (s *Slots) Records() int { return len(s.first) - 1 }

// best returns the highest score of a slot of record i and the query.
func (s *Slots) best(i int, query []uint64) int {
	best := 0
	for slot := s.first[i]; slot < s.first[i+1]; slot++ {
		best = max(best, int(s.score(s.row(slot), query)))
	}
	return best
}

// Found counts true pairs that open at a threshold.
type Found struct {
	// All of the true pairs, and Missed of those that a rule set missed.
	All    int `json:"all"`
	Missed int `json:"missed"`
}

// Point is what a threshold opens.
type Point struct {
	Threshold int   `json:"threshold"`
	Found     Found `json:"found"`
	// FalseSlots is the mean number of slots of strangers that open to a query,
	// by kind of query, as in Curve.Queries.
	FalseSlots []float64 `json:"false_slots"`
}

// Curve is the trade-off of a shape: what each threshold finds, and how many
// strangers it opens.
type Curve struct {
	Params
	// Pairs counts the true pairs.
	Pairs Found `json:"pairs"`
	// Slots counts the strangers' slots, Queries the queries against them.
	Slots   int     `json:"slots"`
	Queries []int   `json:"queries"`
	Points  []Point `json:"points"`
}

// Measure compares the primary names of b's records, as queries, with all the
// slots of a, for the pairs of ids in truth and missed, which are a's first.
// Strangers are records of people whom no query asks for: what opens there is
// false. The queries against them are b's and then those of each of others, of
// each at most maxQueries, evenly spread. Pairs with an id that is in no record
// count as not found.
func Measure(ctx context.Context, a, b, strangers *Slots, others []*Slots, truth, missed [][2]string, maxQueries int) (*Curve, error) {
	for _, s := range append([]*Slots{b, strangers}, others...) {
		if s.p != a.p {
			return nil, fmt.Errorf("sketch: got sketches of shape %v and of %v", a.p, s.p)
		}
	}
	c := &Curve{Params: a.p, Slots: strangers.Len(), Points: make([]Point, a.p.Groups+1)}
	for t := range c.Points {
		c.Points[t].Threshold = t
	}
	known := map[[2]string]bool{}
	for _, p := range missed {
		known[p] = true
	}
	seen := map[[2]string]bool{}
	for _, p := range truth {
		if seen[p] {
			continue
		}
		seen[p] = true
		c.pair(pairScore(a, b, p), known[p])
	}
	for _, queries := range append([]*Slots{b}, others...) {
		if err := c.strangers(ctx, strangers, queries, maxQueries); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// pairScore returns the score of a pair, or -1 if one of its records is
// unknown or has no name.
func pairScore(a, b *Slots, pair [2]string) int {
	i, inA := a.byID[pair[0]]
	j, inB := b.byID[pair[1]]
	if !inA || !inB || b.first[j] == b.first[j+1] {
		return -1
	}
	return a.best(i, b.row(b.first[j]))
}

func (c *Curve) pair(score int, missed bool) {
	c.Pairs.All++
	if missed {
		c.Pairs.Missed++
	}
	for t := 0; t <= score; t++ {
		c.Points[t].Found.All++
		if missed {
			c.Points[t].Found.Missed++
		}
	}
}

// strangers adds the false slots of one kind of queries.
func (c *Curve) strangers(ctx context.Context, strangers, from *Slots, most int) error {
	var queries [][]uint64
	for i := range from.Records() {
		if from.first[i] < from.first[i+1] {
			queries = append(queries, from.row(from.first[i]))
		}
	}
	if n := len(queries); n > most {
		for i := range most {
			queries[i] = queries[i*n/most]
		}
		queries = queries[:most]
	}
	histogram := make([]int, c.Groups+1)
	var mu sync.Mutex
	err := parallel.For(ctx, 0, len(queries), func(i int) error {
		scores := make([]int, c.Groups+1)
		for slot := range strangers.Len() {
			scores[strangers.score(strangers.row(slot), queries[i])]++
		}
		mu.Lock()
		defer mu.Unlock()
		for s, n := range scores {
			histogram[s] += n
		}
		return nil
	})
	if err != nil {
		return err
	}
	open := 0
	for t := c.Groups; t >= 0; t-- {
		open += histogram[t]
		mean := 0.0
		if len(queries) > 0 {
			mean = float64(open) / float64(len(queries))
		}
		c.Points[t].FalseSlots = append(c.Points[t].FalseSlots, mean)
	}
	c.Queries = append(c.Queries, len(queries))
	return nil
}
