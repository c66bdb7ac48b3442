package records

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Fields that a clause may name.
const (
	fieldDocument    = "document"
	fieldDocNumber   = "document number"
	fieldPhone       = "phone"
	fieldEmail       = "email"
	fieldIdentifier  = "identifier"
	fieldName        = "names"
	fieldBirth       = "birth"
	fieldPlace       = "place of birth"
	fieldNationality = "nationality"
	fieldSex         = "sex"
)

// How a clause compares.
const (
	howExact     = "exact"
	howSkeleton  = "skeleton"
	howPrefix    = "prefix"
	howUnordered = "date unordered"
	howDay       = "date exact"
	howMonth     = "year-month"
	howYear      = "year"
	howTwoParts  = "two parts"
	howAbsent    = "absent"
	howDecade    = "decade or absent"
	howRealDay   = "date exact but 1 january"
	howNearYear  = "year within"
)

// Which tokens of a name a clause takes.
const (
	whichAll    = "all"
	whichAny    = "any"
	whichGiven  = "given"
	whichFamily = "family"
)

// Clause is one condition of a rule. In words:
//
//	document exact              issuer, type and number
//	document number exact       number alone, at least 6 characters
//	phone exact
//	email exact
//	identifier exact            type and value
//	WHICH names HOW             WHICH: all, any N, given, family
//	                            HOW: exact, skeleton, prefix N
//	                            may add, of the name and of the words taken:
//	                            at least N words, at most N words,
//	                            at least N letters
//	birth date exact            year, month and day
//	birth date unordered        the same, day and month may be swapped
//	birth year-month
//	birth year
//	birth year within N
//	place of birth exact        or skeleton
//	nationality exact
//	sex exact
type Clause struct {
	Field, How, Which string
	// Count is N of "any N names", Length that of "prefix N", Within that of
	// "year within N"; zero where absent.
	Count, Length, Within int
	// AtLeast and AtMost bound the words of a name, Letters those of a word.
	AtLeast, AtMost, Letters int
}

// Bounds on the numbers in a clause.
const (
	maxCount  = 4
	maxPrefix = 16
	maxWithin = 3
	maxWords  = 8
)

func parseClause(text string) (Clause, error) {
	w := strings.Fields(text)
	joined := strings.Join(w, " ")
	switch joined {
	case "document exact", "document":
		return Clause{Field: fieldDocument, How: howExact}, nil
	case "document number exact", "document number":
		return Clause{Field: fieldDocNumber, How: howExact}, nil
	case "phone exact", "phone":
		return Clause{Field: fieldPhone, How: howExact}, nil
	case "email exact", "email", "e-mail exact", "e-mail":
		return Clause{Field: fieldEmail, How: howExact}, nil
	case "identifier exact", "identifier":
		return Clause{Field: fieldIdentifier, How: howExact}, nil
	case "nationality exact", "nationality":
		return Clause{Field: fieldNationality, How: howExact}, nil
	case "sex exact", "sex":
		return Clause{Field: fieldSex, How: howExact}, nil
	case "place of birth exact", "place of birth skeleton", "place of birth absent":
		return Clause{Field: fieldPlace, How: w[3]}, nil
	case "nationality absent":
		return Clause{Field: fieldNationality, How: howAbsent}, nil
	case "birth date exact", "birth date unordered", "birth year-month", "birth year", "birth two parts",
		"birth date exact but 1 january", "birth decade or absent", "birth absent":
		return Clause{Field: fieldBirth, How: strings.Join(w[1:], " ")}, nil
	}
	if rest, ok := strings.CutPrefix(joined, "birth year within "); ok {
		n, err := number(rest, maxWithin)
		return Clause{Field: fieldBirth, How: howNearYear, Within: n}, err
	}
	return parseNameClause(joined, w)
}

func parseNameClause(joined string, w []string) (Clause, error) {
	unknown := fmt.Errorf("clause %q is not one that is known", joined)
	c := Clause{Field: fieldName}
	if len(w) == 0 {
		return c, errors.New("empty clause")
	}
	var err error
	switch c.Which = w[0]; c.Which {
	case whichAll, whichGiven, whichFamily:
		w = w[1:]
	case whichAny:
		if len(w) < 2 {
			return c, unknown
		}
		if c.Count, err = number(w[1], maxCount); err != nil {
			return c, err
		}
		w = w[2:]
	default:
		return c, unknown
	}
	if len(w) < 2 || w[0] != "names" && w[0] != "name" {
		return c, unknown
	}
	c.How, w = w[1], w[2:]
	switch c.How {
	case howExact, howSkeleton:
	case howPrefix:
		if len(w) == 0 {
			return c, unknown
		}
		if c.Length, err = number(w[0], maxPrefix); err != nil {
			return c, err
		}
		w = w[1:]
	default:
		return c, unknown
	}
	for len(w) >= 4 && w[0] == "at" {
		into, most := (*int)(nil), maxWords
		switch w[1] + " " + w[3] {
		case "least words":
			into = &c.AtLeast
		case "most words":
			into = &c.AtMost
		case "least letters":
			into, most = &c.Letters, maxPrefix
		default:
			return c, unknown
		}
		if *into != 0 {
			return c, fmt.Errorf("clause %q bounds the same twice", joined)
		}
		if *into, err = number(w[2], most); err != nil {
			return c, err
		}
		w = w[4:]
	}
	if len(w) > 0 {
		return c, unknown
	}
	return c, nil
}

func number(s string, most int) (int, error) {
	n, err := strconv.Atoi(s)
	if err != nil || n < 1 || n > most {
		return 0, fmt.Errorf("%q is not a number from 1 to %d", s, most)
	}
	return n, nil
}

// validate checks a clause that was not made by parseClause.
func (c Clause) validate() error {
	p, err := parseClause(c.String())
	if err != nil {
		return err
	}
	if p != c {
		return fmt.Errorf("clause %q holds more than it says", c.String())
	}
	return nil
}

// String returns the clause in canonical words.
func (c Clause) String() string {
	if c.Field != fieldName {
		s := c.Field + " " + c.How
		if c.Within > 0 {
			s += fmt.Sprintf(" %d", c.Within)
		}
		return s
	}
	s := c.Which
	if c.Count > 0 {
		s += fmt.Sprintf(" %d", c.Count)
	}
	s += " names " + c.How
	if c.Length > 0 {
		s += fmt.Sprintf(" %d", c.Length)
	}
	for _, b := range []struct {
		n    int
		text string
	}{{c.AtLeast, " at least %d words"}, {c.AtMost, " at most %d words"}, {c.Letters, " at least %d letters"}} {
		if b.n > 0 {
			s += fmt.Sprintf(b.text, b.n)
		}
	}
	return s
}

// identifies reports whether a clause alone tells people apart.
func (c Clause) identifies() bool {
	switch c.Field {
	case fieldDocument, fieldDocNumber, fieldPhone, fieldEmail, fieldIdentifier:
		return true
	}
	return false
}

// Weak reports whether the rule names too little to tell people apart: neither
// an identifier nor both a name and a date of birth.
func (r *Rule) Weak() bool { return r.weakness() != "" }

func (r *Rule) weakness() string {
	var name, birth bool
	for _, c := range r.Clauses {
		if c.identifies() {
			return ""
		}
		name = name || c.Field == fieldName
		birth = birth || c.Field == fieldBirth
	}
	switch {
	case name && birth:
		if d := r.Domain(); d < weakDomain {
			return fmt.Sprintf("its domain is only about %.0g keys", d)
		}
		return ""
	case name:
		return "a name without a date of birth"
	case birth:
		return "a date of birth without a name"
	}
	return "neither a name nor an identifier"
}

// weakDomain is the least domain of a rule that is not weak: with fewer keys
// than this a set of 10,000 records covers a tenth of them.
const weakDomain = 1e5

// Domain estimates how many different keys someone must try who wants to find
// every match key that the rule could derive: the product over its clauses of
// these rough estimates (order of magnitude; correlations are neglected, so
// that the truth is smaller).
//
//	document number              10^9 in use in a country, as many types and
//	                             issuers as matter: 10^10 with them
//	phone                        10^10 (E.164 numbers in service)
//	e-mail, identifier           10^10
//	one name token, exact        10^6 (family names in a census of 10^8 people);
//	                             skeleton 2·10^4, prefix n 13^n at most
//	all names, exact             10^9; skeleton 10^8
//	birth                        100 years, 1,200 months, 36,525 days
//	place of birth               10^5; skeleton 2·10^4
//	nationality, sex             200, 2
func (r *Rule) Domain() float64 {
	d := 1.0
	for _, c := range r.Clauses {
		d *= c.domain()
	}
	return d
}

func (c Clause) domain() float64 {
	switch c.Field {
	case fieldDocument, fieldPhone, fieldEmail, fieldIdentifier:
		return 1e10
	case fieldDocNumber:
		return 1e9
	case fieldPlace:
		if c.How == howSkeleton {
			return 2e4
		}
		return 1e5
	case fieldNationality:
		return 200
	case fieldSex:
		return 2
	case fieldBirth:
		switch c.How {
		case howDay:
			return 36525
		case howUnordered:
			return 26000
		case howMonth:
			return 1200
		}
		return 100
	}
	one := 1e6
	switch c.How {
	case howSkeleton:
		one = 2e4
	case howPrefix:
		one = math.Min(math.Pow(13, float64(c.Length)), 1e6)
	}
	switch c.Which {
	case whichAll:
		return math.Min(one*one, 1e9)
	case whichAny:
		return math.Min(math.Pow(one, float64(c.Count)), 1e12)
	}
	return one
}

// EnumerationDays returns how many days an enumeration of the rule's domain
// takes someone who may ask itemsPerDay items a day; +Inf if none.
func (r *Rule) EnumerationDays(itemsPerDay int64) float64 {
	if itemsPerDay <= 0 {
		return math.Inf(1)
	}
	return r.Domain() / float64(itemsPerDay)
}

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
	switch c.Field {
	case fieldDocument:
		return "a document (issuing country, type and number)"
	case fieldDocNumber:
		return "the number of a document, of at least 6 characters, whatever its type and issuer"
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
		switch c.How {
		case howDay:
			return "a full date of birth"
		case howUnordered:
			return "a full date of birth, whichever of day and month comes first"
		case howMonth:
			return "year and month of birth"
		case howNearYear:
			return fmt.Sprintf("a year of birth that differs by %d at most", c.Within)
		}
		return "the year of birth"
	}
	return c.namePhrase()
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
	}
	switch {
	case c.AtLeast > 0 && c.AtMost > 0:
		s += fmt.Sprintf(" of %d to %d words", c.AtLeast, c.AtMost)
	case c.AtLeast > 0:
		s += fmt.Sprintf(" of at least %d words", c.AtLeast)
	case c.AtMost > 0:
		s += fmt.Sprintf(" of at most %d words", c.AtMost)
	}
	if c.Letters > 0 {
		s += fmt.Sprintf(" (words of less than %d letters don't count)", c.Letters)
	}
	switch c.How {
	case howSkeleton:
		s += ", compared by their consonants so that spellings of one name agree"
	case howPrefix:
		s += fmt.Sprintf(", compared by their first %d letters", c.Length)
	}
	return s
}
