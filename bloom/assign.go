package bloom

import "slices"

// TiePolicy says what Assign does where scores are equal.
type TiePolicy int

const (
	// TiesByOrder takes the pair with the lower A, then with the lower B.
	TiesByOrder TiePolicy = iota + 1
	// TiesWithdrawn assigns none of the CLKs among which the best score leaves a
	// choice, neither to one another nor to anything worse: a person has to
	// look at them.
	TiesWithdrawn
)

// Assign makes a one-to-one matching between two sets of the pairs that Search
// returned for them: greedily, the best score first. It returns the pairs of
// the matching and, with TiesWithdrawn, those that were in doubt, both from
// best to worst. The order of the pairs given does not matter.
func Assign(pairs []Pair, m Measure, ties TiePolicy) (matched, doubtful []Pair) {
	if ties != TiesByOrder && ties != TiesWithdrawn {
		panic("bloom: unknown tie policy")
	}
	pairs = slices.Clone(pairs)
	slices.SortFunc(pairs, m.better)
	most := Pair{A: -1, B: -1}
	for _, p := range pairs {
		most.A, most.B = max(most.A, p.A), max(most.B, p.B)
	}
	a := assignment{pairs, make([]bool, most.A+1), make([]bool, most.B+1)}
	if ties == TiesByOrder {
		return a.greedy(), nil
	}
	return a.certain()
}

// assignment is one under way; pairs come from best to worst.
type assignment struct {
	pairs        []Pair
	goneA, goneB []bool
}

func (a *assignment) free(p Pair) bool { return !a.goneA[p.A] && !a.goneB[p.B] }
func (a *assignment) remove(p Pair)    { a.goneA[p.A], a.goneB[p.B] = true, true }

func (a *assignment) greedy() (matched []Pair) {
	for _, p := range a.pairs {
		if a.free(p) {
			matched = append(matched, p)
			a.remove(p)
		}
	}
	return matched
}

// certain takes the pairs of one score at a time.
func (a *assignment) certain() (matched, doubtful []Pair) {
	for rest := a.pairs; len(rest) > 0; {
		n := 1
		for n < len(rest) && rest[n].Score == rest[0].Score {
			n++
		}
		var open []Pair
		partnersA, partnersB := make(map[int32]int), make(map[int32]int)
		for _, p := range rest[:n] {
			if a.free(p) {
				open = append(open, p)
				partnersA[p.A]++
				partnersB[p.B]++
			}
		}
		for _, p := range open {
			if partnersA[p.A] == 1 && partnersB[p.B] == 1 {
				matched = append(matched, p)
			} else {
				doubtful = append(doubtful, p)
			}
			a.remove(p)
		}
		rest = rest[n:]
	}
	return matched, doubtful
}
