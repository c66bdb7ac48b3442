package names

import "unicode/utf8"

// Skeleton returns the consonant key of a normalised token: romanisations of
// one name agree in it. Vowels and h vanish; sibilants fall together, and so
// do v, w and f; k, q, c and g; d and t; b and p; repeated classes are written
// once. A token without consonants gives its first letter. The empty string
// gives the empty string.
func Skeleton(token string) string {
	return string(AppendSkeleton(nil, token))
}

// AppendSkeleton appends Skeleton(token) to dst.
func AppendSkeleton(dst []byte, token string) []byte {
	head := len(dst)
	var last byte
	for i := 0; i < len(token); {
		class, n := consonant(token, i)
		i += n
		if class == 0 {
			last = 0
			continue
		}
		if class == last {
			continue
		}
		dst = append(dst, class)
		last = class
	}
	if len(dst) == head && token != "" {
		_, n := utf8.DecodeRuneInString(token)
		dst = append(dst, token[:n]...)
	}
	return dst
}

// consonant returns the class of the sound at token[i] and how many bytes
// spell it; class 0 has no sound of its own.
func consonant(token string, i int) (class byte, n int) {
	rest := token[i:]
	for _, m := range multigraphs[rest[0]] {
		if len(rest) >= len(m.spelling) && rest[:len(m.spelling)] == m.spelling {
			return m.class, len(m.spelling)
		}
	}
	if c := rest[0]; c < utf8.RuneSelf {
		return singles[c], 1
	}
	_, n = utf8.DecodeRuneInString(rest)
	return 0, n
}

type multigraph struct {
	spelling string
	class    byte
}

// multigraphs are spellings of one sound with several letters, by first
// letter, longest first. 's' is the class of all sibilants.
var multigraphs = func() (t [256][]multigraph) {
	for _, m := range []multigraph{
		{"tsch", 's'}, {"dsch", 's'}, {"tch", 's'}, {"sch", 's'}, {"shch", 's'}, {"tzsch", 's'},
		{"sh", 's'}, {"ch", 's'}, {"sz", 's'}, {"ts", 's'}, {"tz", 's'}, {"cz", 's'}, {"zh", 's'}, {"dzh", 's'}, {"dj", 's'},
		{"dz", 's'}, {"kh", 'k'}, {"gh", 'k'}, {"ck", 'k'}, {"ph", 'f'}, {"th", 't'}, {"dh", 't'}, {"ks", 'x'},
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
var singles = func() (t [utf8.RuneSelf]byte) {
	for class, letters := range map[byte]string{
		'p': "bp", 'k': "kqcg", 't': "dt", 'f': "vwf", 's': "szjx", 'm': "m", 'n': "n", 'l': "l", 'r': "r",
	} {
		for _, c := range []byte(letters) {
			t[c] = class
		}
	}
	for c := byte('0'); c <= '9'; c++ {
		t[c] = c
	}
	return t
}()
