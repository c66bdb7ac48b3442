package names

// Hangul syllables are composed of an initial, a vowel and a final by
// arithmetic (Unicode Standard, Section 3.12). The letters are spelled by the
// Revised Romanization of 2000; further spellings are those of McCune and
// Reischauer, and of foreign sounds that Hangul does not tell apart.
const (
	hangulFirst  = 0xac00
	hangulLast   = 0xd7a3
	hangulVowels = 21
	hangulFinals = 28
)

var (
	hangulInitial = [19][]string{
		{"g"}, {"kk"}, {"n"}, {"d"}, {"tt"}, {"r", "l"}, {"m"}, {"b", "v"}, {"pp"}, {"s"}, {"ss"}, {""}, {"j"}, {"jj"}, {"ch"}, {"k"}, {"t"}, {"p", "f"}, {"h"},
	}
	hangulVowel = [hangulVowels]string{
		"a", "ae", "ya", "yae", "eo", "e", "yeo", "ye", "o", "oa", "oae", "oe", "yo", "u", "uo", "ue", "ui", "yu", "eu", "ui", "i",
	}
	hangulFinal = [hangulFinals][]string{
		{""}, {"k"}, {"k"}, {"k"}, {"n"}, {"n"}, {"n"}, {"t"}, {"l", "r"}, {"k"}, {"m"}, {"p"}, {"l"}, {"l"}, {"p"}, {"l"}, {"m"}, {"p"}, {"p"}, {"t", "s"}, {"t"}, {"ng"},
		{"t"}, {"t"}, {"k"}, {"t"}, {"p"}, {""},
	}
	// hangulFamily spells the family names whose usual spelling is another.
	hangulFamily = map[rune]string{'이': "lee", '김': "kim", '박': "park", '최': "choi", '정': "jung", '강': "kang", '조': "cho", '임': "lim", '류': "ryu", '노': "roh", '우': "woo", '유': "yoo", '리': "ri"}
)

// hangul returns the spellings of one syllable's initial, vowel and final.
func hangul(r rune) [3][]string {
	s := int(r - hangulFirst)
	return [3][]string{
		hangulInitial[s/(hangulVowels*hangulFinals)],
		{hangulVowel[s/hangulFinals%hangulVowels]},
		hangulFinal[s%hangulFinals],
	}
}

func isHangul(r rune) bool { return hangulFirst <= r && r <= hangulLast }
