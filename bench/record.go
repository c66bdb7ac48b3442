package bench

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// Header is the first row of a population's CSV files.
var Header = []string{
	"id", "entity_type", "primary_name", "given_names", "family_name", "alt_names", "date_of_birth", "place_of_birth",
	"nationality", "document_type", "document_number", "document_country", "phone", "sex", "source_ref", "email",
}

// separator stands between several values in one cell.
const separator = " | "

// flaw is something about a record that makes it harder to match.
type flaw uint16

const (
	flawRespelled flaw = 1 << iota
	flawNative
	flawDropped
	flawSwapped
	flawTypo
	flawRenamed
	flawNoDate
	flawPartialDate
	flawWrongDate
	flawNoDocument
	flawDocument
)

var flawNames = []string{
	"respelled", "native-script", "name-dropped", "names-swapped", "typo", "renamed",
	"no-date", "partial-date", "wrong-date", "no-document", "other-document",
}

func (f flaw) String() string {
	var out []string
	for i, name := range flawNames {
		if f&(1<<i) != 0 {
			out = append(out, name)
		}
	}
	if out == nil {
		return "clean"
	}
	return strings.Join(out, "+")
}

// recorder writes a person down as an agency does.
type recorder struct {
	*draw
	e *ErrorModel
	p *person
	// familyFirst is the agency's house style: FAMILY, Given.
	familyFirst bool
	flaws       flaw
}

// record returns the cells of Header behind the id.
func (r *recorder) record(ref string) []string {
	r.renamed()
	given, middle, family := r.parts()
	primary, flaws := r.written(given, middle, family, r.e.Respelled)
	r.flaws |= flaws
	aliases := r.aliases(given, middle, family)
	if r.origin().script != "latin" && r.chance(r.e.Native) {
		r.flaws |= flawNative
		if r.chance(0.5) {
			aliases = append(aliases, primary.full)
		}
		primary = r.native(given, middle, family)
	}
	aliases = slices.DeleteFunc(aliases, func(a string) bool { return a == primary.full })
	kinds, numbers, issuers := r.documents()
	return []string{
		"person", primary.full, primary.given, primary.family, strings.Join(aliases, separator),
		r.birth(), r.place(), r.nationality(), kinds, numbers, issuers,
		r.phone(), r.sex(), ref, r.email(),
	}
}

func (r *recorder) origin() *origin { return r.p.origin }

// renamed gives the person another family name.
func (r *recorder) renamed() {
	rate := r.e.Renamed
	if r.p.female {
		rate *= 2
	}
	if r.chance(rate) {
		p := *r.p
		p.nameFamily(r.draw)
		r.p = &p
		r.flaws |= flawRenamed
	}
}

// parts returns the names that the agency knows.
func (r *recorder) parts() (given, middle, family []token) {
	given, middle, family = r.p.given, r.p.middle, r.p.family
	if len(given) > 1 && r.chance(r.e.Dropped) {
		given = given[:1]
		r.flaws |= flawDropped
	}
	if len(middle) > 0 && r.chance(r.e.Dropped) {
		middle = nil
		r.flaws |= flawDropped
	}
	if len(family) > 1 && r.chance(r.e.Dropped) {
		family = family[:1]
		r.flaws |= flawDropped
	}
	if r.chance(r.e.Swapped) {
		given, family = family, given
		r.flaws |= flawSwapped
	}
	return given, middle, family
}

// fullName is a name as it is printed, whole and in parts.
type fullName struct{ full, given, family string }

// written spells a name in Latin letters, each part by another form than the
// passport's with probability respelled.
func (r *recorder) written(given, middle, family []token, respelled float64) (_ fullName, flaws flaw) {
	fold := r.chance(r.e.Marks)
	spell := func(tokens []token) string {
		var out []string
		for _, t := range tokens {
			at := t.passport
			if len(t.latin) > 1 && r.chance(respelled) {
				at = (at + 1 + r.below(len(t.latin)-1)) % len(t.latin)
				flaws |= flawRespelled
			}
			s := t.latin[at]
			if fold {
				s = foldMarks(s)
			}
			out = append(out, s)
		}
		return strings.Join(out, " ")
	}
	g, m, f := spell(given), spell(middle), spell(family)
	if r.chance(r.e.Typo) {
		before := g + f
		if r.chance(0.5) {
			g = r.typo(g)
		} else {
			f = r.typo(f)
		}
		if g+f != before {
			flaws |= flawTypo
		}
	}
	return r.layout(strings.TrimSpace(g+" "+m), f), flaws
}

// layout prints a name in the agency's style.
func (r *recorder) layout(given, family string) fullName {
	n := fullName{given: given, family: family}
	switch {
	case family == "":
		n.full = given
	case r.familyFirst:
		n.full = strings.ToUpper(family) + ", " + given
	default:
		n.full = given + " " + family
	}
	return n
}

// native prints a name in its own script and order.
func (r *recorder) native(given, middle, family []token) fullName {
	join := func(tokens []token) string {
		var out []string
		for _, t := range tokens {
			out = append(out, t.native)
		}
		return strings.Join(out, " ")
	}
	n := fullName{given: strings.TrimSpace(join(given) + " " + join(middle)), family: join(family)}
	switch {
	case r.origin().script == "han" || r.origin().script == "hangul":
		n.full = n.family + n.given
	case r.origin().familyFirst:
		n.full = n.family + " " + n.given
	default:
		n.full = n.given + " " + n.family
	}
	return n
}

// aliases returns further spellings, in the native script now and then.
func (r *recorder) aliases(given, middle, family []token) []string {
	var out []string
	for r.chance(r.e.Alias) && len(out) < 3 {
		var name fullName
		if r.origin().script != "latin" && r.chance(0.3) {
			name = r.native(given, middle, family)
		} else {
			// An alias is there because it is another spelling.
			name, _ = r.written(given, middle, family, 0.6)
		}
		if slices.Contains(out, name.full) {
			break
		}
		out = append(out, name.full)
	}
	return out
}

// typo makes one slip in a name of at least four letters: a letter changed,
// left out, doubled, or exchanged with the next.
func (r *recorder) typo(s string) string {
	if utf8.RuneCountInString(s) < 4 {
		return s
	}
	letters := []rune(s)
	at := 1 + r.below(len(letters)-2)
	if letters[at] == ' ' || letters[at+1] == ' ' {
		return s
	}
	switch r.below(4) {
	case 0:
		letters[at] = rune("aeioulnrstmk"[r.below(12)])
	case 1:
		letters = slices.Delete(letters, at, at+1)
	case 2:
		letters = slices.Insert(letters, at, letters[at])
	default:
		letters[at], letters[at+1] = letters[at+1], letters[at]
	}
	return string(letters)
}

// birth prints the date of birth.
func (r *recorder) birth() string {
	b, e := r.p.birth, r.e
	is := r.oneOf(e.DateMissing, e.DateYear, e.DateMonth, e.DateAbout, e.DateRange,
		e.DateSwapped, e.DateDigit, e.DateYearOff, e.DateJan)
	switch {
	case is == 0:
		r.flaws |= flawNoDate
		return ""
	case 0 < is && is <= 4:
		r.flaws |= flawPartialDate
	case is > 4:
		r.flaws |= flawWrongDate
	}
	switch is {
	case 1:
		return fmt.Sprintf("%04d", b.year)
	case 2:
		return fmt.Sprintf("%04d-%02d", b.year, b.month)
	case 3:
		return fmt.Sprintf("~%04d", b.year)
	case 4:
		first := b.year - r.below(4)
		return fmt.Sprintf("%04d/%04d", first, first+3)
	case 5:
		if b.day > 12 || b.day == b.month {
			r.flaws &^= flawWrongDate
			break
		}
		b.day, b.month = b.month, b.day
	case 6:
		b.day = 1 + r.below(28)
	case 7:
		b.year += 2*r.below(2) - 1
		b.day = min(b.day, monthDays(b.year, b.month))
	case 8:
		b.month, b.day = 1, 1
	}
	if r.chance(e.DateExtra) {
		other := newBirth(r.draw)
		return b.String() + separator + other.String()
	}
	return b.String()
}

// oneOf returns the index of one of the cases, each with its probability, or
// -1 for none.
func (r *recorder) oneOf(p ...float64) int {
	x := float64(r.pcg.Uint64()>>11) / (1 << 53)
	for i, q := range p {
		if x -= q; x < 0 {
			return i
		}
	}
	return -1
}

func (r *recorder) place() string {
	if r.chance(r.e.PlaceMissing) {
		return ""
	}
	return r.p.place + ", " + r.p.country.name
}

func (r *recorder) nationality() string {
	switch r.oneOf(r.e.NationalityMissing, r.e.NationalityOther) {
	case 0:
		return ""
	case 1:
		return pick(r.draw, pick(r.draw, loadOrigins()).countries).code
	}
	return r.p.country.code
}

func (r *recorder) sex() string {
	sex := "M"
	if r.p.female {
		sex = "F"
	}
	switch r.oneOf(r.e.SexMissing, r.e.SexWrong) {
	case 0:
		return ""
	case 1:
		return map[string]string{"M": "F", "F": "M"}[sex]
	}
	return sex
}

// documents returns the parallel lists of kinds, numbers and issuers.
func (r *recorder) documents() (kinds, numbers, issuers string) {
	var k, n, i []string
	for _, doc := range r.p.documents {
		if !r.chance(r.e.DocumentKnown) {
			continue
		}
		number := doc.number
		if r.chance(r.e.DocumentChanged) {
			number = r.fill(r.p.country.passport)
			r.flaws |= flawDocument
		}
		if r.chance(r.e.NumberTypo) {
			at := r.below(len(number))
			wrong := number[:at] + string(rune('0'+r.below(10))) + number[at+1:]
			if wrong != number {
				number = wrong
				r.flaws |= flawDocument
			}
		}
		issuer := doc.country
		if r.chance(r.e.IssuerMissing) {
			issuer = ""
		}
		k, n, i = append(k, doc.kind), append(n, r.style(number)), append(i, issuer)
	}
	if k == nil {
		r.flaws |= flawNoDocument
	}
	return strings.Join(k, separator), strings.Join(n, separator), strings.Join(i, separator)
}

// style prints a number with what people put between its characters.
func (r *recorder) style(number string) string {
	if !r.chance(r.e.NumberStyle) || len(number) < 4 {
		return number
	}
	switch r.below(3) {
	case 0:
		return strings.ToLower(number)
	case 1:
		return number[:2] + " " + number[2:]
	}
	return number[:3] + "-" + number[3:]
}

func (r *recorder) phone() string {
	if r.p.phone == "" || !r.chance(r.e.PhoneKnown) {
		return ""
	}
	phone := r.p.phone
	if r.chance(r.e.PhoneChanged) {
		phone = newPhone(r.draw, r.p.country)
	}
	// The calling code is followed by a space; some registers drop it.
	if r.chance(0.5) {
		phone = strings.ReplaceAll(phone, " ", "")
	}
	return phone
}

func (r *recorder) email() string {
	if r.p.email == "" || !r.chance(r.e.EmailKnown) {
		return ""
	}
	if r.chance(r.e.EmailChanged) {
		return r.p.newEmail(r.draw)
	}
	return r.p.email
}
