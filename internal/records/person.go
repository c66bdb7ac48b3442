package records

import (
	"errors"
	"fmt"
	"slices"
)

// Person is one record as somebody types it, field by field, by the rules that
// read a source. Lists may be empty.
type Person struct {
	// ID is the record's number in the agency's own files.
	ID string
	// Names are printed names, the primary one first, then aliases. Given and
	// Family are the parts of the primary name, and make it where Names is empty.
	Names         []string
	Given, Family string
	// Births are dates as ParseDate reads them.
	Births        []string
	PlacesOfBirth []string
	Nationalities []string
	Documents     []DocumentText
	// MRZ are machine-readable zones of travel documents.
	MRZ    []string
	Phones []string
	Emails []string
	// Region is the default region of telephone numbers, ISO 3166-1 alpha-2.
	Region string
	Sex    string
}

// DocumentText is a document as it is typed; all but the number may be empty.
type DocumentText struct{ Type, Number, Country string }

// Record reads the person. A value that can't be right is an error, which names
// the field and not the value; so is a country that is not understood, for who
// types it can mend it.
func (p *Person) Record() (*Record, error) {
	m := &Mapping{Region: p.Region}
	if err := m.validate(); err != nil {
		return nil, fmt.Errorf("records: %w", err)
	}
	columns := presets[0].columns
	fields := map[string][]string{
		columns.ID[0]: {p.ID}, columns.Name[0]: p.Names, columns.Given[0]: {p.Given}, columns.Family[0]: {p.Family},
		columns.Birth[0]: p.Births, columns.PlaceOfBirth[0]: p.PlacesOfBirth, columns.Nationality[0]: p.Nationalities,
		columns.MRZ[0]: p.MRZ, columns.Phone[0]: p.Phones, columns.Email[0]: p.Emails, columns.Sex[0]: {p.Sex},
	}
	for _, d := range p.Documents {
		for _, f := range []struct{ column, value string }{
			{columns.DocumentType[0], d.Type}, {columns.DocumentNo[0], d.Number}, {columns.DocumentState[0], d.Country},
		} {
			fields[f.column] = append(fields[f.column], f.value)
		}
	}
	at := map[string]int{}
	var values [][]string
	for _, column := range sortedKeys(fields) {
		at[column] = len(values)
		values = append(values, fields[column])
	}
	columns.restrict(func(c string) bool { _, ok := at[c]; return ok })
	b := newBinder(m, &columns, at)
	var r Record
	bad := b.fill(&r, func(slot int) []string { return values[b.columns[slot]] })
	if len(bad) > 0 {
		return nil, fmt.Errorf("records: %s: %s", bad[0].Column, bad[0].Reason)
	}
	if slices.Contains(b.unread, KindCountry) {
		return nil, errors.New("records: a country is not understood: give its English name or its code, such as NO or NOR")
	}
	return &r, nil
}
