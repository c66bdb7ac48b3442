package names

import (
	"strings"
	"testing"
	"unicode/utf8"
)

func TestTokens(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"AL-BATHALI, Mubarak Mushakhas":       "bathali mubarak mushakhas",
		"Jörg MÜLLER-Lüdenscheidt":            "jorg muller ludenscheidt",
		"O’Neill, Sa'ad":                      "oneill saad",
		"Łukasz Strauß-Ørsted":                "lukasz strauss orsted",
		"ﬁnn\u200b\u200e Ｗｉｄｅ":                "finn wide",
		"Ben":                                 "ben",
		"de la":                               "de la",
		"":                                    "",
		" ,;-":                                "",
		"🙂":                                   "",
		"Elizabeth 2":                         "elizabeth 2",
		"José\u0301":                          "jose",
		"a b c d f g h j k l m n o p q r s t": "a b c d f g h j k l m n",
	} {
		if got := strings.Join(Tokens(in), " "); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
	if got := Tokens(strings.Repeat("x", 10000)); len(got) != 1 || len(got[0]) != maxTokenBytes {
		t.Errorf("a long name gave %d tokens", len(got))
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
	} {
		for _, s := range same {
			if Skeleton(s) != Skeleton(same[0]) {
				t.Errorf("%s: %s, %s: %s", s, Skeleton(s), same[0], Skeleton(same[0]))
			}
		}
	}
	for in, want := range map[string]string{"": "", "aoi": "a", "o": "o", "43": "43"} {
		if got := Skeleton(in); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
}

func FuzzTokens(f *testing.F) {
	for _, s := range []string{"AL-BATHALI, M.", "Jörg", "🙂", "\u202eabc\u200b", "de la", "عبد الحميد", "김철수", "\xff\xfe", "e\u0301\u0301\u0301"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		tokens := Tokens(s)
		if len(tokens) > maxTokens {
			t.Errorf("%d tokens", len(tokens))
		}
		for _, tok := range tokens {
			if tok == "" || len(tok) > maxTokenBytes || !utf8.ValidString(tok) || strings.ContainsAny(tok, " |") {
				t.Errorf("token %q", tok)
			}
			if sk := Skeleton(tok); sk == "" || len(sk) > len(tok) || !utf8.ValidString(sk) {
				t.Errorf("skeleton %q of %q", sk, tok)
			}
		}
	})
}
