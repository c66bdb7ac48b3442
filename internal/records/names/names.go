// Package names turns personal names as registers print them into forms that
// can be compared: lower-case Latin tokens without marks, titles and particles,
// and a consonant skeleton that a name's romanisations share.
//
// Everything here is a pure function of its input and of tables compiled in.
// Two agencies find each other's records only if they run equal tables, so a
// change of any output needs a new Version.
package names

import (
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// Version numbers the tables and algorithms of this package.
const Version = "1"

// UnicodeVersion is the version of the Unicode tables for normalisation.
const UnicodeVersion = norm.Version

// Bounds on hostile input. What lies beyond them is cut off, not refused: a
// name is still a name.
const (
	maxNameBytes  = 2048
	maxTokens     = 12
	maxTokenBytes = 40
)

// Tokens returns the normalised tokens of a name in the order written: NFKC,
// case folded, transliterated to lower-case Latin letters, without marks,
// titles and particles. The result is empty when nothing is left, and has at
// most 12 tokens of at most 40 bytes each. Digits are kept, for some registers
// number the bearers of a name.
func Tokens(name string) []string {
	return AppendTokens(nil, name)
}

// AppendTokens appends to dst what Tokens returns.
func AppendTokens(dst []string, name string) []string {
	head := len(dst)
	folded := Fold(name)
	for word := range strings.FieldsFuncSeq(folded, isSeparator) {
		word = trimToken(word)
		if word == "" {
			continue
		}
		dst = append(dst, word)
		if len(dst)-head == maxTokens {
			break
		}
	}
	return append(dst[:head], dropParticles(dst[head:])...)
}

// Fold returns the name in lower-case Latin letters, digits and single
// separators: NFKC, case folding, marks stripped, letters outside ASCII
// spelled with ASCII letters where a table knows them. Apostrophes and signs
// that stand for a glottal stop vanish; everything else becomes a space.
func Fold(name string) string {
	if len(name) > maxNameBytes {
		name = strings.ToValidUTF8(name[:maxNameBytes], "")
	}
	if s, ok := foldASCII(name); ok {
		return s
	}
	var b strings.Builder
	b.Grow(len(name))
	for _, r := range norm.NFKD.String(name) {
		switch {
		case r < utf8.RuneSelf:
			if c := asciiFold[r]; c != 0 {
				b.WriteByte(c)
			}
		case unicode.Is(unicode.Mn, r) || unicode.Is(unicode.Me, r) || unicode.Is(unicode.Cf, r):
		case isApostrophe(r):
		default:
			if s, ok := latinLetters[unicode.ToLower(r)]; ok {
				b.WriteString(s)
			} else if unicode.IsLetter(r) {
				b.WriteRune(unicode.ToLower(r))
			} else {
				b.WriteByte(' ')
			}
		}
	}
	return b.String()
}

// asciiFold maps an ASCII byte to what it becomes; 0 drops it.
var asciiFold = func() (t [utf8.RuneSelf]byte) {
	for i := range t {
		c := byte(i)
		switch {
		case 'a' <= c && c <= 'z' || '0' <= c && c <= '9':
			t[i] = c
		case 'A' <= c && c <= 'Z':
			t[i] = c + 'a' - 'A'
		case c == '\'' || c == '`':
			t[i] = 0
		default:
			t[i] = ' '
		}
	}
	return t
}()

// foldASCII is Fold for names in ASCII, the common case; ok is false for
// others.
func foldASCII(name string) (s string, ok bool) {
	for i := range len(name) {
		if name[i] >= utf8.RuneSelf {
			return "", false
		}
	}
	b := make([]byte, 0, len(name))
	for i := range len(name) {
		if c := asciiFold[name[i]]; c != 0 {
			b = append(b, c)
		}
	}
	return string(b), true
}

func isSeparator(r rune) bool { return r == ' ' }

// isApostrophe reports whether r is one of the signs that romanisations use
// for a glottal stop, an ayin, aspiration or a soft sign.
func isApostrophe(r rune) bool {
	switch r {
	case '’', '‘', 'ʼ', 'ʻ', 'ʿ', 'ʾ', '´', '′', '‛', '＇', 'ʹ', 'ʺ', '“', '”', '׳', '״':
		return true
	}
	return false
}

func trimToken(s string) string {
	if len(s) <= maxTokenBytes {
		return s
	}
	return strings.ToValidUTF8(s[:maxTokenBytes], "")
}

// latinLetters spells letters that do not decompose into an ASCII letter and
// marks, after ICAO Doc 9303-3 (8th edition), Section 6, Table A, where a
// letter has one plain reading.
var latinLetters = map[rune]string{
	'ß': "ss", 'ẞ': "ss", 'æ': "ae", 'œ': "oe", 'ø': "o", 'đ': "d", 'ð': "d", 'þ': "th",
	'ł': "l", 'ħ': "h", 'ı': "i", 'ŋ': "n", 'ŧ': "t", 'ĸ': "k", 'ə': "a", 'ɛ': "e",
	'ɔ': "o", 'ƒ': "f", 'ɓ': "b", 'ɗ': "d", 'ƙ': "k", 'ƴ': "y", 'ŀ': "l", 'ſ': "s",
}

// dropParticles removes, in place, tokens that name no person: articles,
// filiations, nobiliary particles, titles. If all tokens are such, all stay: a
// person may be called Ben.
func dropParticles(tokens []string) []string {
	if !slices.ContainsFunc(tokens, func(t string) bool { return !particles[t] }) {
		return tokens
	}
	return slices.DeleteFunc(tokens, func(t string) bool { return particles[t] })
}
