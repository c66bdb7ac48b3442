package bloom

import "cmp"

// better orders pairs by score, the best first, and equal ones by place.
func (m Measure) better(p, q Pair) int {
	return cmp.Or(m.compare(p.Score, q.Score), comparePlaces(p, q))
}

func comparePlaces(p, q Pair) int {
	return cmp.Or(cmp.Compare(p.A, q.A), cmp.Compare(p.B, q.B))
}

// topK holds the best pairs of one row as a heap with the worst at the root.
type topK struct{ pairs []Pair }

// offer adds a pair if it is among the best k, and returns by how many the
// pairs held have grown.
func (t *topK) offer(p Pair, m Measure, k int) int {
	if len(t.pairs) < k {
		t.pairs = append(t.pairs, p)
		t.up(m)
		return 1
	}
	if m.better(p, t.pairs[0]) < 0 {
		t.pairs[0] = p
		t.down(m)
	}
	return 0
}

// up moves the last pair to its place.
func (t *topK) up(m Measure) {
	for i := len(t.pairs) - 1; i > 0; {
		parent := (i - 1) / 2
		if m.better(t.pairs[i], t.pairs[parent]) < 0 {
			return
		}
		t.pairs[i], t.pairs[parent] = t.pairs[parent], t.pairs[i]
		i = parent
	}
}

// down moves the first pair to its place.
func (t *topK) down(m Measure) {
	for i := 0; ; {
		worst := i
		for c := 2*i + 1; c <= 2*i+2 && c < len(t.pairs); c++ {
			if m.better(t.pairs[c], t.pairs[worst]) > 0 {
				worst = c
			}
		}
		if worst == i {
			return
		}
		t.pairs[i], t.pairs[worst] = t.pairs[worst], t.pairs[i]
		i = worst
	}
}
