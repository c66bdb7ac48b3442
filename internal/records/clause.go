package records

import (
	"errors"
	"fmt"
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
	howPhonetic  = "phonetic"
	howPrefix    = "prefix"
	howUnordered = "date unordered"
	howDay       = "date exact"
	howMonth     = "year-month"
	howYear      = "year"
	howTwoParts  = "two parts"
	howAbsent    = "absent"
	howDecade    = "decade or absent"

	howHalf        = "half or year"
	howQuarter     = "quarter or year"
	howTwoMonths   = "two months or year"
	howMonthOrYear = "month or year"

	howRealDay  = "date exact but 1 january"
	howNearYear = "year within"
)

// Which tokens of a name a clause takes.
const (
	whichAll    = "all"
	whichAny    = "any"
	whichGiven  = "given"
	whichFamily = "family"
	whichBoth   = "both"
)

// Clause is one condition of a rule. In words:
//
//	document exact              issuer, type and number
//	document number exact       number alone, at least 6 characters
//	phone exact
//	email exact
//	identifier exact            type and value
//	WHICH names HOW             WHICH: all, any N, given, family, or both (given
//	                            names as one word, family names as one word)
//	                            HOW: exact, phonetic, skeleton, prefix N
//	                            may add, of the name and of the words taken:
//	                            at least N words, at most N words,
//	                            at least N letters, at least N consonants
//	birth date exact            year, month and day
//	birth date unordered        the same, day and month may be swapped
//	birth year-month
//	birth year
//	birth year within N
//	birth two parts             two of year, month and day
//	birth half or year          also quarter, two months, month: the year where
//	                            one side knows no more
//	birth decade or absent      a missing date agrees with any
//	birth date exact but 1 january
//	place of birth exact        or skeleton
//	nationality exact
//	sex exact
//	FIELD absent                neither side holds it: birth, nationality,
//	                            place of birth, sex
type Clause struct {
	Field, How, Which string
	// Count is N of "any N names", Length that of "prefix N", Within that of
	// "year within N"; zero where absent.
	Count, Length, Within int
	// AtLeast and AtMost bound the words of a name, Letters those of a word,
	// Consonants those of the words taken together.
	AtLeast, AtMost, Letters, Consonants int
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
	case "sex absent":
		return Clause{Field: fieldSex, How: howAbsent}, nil
	case "birth date exact", "birth date unordered", "birth year-month", "birth year", "birth two parts",
		"birth date exact but 1 january", "birth decade or absent", "birth half or year", "birth quarter or year", "birth two months or year", "birth month or year", "birth absent":
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
	case whichAll, whichGiven, whichFamily, whichBoth:
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
	case howExact, howSkeleton, howPhonetic:
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
		case "least consonants":
			into, most = &c.Consonants, maxPrefix
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
	if c.Consonants > 0 && (c.How != howSkeleton || c.Which != whichAny) {
		return c, fmt.Errorf("clause %q: only any N names skeleton counts consonants", joined)
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
	}{{c.AtLeast, " at least %d words"}, {c.AtMost, " at most %d words"}, {c.Letters, " at least %d letters"}, {c.Consonants, " at least %d consonants"}} {
		if b.n > 0 {
			s += fmt.Sprintf(b.text, b.n)
		}
	}
	return s
}
