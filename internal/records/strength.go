package records

import (
	"fmt"
	"math"
)

// identifies reports whether a clause alone tells people apart.
func (c Clause) identifies() bool {
	switch c.Field {
	case fieldDocument, fieldDocNumber, fieldPhone, fieldEmail, fieldIdentifier:
		return true
	}
	return false
}

// dates reports whether a clause compares a date of birth at all.
func (c Clause) dates() bool {
	return c.Field == fieldBirth && c.How != howAbsent && c.How != howDecade
}

// Weak reports whether the rule names too little to tell people apart: neither
// an identifier nor both a name and a date of birth of at least a year.
func (r *Rule) Weak() bool { return r.weakness() != "" }

func (r *Rule) weakness() string {
	var name, birth bool
	for _, c := range r.Clauses {
		if c.identifies() {
			return ""
		}
		name = name || c.Field == fieldName
		birth = birth || c.dates()
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
//	                             phonetic 10^5, skeleton 2·10^4, prefix n 13^n
//	                             at most
//	all names, exact             10^9; other comparisons the square of one token
//	birth                        100 years, 1,200 months, 36,525 days; what may
//	                             be absent counts as its parts alone
//	place of birth               10^5; skeleton 2·10^4
//	nationality, sex             200, 2
//	absence                      1
func (r *Rule) Domain() float64 {
	d := 1.0
	for _, c := range r.Clauses {
		d *= c.domain()
	}
	return d
}

func (c Clause) domain() float64 {
	if c.How == howAbsent {
		return 1
	}
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
		return birthDomain[c.How]
	}
	one := c.wordDomain()
	switch c.Which {
	case whichAll, whichBoth:
		return math.Min(one*one, 1e9)
	case whichAny:
		return math.Min(math.Pow(one, float64(c.Count)), 1e12)
	}
	return one
}

var birthDomain = map[string]float64{
	howDay: 36525, howRealDay: 36425, howUnordered: 26000, howMonth: 1200, howMonthOrYear: 1200, howTwoMonths: 600, howQuarter: 400, howHalf: 200,
	howYear: 100, howNearYear: 100, howDecade: 13, howTwoParts: 365 + 1200 + 3100,
}

// wordDomain is how many values one word of a name can take.
func (c Clause) wordDomain() float64 {
	switch c.How {
	case howPhonetic:
		return 1e5
	case howSkeleton:
		return 2e4
	case howPrefix:
		return math.Min(math.Pow(13, float64(c.Length)), 1e6)
	}
	return 1e6
}

// EnumerationDays returns how many days an enumeration of the rule's domain
// takes someone who may ask itemsPerDay items a day; +Inf if none.
func (r *Rule) EnumerationDays(itemsPerDay int64) float64 {
	if itemsPerDay <= 0 {
		return math.Inf(1)
	}
	return r.Domain() / float64(itemsPerDay)
}

// Collision estimates the probability that two different people, drawn from two
// registers of many nations, share a key of the rule: the product of these
// figures, rounded from the synthetic population of package bench, 100,000
// people a side. Registers of one nation collide some ten times as often. A
// field that a rule wants absent is taken to be absent everywhere.
func (r *Rule) Collision() float64 {
	p := 1.0
	named := 1.0
	for _, c := range r.Clauses {
		if c.Field == fieldName {
			// Clauses about one name depend on one another: the rarest counts.
			named = math.Min(named, c.nameCollision())
		} else {
			p *= c.collision()
		}
	}
	return p * named
}

func (c Clause) collision() float64 {
	if c.How == howAbsent {
		// The worst case: neither register holds the field of anyone.
		return 1
	}
	switch c.Field {
	case fieldDocument, fieldIdentifier:
		return 1e-12
	case fieldDocNumber, fieldEmail:
		return 1e-10
	case fieldPhone:
		return 2e-9
	case fieldPlace:
		return 0.005
	case fieldNationality:
		return 0.1
	case fieldSex:
		return 0.5
	}
	return birthCollision[c.How]
}

var birthCollision = map[string]float64{
	howDay: 5e-5, howRealDay: 4e-5, howUnordered: 7e-5, howMonth: 1.5e-3, howMonthOrYear: 4e-3, howTwoMonths: 5e-3, howQuarter: 7e-3, howHalf: 1e-2,
	howYear: 1.7e-2, howNearYear: 5e-2, howDecade: 0.2, howTwoParts: 5e-3,
}

// nameCollision is the probability that two people share a value of the
// clause's words.
func (c Clause) nameCollision() float64 {
	words := map[string]float64{howExact: 8e-3, howPhonetic: 1e-2, howSkeleton: 2e-2}
	one, ok := words[c.How]
	if !ok {
		one = math.Max(words[howExact], math.Pow(0.2, float64(c.Length)))
	}
	switch c.Which {
	case whichAny:
		p := math.Pow(one, float64(c.Count))
		if c.Consonants >= 6 {
			p /= 4
		}
		return p
	case whichAll, whichBoth:
		// Given and family names go together within a nation.
		p := map[string]float64{howExact: 4e-6, howPhonetic: 8e-6, howSkeleton: 3e-5}[c.How]
		if p == 0 {
			p = math.Max(2e-5, 5e-3*math.Pow(0.2, float64(c.Length)))
		}
		if c.AtLeast >= 3 {
			p /= 15
		}
		return p
	}
	return one
}

// ExpectedFalse estimates the false pairs of the rule between registers of so
// many records.
func (r *Rule) ExpectedFalse(a, b int64) float64 { return float64(a) * float64(b) * r.Collision() }
