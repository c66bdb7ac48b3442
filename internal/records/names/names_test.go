package names

import (
	"strings"
	"testing"
	"unicode/utf8"
)

func TestTokens(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"AL-BATHALI, Mubarak Mushakhas":        "mubarak mushakhas bathali",
		"Jörg MÜLLER-Lüdenscheidt":             "jorg muller ludenscheidt",
		"O’Neill, Sa'ad":                       "saad oneill",
		"Łukasz Strauß-Ørsted":                 "lukasz strauss orsted",
		"ﬁnn\u200b\u200e Ｗｉｄｅ":                 "finn wide",
		"Ben":                                  "ben",
		"de la":                                "de la",
		"Mullah Omar":                          "omar",
		"Sheikh Dr. Ing. Hans von und zu Adel": "hans adel",
		"Abdul RAUF":                           "abdrauf",
		"HAYDAR, Abu":                          "abuhaydar",
		"Abu":                                  "abu",
		"Abdullah":                             "abdlah",
		"Abd Allah":                            "abdlah",
		"Nasr Allah":                           "nasrallah",
		"":                                     "",
		" ,;-":                                 "",
		"🙂":                                    "",
		"Elizabeth 2":                          "elizabeth 2",
		"José\u0301":                           "jose",
		"a b c d f g h j k l m n o p q r s t":  "a b c d f g h j k l m n",
		"\xff\xfeBob":                          "bob",
	} {
		if got := strings.Join(Tokens(in), " "); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
	if got := Tokens(strings.Repeat("x", 10000)); len(got) != 1 || len(got[0]) != maxTokenBytes {
		t.Errorf("a long name gave %d tokens", len(got))
	}
	for name, words := range map[string]int{"Abu HAYDAR": 2, "Abd al-Rahman": 2, "Abdulrahman": 1, "Abu Abd Allah": 3, "Mullah Omar": 1} {
		if got := Parse(name); len(got) != 1 || got[0].Words != words {
			t.Errorf("%s: got %+v, want one token of %d words", name, got, words)
		}
	}
}

func TestSkeleton(t *testing.T) {
	t.Parallel()
	for _, same := range [][]string{
		{"muhammad", "mohamed", "mohammed", "muhamad"},
		{"tschaikowski", "chaykovskiy"},
		{"qasem", "qasim", "ghasem", "kassem"},
		{"schmidt", "shmit", "schmitt"},
		{"wladimir", "vladimir"},
		{"yusuf", "youssef"},
		{"abdallah", "abdlah"},
		{"alexander", "aleksander"},
		{"christina", "kristina"},
		{"celine", "seline"},
		{"kang", "kan"},
	} {
		for _, s := range same {
			if Skeleton(s) != Skeleton(same[0]) {
				t.Errorf("%s: %s, %s: %s", s, Skeleton(s), same[0], Skeleton(same[0]))
			}
		}
	}
	for in, want := range map[string]string{"": "", "aoi": "a", "o": "o", "43": "43", "ไทย": "ไทย", "dad": "tt", "add": "at"} {
		if got := Skeleton(in); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
}

func TestPhonetic(t *testing.T) {
	t.Parallel()
	for _, same := range [][]string{
		{"musa", "moussa", "moosa"}, {"karim", "kareem", "qarim"}, {"azizi", "azizy"}, {"hussain", "hussein", "husayn", "hosain"}, {"yusuf", "youssof"},
		{"mohammad", "muhammed"}, {"stephan", "stefan"},
	} {
		for _, s := range same {
			if Phonetic(s) != Phonetic(same[0]) {
				t.Errorf("%s: %s, %s: %s", s, Phonetic(s), same[0], Phonetic(same[0]))
			}
		}
	}
	for _, differ := range [][2]string{{"ali", "lee"}, {"anna", "nina"}, {"marta", "murat"}} {
		if Phonetic(differ[0]) == Phonetic(differ[1]) {
			t.Errorf("%s and %s agree", differ[0], differ[1])
		}
	}
	for in, want := range map[string]string{"": "", "h": "h", "ไทย": "ไทย", "7": "7"} {
		if got := Phonetic(in); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
}

func TestSpellingsWithoutArticle(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{"alhaddad": "haddad", "elmasry": "masry", "alahmad": "ahmad", "alexander": "", "alain": "", "elisabeth": "", "alba": ""} {
		if got := afterArticle(in); got != want {
			t.Errorf("%s: got %q, want %q", in, got, want)
		}
	}
}

func TestTables(t *testing.T) {
	t.Parallel()
	for r, alternatives := range spellings {
		if len(alternatives) == 0 || len(alternatives) > 3 {
			t.Errorf("%c has %d spellings", r, len(alternatives))
		}
		for _, s := range alternatives {
			if strings.Trim(s, "abcdefghijklmnopqrstuvwxyz") != "" {
				t.Errorf("%c is spelled %q", r, s)
			}
		}
	}
	for w := range joins {
		if particles[w] || tails[w] {
			t.Errorf("%q stands in two lists", w)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"AL-BATHALI, M.", "Jörg", "🙂", "\u202eabc\u200b", "de la", "عبد الحميد", "김철수", "\xff\xfe", "e\u0301\u0301\u0301", "абд ал ал ал", "ゞゝヽ", "abu abu abu", "欧阳"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		tokens := Parse(s)
		if len(tokens) > maxTokens {
			t.Errorf("%d tokens", len(tokens))
		}
		for _, tok := range tokens {
			if n := len(tok.Spellings); n < 1 || n > maxVariants || tok.Words < 1 {
				t.Errorf("token %+v", tok)
			}
			for _, sp := range tok.Spellings {
				if sp == "" || len(sp) > maxTokenBytes || !utf8.ValidString(sp) || strings.ContainsAny(sp, " |") {
					t.Errorf("spelling %q", sp)
				}
				if ph := Phonetic(sp); ph == "" || !utf8.ValidString(ph) {
					t.Errorf("phonetic %q of %q", ph, sp)
				}
				if sk := Skeleton(sp); sk == "" || len(sk) > 2*len(sp) || !utf8.ValidString(sk) {
					t.Errorf("skeleton %q of %q", sk, sp)
				}
			}
		}
	})
}
