package names

import (
	"strings"
	"unicode/utf8"
)

// Skeleton returns the consonant key of a normalised word: romanisations of
// one name agree in it. Vowels and h vanish; sibilants fall together, and so do
// v, w and f; k, q, g and hard c; d and t; b and p; repeated classes are
// written once. A word without consonants gives its first letter; letters
// outside ASCII stand for themselves. Only the empty string gives the empty
// string.
func Skeleton(word string) string {
	return string(AppendSkeleton(nil, word))
}

// AppendSkeleton appends Skeleton(word) to dst.
func AppendSkeleton(dst []byte, word string) []byte {
	head := len(dst)
	var last byte
	for i := 0; i < len(word); {
		sound, n := consonant(word, i)
		i += n
		switch {
		case sound == "":
			last = 0
		case len(sound) == 1 && sound[0] == last:
		default:
			dst = append(dst, sound...)
			last = sound[len(sound)-1]
		}
	}
	switch {
	case len(dst) == head && word != "":
		_, n := utf8.DecodeRuneInString(word)
		dst = append(dst, word[:n]...)
	case len(dst) == head+1 && isVowel(word[0]):
		// One consonant says little: tell Ali from Lee.
		dst = append(dst, dst[head])
		dst[head] = 'a'
	}
	return dst
}

// consonant returns the classes of the sound at word[i], usually one, and how
// many bytes spell it.
func consonant(word string, i int) (sound string, n int) {
	c := word[i]
	if c >= utf8.RuneSelf {
		_, n = utf8.DecodeRuneInString(word[i:])
		return word[i : i+n], n
	}
	rest := word[i:]
	for _, m := range multigraphs[c] {
		if strings.HasPrefix(rest, m.spelling) && m.where.holds(word, i, len(m.spelling)) {
			return m.sound, len(m.spelling)
		}
	}
	return singles[c], 1
}

// where restricts a multigraph to a place in the word.
type where uint8

const (
	anywhere where = iota
	atStart
	atEnd
)

func (w where) holds(word string, i, n int) bool {
	switch w {
	case atStart:
		return i == 0
	case atEnd:
		return i+n == len(word)
	}
	return true
}

func isVowel(c byte) bool { return strings.IndexByte("aeiouy", c) >= 0 }

type multigraph struct {
	spelling, sound string
	where           where
}

// multigraphs are the sounds that several letters, or a letter in its place,
// spell, by first letter, longest first. s is the class of all sibilants.
var multigraphs = func() (t [256][]multigraph) {
	for _, m := range []multigraph{
		{"tzsch", "s", 0}, {"tsch", "s", 0}, {"dsch", "s", 0}, {"shch", "s", 0}, {"tch", "s", 0}, {"sch", "s", 0}, {"dzh", "s", 0},
		{"chr", "kr", 0}, {"chl", "kl", 0}, {"sh", "s", 0}, {"ch", "s", 0}, {"sz", "s", 0}, {"ts", "s", 0}, {"tz", "s", 0},
		{"cz", "s", 0}, {"zh", "s", 0}, {"dj", "s", 0}, {"dz", "s", 0}, {"ce", "s", 0}, {"ci", "s", 0}, {"cy", "s", 0},
		{"kh", "k", 0}, {"gh", "k", 0}, {"ck", "k", 0}, {"ph", "f", 0}, {"th", "t", 0}, {"dh", "t", 0}, {"ng", "n", atEnd}, {"x", "s", atStart},
	} {
		t[m.spelling[0]] = append(t[m.spelling[0]], m)
	}
	for _, ms := range t {
		sortLongestFirst(ms)
	}
	return t
}()

func sortLongestFirst(ms []multigraph) {
	for i := 1; i < len(ms); i++ {
		for j := i; j > 0 && len(ms[j].spelling) > len(ms[j-1].spelling); j-- {
			ms[j], ms[j-1] = ms[j-1], ms[j]
		}
	}
}

// singles are the classes of single letters.
var singles = func() (t [utf8.RuneSelf]string) {
	for class, letters := range map[string]string{
		"p": "bp", "k": "kqcg", "t": "dt", "f": "vwf", "s": "szj", "m": "m", "n": "n", "l": "l", "r": "r", "ks": "x",
	} {
		for _, c := range letters {
			t[c] = class
		}
	}
	for c := '0'; c <= '9'; c++ {
		t[c] = string(c)
	}
	return t
}()
