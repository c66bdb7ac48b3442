package records

import (
	"context"
	"encoding/csv"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
)

// reviewHeader is the first row of a review sheet. A person fills in same with
// y, n or ?, and sends the sheet back as a truth file: id_a and id_b are its
// last columns.
var reviewHeader = []string{"pair", "same", "names_a", "names_b", "births_a", "births_b", "places_a", "places_b", "nationalities_a", "nationalities_b",
	"documents_a", "documents_b", "sex_a", "sex_b", "id_a", "id_b"}

// WriteReview writes a blind review sheet: the pairs in an order that the seed
// shuffles, with what both sides know and without score, rule or verdict, for
// a person to label. It reads both sources again, and holds the records of the
// pairs only. The sheet is personal data of both sides.
func WriteReview(ctx context.Context, w io.Writer, a, b *Source, opts ReadOptions, pairs [][2]string, seed uint64) error {
	rows, err := reviewCells(ctx, a, opts, pairs, 0)
	if err != nil {
		return err
	}
	rowsB, err := reviewCells(ctx, b, opts, pairs, 1)
	if err != nil {
		return err
	}
	order := rand.New(rand.NewPCG(seed, 0)).Perm(len(pairs))
	out := csv.NewWriter(w)
	if err := out.Write(reviewHeader); err != nil {
		return err
	}
	for n, i := range order {
		p := pairs[i]
		ca, okA := rows[p[0]]
		cb, okB := rowsB[p[1]]
		if !okA || !okB {
			return fmt.Errorf("records: review: pair %d names a record that is in neither source", i+1)
		}
		row := []string{fmt.Sprint(n + 1), ""}
		for f := range ca {
			row = append(row, ca[f], cb[f])
		}
		if err := out.Write(append(row, p[0], p[1])); err != nil {
			return err
		}
	}
	out.Flush()
	return out.Error()
}

// reviewCells reads the records of one side of the pairs.
func reviewCells(ctx context.Context, s *Source, opts ReadOptions, pairs [][2]string, side int) (map[string][]string, error) {
	rows := make(map[string][]string, len(pairs))
	for _, p := range pairs {
		rows[p[side]] = nil
	}
	_, err := s.Each(ctx, opts, func(r *Record) error {
		if _, ok := rows[r.ID]; ok {
			rows[r.ID] = r.reviewCells()
		}
		return nil
	})
	for id, cells := range rows {
		if cells == nil {
			delete(rows, id)
		}
	}
	return rows, err
}

func (r *Record) reviewCells() []string {
	var names, births, documents []string
	for _, n := range r.Names {
		names = append(names, n.Full)
	}
	for _, d := range r.Births {
		births = append(births, d.String())
	}
	for _, d := range r.Documents {
		documents = append(documents, strings.TrimSpace(strings.Join([]string{d.Country, d.Type, d.Number}, " ")))
	}
	list := func(s []string) string { return strings.Join(s, " | ") }
	return []string{list(names), list(births), list(r.PlacesOfBirth), list(r.Nationalities), list(documents), string(r.Sex)}
}

// String returns the date in the form that ParseDate reads.
func (d Date) String() string {
	var s string
	switch d.Precision {
	case PrecisionDay:
		s = fmt.Sprintf("%04d-%02d-%02d", d.Year, d.Month, d.Day)
	case PrecisionMonth:
		s = fmt.Sprintf("%04d-%02d", d.Year, d.Month)
	case PrecisionRange:
		s = fmt.Sprintf("%04d/%04d", d.Year, d.ToYear)
	default:
		s = fmt.Sprintf("%04d", d.Year)
	}
	if d.About {
		return "~" + s
	}
	return s
}
