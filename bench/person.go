package bench

import (
	"fmt"
	"strings"
)

// person is one synthetic person as they are, before any agency writes them
// down.
type person struct {
	origin                *origin
	country               *country
	female                bool
	given, middle, family []token
	birth                 day
	place                 string
	documents             []document
	phone, email          string
}

// token is one name.
type token struct {
	native string
	// latin are spellings in Latin letters; the passport has the one at index
	// passport.
	latin    []string
	passport int
}

type day struct{ year, month, day int }

func (d day) String() string { return fmt.Sprintf("%04d-%02d-%02d", d.year, d.month, d.day) }

type document struct{ kind, number, country string }

// Shares of people who hold a thing at all.
const (
	holdsPassport = 0.7
	holdsID       = 0.6
	holdsPhone    = 0.7
	holdsEmail    = 0.5
)

// newPerson makes up a person.
func newPerson(d *draw, origins []origin) *person {
	total := 0
	for i := range origins {
		total += origins[i].weight
	}
	at := d.below(total)
	p := &person{}
	for i := range origins {
		if at -= origins[i].weight; at < 0 {
			p.origin = &origins[i]
			break
		}
	}
	total = 0
	for _, c := range p.origin.countries {
		total += c.weight
	}
	at = d.below(total)
	for i := range p.origin.countries {
		if at -= p.origin.countries[i].weight; at < 0 {
			p.country = &p.origin.countries[i]
			break
		}
	}
	p.female = d.chance(0.45)
	p.nameFamily(d)
	p.nameGiven(d)
	p.birth = newBirth(d)
	p.place = pick(d, p.country.cities)
	p.identify(d)
	return p
}

// sexed returns the list of the person's sex.
func (p *person) sexed(male, female string) []forms {
	if p.female {
		return p.origin.lists[female]
	}
	return p.origin.lists[male]
}

func (p *person) nameGiven(d *draw) {
	o := p.origin
	p.given, p.middle = nil, nil
	p.given = append(p.given, p.givenName(d))
	if d.chance(o.second) {
		if t := p.givenName(d); t.native != p.given[0].native {
			p.given = append(p.given, t)
		}
	}
	if o.middle == "" || !d.chance(o.middleRate) {
		return
	}
	if o.middle == "patronymic" {
		p.middle = append(p.middle, newToken(d, o, pick(d, p.sexed("patronymic-m", "patronymic-f"))))
		return
	}
	males := o.lists["male"]
	p.middle = append(p.middle, newToken(d, o, males[d.skewed(len(males))]))
}

func (p *person) givenName(d *draw) token {
	if syllables := p.sexed("syllables-m", "syllables-f"); len(syllables) > 0 {
		return newSyllables(d, syllables)
	}
	list := p.sexed("male", "female")
	return newToken(d, p.origin, list[d.skewed(len(list))])
}

func (p *person) nameFamily(d *draw) {
	p.family = []token{p.familyName(d)}
	if d.chance(p.origin.surnames) {
		p.family = append(p.family, p.familyName(d))
	}
}

func (p *person) familyName(d *draw) token {
	list, roots := p.origin.lists["family"], p.origin.lists["root"]
	// Composed names are as frequent as there are roots.
	at := d.below(len(list) + len(roots))
	if at < len(list) {
		return newToken(d, p.origin, list[d.skewed(len(list))])
	}
	root, end := roots[at-len(list)], pick(d, p.sexed("end-m", "end-f"))
	whole := make(forms, max(len(root), len(end)))
	for i := range whole {
		whole[i] = root[i%len(root)] + end[i%len(end)]
	}
	return newToken(d, p.origin, whole)
}

// newToken spells a name.
func newToken(d *draw, o *origin, f forms) token {
	t := token{native: f[0]}
	switch {
	case strings.HasPrefix(o.script, "cyrillic"):
		t.latin = romanisations(o.script, f[0])
	case o.script == "latin":
		t.latin = f
	default:
		t.latin = f[1:]
	}
	// Passports follow the first spelling in three cases out of five.
	if !d.chance(0.6) {
		t.passport = d.below(len(t.latin))
	}
	return t
}

// newSyllables makes a given name of one or two syllables, which are written
// together, apart or with a hyphen.
func newSyllables(d *draw, list []forms) token {
	a := pick(d, list)
	if d.chance(0.15) {
		return token{native: a[0], latin: capitals(a[1:])}
	}
	b := pick(d, list)
	first, second := a[len(a)-1], b[len(b)-1]
	t := token{native: a[0] + b[0], latin: []string{
		capital(a[1] + b[1]), capital(a[1]) + " " + capital(b[1]), capital(first) + "-" + second, capital(first) + " " + capital(second),
	}}
	if !d.chance(0.6) {
		t.passport = d.below(len(t.latin))
	}
	return t
}

func capitals(s []string) []string {
	out := make([]string, len(s))
	for i := range s {
		out[i] = capital(s[i])
	}
	return out
}

// newBirth draws a date of birth from 1935 to 2010, most around 1985.
func newBirth(d *draw) day {
	b := day{1935 + d.below(26) + d.below(26) + d.below(26), 1 + d.below(12), 0}
	b.day = 1 + d.below(monthDays(b.year, b.month))
	return b
}

func monthDays(year, month int) int {
	switch month {
	case 2:
		if year%4 == 0 && (year%100 != 0 || year%400 == 0) {
			return 29
		}
		return 28
	case 4, 6, 9, 11:
		return 30
	}
	return 31
}

// identify gives the person documents, a phone and an e-mail address.
func (p *person) identify(d *draw) {
	p.documents, p.phone, p.email = nil, "", ""
	if d.chance(holdsPassport) {
		p.documents = append(p.documents, document{"passport", d.fill(p.country.passport), p.country.code})
	}
	if d.chance(holdsID) {
		p.documents = append(p.documents, document{"national_id", d.fill(p.country.nationID), p.country.code})
	}
	if d.chance(holdsPhone) {
		p.phone = newPhone(d, p.country)
	}
	if d.chance(holdsEmail) {
		p.email = p.newEmail(d)
	}
}

// newPhone returns a random mobile number in international form.
func newPhone(d *draw, c *country) string { return "+" + d.fill(c.phone) }

// newEmail returns an address under the domains that are reserved for examples
// (RFC 2606), so that none is anyone's.
func (p *person) newEmail(d *draw) string {
	clean := func(t token) string {
		return strings.Map(func(r rune) rune {
			if 'a' <= r && r <= 'z' {
				return r
			}
			return -1
		}, strings.ToLower(foldMarks(t.latin[t.passport])))
	}
	return fmt.Sprintf("%s.%s%d@example.%s", clean(p.given[0]), clean(p.family[0]), 10+d.below(99990),
		pick(d, []string{"com", "net", "org"}))
}

// relative makes up someone who shares more with p than chance would: a twin,
// a sibling, a parent or child of the same name, or a namesake.
func (p *person) relative(d *draw) *person {
	r := *p
	switch d.below(4) {
	case 0: // twin
		r.nameGiven(d)
	case 1: // sibling
		r.female = d.chance(0.5)
		r.nameGiven(d)
		r.birth = newBirth(d)
		r.birth.year = p.birth.year - 8 + d.below(17)
		r.birth.day = min(r.birth.day, monthDays(r.birth.year, r.birth.month))
	case 2: // parent or child of the same name
		r.birth = newBirth(d)
		r.birth.year = p.birth.year - 28 + d.below(9)
		r.birth.day = min(r.birth.day, monthDays(r.birth.year, r.birth.month))
	default: // namesake of about the same age
		r.birth = newBirth(d)
		r.birth.year = p.birth.year - 1 + d.below(3)
		r.birth.day = min(r.birth.day, monthDays(r.birth.year, r.birth.month))
		r.place = pick(d, r.country.cities)
	}
	household := p.phone
	r.identify(d)
	if household != "" && d.chance(0.3) {
		r.phone = household
	}
	return &r
}
