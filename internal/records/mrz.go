package records

import (
	"errors"
	"strings"
)

// MRZ is what a machine-readable zone says (ICAO Doc 9303, 8th edition: Part 5
// for TD1, Part 6 for TD2, Part 4 for TD3).
type MRZ struct {
	Name        Name
	Document    Document
	Nationality string
	Birth       Date
	Sex         Sex
}

var errMRZ = errors.New("not a machine-readable zone of type TD1, TD2 or TD3")

// mrzLayout says where a type's fields stand: line, start and end. The check
// digit of a field follows it.
type mrzLayout struct {
	lines, width                             int
	issuer, number, birth, sex, expiry, name [3]int
	nationality, optional                    [3]int
	// composite is what the last digit of the second line covers.
	composite [][3]int
}

var mrzLayouts = []mrzLayout{
	{ // TD1
		lines: 3, width: 30, issuer: [3]int{0, 2, 5}, number: [3]int{0, 5, 14}, optional: [3]int{0, 15, 30}, birth: [3]int{1, 0, 6}, sex: [3]int{1, 7, 8},
		expiry: [3]int{1, 8, 14}, nationality: [3]int{1, 15, 18}, name: [3]int{2, 0, 30},
		composite: [][3]int{{0, 5, 30}, {1, 0, 7}, {1, 8, 15}, {1, 18, 29}},
	},
	{ // TD2
		lines: 2, width: 36, issuer: [3]int{0, 2, 5}, number: [3]int{1, 0, 9}, optional: [3]int{1, 28, 35}, birth: [3]int{1, 13, 19}, sex: [3]int{1, 20, 21},
		expiry: [3]int{1, 21, 27}, nationality: [3]int{1, 10, 13}, name: [3]int{0, 5, 36},
		composite: [][3]int{{1, 0, 10}, {1, 13, 20}, {1, 21, 35}},
	},
	{ // TD3
		lines: 2, width: 44, issuer: [3]int{0, 2, 5}, number: [3]int{1, 0, 9}, optional: [3]int{1, 28, 42}, birth: [3]int{1, 13, 19}, sex: [3]int{1, 20, 21},
		expiry: [3]int{1, 21, 27}, nationality: [3]int{1, 10, 13}, name: [3]int{0, 5, 44},
		composite: [][3]int{{1, 0, 10}, {1, 13, 20}, {1, 21, 43}},
	},
}

// ParseMRZ reads a machine-readable zone; line ends and spaces in it don't
// count. A wrong check digit flags the document and is no error: the number
// may be wrong in both registers. Its errors hold no value.
func ParseMRZ(s string) (*MRZ, error) {
	if len(s) > 512 {
		return nil, errMRZ
	}
	zone := strings.Map(func(r rune) rune {
		switch {
		case r == ' ' || r == '\n' || r == '\r' || r == '\t':
			return -1
		case 'a' <= r && r <= 'z':
			return r - 'a' + 'A'
		case 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || r == '<':
			return r
		}
		return '?'
	}, s)
	if strings.Contains(zone, "?") {
		return nil, errMRZ
	}
	for _, l := range mrzLayouts {
		// TD1 has 90 characters, TD2 72, TD3 88.
		if len(zone) == l.lines*l.width {
			return l.parse(zone)
		}
	}
	return nil, errMRZ
}

func (l *mrzLayout) parse(zone string) (*MRZ, error) {
	field := func(f [3]int) string { return zone[f[0]*l.width+f[1] : f[0]*l.width+f[2]] }
	digitAfter := func(f [3]int) byte { return zone[f[0]*l.width+f[2]] }
	m := &MRZ{Document: Document{Type: "other", Number: trimFiller(field(l.number))}}
	switch zone[0] {
	case 'P':
		m.Document.Type = "passport"
	case 'I', 'A', 'C':
		m.Document.Type = "national_id"
	case 'V':
		m.Document.Type = "visa"
	}
	number, digit := field(l.number), digitAfter(l.number)
	if digit == '<' && l.lines == 3 {
		// Part 5, note j: a long number goes on in the optional data, its check
		// digit last.
		more, _, _ := strings.Cut(field(l.optional), "<")
		if more != "" {
			number, digit = number+more[:len(more)-1], more[len(more)-1]
			m.Document.Number = trimFiller(number)
		}
	}
	if m.Document.Number == "" {
		return nil, errMRZ
	}
	var composite strings.Builder
	for _, f := range l.composite {
		composite.WriteString(field(f))
	}
	last := zone[l.width+l.width-1]
	m.Document.CheckFailed = checkDigit(number) != digit || checkDigit(field(l.birth)) != digitAfter(l.birth) ||
		checkDigit(field(l.expiry)) != digitAfter(l.expiry) || checkDigit(composite.String()) != last
	// Codes that are no country, such as UTO of specimens, are left out.
	m.Document.Country, _ = parseCountry(trimFiller(field(l.issuer)))
	m.Nationality, _ = parseCountry(trimFiller(field(l.nationality)))
	m.Sex, _ = parseSex(field(l.sex))
	m.Birth = mrzBirth(field(l.birth), field(l.expiry))
	family, given, _ := strings.Cut(strings.TrimRight(field(l.name), "<"), "<<")
	m.Name = Name{Family: spaced(family), Given: spaced(given)}
	m.Name.Full = strings.TrimSpace(m.Name.Given + " " + m.Name.Family)
	if m.Name.Full == "" {
		return nil, errMRZ
	}
	return m, nil
}

// checkDigit computes a check digit (Part 3, Section 4.9): the sum of the
// characters' values by the weights 7, 3, 1, modulo 10.
func checkDigit(s string) byte {
	sum := 0
	for i := range len(s) {
		v := 0
		switch c := s[i]; {
		case '0' <= c && c <= '9':
			v = int(c - '0')
		case 'A' <= c && c <= 'Z':
			v = int(c-'A') + 10
		}
		sum += v * [3]int{7, 3, 1}[i%3]
	}
	return byte('0' + sum%10)
}

func trimFiller(s string) string { return strings.ReplaceAll(s, "<", "") }

func spaced(s string) string { return strings.TrimSpace(strings.ReplaceAll(s, "<", " ")) }

// mrzBirth reads YYMMDD, whose parts may be unknown (<<). The century is the
// latest in which the birth is not after the document's expiry.
func mrzBirth(birth, expiry string) Date {
	if !allDigits(birth[:2]) {
		return Date{}
	}
	latest := 2099
	if allDigits(expiry[:2]) {
		// Documents of before 2000 expire in the seventies at the earliest.
		if latest = 2000 + atoi(expiry[:2]); atoi(expiry[:2]) >= 70 {
			latest = 1900 + atoi(expiry[:2])
		}
	}
	year := 2000 + atoi(birth[:2])
	if year > latest {
		year -= 100
	}
	month, day := 0, 0
	if allDigits(birth[2:4]) {
		month = atoi(birth[2:4])
		if allDigits(birth[4:6]) {
			day = atoi(birth[4:6])
		}
	}
	// What is impossible of the date is left out, see salvage.
	d, _ := makeDate(Date{}, year, month, day)
	return d
}

// addMRZ adds what the zone says to a record.
func (r *Record) addMRZ(m *MRZ) {
	r.Names = append(r.Names, m.Name)
	r.Documents = append(r.Documents, m.Document)
	if m.Birth.Precision != 0 {
		r.Births = append(r.Births, m.Birth)
	}
	if m.Nationality != "" {
		r.Nationalities = append(r.Nationalities, m.Nationality)
	}
	if r.Sex == SexUnknown {
		r.Sex = m.Sex
	}
}
