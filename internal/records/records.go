// Package records reads an agency's person records and derives from each the
// match keys that a rule set asks for.
//
// A Source streams Records from CSV, JSON Lines or SQL. A RuleSet, part of the
// agreement, names the fields that must agree and how. A Deriver turns a
// Record into Keys under a RuleSet: two records match when they share a key.
// An Index collects the distinct keys of a whole source, and Evaluate joins
// two sources in the clear to measure a RuleSet.
//
// Field names follow the FollowTheMoney Person schema where one fits. No error
// of this package holds a value from a record.
package records

import (
	"fmt"

	"github.com/symbolon/symbolon/internal/records/names"
)

// Record is one person as one agency knows them. Every list may be empty; ID
// is never empty in a record that a Source yields.
type Record struct {
	// ID is the agency's own identifier, unique in the source.
	ID string
	// Row is the record's place in the source, counted from 1: the line of the
	// header in CSV is row 1.
	Row int64
	// Names holds the primary name first, then aliases.
	Names  []Name
	Births []Date
	// PlacesOfBirth are free text.
	PlacesOfBirth []string
	// Nationalities are ISO 3166-1 alpha-2 codes.
	Nationalities []string
	Documents     []Document
	// Phones are in E.164.
	Phones []string
	// Emails are lower case.
	Emails []string
	// Others are further identifiers: IBAN, IMEI, wallet, handle.
	Others []Identifier
	Sex    Sex
	// SourceRef is the reference that a peer is given for a hit, where the
	// mode gives one.
	SourceRef string
	// Contact and Note go with it in a lookup: whom to call, and what to know.
	Contact, Note string
	// Group is a free category for breakdowns of an evaluation.
	Group string
}

// Name is one name of a person as the register prints it. Given and Family are
// empty where the register does not split the name.
type Name struct {
	Full, Given, Family string
}

// Sex as in the FollowTheMoney schema's gender, reduced to what registers
// hold; empty is unknown.
type Sex string

// The values of Sex.
const (
	SexUnknown Sex = ""
	SexFemale  Sex = "F"
	SexMale    Sex = "M"
	SexOther   Sex = "X"
)

// Identifier is an identifier that is neither document, phone nor e-mail.
type Identifier struct {
	// Type is lower case, such as "iban".
	Type string
	// Value holds upper-case letters and digits.
	Value string
}

// reset empties a record and keeps its lists' memory, but no value in it.
func (r *Record) reset() {
	clear(r.Names)
	clear(r.PlacesOfBirth)
	clear(r.Nationalities)
	clear(r.Documents)
	clear(r.Phones)
	clear(r.Emails)
	clear(r.Others)
	*r = Record{
		Names: r.Names[:0], Births: r.Births[:0], PlacesOfBirth: r.PlacesOfBirth[:0],
		Nationalities: r.Nationalities[:0], Documents: r.Documents[:0], Phones: r.Phones[:0],
		Emails: r.Emails[:0], Others: r.Others[:0],
	}
}

// normalisation numbers the rules of this package for dates, documents,
// phones, e-mails and countries.
const normalisation = "1"

// NormalisationVersion names everything that decides a match key beside the
// rule set. It is part of the agreement: nodes whose versions differ refuse
// to start a session.
func NormalisationVersion() string {
	return fmt.Sprintf("symbolon-%s/names-%s/unicode-%s", normalisation, names.Version, names.UnicodeVersion)
}
