package bloom

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync/atomic"

	"github.com/symbolon/symbolon/internal/cpu"
	"github.com/symbolon/symbolon/internal/parallel"
)

// chunk is how many candidates a kernel call takes: with 1024 bits, what the
// second-level cache holds beside the rows.
const chunk = 512

// blockRows is how many rows a goroutine takes at a time, for each chunk that
// it loads.
const blockRows = 16 * rowsPerTile

// ErrTooManyPairs is a search that would return more pairs than it may.
var ErrTooManyPairs = errors.New("bloom: too many pairs")

// Pair is a pair of CLKs, by their indices in the two sets.
type Pair struct {
	A, B  int32
	Score float64
}

// Query says which pairs a search returns.
type Query struct {
	Measure Measure
	// Threshold is the least Dice or Jaccard similarity, in (0, 1], or the
	// greatest Hamming distance, in bits. With TopK a similarity of 0, or a
	// distance of the CLK's length, keeps it out of the way.
	Threshold float64
	// TopK, if above 0, keeps of the pairs of each CLK of the first set only so
	// many, the best. Of equal scores those with the lower index in the second
	// set are better.
	TopK int
	// MaxPairs bounds the result and with it the memory, about 32 bytes a pair:
	// if there are more, the search ends with ErrTooManyPairs. It is at least 1.
	MaxPairs int
	// Workers is the number of goroutines, 0 for all processors. It does not
	// change the result.
	Workers int
	// Progress, if not nil, hears how many of the first set's CLKs are done. It
	// is called by several goroutines at a time.
	Progress func(done, total int)
}

func (q *Query) check(bits int) error {
	switch q.Measure {
	case Dice, Jaccard:
		if !(q.Threshold > 0 && q.Threshold <= 1) && !(q.TopK > 0 && q.Threshold == 0) {
			return fmt.Errorf("bloom: threshold %v is outside (0, 1]", q.Threshold)
		}
	case Hamming:
		if !(q.Threshold >= 0 && q.Threshold <= float64(bits)) {
			return fmt.Errorf("bloom: threshold %v is outside [0, %d]", q.Threshold, bits)
		}
	default:
		return fmt.Errorf("bloom: unknown measure %d", int(q.Measure))
	}
	switch {
	case q.TopK < 0:
		return fmt.Errorf("bloom: top %d is negative", q.TopK)
	case q.MaxPairs < 1:
		return fmt.Errorf("bloom: a cap of %d pairs is less than 1", q.MaxPairs)
	}
	return nil
}

// Search returns the pairs of a CLK of a and one of b that reach the threshold,
// ordered by A, then by B or, with TopK, from best to worst. It compares every
// CLK with every other.
func Search(ctx context.Context, a, b *Set, q Query) ([]Pair, error) {
	return runSearch(ctx, a, b, q, false, cpu.Host())
}

// SearchWithin returns the pairs within one set, to find duplicates: those with
// A < B or, with TopK, the best of the others for each.
func SearchWithin(ctx context.Context, s *Set, q Query) ([]Pair, error) {
	return runSearch(ctx, s, s, q, true, cpu.Host())
}

// search is a running one.
type search struct {
	Query
	a, b     *Set
	within   bool
	features cpu.Features
	found    atomic.Int64 // pairs held so far
	done     atomic.Int64 // rows
}

func runSearch(ctx context.Context, a, b *Set, q Query, within bool, f cpu.Features) ([]Pair, error) {
	if a.bits != b.bits {
		return nil, fmt.Errorf("%w: %d bits in one set, %d in the other", ErrLength, a.bits, b.bits)
	}
	if err := q.check(a.bits); err != nil {
		return nil, err
	}
	if max(a.n, b.n) > math.MaxInt32 {
		return nil, fmt.Errorf("bloom: a set of %d CLKs is larger than %d", max(a.n, b.n), math.MaxInt32)
	}
	s := &search{Query: q, a: a, b: b, within: within, features: f}
	// Few rows are shared out among all workers.
	share := (a.n/parallel.Workers(q.Workers) + rowsPerTile) / rowsPerTile * rowsPerTile
	size := min(blockRows, share)
	results := make([][]Pair, (a.n+size-1)/size)
	err := parallel.Ranges(ctx, q.Workers, a.n, size, func(lo, hi int) (err error) {
		results[lo/size], err = s.block(ctx, lo, hi)
		if done := s.done.Add(int64(hi - lo)); err == nil && s.Progress != nil {
			s.Progress(int(done), a.n)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return slices.Concat(results...), nil
}

// block returns the pairs of the rows [lo, hi).
func (s *search) block(ctx context.Context, lo, hi int) ([]Pair, error) {
	b := s.newBlock(lo, hi)
	first := 0
	if s.within && s.TopK == 0 {
		first = (lo + 1) / group * group // none before lo+1 counts
	}
	for from := first; from < s.b.n; from += chunk {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		b.load(from, min(from+chunk, s.b.n))
		for t := range b.tiles {
			b.scan(t)
			if s.found.Load() > int64(s.MaxPairs) {
				return nil, fmt.Errorf("%w: more than the cap of %d reach the threshold %v", ErrTooManyPairs, s.MaxPairs, s.Threshold)
			}
		}
	}
	return b.pairs(), nil
}

// block is the state of one block of rows.
type block struct {
	*search
	lo, hi int
	tiles  [][]uint64
	// from and to are the candidates of the present chunk.
	from, to int
	args     scanArgs
	masks    [chunk / group][rowsPerTile]byte
	bounds   [chunk]int64
	share    uint64 // for which bounds are right, if any
	all      []Pair
	best     []topK // a row's, with TopK
}

func (s *search) newBlock(lo, hi int) *block {
	b := &block{search: s, lo: lo, hi: hi}
	n := (hi - lo + rowsPerTile - 1) / rowsPerTile
	words := s.a.words
	flat := make([]uint64, n*rowsPerTile*words)
	for i := lo; i < hi; i++ {
		r := i - lo
		for w := range words {
			flat[(r/rowsPerTile*words+w)*rowsPerTile+r%rowsPerTile] = s.a.word(i, w)
		}
	}
	for t := range n {
		b.tiles = append(b.tiles, flat[t*rowsPerTile*words:(t+1)*rowsPerTile*words])
	}
	if s.TopK > 0 {
		b.best = make([]topK, hi-lo)
	}
	return b
}

// load turns to the candidates [from, to); from is the first of a group.
func (b *block) load(from, to int) { b.from, b.to, b.share = from, to, math.MaxUint64 }

// scan compares tile t with the present chunk.
func (b *block) scan(t int) {
	b.args.tile = b.tiles[t]
	groups := (b.to - b.from + group - 1) / group
	for g := 0; g < groups; {
		n := groups - g
		if b.TopK > 0 && b.from == 0 {
			// While the best are few and poor nearly all pass: look again what
			// is needed after each doubling.
			n = min(n, max(g, 1))
		}
		b.scanGroups(b.lo+t*rowsPerTile, g, g+n)
		g += n
	}
}

// scanGroups compares the tile that begins with row first with the groups
// [lo, hi) of the present chunk.
func (b *block) scanGroups(first, lo, hi int) {
	rows := min(rowsPerTile, b.hi-first)
	var bars [rowsPerTile]bar
	share := uint64(math.MaxUint64)
	for r := range rows {
		bars[r] = b.Measure.bar(b.threshold(first + r))
		share = min(share, bars[r].share)
	}
	b.fillBounds(share)
	words := group * b.b.words
	at := b.from / group
	b.args.groups = b.b.data[(at+lo)*words : (at+hi)*words]
	b.args.masks = b.masks[lo:hi]
	b.args.bounds = b.bounds[lo*group : hi*group]
	for r := range rowsPerTile {
		b.args.base[r] = math.MinInt64 / 2 // no row
		if r < rows {
			b.args.base[r] = bars[r].less - partOf(share, b.a.counts[first+r])
		}
	}
	scan(b.features, &b.args)
	added := 0
	for g, m := range b.args.masks {
		if m == [rowsPerTile]byte{} {
			continue
		}
		for r := range rows {
			for c := range group {
				if m[r]>>c&1 == 1 {
					added += b.take(first+r, b.from+(lo+g)*group+c)
				}
			}
		}
	}
	if added > 0 {
		b.found.Add(int64(added))
	}
}

// threshold is what the pairs of row i have to reach by now.
func (b *block) threshold(i int) float64 {
	if b.TopK > 0 {
		if best := &b.best[i-b.lo]; len(best.pairs) == b.TopK {
			return best.pairs[0].Score
		}
	}
	return b.Threshold
}

// fillBounds sets the bounds of the present chunk, beyond whose end nothing
// passes.
func (b *block) fillBounds(share uint64) {
	if share == b.share {
		return
	}
	b.share = share
	for i, count := range b.b.counts[b.from:b.to] {
		b.bounds[i] = partOf(share, count)
	}
	for i := b.to - b.from; i < chunk; i++ {
		b.bounds[i] = math.MaxInt64
	}
}

// take looks closer at a pair that has passed the kernel and returns by how
// many the pairs held have grown.
func (b *block) take(i, j int) int {
	if b.within && (i == j || j < i && b.TopK == 0) {
		return 0
	}
	p := Pair{int32(i), int32(j), b.Measure.Compare(b.a, i, b.b, j)}
	if b.Measure.compare(p.Score, b.Threshold) > 0 {
		return 0
	}
	if b.TopK > 0 {
		return b.best[i-b.lo].offer(p, b.Measure, b.TopK)
	}
	b.all = append(b.all, p)
	return 1
}

// pairs returns the block's result in order.
func (b *block) pairs() []Pair {
	for i := range b.best {
		slices.SortFunc(b.best[i].pairs, b.Measure.better)
		b.all = append(b.all, b.best[i].pairs...)
	}
	if b.TopK == 0 {
		slices.SortFunc(b.all, comparePlaces)
	}
	return b.all
}
