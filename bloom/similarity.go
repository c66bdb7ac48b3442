package bloom

import (
	"fmt"
	"math"
	"math/bits"
)

// Measure says how alike two CLKs are.
type Measure int

const (
	// Dice is 2·|a∧b| / (|a| + |b|), from 0 to 1; more is better.
	Dice Measure = iota + 1
	// Jaccard is |a∧b| / |a∨b|, from 0 to 1; more is better.
	Jaccard
	// Hamming is |a⊕b|, the number of bits that differ; less is better.
	Hamming
)

// String returns the measure's name in lower case.
func (m Measure) String() string {
	switch m {
	case Dice:
		return "dice"
	case Jaccard:
		return "jaccard"
	case Hamming:
		return "hamming"
	}
	return fmt.Sprintf("Measure(%d)", int(m))
}

// ParseMeasure returns the measure that String names so.
func ParseMeasure(name string) (Measure, error) {
	for m := Dice; m <= Hamming; m++ {
		if m.String() == name {
			return m, nil
		}
	}
	return 0, fmt.Errorf("bloom: no measure %q: want dice, jaccard or hamming", name)
}

// Compare returns the score of CLK i of s and CLK j of t. Two empty CLKs have a
// Dice and a Jaccard of 0: nothing is known of either. It panics if the lengths
// of the CLKs differ.
func (m Measure) Compare(s *Set, i int, t *Set, j int) float64 {
	if s.bits != t.bits {
		panic("bloom: comparing CLKs of different lengths")
	}
	common := 0
	for w := range s.words {
		common += bits.OnesCount64(s.word(i, w) & t.word(j, w))
	}
	return m.score(common, s.Count(i), t.Count(j))
}

// score returns the score of two CLKs with a and b bits set, common to both.
func (m Measure) score(common, a, b int) float64 {
	if m == Hamming {
		return float64(a + b - 2*common)
	}
	if a+b == 0 {
		return 0
	}
	if m == Dice {
		return float64(2*common) / float64(a+b)
	}
	return float64(common) / float64(a+b-common)
}

// compare orders scores, the better first.
func (m Measure) compare(x, y float64) int {
	if m == Hamming {
		x, y = y, x
	}
	switch {
	case x > y:
		return -1
	case x < y:
		return 1
	}
	return 0
}

// sharePlaces is enough for a share of MaxBits to be right to 2^-12 bits, and
// few enough for it to fit in 64 bits.
const sharePlaces = 32

// bar is what a threshold demands: share·(a + b) - less bits in common, as
// kernels reckon, and a little less rather than more. It keeps all pairs that
// reach the threshold; the score of what passes is still to be looked at.
type bar struct {
	share uint64 // with sharePlaces binary places
	less  int64  // with as many as in a kernel
}

func (m Measure) bar(threshold float64) bar {
	share, less := 0.5, int64(0)
	switch m {
	case Dice:
		share = threshold / 2
	case Jaccard:
		share = threshold / (1 + threshold)
	case Hamming:
		less = int64(math.Ceil(threshold / 2 * (1 << places)))
	}
	return bar{max(1, uint64(share*(1<<sharePlaces))) - 1, less}
}

// partOf returns the share of a number of bits, rounded down, with the binary
// places of a kernel.
func partOf(share uint64, count uint32) int64 {
	return int64(share * uint64(count) >> (sharePlaces - places))
}
