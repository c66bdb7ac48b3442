package records

import (
	"fmt"
	"sort"
	"strings"
)

// Kind says what is wrong with a value.
type Kind string

// The kinds of bad values.
const (
	KindMissingID Kind = "missing id"
	KindDate      Kind = "date"
	KindPhone     Kind = "phone"
	KindEmail     Kind = "email"
	KindCountry   Kind = "country"
	KindDocument  Kind = "document"
	KindSex       Kind = "sex"
	KindFields    Kind = "number of cells"
	KindTooLong   Kind = "too long"
	KindMRZ       Kind = "machine-readable zone"
)

// RowError is a value that can't be right: where it stands and why, never what
// it is.
type RowError struct {
	// Row counts from 1; in CSV the header is row 1.
	Row    int64
	Column string
	Kind   Kind
	Reason string
}

func (e *RowError) Error() string {
	if e.Column == "" {
		return fmt.Sprintf("row %d: %s", e.Row, e.Reason)
	}
	return fmt.Sprintf("row %d, column %q: %s", e.Row, e.Column, e.Reason)
}

// Report counts what became of the rows of a source, and how good they are.
type Report struct {
	Rows    int64 `json:"rows"`
	Records int64 `json:"records"`
	// Skipped counts rows left out for a bad value.
	Skipped int64 `json:"skipped"`
	// NotPersons counts rows that describe no person.
	NotPersons int64 `json:"not_persons"`
	// Bad counts bad values by kind.
	Bad map[Kind]int64 `json:"bad,omitempty"`
	// Unread counts values that are not understood, such as a country given as
	// a remark. They are left out; the row is not bad.
	Unread map[Kind]int64 `json:"unread,omitempty"`
	// Quality is complete once the source has been read.
	Quality Quality `json:"quality"`
	// First holds the first bad values.
	First []RowError `json:"-"`
}

const maxFirst = 20

func newReport() *Report {
	return &Report{Bad: map[Kind]int64{}, Unread: map[Kind]int64{}, Quality: newQuality()}
}

func (r *Report) add(e *RowError) {
	r.Bad[e.Kind]++
	if len(r.First) < maxFirst {
		r.First = append(r.First, *e)
	}
}

// String is the count at the end of an import, by kind.
func (r *Report) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d rows, %d records", r.Rows, r.Records)
	if r.NotPersons > 0 {
		fmt.Fprintf(&b, ", %d no persons", r.NotPersons)
	}
	if r.Skipped > 0 {
		fmt.Fprintf(&b, ", %d skipped", r.Skipped)
	}
	if len(r.Bad) > 0 {
		fmt.Fprintf(&b, "; bad values: %s", countsByKind(r.Bad))
	}
	if len(r.Unread) > 0 {
		fmt.Fprintf(&b, "; not understood: %s", countsByKind(r.Unread))
	}
	return b.String()
}

func countsByKind(m map[Kind]int64) string {
	kinds := make([]string, 0, len(m))
	for k, n := range m {
		kinds = append(kinds, fmt.Sprintf("%s: %d", k, n))
	}
	sort.Strings(kinds)
	return strings.Join(kinds, ", ")
}
