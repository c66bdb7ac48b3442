package records

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Sentence says in English when two records match by the rule.
func (r *Rule) Sentence() string {
	parts := make([]string, len(r.Clauses))
	for i, c := range r.Clauses {
		parts[i] = c.phrase()
	}
	return "Two records match when they share " + joinWords(parts) + "."
}

func joinWords(parts []string) string {
	switch n := len(parts); n {
	case 1:
		return parts[0]
	case 2:
		return parts[0] + " and " + parts[1]
	default:
		return strings.Join(parts[:n-1], ", ") + ", and " + parts[n-1]
	}
}

func (c Clause) phrase() string {
	if c.How == howAbsent {
		return absentPhrase[c.Field]
	}
	switch c.Field {
	case fieldDocument:
		return "a document (issuing country, type and number)"
	case fieldDocNumber:
		return fmt.Sprintf("the number of a document, of at least %d characters, whatever its type and issuer", minNumber)
	case fieldPhone:
		return "a telephone number"
	case fieldEmail:
		return "an e-mail address"
	case fieldIdentifier:
		return "an identifier (type and value)"
	case fieldPlace:
		if c.How == howSkeleton {
			return "a place of birth by its consonants"
		}
		return "a place of birth"
	case fieldNationality:
		return "a nationality"
	case fieldSex:
		return "the sex"
	case fieldBirth:
		if c.How == howNearYear {
			return fmt.Sprintf("a year of birth that differs by %d at most", c.Within)
		}
		return birthPhrase[c.How]
	}
	return c.namePhrase()
}

var absentPhrase = map[string]string{
	fieldNationality: "the lack of a nationality (neither register holds one)",
	fieldPlace:       "the lack of a place of birth (neither register holds one)",
	fieldSex:         "the lack of a sex (neither register holds it)",
	fieldBirth:       "the lack of a date of birth (neither register holds one)",
}

var birthPhrase = map[string]string{
	howDay:         "a full date of birth",
	howRealDay:     "a full date of birth other than the first of January",
	howUnordered:   "a full date of birth, whichever of day and month comes first",
	howMonth:       "year and month of birth",
	howYear:        "the year of birth",
	howTwoParts:    "two of day, month and year of birth",
	howDecade:      "the decade of birth, or have one side without a date",
	howHalf:        "the half year of birth, or the year where one side knows no more",
	howQuarter:     "the quarter of birth, or the year where one side knows no more",
	howTwoMonths:   "the two months of birth (January and February, and so on), or the year where one side knows no more",
	howMonthOrYear: "the month of birth, or the year where one side knows no more",
}

func (c Clause) namePhrase() string {
	var s string
	switch c.Which {
	case whichAll:
		s = "all words of a name or alias, in any order"
	case whichAny:
		if s = fmt.Sprintf("any %d words of a name or alias", c.Count); c.Count == 1 {
			s = "any one word of a name or alias"
		}
	case whichGiven:
		s = "the given names of a name or alias"
	case whichFamily:
		s = "the family names of a name or alias"
	case whichBoth:
		s = "given and family names of a name or alias, each written as one word, in any order"
	}
	switch {
	case c.AtLeast > 0 && c.AtLeast == c.AtMost:
		s += fmt.Sprintf(" (names of %d words)", c.AtLeast)
	case c.AtLeast > 0 && c.AtMost > 0:
		s += fmt.Sprintf(" (names of %d to %d words)", c.AtLeast, c.AtMost)
	case c.AtLeast > 0:
		s += fmt.Sprintf(" (names of at least %d words)", c.AtLeast)
	case c.AtMost > 0:
		s += fmt.Sprintf(" (names of at most %d words)", c.AtMost)
	}
	switch c.How {
	case howPhonetic:
		s += ", compared by sound"
	case howSkeleton:
		s += ", compared by their consonants"
	case howPrefix:
		s += fmt.Sprintf(", compared by their first %d letters", c.Length)
	}
	if c.Letters > 0 && c.Which == whichAny {
		s += fmt.Sprintf(" (words of less than %d letters don't count)", c.Letters)
	} else if c.Letters > 0 {
		s += fmt.Sprintf(" (each word of at least %d letters)", c.Letters)
	}
	if c.Consonants > 0 {
		s += fmt.Sprintf(" (at least %d together where the name has more words)", c.Consonants)
	}
	return s
}

// Explanation says in words and figures what a rule set does.
type Explanation struct {
	Set   string            `json:"set"`
	SizeA int64             `json:"size_a"`
	SizeB int64             `json:"size_b"`
	Rules []RuleExplanation `json:"rules"`
	// KeysPerRecord is what a plain record derives: one name of three words,
	// one full date, and one of everything else.
	KeysPerRecord int `json:"keys_per_record"`
	// ExpectedFalse estimates the false pairs of all rules at these sizes.
	ExpectedFalse float64  `json:"expected_false"`
	Warnings      []string `json:"warnings,omitempty"`
}

// RuleExplanation is the Explanation of one rule.
type RuleExplanation struct {
	ID            string  `json:"id"`
	Match         string  `json:"match"`
	Sentence      string  `json:"sentence"`
	KeysPerRecord int     `json:"keys_per_record"`
	Domain        float64 `json:"domain"`
	ExpectedFalse float64 `json:"expected_false"`
	Weak          string  `json:"weak,omitempty"`
}

// falseShare is the share of the smaller register above which expected false
// pairs are warned of.
const falseShare = 0.01

// Explain explains the set for registers of so many records; sizes of zero
// mean those that the set is meant for.
func (rs *RuleSet) Explain(sizeA, sizeB int64) (*Explanation, error) {
	d, err := NewDeriver(rs, NormalisationVersion())
	if err != nil {
		return nil, err
	}
	if sizeA == 0 {
		sizeA = rs.MeantFor[0]
	}
	if sizeB == 0 {
		sizeB = rs.MeantFor[1]
	}
	e := &Explanation{Set: rs.Name, SizeA: sizeA, SizeB: sizeB}
	keys, _ := d.Keys(nil, plainRecord())
	e.KeysPerRecord = len(keys)
	perRule := map[string]int{}
	for _, k := range keys {
		perRule[k.Rule]++
	}
	for i := range rs.Rules {
		r := &rs.Rules[i]
		x := RuleExplanation{
			ID: r.ID, Match: r.Match(), Sentence: r.Sentence(), KeysPerRecord: perRule[r.ID], Domain: r.Domain(),
			ExpectedFalse: r.ExpectedFalse(sizeA, sizeB), Weak: r.weakness(),
		}
		e.ExpectedFalse += x.ExpectedFalse
		if x.Weak != "" {
			e.Warnings = append(e.Warnings, fmt.Sprintf("rule %q is weak: %s", r.ID, x.Weak))
		}
		if smaller := min(sizeA, sizeB); smaller > 0 && x.ExpectedFalse > falseShare*float64(smaller) {
			e.Warnings = append(e.Warnings, fmt.Sprintf("rule %q: about %s false pairs are expected between %d and %d records%s",
				r.ID, Figure(x.ExpectedFalse), sizeA, sizeB, r.provided()))
		}
		e.Rules = append(e.Rules, x)
	}
	if rs.MeantFor[0] > 0 && sizeA > rs.MeantFor[0] || rs.MeantFor[1] > 0 && sizeB > rs.MeantFor[1] {
		e.Warnings = append(e.Warnings, fmt.Sprintf("the set is meant for %d x %d records", rs.MeantFor[0], rs.MeantFor[1]))
	}
	return e, nil
}

// provided says under which condition a rule applies at all.
func (r *Rule) provided() string {
	var fields []string
	for _, c := range r.Clauses {
		if c.How == howAbsent {
			fields = append(fields, c.Field)
		}
	}
	if len(fields) == 0 {
		return ""
	}
	return ", if neither register holds " + strings.Join(fields, ", ") + " of anyone"
}

// plainRecord is an invented person of whom a register knows one of everything.
func plainRecord() *Record {
	return &Record{
		ID: "1", Names: []Name{{Full: "Maria Elena Bernardini", Given: "Maria Elena", Family: "Bernardini"}},
		Births:        []Date{{Year: 1971, Month: 3, Day: 24, Precision: PrecisionDay}},
		PlacesOfBirth: []string{"Torino"}, Nationalities: []string{"IT"}, Sex: SexFemale,
		Documents: []Document{{Type: "passport", Number: "YA1234567", Country: "IT"}},
		Phones:    []string{"+390112345678"}, Emails: []string{"maria@example.org"}, Others: []Identifier{{"iban", "IT60X0542811101000000123456"}},
	}
}

// String is the explanation as text for a terminal.
func (e *Explanation) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "Rule set %s, for %d x %d records. Two records match when any one rule holds.\n", e.Set, e.SizeA, e.SizeB)
	for _, r := range e.Rules {
		fmt.Fprintf(&b, "\n%s: %s\n  %s\n  %d keys for a plain record; about %.1g keys to try them all; about %s false pairs expected.\n",
			r.ID, r.Match, r.Sentence, r.KeysPerRecord, r.Domain, Figure(r.ExpectedFalse))
	}
	fmt.Fprintf(&b, "\nIn all: %d keys for a plain record, about %s false pairs expected. Estimates are rough; evaluate measures.\n", e.KeysPerRecord, Figure(e.ExpectedFalse))
	for _, w := range e.Warnings {
		fmt.Fprintf(&b, "warning: %s\n", w)
	}
	return b.String()
}

// Figure prints an estimate with two digits.
func Figure(f float64) string {
	if f >= 10 && f < 1e7 {
		digits := math.Pow(10, math.Floor(math.Log10(f))-1)
		return strconv.FormatFloat(math.Round(f/digits)*digits, 'f', -1, 64)
	}
	return strconv.FormatFloat(f, 'g', 2, 64)
}
