package sketch

import (
	"github.com/symbolon/symbolon/internal/records"
	"github.com/symbolon/symbolon/internal/records/names"
)

// kind tells features of different sorts apart.
type kind uint8

const (
	kindFill kind = iota
	kindName
	// Of names.
	kindBigram
	kindLetter
	kindLetterAgain
	kindPrefix
	kindSkeleton
	// Of dates.
	kindDay
	kindMonth
	kindYear
	kindDayMonth
	kindNearYear
	kindDate
)

// block is a run of groups that hash the same features.
type block struct {
	kind   kind
	groups int
}

// weights are the groups of each block for 64 groups in all, the name first. A
// name alone, with no date in common, so reaches 52 and what agrees by chance.
var weights = []block{
	{kindName, 52}, {kindDay, 2}, {kindMonth, 1}, {kindYear, 3}, {kindDayMonth, 2}, {kindNearYear, 2}, {kindDate, 2},
}

// layout returns the blocks for so many groups, in the proportion of weights.
func layout(groups int) []block {
	const of = 64
	out := make([]block, len(weights))
	sum, done := 0, 0
	for i, b := range weights {
		sum += b.groups
		end := (sum*groups + of/2) / of
		out[i] = block{b.kind, end - done}
		done = end
	}
	return out
}

// readings is how many spellings of a word count.
const readings = 2

// appendName appends the features of a name, in an order that depends on that
// of its words, with repetitions:
//   - two letters in a row, word for word, with a mark before and behind;
//   - each letter with its count in the name so far, twice: a slip of the
//     keyboard changes one letter but two pairs, and exchanged letters none;
//   - the first letter, the first two and the first three of each word;
//   - two letters in a row of each word's consonant skeleton, which
//     romanisations share.
//
// A word of several spellings counts in its first two.
func appendName(dst []uint64, tokens []names.Token) []uint64 {
	for reading := range readings {
		if reading > 0 && !respelt(tokens) {
			break
		}
		var count [256]int
		for _, t := range tokens {
			word := t.Spellings[min(reading, len(t.Spellings)-1)]
			dst = appendBigrams(dst, kindBigram, word)
			for i := range len(word) {
				c := word[i]
				count[c]++
				dst = append(dst, hashNumbers(kindLetter, int(c), count[c]), hashNumbers(kindLetterAgain, int(c), count[c]))
			}
			for n := 1; n <= min(3, len(word)); n++ {
				dst = append(dst, hashText(kindPrefix, word[:n]))
			}
			dst = appendBigrams(dst, kindSkeleton, names.Skeleton(word))
		}
	}
	return dst
}

// respelt reports whether a word has a second spelling.
func respelt(tokens []names.Token) bool {
	for _, t := range tokens {
		if len(t.Spellings) > 1 {
			return true
		}
	}
	return false
}

func appendBigrams(dst []uint64, k kind, word string) []uint64 {
	before := byte('_')
	for i := range len(word) {
		dst = append(dst, hashNumbers(k, int(before), int(word[i])))
		before = word[i]
	}
	return append(dst, hashNumbers(k, int(before), '_'))
}

// appendDates appends the parts of one kind that the dates hold; a part that
// no date knows gives none.
func appendDates(dst []uint64, k kind, births []records.Date) []uint64 {
	for _, d := range births {
		day, month := int(d.Day), int(d.Month)
		switch k {
		case kindDay:
			if day != 0 {
				dst = append(dst, hashNumbers(k, day, 0))
			}
		case kindMonth:
			if month != 0 {
				dst = append(dst, hashNumbers(k, month, 0))
			}
		case kindDayMonth:
			if day != 0 {
				dst = append(dst, hashNumbers(k, min(day, month), max(day, month)))
			}
		case kindDate:
			if day != 0 {
				dst = append(dst, hashNumbers(k, int(d.Year), day*32+month))
			}
		case kindYear, kindNearYear:
			dst = appendYears(dst, k, d)
		}
	}
	return dst
}

// maxRangeYears bounds the years of a range that count.
const maxRangeYears = 5

// appendYears appends the years of a date, or the pairs of years that hold
// them: two years one apart share a pair.
func appendYears(dst []uint64, k kind, d records.Date) []uint64 {
	last := int(d.Year)
	if d.Precision == records.PrecisionRange {
		last = min(int(d.ToYear), last+maxRangeYears-1)
	}
	for y := int(d.Year); y <= last; y++ {
		if k == kindYear {
			dst = append(dst, hashNumbers(k, y, 0))
		} else {
			dst = append(dst, hashNumbers(k, y-1, y), hashNumbers(k, y, y+1))
		}
	}
	return dst
}
