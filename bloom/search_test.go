package bloom

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/bits"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/symbolon/symbolon/internal/cpu"
)

// naiveScore compares two CLKs byte by byte.
func naiveScore(m Measure, a, b []byte) float64 {
	and, or, xor := 0, 0, 0
	for i := range a {
		and += bits.OnesCount8(a[i] & b[i])
		or += bits.OnesCount8(a[i] | b[i])
		xor += bits.OnesCount8(a[i] ^ b[i])
	}
	switch {
	case m == Hamming:
		return float64(xor)
	case or == 0:
		return 0
	case m == Dice:
		return 2 * float64(and) / float64(popcount(a)+popcount(b))
	}
	return float64(and) / float64(or)
}

func unpack(s *Set) [][]byte {
	clks := make([][]byte, s.n)
	for i := range clks {
		clks[i] = s.AppendBytes(nil, i)
	}
	return clks
}

// naiveSearch looks at all pairs and sorts.
func naiveSearch(a, b *Set, q Query, within bool) []Pair {
	var all []Pair
	as, bs := unpack(a), unpack(b)
	for i := range a.n {
		var row []Pair
		for j := range b.n {
			if within && (i == j || q.TopK == 0 && j < i) {
				continue
			}
			score := naiveScore(q.Measure, as[i], bs[j])
			if q.Measure == Hamming && score <= q.Threshold || q.Measure != Hamming && score >= q.Threshold {
				row = append(row, Pair{int32(i), int32(j), score})
			}
		}
		if q.TopK > 0 {
			slices.SortStableFunc(row, func(p, q2 Pair) int { return q.Measure.compare(p.Score, q2.Score) })
			row = row[:min(len(row), q.TopK)]
		}
		all = append(all, row...)
	}
	return all
}

// relatedSets returns two sets of which many CLKs are similar, some equal and
// some empty.
func relatedSets(t testing.TB, r *rand.Rand, length, na, nb int) (a, b *Set) {
	t.Helper()
	a, b = newSet(length), newSet(length)
	var last []byte
	for i := range na + nb {
		clk := randomCLK(r, length, 0.1+0.5*r.Float64())
		switch r.IntN(8) {
		case 0:
			clear(clk)
		case 1, 2, 3, 4:
			if last != nil {
				copy(clk, last)
				for range r.IntN(5) {
					bit := r.IntN(length)
					clk[bit/8] ^= 0x80 >> (bit % 8)
				}
			}
		}
		last = clk
		to := a
		if i%2 == 1 && b.n < nb || a.n == na {
			to = b
		}
		if err := to.Append(clk); err != nil {
			t.Fatal(err)
		}
	}
	return a, b
}

func TestMeasures(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 8))
	for _, length := range lengths {
		a, b := relatedSets(t, r, length, 20, 20)
		for _, m := range []Measure{Dice, Jaccard, Hamming} {
			for i := range a.n {
				for j := range b.n {
					got, want := m.Compare(a, i, b, j), naiveScore(m, a.AppendBytes(nil, i), b.AppendBytes(nil, j))
					if got != want {
						t.Fatalf("%v of %d bits: got %v, want %v", m, length, got, want)
					}
				}
			}
			if back, err := ParseMeasure(m.String()); err != nil || back != m {
				t.Errorf("%v is read back as %v, %v", m, back, err)
			}
		}
	}
	if _, err := ParseMeasure("cosine"); err == nil {
		t.Error("an unknown measure was read")
	}
}

func TestSearch(t *testing.T) {
	queries := []Query{
		{Measure: Dice, Threshold: 1}, {Measure: Dice, Threshold: 0.8}, {Measure: Dice, Threshold: 2.0 / 3}, {Measure: Dice, Threshold: 1e-9},
		{Measure: Jaccard, Threshold: 1}, {Measure: Jaccard, Threshold: 0.5}, {Measure: Jaccard, Threshold: 1.0 / 3},
		{Measure: Hamming, Threshold: 0}, {Measure: Hamming, Threshold: 3}, {Measure: Hamming, Threshold: 4.5},
		{Measure: Dice, TopK: 1}, {Measure: Dice, TopK: 5, Threshold: 0.7}, {Measure: Jaccard, TopK: 3}, {Measure: Hamming, TopK: 4, Threshold: 1},
		{Measure: Dice, TopK: 10_000},
	}
	forEachKernel(t, func(t *testing.T, f cpu.Features) {
		r := rand.New(rand.NewPCG(9, 10))
		for i, size := range [][3]int{{1, 9, 17}, {7, 40, 33}, {64, 1, 70}, {100, 66, 0}, {65, 0, 5}, {1000, 67, 61}, {256, 70, 530}} {
			a, b := relatedSets(t, r, size[0], size[1], size[2])
			for j, q := range queries {
				q.MaxPairs, q.Workers = 1<<20, (i+j)%3+1
				q.Threshold = min(q.Threshold, float64(size[0]))
				for _, within := range []bool{false, true} {
					to := b
					if within {
						to = a
					}
					got, err := runSearch(context.Background(), a, to, q, within, f)
					if err != nil {
						t.Fatal(err)
					}
					if want := naiveSearch(a, to, q, within); !slices.Equal(got, want) {
						t.Fatalf("%v, %+v, within %v: got %d pairs, want %d, or others", size, q, within, len(got), len(want))
					}
				}
			}
		}
	})
}

// TestThresholdIsExact puts the threshold on every score that two CLKs can have
// and on the float64 next to it.
func TestThresholdIsExact(t *testing.T) {
	set := newSet(24)
	for i := range 25 {
		clk := make([]byte, 3)
		for b := range i {
			clk[b/8] |= 0x80 >> (b % 8)
		}
		if err := set.Append(clk); err != nil {
			t.Fatal(err)
		}
	}
	for _, m := range []Measure{Dice, Jaccard} {
		for i := range set.n {
			for j := range i {
				at := m.Compare(set, i, set, j)
				for _, threshold := range []float64{math.Nextafter(at, 0), at, math.Nextafter(at, 2)} {
					if threshold <= 0 || threshold > 1 {
						continue
					}
					q := Query{Measure: m, Threshold: threshold, MaxPairs: 1000, Workers: 1}
					got, err := SearchWithin(context.Background(), set, q)
					if err != nil {
						t.Fatal(err)
					}
					if want := naiveSearch(set, set, q, true); !slices.Equal(got, want) {
						t.Fatalf("%v at %v: got %d pairs, want %d", m, threshold, len(got), len(want))
					}
				}
			}
		}
	}
}

func TestCap(t *testing.T) {
	a, b := relatedSets(t, rand.New(rand.NewPCG(11, 12)), 256, 300, 1100)
	for _, q := range []Query{{Measure: Dice, Threshold: 0.3}, {Measure: Dice, TopK: 7}} {
		q.MaxPairs = 1 << 30
		all, err := Search(context.Background(), a, b, q)
		if err != nil {
			t.Fatal(err)
		}
		for workers := 1; workers <= 3; workers++ {
			q.Workers, q.MaxPairs = workers, len(all)
			if got, err := Search(context.Background(), a, b, q); err != nil || !slices.Equal(got, all) {
				t.Errorf("%+v: the cap is the number of pairs, but got %d of %d, %v", q, len(got), len(all), err)
			}
			q.MaxPairs--
			got, err := Search(context.Background(), a, b, q)
			if !errors.Is(err, ErrTooManyPairs) || got != nil || !strings.Contains(err.Error(), fmt.Sprintf("the cap of %d", q.MaxPairs)) {
				t.Errorf("%+v: got %d pairs and error %v", q, len(got), err)
			}
		}
	}
}

func TestSearchRefuses(t *testing.T) {
	a := newSet(64)
	good := Query{Measure: Dice, Threshold: 0.5, MaxPairs: 1}
	change := func(f func(*Query)) Query { q := good; f(&q); return q }
	for name, q := range map[string]Query{
		"no measure":            change(func(q *Query) { q.Measure = 0 }),
		"threshold 0":           change(func(q *Query) { q.Threshold = 0 }),
		"threshold above 1":     change(func(q *Query) { q.Threshold = 1.2 }),
		"negative threshold":    change(func(q *Query) { q.Threshold, q.TopK = -0.5, 1 }),
		"threshold NaN":         change(func(q *Query) { q.Threshold = math.NaN() }),
		"negative distance":     change(func(q *Query) { q.Measure, q.Threshold = Hamming, -1 }),
		"distance beyond":       change(func(q *Query) { q.Measure, q.Threshold = Hamming, 65 }),
		"distance NaN":          change(func(q *Query) { q.Measure, q.Threshold = Hamming, math.NaN() }),
		"no cap":                change(func(q *Query) { q.MaxPairs = 0 }),
		"a negative number":     change(func(q *Query) { q.TopK = -1 }),
		"a measure that is off": change(func(q *Query) { q.Measure = 9 }),
	} {
		if _, err := Search(context.Background(), a, a, q); err == nil {
			t.Errorf("%s was taken", name)
		}
	}
	if _, err := Search(context.Background(), a, newSet(65), good); !errors.Is(err, ErrLength) {
		t.Errorf("sets of different lengths: %v", err)
	}
	if got, err := Search(context.Background(), a, a, good); err != nil || len(got) != 0 {
		t.Errorf("empty sets: %v, %v", got, err)
	}
	full := randomSet(t, rand.New(rand.NewPCG(1, 1)), 64, 100)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := Search(ctx, full, full, good); !errors.Is(err, context.Canceled) {
		t.Errorf("after cancellation: %v", err)
	}
}

func TestAssign(t *testing.T) {
	pairs := []Pair{{0, 0, 0.9}, {0, 1, 0.8}, {1, 0, 0.85}, {1, 1, 0.7}, {2, 2, 0.6}, {2, 3, 0.6}, {3, 2, 0.5}, {4, 4, 0.6}}
	for _, c := range []struct {
		name              string
		m                 Measure
		ties              TiePolicy
		matched, doubtful []Pair
	}{
		{"by order", Dice, TiesByOrder, []Pair{{0, 0, 0.9}, {1, 1, 0.7}, {2, 2, 0.6}, {4, 4, 0.6}}, nil},
		// 3 would take 2, but 2 may belong to the third.
		{"withdrawn", Dice, TiesWithdrawn, []Pair{{0, 0, 0.9}, {1, 1, 0.7}, {4, 4, 0.6}}, []Pair{{2, 2, 0.6}, {2, 3, 0.6}}},
		{"distances", Hamming, TiesByOrder, []Pair{{3, 2, 0.5}, {2, 3, 0.6}, {4, 4, 0.6}, {1, 1, 0.7}, {0, 0, 0.9}}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := rand.New(rand.NewPCG(13, 14))
			for range 20 {
				shuffled := slices.Clone(pairs)
				r.Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
				before := slices.Clone(shuffled)
				matched, doubtful := Assign(shuffled, c.m, c.ties)
				if !slices.Equal(matched, c.matched) || !slices.Equal(doubtful, c.doubtful) {
					t.Fatalf("got %v and %v, want %v and %v", matched, doubtful, c.matched, c.doubtful)
				}
				if !slices.Equal(shuffled, before) {
					t.Fatal("the pairs given were changed")
				}
			}
		})
	}
	if matched, doubtful := Assign(nil, Dice, TiesWithdrawn); matched != nil || doubtful != nil {
		t.Error("a matching of no pairs")
	}
}

// TestAssignIsOneToOne checks on random pairs that nobody has two partners and
// that no pair left out is better than those that its ends have.
func TestAssignIsOneToOne(t *testing.T) {
	r := rand.New(rand.NewPCG(15, 16))
	for range 200 {
		var pairs []Pair
		for a := range int32(6) {
			for b := range int32(6) {
				if r.IntN(2) == 0 {
					pairs = append(pairs, Pair{a, b, float64(r.IntN(4))})
				}
			}
		}
		for _, ties := range []TiePolicy{TiesByOrder, TiesWithdrawn} {
			matched, doubtful := Assign(pairs, Dice, ties)
			scoreA, scoreB := make(map[int32]float64), make(map[int32]float64)
			for _, p := range matched {
				if _, twice := scoreA[p.A]; twice {
					t.Fatalf("A %d has two partners", p.A)
				}
				if _, twice := scoreB[p.B]; twice {
					t.Fatalf("B %d has two partners", p.B)
				}
				scoreA[p.A], scoreB[p.B] = p.Score, p.Score
			}
			for _, p := range doubtful {
				_, a := scoreA[p.A]
				_, b := scoreB[p.B]
				if a || b {
					t.Fatalf("%v is in doubt, but an end of it is matched", p)
				}
			}
			for _, p := range doubtful {
				scoreA[p.A], scoreB[p.B] = max(scoreA[p.A], p.Score), max(scoreB[p.B], p.Score)
			}
			for _, p := range pairs {
				a, hasA := scoreA[p.A]
				b, hasB := scoreB[p.B]
				if !(hasA && a >= p.Score || hasB && b >= p.Score) {
					t.Fatalf("%v was left out for nothing better", p)
				}
			}
		}
	}
}

// BenchmarkSearch compares CLKs of the density that encoded persons have.
func BenchmarkSearch(b *testing.B) {
	const n = 1 << 14
	r := rand.New(rand.NewPCG(17, 18))
	s, t := newSet(1024), newSet(1024)
	for range n {
		if s.Append(randomCLK(r, 1024, 0.3)) != nil || t.Append(randomCLK(r, 1024, 0.3)) != nil {
			b.Fatal("a CLK was refused")
		}
	}
	for _, q := range []Query{{Measure: Dice, Threshold: 0.8}, {Measure: Dice, TopK: 5}} {
		q.Workers, q.MaxPairs = 1, 1<<20
		name := "threshold"
		if q.TopK > 0 {
			name = "top5"
		}
		for kernel, f := range kernels() {
			b.Run(name+"/"+kernel, func(b *testing.B) {
				for b.Loop() {
					if _, err := runSearch(context.Background(), s, t, q, false, f); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(float64(b.N)*n*n/b.Elapsed().Seconds()/1e6, "Mcmp/s")
			})
		}
	}
}
