package bloom

import (
	"errors"
	"fmt"
	"math/big"
	"regexp"
	"slices"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"golang.org/x/text/cases"
	"golang.org/x/text/language"
)

// maxValue bounds one value, in bytes.
const maxValue = 1 << 16

// format checks a value and writes it in the one way that is hashed. Errors
// never repeat the value.
type format interface {
	canonical(value string) (string, error)
}

// textEncoding is how tokens become bytes: Python's codecs of these names, which
// put a byte order mark before each token.
type textEncoding int

const (
	utf8Encoding textEncoding = iota
	asciiEncoding
	utf16Encoding
	utf32Encoding
)

var encodings = map[string]textEncoding{"utf-8": utf8Encoding, "ascii": asciiEncoding, "utf-16": utf16Encoding, "utf-32": utf32Encoding}

// append appends the bytes of token to dst.
func (e textEncoding) append(dst []byte, token []byte) []byte {
	switch e {
	case utf16Encoding:
		dst = append(dst, 0xff, 0xfe)
		for _, u := range utf16.Encode([]rune(string(token))) {
			dst = append(dst, byte(u), byte(u>>8))
		}
		return dst
	case utf32Encoding:
		dst = append(dst, 0xff, 0xfe, 0, 0)
		for _, r := range string(token) {
			dst = append(dst, byte(r), byte(r>>8), byte(r>>16), byte(r>>24))
		}
		return dst
	}
	return append(dst, token...)
}

func parseFormat(o *object) (format, textEncoding) {
	defer o.close()
	o.skip("description")
	switch o.choice("type", "", "string", "integer", "date", "enum") {
	case "string":
		e := encodings[o.choice("encoding", "utf-8", "utf-8", "ascii", "utf-16", "utf-32")]
		if o.has("pattern") {
			return parsePattern(o, e), e
		}
		return parseText(o, e), e
	case "integer":
		return integerFormat{o.bigInteger("minimum"), o.bigInteger("maximum")}, utf8Encoding
	case "date":
		d, err := parseDateFormat(o.text("format", required))
		if err != nil {
			o.fail("format", "%v", err)
		}
		return d, utf8Encoding
	case "enum":
		return enumFormat(decode[[]string](o, "values", required, "a list of strings")), utf8Encoding
	}
	return nil, utf8Encoding
}

// textFormat is a string of some length and case, in code points.
type textFormat struct {
	ascii    bool
	min, max int    // max 0 is none
	letters  string // "upper", "lower" or "mixed"
}

func parseText(o *object, e textEncoding) format {
	return textFormat{
		ascii:   e == asciiEncoding,
		min:     o.integer("minLength", 0, 0, maxValue),
		max:     o.integer("maxLength", 0, 1, 1<<30),
		letters: o.choice("case", "mixed", "upper", "lower", "mixed"),
	}
}

func (f textFormat) canonical(value string) (string, error) {
	if err := checkASCII(f.ascii, value); err != nil {
		return "", err
	}
	n := utf8.RuneCountInString(value)
	switch {
	case n < f.min:
		return "", fmt.Errorf("has %d characters, want at least %d", n, f.min)
	case f.max > 0 && n > f.max:
		return "", fmt.Errorf("has %d characters, want at most %d", n, f.max)
	case f.letters == "upper" && cases.Upper(language.Und).String(value) != value:
		return "", errors.New("is not in upper case")
	case f.letters == "lower" && cases.Lower(language.Und).String(value) != value:
		return "", errors.New("is not in lower case")
	}
	return value, nil
}

func checkASCII(want bool, value string) error {
	if want && strings.IndexFunc(value, func(r rune) bool { return r >= utf8.RuneSelf }) >= 0 {
		return errors.New("has characters beyond ASCII")
	}
	return nil
}

// patternFormat is a string that a regular expression matches as a whole.
type patternFormat struct {
	ascii   bool
	pattern *regexp.Regexp
}

func parsePattern(o *object, e textEncoding) format {
	pattern, err := translatePattern(o.text("pattern", required))
	if err == nil {
		var re *regexp.Regexp
		if re, err = regexp.Compile(`\A(?:` + pattern + `)\z`); err == nil {
			return patternFormat{e == asciiEncoding, re}
		}
	}
	o.fail("pattern", "%v (expressions that look ahead or refer back are not supported)", err)
	return nil
}

func (f patternFormat) canonical(value string) (string, error) {
	if err := checkASCII(f.ascii, value); err != nil {
		return "", err
	}
	if !f.pattern.MatchString(value) {
		return "", errors.New("does not match the pattern")
	}
	return value, nil
}

// translatePattern writes a regular expression of Python in the syntax of
// package regexp: Python's character classes know Unicode.
func translatePattern(p string) (string, error) {
	var out strings.Builder
	class := false
	for i := 0; i < len(p); i++ {
		c := p[i]
		switch {
		case c == '\\' && i+1 < len(p):
			i++
			escape, n, err := translateEscape(p[i:], class)
			if err != nil {
				return "", err
			}
			out.WriteString(escape)
			i += n - 1
			continue
		case c == '[' && !class:
			class = true
			out.WriteByte(c)
			// A bracket that comes first is one of the characters.
			for i+1 < len(p) && (p[i+1] == '^' && p[i] == '[' || p[i+1] == ']') {
				i++
				if p[i] == ']' {
					out.WriteByte('\\')
				}
				out.WriteByte(p[i])
				if p[i] == ']' {
					break
				}
			}
			continue
		case c == '[':
			out.WriteByte('\\') // no class within a class
		case c == ']':
			class = false
		}
		out.WriteByte(c)
	}
	return out.String(), nil
}

// spaceClass is white space as Python knows it, for use in brackets.
const spaceClass = `\s\x0b\x1c-\x1f\x85\p{Z}`

// translateEscape translates what follows a backslash, n bytes of p.
func translateEscape(p string, class bool) (escape string, n int, err error) {
	const word, space = `\p{L}\p{N}_`, spaceClass
	set := func(inside string) (string, int, error) {
		if class {
			return inside, 1, nil
		}
		return "[" + inside + "]", 1, nil
	}
	switch p[0] {
	case 'd':
		return `\p{Nd}`, 1, nil
	case 'D':
		return `\P{Nd}`, 1, nil
	case 'w':
		return set(word)
	case 's':
		return set(space)
	case 'W', 'S':
		if class {
			return "", 0, fmt.Errorf(`\%c in brackets is not supported`, p[0])
		}
		if p[0] == 'W' {
			return "[^" + word + "]", 1, nil
		}
		return "[^" + space + "]", 1, nil
	case 'Z':
		return `\z`, 1, nil
	case 'u', 'U':
		digits := map[byte]int{'u': 4, 'U': 8}[p[0]]
		if len(p) <= digits {
			return "", 0, errors.New("an escape is cut short")
		}
		return `\x{` + p[1:1+digits] + `}`, 1 + digits, nil
	}
	return `\` + p[:1], 1, nil
}

// integerFormat is a whole number within bounds, nil for none.
type integerFormat struct{ min, max *big.Int }

func (o *object) bigInteger(name string) *big.Int {
	if !o.has(name) {
		return nil
	}
	v, ok := new(big.Int).SetString(string(o.number(name, required)), 10)
	if !ok {
		o.fail(name, "is not an integer")
	}
	return v
}

func (f integerFormat) canonical(value string) (string, error) {
	v, ok := parseInteger(value)
	switch {
	case !ok:
		return "", errors.New("is not an integer")
	case f.min != nil && v.Cmp(f.min) < 0:
		return "", fmt.Errorf("is less than %v", f.min)
	case f.max != nil && v.Cmp(f.max) > 0:
		return "", fmt.Errorf("is more than %v", f.max)
	}
	return v.String(), nil
}

// enumFormat is one of some words.
type enumFormat []string

func (f enumFormat) canonical(value string) (string, error) {
	if !slices.Contains(f, value) {
		return "", fmt.Errorf("is none of the %d values of the schema", len(f))
	}
	return value, nil
}
