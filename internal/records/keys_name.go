package records

import (
	"slices"
	"strings"

	"github.com/symbolon/symbolon/internal/records/names"
)

// maxReadings bounds the readings of a name that one clause gives, where words
// have several spellings.
const maxReadings = 32

// values returns what one name holds for a clause.
func (f *nameForm) values(c Clause) []string {
	if c.Which == whichBoth {
		return f.both(c)
	}
	tokens := f.tokens
	switch c.Which {
	case whichGiven:
		tokens = f.given
	case whichFamily:
		tokens = f.family
	}
	words := 0
	parts := make([][]string, 0, len(tokens))
	for _, t := range tokens {
		v := tokenValues(t, c)
		if len(v) > 0 {
			parts = append(parts, v)
			words += t.Words
		} else if c.Which != whichAny {
			return nil
		}
	}
	if len(parts) == 0 || words < c.AtLeast || c.AtMost > 0 && words > c.AtMost {
		return nil
	}
	if c.Which == whichAny {
		return choices(parts, c.Count, c.Consonants)
	}
	return choices(parts, len(parts), 0)
}

// both returns the values of the given names, written as one word, and of the
// family names, written as one word, sorted.
func (f *nameForm) both(c Clause) []string {
	if len(f.given) == 0 || len(f.family) == 0 {
		return nil
	}
	given, family := names.Join(f.given), names.Join(f.family)
	if words := given.Words + family.Words; words < c.AtLeast || c.AtMost > 0 && words > c.AtMost {
		return nil
	}
	a, b := tokenValues(given, c), tokenValues(family, c)
	if len(a) == 0 || len(b) == 0 {
		return nil
	}
	return choices([][]string{a, b}, 2, 0)
}

// tokenValues returns the distinct values of a word's spellings that are long
// enough, the most usual first.
func tokenValues(t names.Token, c Clause) []string {
	if len(t.Spellings) == 1 {
		if s := t.Spellings[0]; len(s) < c.Letters {
			return nil
		} else if c.How == howExact {
			return t.Spellings
		}
	}
	out := make([]string, 0, len(t.Spellings))
	for _, s := range t.Spellings {
		if len(s) < c.Letters {
			continue
		}
		if v := tokenValue(s, c); !slices.Contains(out, v) {
			out = append(out, v)
		}
	}
	return out
}

func tokenValue(s string, c Clause) string {
	switch c.How {
	case howSkeleton:
		return names.Skeleton(s)
	case howPhonetic:
		return names.Phonetic(s)
	case howPrefix:
		n := 0
		for i := range s {
			if n == c.Length {
				return s[:i]
			}
			n++
		}
	}
	return s
}

// choices returns the distinct ways to choose n of the words and one value of
// each, sorted and joined by spaces: the most usual spellings first, at most
// maxReadings for each choice of words. Where there are more words than n, the
// values must be worth at least so many consonants together, and differ.
func choices(parts [][]string, n, consonants int) []string {
	if len(parts) < n {
		return nil
	}
	if len(parts) == n {
		consonants = 0
	}
	c := chooser{parts: parts, consonants: consonants, sorted: make([]string, n), at: make([]int, n)}
	c.pick(0, make([]int, 0, n))
	return c.out
}

type chooser struct {
	parts      [][]string
	consonants int
	sorted     []string
	at         []int
	out        []string
}

func (c *chooser) pick(from int, chosen []int) {
	n := len(c.sorted)
	if len(chosen) == n {
		c.emit(chosen)
		return
	}
	for i := from; i <= len(c.parts)-(n-len(chosen)); i++ {
		c.pick(i+1, append(chosen, i))
	}
}

// emit adds the values of the chosen words.
func (c *chooser) emit(chosen []int) {
	clear(c.at)
	for range maxReadings {
		for i, p := range chosen {
			c.sorted[i] = c.parts[p][c.at[i]]
		}
		slices.Sort(c.sorted)
		if c.strong() {
			if s := strings.Join(c.sorted, " "); !slices.Contains(c.out, s) {
				c.out = append(c.out, s)
			}
		}
		i := len(chosen) - 1
		for ; i >= 0; i-- {
			if c.at[i]++; c.at[i] < len(c.parts[chosen[i]]) {
				break
			}
			c.at[i] = 0
		}
		if i < 0 {
			return
		}
	}
}

func (c *chooser) strong() bool {
	if c.consonants == 0 {
		return true
	}
	total := 0
	for i, s := range c.sorted {
		if i > 0 && s == c.sorted[i-1] {
			return false
		}
		total += len(s)
	}
	return total >= c.consonants
}
