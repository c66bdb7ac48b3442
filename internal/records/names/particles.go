package names

import (
	"slices"
	"strings"
)

// particles are words beside a name that registers write or omit at will. A
// word stands here only if dropping it rarely makes two people one.
var particles = wordSet(
	// Arabic article and filiation, in the usual romanisations; Turkic and
	// Hebrew filiation.
	`al el ul il as ash ad an ar at az aal bin ben ibn bn bint binti binte ould uld wuld ogly oglu ogli kyzy kizi gyzy uulu`,
	// Romance, Germanic and Celtic particles.
	`de del della delle dello degli di da do dos das du des la las le les los lo y e i von vom van zu zum zur der den ter ten te af av und`,
	// Titles and honorifics.
	`mr mrs ms miss mme mlle herr frau dr doctor prof professor eng engineer ing sir dame lord lady rev fr sra srta
	haji hajji hadji hajj hadj alhaj alhaji hajjah mullah mulla molla mula maulana mawlana mawlawi maulvi mawlavi molvi moulavi
	sheikh shaykh sheik shaikh cheikh cheik shekh qari ustad ustaz imam ayatollah hojjatoleslam
	general gen colonel col lieutenant lt major maj captain capt brigadier brig sergeant sgt commander marshal admiral`,
	// Generations.
	`jr sr junior senior ii iii iv filho neto`,
)

// joins are words that are one name with the next word.
var joins = wordSet(`abd abdul abdel abdal abdol abdoul abdu abdur abdus abdush abdun abdil abu abou aboo abi umm oum um mc mac st saint`)

// tails are words that are one name with the word before.
var tails = wordSet(`allah ullah ollah din deen dine eddin eddine uddin addin aldin aldeen iddin`)

func wordSet(lists ...string) map[string]bool {
	m := map[string]bool{}
	for _, l := range lists {
		for w := range strings.FieldsSeq(l) {
			m[w] = true
		}
	}
	return m
}

// tidy drops particles and titles, and joins what registers write as one word
// or as two.
func tidy(tokens []Token) []Token {
	tokens = dropParticles(tokens)
	tokens = joinSyllables(joinWords(tokens))
	for i, t := range tokens {
		tokens[i] = t.servant().withoutArticle()
	}
	return tokens[:min(len(tokens), maxTokens)]
}

func (t Token) particle() bool { return particles[t.Spellings[0]] }

// dropParticles removes, in place, words that name no person. If all words are
// such, all stay: a person may be called Ben.
func dropParticles(tokens []Token) []Token {
	if !slices.ContainsFunc(tokens, func(t Token) bool { return !t.particle() }) {
		return tokens
	}
	return slices.DeleteFunc(tokens, Token.particle)
}

// joinWords joins, in place, a word of joins to the next and a word of tails to
// the one before.
func joinWords(tokens []Token) []Token {
	out := tokens[:0]
	for i := 0; i < len(tokens); i++ {
		t := tokens[i]
		for i+1 < len(tokens) && joins[t.Spellings[0]] {
			i++
			t = t.join(tokens[i])
		}
		if len(out) > 0 && tails[t.Spellings[0]] {
			out[len(out)-1] = out[len(out)-1].join(t)
			continue
		}
		out = append(out, t)
	}
	return out
}

// join returns the word that two make, in all their spellings.
func (t Token) join(u Token) Token {
	return Token{combine([][]string{t.Spellings, u.Spellings}), t.Words + u.Words}
}

// Join returns the word that several make, in the order written.
func Join(tokens []Token) Token {
	t := tokens[0]
	for _, u := range tokens[1:] {
		t = t.join(u)
	}
	return t
}

// servant spells names of the form "servant of the ..." one way: Abdulrahman,
// Abdel Rahman, Abdurrahman and Abd al-Rahman all become abdrahman.
func (t Token) servant() Token {
	if !strings.HasPrefix(t.Spellings[0], "abd") {
		return t
	}
	out := make([]string, 0, len(t.Spellings))
	for _, s := range t.Spellings {
		if s = servant(s); !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	return Token{out, t.Words}
}

// withoutArticle adds the spelling of a word without the Arabic article that
// some registers write as part of it.
func (t Token) withoutArticle() Token {
	for _, s := range t.Spellings {
		if rest := afterArticle(s); rest != "" && len(t.Spellings) < maxVariants {
			t.Spellings = append(slices.Clip(t.Spellings), rest)
			break
		}
	}
	return t
}

// afterArticle returns what follows the article in a word that may start with
// it, or "".
func afterArticle(s string) string {
	if len(s) < 6 || s[1] != 'l' || s[0] != 'a' && s[0] != 'e' {
		return ""
	}
	rest := s[2:]
	switch rest[0] {
	case 'e', 'i', 'y':
		return ""
	case 'a', 'o', 'u':
		if len(rest) < 5 || s[0] == 'e' {
			return ""
		}
	}
	return rest
}

func servant(s string) string {
	rest, ok := strings.CutPrefix(s, "abd")
	if !ok {
		return s
	}
	tail := strings.TrimLeft(rest, "aeiou")
	if len(tail) == len(rest) || len(tail) < 3 {
		return s
	}
	switch {
	case tail[0] == 'l':
		// The article, or the first letter of Allah.
		tail = strings.TrimLeft(tail[1:], "-")
	case len(tail) > 3 && tail[0] == tail[1]:
		// The article assimilated to a sun letter.
		tail = tail[1:]
	case strings.HasPrefix(tail, "shsh"):
		tail = tail[2:]
	default:
		return s
	}
	if len(tail) < 2 {
		return s
	}
	if tail[0] == 'l' && len(tail) > 3 {
		tail = tail[1:]
	}
	return "abd" + tail
}
