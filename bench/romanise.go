package bench

import (
	"slices"
	"strings"
	"unicode"

	"golang.org/x/text/unicode/norm"
)

// Agencies that write a Cyrillic name in Latin letters do so by different
// conventions. The ones here are those of passports (ICAO Doc 9303-3, Section
// 6, Table B), of English maps and press (after BGN/PCGN 1947), and the popular
// French and German transcriptions. They are independent of the tables that
// matching uses, or the population would test nothing.
var cyrillic = [...]map[rune]string{
	{ // passports
		'а': "a", 'б': "b", 'в': "v", 'г': "g", 'д': "d", 'е': "e", 'ё': "e", 'ж': "zh", 'з': "z", 'и': "i", 'й': "i",
		'к': "k", 'л': "l", 'м': "m", 'н': "n", 'о': "o", 'п': "p", 'р': "r", 'с': "s", 'т': "t", 'у': "u", 'ф': "f",
		'х': "kh", 'ц': "ts", 'ч': "ch", 'ш': "sh", 'щ': "shch", 'ъ': "ie", 'ы': "y", 'ь': "", 'э': "e", 'ю': "iu", 'я': "ia",
	},
	{ // English
		'ё': "yo", 'й': "y", 'ъ': "", 'ю': "yu", 'я': "ya",
	},
	{ // French
		'ё': "io", 'ж': "j", 'й': "i", 'у': "ou", 'ч': "tch", 'ш': "ch", 'щ': "chtch", 'ъ': "", 'ю': "iou", 'я': "ia",
	},
	{ // German
		'в': "w", 'ё': "jo", 'ж': "sch", 'з': "s", 'й': "j", 'х': "ch", 'ц': "z", 'ч': "tsch", 'ш': "sch", 'щ': "schtsch",
		'ъ': "", 'ю': "ju", 'я': "ja",
	},
}

// cyrillicOf holds the letters of a language that differ, for all conventions:
// Ukrainian as in passports since 2010, Serbian in Gaj's alphabet.
var cyrillicOf = map[string]map[rune]string{
	"cyrillic": {},
	"cyrillic-uk": {
		'г': "h", 'ґ': "g", 'є': "ie", 'и': "y", 'і': "i", 'ї': "i", '\'': "", '’': "",
	},
	"cyrillic-sr": {
		'ђ': "đ", 'ж': "ž", 'ј': "j", 'љ': "lj", 'њ': "nj", 'ћ': "ć", 'х': "h", 'ц': "c", 'ч': "č", 'џ': "dž", 'ш': "š",
	},
}

// romanisations returns the Latin spellings of a Cyrillic name, that of
// passports first.
func romanisations(script, name string) []string {
	var out []string
	for _, convention := range cyrillic {
		s := romanise(name, cyrillicOf[script], convention, cyrillic[0])
		out = append(out, s)
		if script == "cyrillic-sr" {
			// Gaj's letters with and without marks, đ as dj too.
			return append(out, foldMarks(s), foldMarks(strings.ReplaceAll(strings.ReplaceAll(s, "đ", "dj"), "Đ", "Dj")))
		}
	}
	return out
}

func romanise(name string, tables ...map[rune]string) string {
	var b strings.Builder
	for _, r := range name {
		lower := unicode.ToLower(r)
		s := string(r)
		for _, t := range tables {
			if v, ok := t[lower]; ok {
				s = v
				if lower != r {
					s = capital(v)
				}
				break
			}
		}
		b.WriteString(s)
	}
	return b.String()
}

// capital returns s with its first letter in upper case.
func capital(s string) string {
	for i, r := range s {
		return string(unicode.ToUpper(r)) + s[i+len(string(r)):]
	}
	return s
}

// marked are the letters that have no decomposition to strip a mark from.
var marked = strings.NewReplacer("ß", "ss", "ø", "o", "Ø", "O", "ł", "l", "Ł", "L", "đ", "d", "Đ", "D",
	"ı", "i", "æ", "ae", "Æ", "Ae", "œ", "oe", "Œ", "Oe", "’", "'")

// foldMarks strips diacritical marks, as many registers do.
func foldMarks(s string) string {
	if isASCII(s) {
		return s
	}
	d := []rune(norm.NFD.String(marked.Replace(s)))
	return norm.NFC.String(string(slices.DeleteFunc(d, func(r rune) bool { return unicode.Is(unicode.Mn, r) })))
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}
