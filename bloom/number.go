package bloom

import (
	"math/big"
	"strconv"
	"strings"
	"unicode"
)

// maxDigits is the length up to which Python reads an integer.
const maxDigits = 4300

// parseInteger reads an integer as Python's int does: white space around, a
// sign, decimal digits of any script, single underscores between them.
func parseInteger(value string) (*big.Int, bool) {
	s, ok := plainNumber(value)
	if !ok || len(strings.TrimLeft(s, "+-")) > maxDigits {
		return nil, false
	}
	return new(big.Int).SetString(s, 10)
}

// parseFloat reads a finite number as Python's float does.
func parseFloat(value string) (float64, bool) {
	s, ok := plainNumber(value)
	if !ok || strings.Trim(s, "+-.0123456789eE") != "" {
		return 0, false // hexadecimal, infinity, not a number
	}
	f, err := strconv.ParseFloat(s, 64)
	return f, err == nil
}

// plainNumber returns value without white space around and underscores between
// digits, its digits those of ASCII.
func plainNumber(value string) (string, bool) {
	value = strings.TrimFunc(value, isSpace)
	var out strings.Builder
	digit, underscore := false, false // what came before
	for _, r := range value {
		if r == '_' {
			if !digit {
				return "", false
			}
			digit, underscore = false, true
			continue
		}
		d, isDigit := digitValue(r)
		if underscore && !isDigit {
			return "", false
		}
		if isDigit {
			r = '0' + d
		}
		out.WriteRune(r)
		digit, underscore = isDigit, false
	}
	return out.String(), !underscore
}

// isSpace is Python's idea of white space.
func isSpace(r rune) bool { return unicode.IsSpace(r) || r >= 0x1c && r <= 0x1f }

// digitValue returns the value of a decimal digit of any script. Unicode lists
// the digits of a script in order, from zero, without gaps.
func digitValue(r rune) (rune, bool) {
	if r < 0x80 {
		return r - '0', r >= '0' && r <= '9'
	}
	for _, t := range unicode.Nd.R16 {
		if r >= rune(t.Lo) && r <= rune(t.Hi) {
			return (r - rune(t.Lo)) % 10, true
		}
	}
	for _, t := range unicode.Nd.R32 {
		if r >= rune(t.Lo) && r <= rune(t.Hi) {
			return (r - rune(t.Lo)) % 10, true
		}
	}
	return 0, false
}

// asciiDigits writes the digits of any script in ASCII.
func asciiDigits(s string) string {
	return strings.Map(func(r rune) rune {
		if d, ok := digitValue(r); ok {
			return '0' + d
		}
		return r
	}, s)
}
