package records

import (
	"strings"
	"unicode"

	"golang.org/x/text/unicode/norm"
)

// Document is an identity document. Type is lower case with underscores, such
// as "passport" or "national_id"; Country is the issuer, ISO 3166-1 alpha-2, or
// empty. Number holds upper-case letters and digits.
type Document struct {
	Type, Number, Country string
	// CheckFailed marks a number whose check digit is wrong. It still matches:
	// the mistake may stand in both registers.
	CheckFailed bool
}

const maxNumberBytes = 64

// NormaliseNumber returns the upper-case ASCII letters and digits of a document
// number; spaces and punctuation vanish, full-width and other compatibility
// forms are folded (NFKC), and letters of other scripts that look like a Latin
// capital become that capital. It returns "" for a number without any letter or
// digit, and for one longer than 64 characters.
func NormaliseNumber(s string) string {
	if len(s) > 4*maxNumberBytes {
		return ""
	}
	if isNumber(s) {
		return s
	}
	var b strings.Builder
	for _, r := range norm.NFKC.String(s) {
		r = unicode.ToUpper(r)
		if l, ok := lookalikes[r]; ok {
			r = l
		}
		switch {
		case 'A' <= r && r <= 'Z' || '0' <= r && r <= '9':
			b.WriteRune(r)
		case unicode.IsLetter(r):
			b.WriteRune(r)
		case unicode.Is(unicode.Nd, r):
			b.WriteByte(byte('0' + decimalValue(r)))
		}
	}
	if b.Len() > maxNumberBytes {
		return ""
	}
	return b.String()
}

// isNumber reports whether s is a document number in normal form already.
func isNumber(s string) bool {
	for i := range len(s) {
		if c := s[i]; (c < '0' || c > '9') && (c < 'A' || c > 'Z') {
			return false
		}
	}
	return len(s) <= maxNumberBytes
}

// decimalValue returns the value of a decimal digit of any script: Unicode lays
// out each script's ten digits in a run that starts at a multiple of its zero
// (Unicode Standard, Section 4.6).
func decimalValue(r rune) int {
	v := 0
	for r-rune(v)-1 >= 0 && v < 9 && unicode.Is(unicode.Nd, r-rune(v)-1) {
		v++
	}
	return v % 10
}

// lookalikes are Cyrillic and Greek capitals drawn like a Latin one (Unicode
// UTS #39, confusables), which typists on such keyboards put into numbers.
var lookalikes = map[rune]rune{
	'А': 'A', 'В': 'B', 'Е': 'E', 'К': 'K', 'М': 'M', 'Н': 'H', 'О': 'O', 'Р': 'P', 'С': 'C', 'Т': 'T', 'У': 'Y', 'Х': 'X', 'І': 'I', 'Ј': 'J', 'Ѕ': 'S',
	'Α': 'A', 'Β': 'B', 'Ε': 'E', 'Ζ': 'Z', 'Η': 'H', 'Ι': 'I', 'Κ': 'K', 'Μ': 'M', 'Ν': 'N', 'Ο': 'O', 'Ρ': 'P', 'Τ': 'T', 'Υ': 'Y', 'Χ': 'X',
}

// significant returns a number without the zeros in front, which some
// registers write and others drop.
func significant(number string) string {
	return strings.TrimLeft(number, "0")
}

// documentType folds the spellings of a document type that registers use into
// one; unknown types are kept, folded to lower case and underscores.
func documentType(s string) string {
	s = strings.ToLower(strings.TrimSpace(s))
	s = strings.Map(func(r rune) rune {
		switch {
		case 'a' <= r && r <= 'z' || '0' <= r && r <= '9':
			return r
		case r == ' ' || r == '-' || r == '_' || r == '.':
			return '_'
		case unicode.IsLetter(r):
			return r
		}
		return -1
	}, s)
	if t, ok := documentTypes[s]; ok {
		return t
	}
	return s
}

var documentTypes = map[string]string{
	"p": "passport", "pass": "passport", "reisepass": "passport", "passeport": "passport", "passport_number": "passport", "pasaporte": "passport",
	"id": "national_id", "id_card": "national_id", "identity_card": "national_id", "national_identification_number": "national_id",
	"national_identity_card": "national_id", "personalausweis": "national_id", "cedula": "national_id", "curp": "national_id", "nin": "national_id",
	"driving_licence": "driver_licence", "driving_license": "driver_licence", "drivers_license": "driver_licence", "driver_license": "driver_licence",
	"tin": "tax_id", "inn": "tax_id", "rfc": "tax_id", "tax_number": "tax_id",
}
