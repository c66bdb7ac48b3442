package names

import (
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// maxVariants bounds the spellings of one word.
const maxVariants = 16

// spell returns the spellings of a word, in lower case and NFKC, in Latin
// letters and digits, the most usual first; letters of scripts without a table
// stay. A word that leaves nothing gives none.
func spell(word string) []string {
	if w, ok := words[word]; ok {
		return []string{w}
	}
	runes := []rune(word)
	runes = stripArticle(runes)
	var parts [][]string
	for i := 0; i < len(runes); {
		r := runes[i]
		if i+1 < len(runes) {
			if alt, ok := digraphs[[2]rune{r, runes[i+1]}]; ok {
				parts = append(parts, alt)
				i += 2
				continue
			}
		}
		i++
		switch alt, ok := spellings[r]; {
		case ok:
			parts = append(parts, position(runes, i-1, alt))
		case isHangul(r):
			h := hangul(r)
			parts = append(parts, h[:]...)
		case isHan(r):
			if readings := pinyinOf(r); len(readings) > 0 {
				parts = append(parts, readings)
			} else {
				parts = append(parts, []string{string(r)})
			}
		default:
			parts = append(parts, bare(r)...)
		}
	}
	return combine(parts)
}

// bare returns the spellings of what a letter decomposes into, without marks.
func bare(r rune) [][]string {
	var parts [][]string
	for _, b := range plainLetters(string(r)) {
		if alt, ok := spellings[b]; ok {
			parts = append(parts, alt)
		} else {
			parts = append(parts, []string{string(b)})
		}
	}
	return parts
}

// position returns the spellings that a letter can have where it stands.
func position(word []rune, i int, alt []string) []string {
	first, last := i == 0, i == len(word)-1
	switch word[i] {
	case 'و':
		if first {
			return waw
		}
	case 'ו':
		if first {
			return vav
		}
	case 'ה', 'ه':
		if last {
			return silent
		}
	case 'у':
		if !last && strings.ContainsRune("аеиоыэюя", word[i+1]) {
			return cyrillicW
		}
	}
	// Letters that write no vowel between them are told apart, or two equal
	// ones would count as one that is doubled.
	if i > 0 && word[i] == word[i-1] && (unicode.Is(unicode.Arabic, word[i]) || unicode.Is(unicode.Hebrew, word[i])) {
		split := make([]string, len(alt))
		for j, a := range alt {
			split[j] = "a" + a
		}
		return split
	}
	return alt
}

var (
	cyrillicW = []string{"u", "w"}
	waw       = []string{"w", "u"}
	vav       = []string{"v", "o"}
	silent    = []string{"a"}
)

// stripArticle removes the Arabic article that is written as part of a word,
// as the Latin one is dropped as a particle.
func stripArticle(w []rune) []rune {
	if len(w) >= 5 && (w[0] == 'ا' || w[0] == 'أ') && w[1] == 'ل' {
		return w[2:]
	}
	return w
}

// combine returns the words that the parts spell, one spelling of each, at most
// maxVariants, without repetition.
func combine(parts [][]string) []string {
	out := []string{""}
	for _, alt := range parts {
		n := len(out)
		for _, a := range alt[1:] {
			for _, head := range out[:n] {
				if len(out) < maxVariants {
					out = append(out, head+a)
				}
			}
		}
		for i := range n {
			out[i] += alt[0]
		}
	}
	var distinct []string
	for _, s := range out {
		if s = trimToken(s); s != "" && !slices.Contains(distinct, s) {
			distinct = append(distinct, s)
		}
	}
	return distinct
}

// plainLetters returns the letters and digits of s without marks, in lower
// case.
func plainLetters(s string) string {
	var b strings.Builder
	for _, r := range norm.NFKD.String(s) {
		switch {
		case unicode.Is(unicode.Mn, r) || unicode.Is(unicode.Me, r):
		case unicode.IsLetter(r) && !unicode.Is(unicode.Lm, r) || r >= utf8.RuneSelf && unicode.Is(unicode.Nd, r):
			b.WriteRune(unicode.ToLower(r))
		case r < utf8.RuneSelf && asciiFold[r] != 0 && asciiFold[r] != ' ':
			b.WriteByte(asciiFold[r])
		}
	}
	return b.String()
}
