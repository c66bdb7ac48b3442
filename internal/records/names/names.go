// Package names turns personal names as registers print them into forms that
// can be compared: words in lower-case Latin letters without marks, titles and
// particles, with the spellings that a word of another script may have, and a
// consonant skeleton that a name's romanisations share.
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

// Token is one word of a name.
type Token struct {
	// Spellings in Latin letters, the most usual first; from 1 to 16.
	Spellings []string
	// Words counts the words that were written: more than one where Parse
	// joined what others write as one.
	Words int
}

// Parse returns the words of a name, given names first where a comma shows the
// order, without titles and particles. There are at most 12 words of at most 40 bytes each. Digits are
// kept, for some registers number the bearers of a name; letters of scripts
// without a table stay as they are.
func Parse(name string) []Token { return new(Parser).Parse(name) }

// Parser is Parse for many names: it remembers how words outside ASCII are
// spelt, for names repeat. The zero Parser is ready; it is not safe for
// concurrent use.
type Parser struct {
	spelt map[string][]string
}

// maxRemembered bounds the words, of at most maxRememberedBytes each, that a
// Parser remembers: a megabyte or two.
const (
	maxRemembered      = 4096
	maxRememberedBytes = 64
)

// spell is spell from memory.
func (p *Parser) spell(word string) []string {
	s, ok := p.spelt[word]
	if ok {
		return s
	}
	s = spell(word)
	if len(word) > maxRememberedBytes {
		return s
	}
	if p.spelt == nil || len(p.spelt) == maxRemembered {
		p.spelt = make(map[string][]string)
	}
	p.spelt[strings.Clone(word)] = slices.Clip(s)
	return s
}

// Parse is Parse.
func (p *Parser) Parse(name string) []Token {
	if len(name) > maxNameBytes {
		name = strings.ToValidUTF8(name[:maxNameBytes], "")
	}
	if family, given, ok := strings.Cut(name, ","); ok {
		name = given + " " + family
	}
	var tokens []Token
	if isASCII(name) {
		tokens = parseASCII(name)
	} else {
		tokens = p.parseUnicode(name)
	}
	return tidy(tokens)
}

// Tokens returns the most usual spelling of each word that Parse returns.
func Tokens(name string) []string { return new(Parser).Tokens(name) }

// Tokens is Tokens.
func (p *Parser) Tokens(name string) []string {
	tokens := p.Parse(name)
	out := make([]string, len(tokens))
	for i, t := range tokens {
		out[i] = t.Spellings[0]
	}
	return out
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// asciiFold maps an ASCII byte to what it becomes; 0 drops it. Apostrophes
// stand for a glottal stop, an ayin, aspiration or a soft sign.
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

// parseASCII is the common case, with one spelling a word.
func parseASCII(name string) []Token {
	b := make([]byte, 0, len(name))
	for i := range len(name) {
		if c := asciiFold[name[i]]; c != 0 {
			b = append(b, c)
		}
	}
	folded := string(b)
	n := min(strings.Count(folded, " ")+1, 2*maxTokens)
	spelt := make([]string, 0, n)
	tokens := make([]Token, 0, n)
	for len(folded) > 0 && len(spelt) < n {
		word, rest, _ := strings.Cut(folded, " ")
		folded = rest
		if word == "" {
			continue
		}
		spelt = append(spelt, trimToken(word))
		tokens = append(tokens, Token{spelt[len(spelt)-1 : len(spelt) : len(spelt)], 1})
	}
	return tokens
}

func (p *Parser) parseUnicode(name string) []Token {
	var tokens []Token
	for word := range strings.FieldsFuncSeq(foldWords(name), unicode.IsSpace) {
		for _, part := range splitScript(word) {
			if s := p.spell(part); len(s) > 0 {
				tokens = append(tokens, Token{s, 1})
			}
		}
		if len(tokens) >= 2*maxTokens {
			break
		}
	}
	return tokens
}

// foldWords returns the name in NFKC and lower case, with everything that is
// neither letter nor digit as a space. Marks of Latin, Greek and Cyrillic
// letters stay composed for the tables; vowel signs and invisible characters
// vanish. An apostrophe stays after a Hebrew letter, where it is a geresh.
func foldWords(name string) string {
	var b strings.Builder
	b.Grow(len(name))
	var before rune
	for _, r := range norm.NFKC.String(strings.ToValidUTF8(name, "")) {
		r = unicode.ToLower(r)
		switch {
		case unicode.Is(unicode.Cf, r) || r == 'ـ':
			continue
		case isApostrophe(r):
			if unicode.Is(unicode.Hebrew, before) {
				b.WriteByte('\'')
			}
		case unicode.Is(unicode.Mn, r) || unicode.Is(unicode.Me, r):
		case unicode.IsLetter(r) || unicode.Is(unicode.Nd, r) || r == 'ー':
			b.WriteRune(r)
		default:
			b.WriteByte(' ')
		}
		before = r
	}
	return b.String()
}

// isApostrophe reports whether r is one of the signs that romanisations use
// for a glottal stop, an ayin, aspiration or a soft sign.
func isApostrophe(r rune) bool {
	switch r {
	case '\'', '`', '’', '‘', 'ʼ', 'ʻ', 'ʿ', 'ʾ', '´', '′', '‛', 'ʹ', 'ʺ', '“', '”', '׳', '״', '"':
		return true
	}
	return false
}

// splitScript cuts a Chinese or Korean full name, which is written without a
// space, into family and given name: the family name is the first character,
// or the first two where they are a compound one.
func splitScript(word string) []string {
	runes := []rune(word)
	if n := len(runes); n < 2 || n > 4 {
		return []string{word}
	}
	for _, r := range runes {
		if !isHan(r) && !isHangul(r) {
			return []string{word}
		}
	}
	if isHangul(runes[0]) {
		f, ok := hangulFamily[runes[0]]
		if !ok || len(runes) != 3 {
			return []string{word}
		}
		return []string{f, string(runes[1:])}
	}
	if len(runes) >= 3 && compoundFamily[string(runes[:2])] {
		return []string{string(runes[:2]), string(runes[2:])}
	}
	if len(runes) > 3 {
		return []string{word}
	}
	return []string{string(runes[:1]), string(runes[1:])}
}

// trimToken cuts a word to its bound.
func trimToken(s string) string {
	if len(s) <= maxTokenBytes {
		return s
	}
	return strings.ToValidUTF8(s[:maxTokenBytes], "")
}
