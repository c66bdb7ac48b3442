package records

import (
	"errors"
	"strings"
	"sync"
	"unicode"

	"github.com/nyaruka/phonenumbers"
	"golang.org/x/text/language"
	"golang.org/x/text/language/display"
	"golang.org/x/text/unicode/norm"
)

var (
	errPhone   = errors.New("not a telephone number that could be dialled")
	errEmail   = errors.New("not an e-mail address")
	errCountry = errors.New("not a country that is known")
	errSex     = errors.New("not one of F, M, X or their words")
)

// parsePhone returns the number in E.164. Numbers without an international
// prefix are read as of the region (ISO 3166-1 alpha-2), and then, or where
// there is no region, as international ones whose plus sign was lost.
func parsePhone(s, region string) (string, error) {
	if len(s) > 64 {
		return "", errPhone
	}
	s = strings.TrimSpace(s)
	if rest, ok := strings.CutPrefix(s, "00"); ok {
		s = "+" + rest
	}
	// A number in service by the library's tables beats one that merely has a
	// possible length: tables age, so the latter is not refused.
	for _, accept := range []func(*phonenumbers.PhoneNumber) bool{phonenumbers.IsValidNumber, isLongEnough} {
		if region != "" || strings.HasPrefix(s, "+") {
			if e, ok := e164(s, region, accept); ok {
				return e, nil
			}
		}
		if e, ok := e164("+"+s, "", accept); ok {
			return e, nil
		}
	}
	return "", errPhone
}

// isLongEnough reports whether a number has a possible length and is not one
// that only works locally: at least seven digits, as in the smallest countries.
func isLongEnough(n *phonenumbers.PhoneNumber) bool {
	return n.GetNationalNumber() >= 1e6 && phonenumbers.IsPossibleNumber(n)
}

func e164(s, region string, accept func(*phonenumbers.PhoneNumber) bool) (string, bool) {
	if region == "" {
		region = phonenumbers.UNKNOWN_REGION
	}
	n, err := phonenumbers.Parse(s, region)
	if err != nil || !accept(n) {
		return "", false
	}
	return phonenumbers.Format(n, phonenumbers.E164), true
}

// parseEmail returns the address in lower case. RFC 5321 lets a server tell
// local parts apart by case, but none that people use does.
func parseEmail(s string) (string, error) {
	s = strings.ToLower(norm.NFKC.String(strings.TrimSpace(s)))
	local, domain, ok := strings.Cut(s, "@")
	if !ok || local == "" || len(s) > 254 || strings.Contains(domain, "@") || !strings.Contains(strings.Trim(domain, "."), ".") {
		return "", errEmail
	}
	if strings.ContainsFunc(s, func(r rune) bool {
		return unicode.IsSpace(r) || unicode.IsControl(r) || strings.ContainsRune(`<>()[],;:"\`, r)
	}) {
		return "", errEmail
	}
	return s, nil
}

const maxCountryBytes = 128

// parseCountry returns the ISO 3166-1 alpha-2 code for an alpha-2 or alpha-3
// code, a code of ICAO Doc 9303-3 Section 5, or an English country name.
func parseCountry(s string) (string, error) {
	s = strings.TrimSpace(s)
	key := strings.ToLower(s)
	if c, ok := countryCodes[key]; ok {
		return c, nil
	}
	if len(s) > maxCountryBytes {
		return "", errCountry
	}
	if c, ok := countryNames()[countryKey(s)]; ok {
		return c, nil
	}
	if c, ok := countryNames()[strings.TrimPrefix(countryKey(s), "republic")]; ok {
		return c, nil
	}
	if len(s) == 2 || len(s) == 3 {
		if r, err := language.ParseRegion(s); err == nil && r.IsCountry() {
			return r.Canonicalize().String(), nil
		}
	}
	return "", errCountry
}

// countryCodes are codes that ISO 3166-1 does not hold: those of ICAO Doc
// 9303-3, Section 5, and forms that registers still use.
var countryCodes = map[string]string{
	"d": "DE", "gbd": "GB", "gbn": "GB", "gbo": "GB", "gbp": "GB", "gbs": "GB", "rks": "XK", "xkx": "XK", "uk": "GB", "zar": "CD", "rom": "RO", "bur": "MM",
}

// countryKey folds a country's name: "Korea, Republic of" and "The Republic of
// Korea" are one, and so are "Saint Kitts and Nevis" and "St. Kitts & Nevis".
func countryKey(s string) string {
	var b strings.Builder
	words := strings.FieldsFunc(strings.ToLower(norm.NFKC.String(s)), func(r rune) bool { return !unicode.IsLetter(r) })
	if head, tail, ok := strings.Cut(s, ","); ok && len(words) > 1 {
		n := len(strings.FieldsFunc(head, func(r rune) bool { return !unicode.IsLetter(r) }))
		if strings.TrimSpace(tail) != "" && n < len(words) {
			words = append(words[n:len(words):len(words)], words[:n]...)
		}
	}
	for _, w := range words {
		switch w {
		case "the", "of", "and":
		case "saint":
			b.WriteString("st")
		default:
			b.WriteString(w)
		}
	}
	return b.String()
}

var countryNames = sync.OnceValue(func() map[string]string {
	m := make(map[string]string, 400)
	regions := display.English.Regions()
	for a := 'A'; a <= 'Z'; a++ {
		for b := 'A'; b <= 'Z'; b++ {
			r, err := language.ParseRegion(string([]rune{a, b}))
			if err != nil || !r.IsCountry() || r.Canonicalize() != r {
				continue
			}
			if key := countryKey(regions.Name(r)); key != "" {
				m[key] = r.String()
			}
		}
	}
	for name, code := range countrySynonyms {
		m[countryKey(name)] = code
	}
	return m
})

// countrySynonyms are English names in use beside those of CLDR.
var countrySynonyms = map[string]string{
	"Russian Federation": "RU", "United States of America": "US", "USA": "US", "Great Britain": "GB", "England": "GB",
	"Islamic Republic of Iran": "IR", "Iran (Islamic Republic of)": "IR", "Syrian Arab Republic": "SY", "DPRK": "KP",
	"Democratic People's Republic of Korea": "KP", "Republic of Korea": "KR", "Korea, North": "KP", "Korea, South": "KR",
	"Democratic Republic of the Congo": "CD", "Congo, Democratic Republic of the": "CD", "DRC": "CD", "Burma": "MM", "Myanmar": "MM",
	"Viet Nam": "VN", "Czech Republic": "CZ", "Ivory Coast": "CI", "Palestine": "PS", "Turkey": "TR", "Türkiye": "TR",
	"Republic of Moldova": "MD", "North Macedonia": "MK", "Eswatini": "SZ", "Cabo Verde": "CV", "United Republic of Tanzania": "TZ", "Hong Kong": "HK", "Macau": "MO", "Swaziland": "SZ",
	"Bolivarian Republic of Venezuela": "VE", "Plurinational State of Bolivia": "BO", "Brunei Darussalam": "BN", "Lao People's Democratic Republic": "LA",
	"China, People's Republic of": "CN", "People's Republic of China": "CN", "Taiwan, Province of China": "TW", "The Gambia": "GM",
}

func parseSex(s string) (Sex, error) {
	switch strings.ToLower(strings.TrimSpace(s)) {
	case "f", "female", "w", "woman", "weiblich", "féminin":
		return SexFemale, nil
	case "m", "male", "man", "männlich", "masculin":
		return SexMale, nil
	case "x", "other", "o", "d", "diverse":
		return SexOther, nil
	case "", "u", "unknown", "<":
		return SexUnknown, nil
	}
	return SexUnknown, errSex
}
