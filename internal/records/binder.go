package records

import (
	"errors"
	"slices"
	"strings"

	"golang.org/x/text/unicode/norm"
)

// Bounds on one record: what lies beyond them is a bad value.
const (
	maxIDBytes    = 256
	maxValues     = 512
	maxValueBytes = 16 << 10
)

// binder fills records from the values of bound columns.
type binder struct {
	region  string
	layouts []dateLayout
	// columns[slot] is the place of the column in the source, names[slot] its
	// name.
	columns []int
	names   []string
	steps   []step
	docs    []docStep
	// other is set by fill when the row describes no person.
	other bool
	// scratch, reused between rows
	bad          []RowError
	unread       []Kind
	given, famil []string
	countries    map[string]string
}

// step feeds one column to one field.
type step struct {
	slot int
	feed func(b *binder, r *Record, column, value string)
}

// docStep is a parallel list of document numbers, types and issuers; -1 stands
// for an absent column.
type docStep struct{ number, typ, country int }

func newBinder(m *Mapping, c *Columns, at map[string]int) *binder {
	b := &binder{region: m.Region}
	for _, f := range m.DateFormats {
		b.layouts = append(b.layouts, dateLayout(f))
	}
	slots := map[string]int{}
	slot := func(col string) int {
		s, ok := slots[col]
		if !ok {
			s = len(b.columns)
			slots[col] = s
			b.columns = append(b.columns, at[col])
			b.names = append(b.names, col)
		}
		return s
	}
	feed := func(cols columnList, f func(b *binder, r *Record, column, value string)) {
		for _, col := range cols {
			b.steps = append(b.steps, step{slot(col), f})
		}
	}
	feed(c.ID, (*binder).feedID)
	feed(c.EntityType, (*binder).feedEntityType)
	feed(c.Given, func(b *binder, _ *Record, _, v string) { b.given = append(b.given, v) })
	feed(c.Family, func(b *binder, _ *Record, _, v string) { b.famil = append(b.famil, v) })
	feed(c.Name, (*binder).feedName)
	feed(c.Alias, (*binder).feedName)
	feed(c.Birth, (*binder).feedBirth)
	feed(c.PlaceOfBirth, (*binder).feedPlace)
	feed(c.Nationality, (*binder).feedNationality)
	feed(c.Passport, func(b *binder, r *Record, col, v string) { b.feedDocument(r, col, v, "passport", "") })
	feed(c.NationalID, func(b *binder, r *Record, col, v string) { b.feedDocument(r, col, v, "national_id", "") })
	feed(c.MRZ, (*binder).feedMRZ)
	feed(c.Phone, (*binder).feedPhone)
	feed(c.Email, (*binder).feedEmail)
	for _, typ := range sortedKeys(c.Identifiers) {
		feed(c.Identifiers[typ], func(b *binder, r *Record, _, v string) {
			if n := NormaliseNumber(v); n != "" {
				r.Others = append(r.Others, Identifier{Type: strings.ToLower(typ), Value: n})
			}
		})
	}
	feed(c.Sex, (*binder).feedSex)
	feed(c.SourceRef, func(_ *binder, r *Record, _, v string) { r.SourceRef = v })
	feed(c.Contact, func(_ *binder, r *Record, _, v string) { r.Contact = joined(r.Contact, v) })
	feed(c.Note, func(_ *binder, r *Record, _, v string) { r.Note = joined(r.Note, v) })
	feed(c.Group, func(_ *binder, r *Record, _, v string) { r.Group = v })
	for i, col := range c.DocumentNo {
		d := docStep{number: slot(col), typ: -1, country: -1}
		if len(c.DocumentType) > 0 {
			d.typ = slot(c.DocumentType[i])
		}
		if len(c.DocumentState) > 0 {
			d.country = slot(c.DocumentState[i])
		}
		b.docs = append(b.docs, d)
	}
	return b
}

// joined puts several values of a cell back together.
func joined(have, v string) string {
	if have == "" {
		return v
	}
	return have + "; " + v
}

// clone returns a binder of the same columns for another goroutine.
func (b *binder) clone() *binder {
	return &binder{region: b.region, layouts: b.layouts, columns: b.columns, names: b.names, steps: b.steps, docs: b.docs}
}

// fill reads one row into r. It returns the bad values, which are left out of
// r; the slice is reused.
func (b *binder) fill(r *Record, values func(slot int) []string) []RowError {
	b.bad, b.unread, b.given, b.famil, b.other = b.bad[:0], b.unread[:0], b.given[:0], b.famil[:0], false
	for _, s := range b.steps {
		vs := values(s.slot)
		if len(vs) > maxValues {
			b.reject(b.names[s.slot], KindTooLong, "more values than a cell may hold")
			vs = vs[:maxValues]
		}
		for _, v := range vs {
			v = strings.TrimSpace(v)
			if v == "" {
				continue
			}
			if len(v) > maxValueBytes {
				b.reject(b.names[s.slot], KindTooLong, "value is too long")
				continue
			}
			s.feed(b, r, b.names[s.slot], v)
		}
	}
	for _, d := range b.docs {
		b.fillDocuments(r, d, values)
	}
	b.mergeNameParts(r)
	if r.ID == "" && !b.other && !slices.ContainsFunc(b.bad, func(e RowError) bool { return e.Kind == KindMissingID }) {
		b.reject(b.names[0], KindMissingID, "no id")
	}
	return b.bad
}

func (b *binder) reject(column string, kind Kind, reason string) {
	b.bad = append(b.bad, RowError{Column: column, Kind: kind, Reason: reason})
}

func (b *binder) feedID(r *Record, col, v string) {
	if len(v) > maxIDBytes || r.ID != "" {
		r.ID = ""
		b.reject(col, KindMissingID, "the id is too long or there are several")
		return
	}
	r.ID = v
}

func (b *binder) feedEntityType(_ *Record, _, v string) {
	switch strings.ToLower(v) {
	case "person", "individual", "natural person", "natural_person":
	default:
		b.other = true
	}
}

func (b *binder) feedName(r *Record, _, v string) {
	r.Names = append(r.Names, SplitName(v))
}

// mergeNameParts joins given and family names to the name that they are parts
// of, or makes a name of them where none is printed in full.
func (b *binder) mergeNameParts(r *Record) {
	if len(b.given) == 0 && len(b.famil) == 0 {
		return
	}
	n := Name{Given: strings.Join(b.given, " "), Family: strings.Join(b.famil, " ")}
	if n.Full = n.Given; n.Full == "" || n.Family == "" {
		n.Full += n.Family
	} else {
		n.Full += " " + n.Family
	}
	if len(r.Names) > 0 && sameWords(r.Names[0].Full, n.Full) {
		r.Names[0].Given, r.Names[0].Family = n.Given, n.Family
		return
	}
	r.Names = slices.Insert(r.Names, 0, n)
}

// sameWords reports whether two spellings differ in order, commas and spaces
// only.
func sameWords(a, b string) bool {
	split := func(s string) []string {
		w := strings.FieldsFunc(s, func(r rune) bool { return r == ',' || r == ' ' })
		slices.Sort(w)
		return w
	}
	return slices.Equal(split(a), split(b))
}

func (b *binder) feedBirth(r *Record, col, v string) {
	var d Date
	var err error = errDateFormat
	for _, l := range b.layouts {
		if d, err = l.parse(v); err == nil || errors.Is(err, errDateCalendar) {
			break
		}
	}
	if errors.Is(err, errDateFormat) {
		d, err = ParseDate(v)
	}
	if err != nil {
		b.reject(col, KindDate, err.Error())
		if !errors.Is(err, errDateCalendar) {
			return
		}
	}
	if !slices.Contains(r.Births, d) {
		r.Births = append(r.Births, d)
	}
}

func (b *binder) feedPlace(r *Record, _, v string) {
	r.PlacesOfBirth = append(r.PlacesOfBirth, v)
}

func (b *binder) feedNationality(r *Record, _, v string) {
	c, err := b.country(v)
	if err != nil {
		b.unread = append(b.unread, KindCountry)
		return
	}
	if !slices.Contains(r.Nationalities, c) {
		r.Nationalities = append(r.Nationalities, c)
	}
}

// maxCountries bounds the spellings of countries that a binder remembers.
const maxCountries = 1024

// country is parseCountry from memory: registers spell few countries.
func (b *binder) country(s string) (string, error) {
	if c, ok := b.countries[s]; ok {
		return c, nil
	}
	c, err := parseCountry(s)
	if err != nil {
		return "", err
	}
	if b.countries == nil || len(b.countries) == maxCountries {
		b.countries = map[string]string{}
	}
	b.countries[strings.Clone(s)] = c
	return c, nil
}

func (b *binder) feedMRZ(r *Record, col, v string) {
	m, err := ParseMRZ(v)
	if err != nil {
		b.reject(col, KindMRZ, err.Error())
		return
	}
	r.addMRZ(m)
}

func (b *binder) feedPhone(r *Record, col, v string) {
	p, err := parsePhone(v, b.region)
	if err != nil {
		b.reject(col, KindPhone, err.Error())
		return
	}
	if !slices.Contains(r.Phones, p) {
		r.Phones = append(r.Phones, p)
	}
}

func (b *binder) feedEmail(r *Record, col, v string) {
	e, err := parseEmail(v)
	if err != nil {
		b.reject(col, KindEmail, err.Error())
		return
	}
	if !slices.Contains(r.Emails, e) {
		r.Emails = append(r.Emails, e)
	}
}

func (b *binder) feedSex(r *Record, col, v string) {
	s, err := parseSex(v)
	if err != nil {
		b.reject(col, KindSex, err.Error())
		return
	}
	r.Sex = s
}

// fillDocuments reads parallel lists. A list of types or issuers may be empty
// or hold one value for all numbers.
func (b *binder) fillDocuments(r *Record, d docStep, values func(int) []string) {
	numbers := values(d.number)
	if len(numbers) == 0 {
		return
	}
	col := b.names[d.number]
	if len(numbers) > maxValues {
		b.reject(col, KindTooLong, "more values than a cell may hold")
		return
	}
	// The slices of values are only valid until the next call.
	numbers = slices.Clone(numbers)
	types, ok := b.parallel(d.typ, len(numbers), values)
	types = slices.Clone(types)
	countries, ok2 := b.parallel(d.country, len(numbers), values)
	if !ok || !ok2 {
		b.reject(col, KindDocument, "lists of document types, numbers and countries have different lengths")
		return
	}
	for i, n := range numbers {
		if strings.TrimSpace(n) == "" {
			continue
		}
		b.feedDocument(r, col, n, at(types, i), at(countries, i))
	}
}

func (b *binder) parallel(slot, n int, values func(int) []string) ([]string, bool) {
	if slot < 0 {
		return nil, true
	}
	vs := values(slot)
	return vs, len(vs) <= 1 || len(vs) == n
}

func at(vs []string, i int) string {
	switch {
	case len(vs) == 0:
		return ""
	case len(vs) == 1:
		return vs[0]
	}
	return vs[i]
}

func (b *binder) feedDocument(r *Record, col, number, typ, country string) {
	d := Document{Type: documentType(typ), Number: NormaliseNumber(number)}
	if d.Number == "" {
		b.reject(col, KindDocument, "no letter or digit in it, or too long")
		return
	}
	if strings.TrimSpace(country) != "" {
		c, err := b.country(country)
		if err != nil {
			b.unread = append(b.unread, KindCountry)
		}
		d.Country = c
	}
	if !slices.Contains(r.Documents, d) {
		r.Documents = append(r.Documents, d)
	}
}

// SplitName returns the name with its parts where the spelling tells them: the
// family name stands before a comma, or is the part in capitals.
func SplitName(full string) Name {
	full = strings.TrimSpace(norm.NFC.String(full))
	n := Name{Full: full}
	if family, given, ok := strings.Cut(full, ","); ok {
		n.Family, n.Given = strings.TrimSpace(family), strings.TrimSpace(given)
		return n
	}
	var given, family []string
	for w := range strings.FieldsSeq(full) {
		if w != strings.ToLower(w) && w == strings.ToUpper(w) && len(w) > 1 {
			family = append(family, w)
		} else {
			given = append(given, w)
		}
	}
	if len(given) > 0 && len(family) > 0 {
		n.Given, n.Family = strings.Join(given, " "), strings.Join(family, " ")
	}
	return n
}
