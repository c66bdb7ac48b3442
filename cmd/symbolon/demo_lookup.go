package main

import (
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/symbolon/symbolon/bench"
	"github.com/symbolon/symbolon/internal/audit"
	"github.com/symbolon/symbolon/internal/records"
	"github.com/symbolon/symbolon/psi"
)

// South lists so many of its people as missing, and North's officers may ask for
// two of them a minute: a query of up to so many keys costs as many evaluations.
const (
	demoMissing     = 1000
	demoMissingFile = "missing.csv"
	demoEvaluations = 8
	demoContact     = "South's desk, +999 0100"
	demoCase        = "DEMO-2"
)

// demoLookups is the missing-person part of the demo's result.
type demoLookups struct {
	Published publicationView `json:"published"`
	// Lookups are those that were answered, Expected what a plaintext index says
	// of the same people: the references of South's records.
	Lookups  []lookupView `json:"lookups"`
	Expected [][]string   `json:"expected"`
	// Refused says when North may ask again, by South.
	Refused string `json:"refused"`
	Wrong   int    `json:"wrong"`
}

// missingPerson is one of North's people whom an officer asks for.
type missingPerson struct {
	id    string
	flags []string // as typed
	want  []string // South's references
}

// writeMissing writes the people whom South lists as missing: the first of its
// register.
func (d *demo) writeMissing() error {
	rows, err := readRows(filepath.Join(d.dir, bench.FileB))
	if err != nil {
		return err
	}
	f, err := os.OpenFile(filepath.Join(d.dir, demoMissingFile), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	w := csv.NewWriter(f)
	err = w.WriteAll(rows[:min(len(rows), demoMissing+1)])
	return errors.Join(err, f.Close())
}

func readRows(path string) ([][]string, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return csv.NewReader(f).ReadAll()
}

// lookups is the missing-person part: three people, of whom South knows the
// first, does not know the second, and refuses to be asked for the third.
func (d *demo) lookups(ctx context.Context) error {
	a := demoAgreementFor(psi.ModeLookup)
	rules, err := records.Shipped(demoRules)
	if err != nil {
		return err
	}
	people, err := d.choosePeople(ctx, rules)
	if err != nil {
		return err
	}
	r := &demoLookups{}
	d.head("South publishes a filter of %d missing people; an officer of North looks up one person at a time.", min(d.People, demoMissing))
	out, err := d.symbolon(ctx, d.south, "publish", "--agreement", a.id, "--json")
	if err != nil {
		return err
	}
	if err := json.Unmarshal(out, &r.Published); err != nil {
		return err
	}
	d.line("The filter: %s, %d match keys after padding, signed. Without South's help for each query it is noise.",
		byteCount(r.Published.FilterBytes), r.Published.PaddedKeys)
	for _, p := range people {
		if err := d.lookupOne(ctx, r, a.id, p); err != nil {
			return err
		}
	}
	d.result.Lookups, d.result.Wrong = r, d.result.Wrong+r.Wrong
	if err := d.southSaw(ctx, a.id, demoCase); err != nil {
		return err
	}
	d.line("It saw neither whom North looked for nor whether there was a hit. A hit is a lead, not an identification.")
	return nil
}

// lookupOne asks for one person, as an officer would, and checks the answer.
func (d *demo) lookupOne(ctx context.Context, r *demoLookups, agreement string, p missingPerson) error {
	args := append([]string{"lookup", "--peer", "south", "--agreement", agreement, "--purpose", "missing person", "--case", demoCase, "--id", p.id, "--json"}, p.flags...)
	out, err := d.symbolon(ctx, d.north, args...)
	refused := len(r.Lookups) == 2
	if refused {
		if err == nil {
			r.Wrong++
			d.line("North asked for a third person within a minute and was NOT refused: WRONG.")
			return nil
		}
		return d.refusal(r, p, err)
	}
	if err != nil {
		return err
	}
	var v lookupView
	if err := json.Unmarshal(out, &v); err != nil {
		return err
	}
	var got []string
	for _, h := range v.Results[0].Hits {
		got = append(got, h.Reference)
		if h.Contact != demoContact {
			r.Wrong++
		}
	}
	wrong := differences(got, p.want)
	r.Lookups, r.Expected, r.Wrong = append(r.Lookups, v), append(r.Expected, p.want), r.Wrong+wrong
	res := v.Results[0]
	found := "no hit"
	if len(got) > 0 {
		found = fmt.Sprintf("HIT by %s: %s; call %s", strings.Join(res.Hits[0].Rules, ", "), res.Hits[0].Reference, res.Hits[0].Contact)
	}
	d.line("%-12s %s", p.id, found)
	check := "a plaintext index says the same"
	if wrong > 0 {
		check = fmt.Sprintf("a plaintext index says %q: WRONG", p.want)
	}
	d.line("%-12s %.1f ms; %d evaluations charged for %d match keys; %s.", "", 1e3*res.Seconds, res.Evaluations, res.Keys, check)
	return nil
}

// refusal checks that South has refused because of its budget.
func (d *demo) refusal(r *demoLookups, p missingPerson, err error) error {
	var e errorView
	for line := range strings.Lines(err.Error()) {
		if at := strings.Index(line, "{"); at >= 0 && json.Unmarshal([]byte(line[at:]), &e) == nil {
			break
		}
	}
	if e.Code != "over-budget" || e.RetryAfter == "" {
		return err
	}
	r.Refused = e.RetryAfter
	d.line("%-12s refused: North has used its budget of this minute; again after %s", p.id, e.RetryAfter)
	return nil
}

// southSaw tells what South's log says of a case.
func (d *demo) southSaw(ctx context.Context, agreement, number string) error {
	out, err := d.symbolon(ctx, d.south, "audit", "list", "--agreement", agreement, "--case", number, "--json")
	if err != nil {
		return err
	}
	var v struct {
		Records []struct{ Entry audit.Entry }
	}
	if err := json.Unmarshal(out, &v); err != nil {
		return err
	}
	d.line("South saw, in its own log:")
	for _, x := range v.Records {
		about := evaluationsOf(x.Entry)
		if len(x.Entry.References) > 0 {
			about = ", its record " + strings.Join(x.Entry.References, " ")
		}
		d.line("  %s  %-8s operator %s, case %s%s", x.Entry.Time.Format("15:04:05"), x.Entry.Event, x.Entry.User, x.Entry.Case, about)
	}
	return nil
}

// evaluationsOf says how many evaluations an entry counts.
func evaluationsOf(e audit.Entry) string {
	if e.PeerItems == nil {
		return ""
	}
	return fmt.Sprintf(", %d evaluations", *e.PeerItems)
}

// rowsOf reads a register: of each record, by its id, the cells by their column.
func (d *demo) rowsOf(file string) (map[string]map[string]string, error) {
	rows, err := readRows(filepath.Join(d.dir, file))
	if err != nil {
		return nil, err
	}
	cells := map[string]map[string]string{}
	for _, row := range rows[1:] {
		of := map[string]string{}
		for i, name := range rows[0] {
			of[name] = row[i]
		}
		cells[of["id"]] = of
	}
	return cells, nil
}

// choosePeople returns three of North's people with few enough keys: one whom
// South lists, and two whom it does not.
func (d *demo) choosePeople(ctx context.Context, rules *records.RuleSet) ([]missingPerson, error) {
	cells, err := d.rowsOf(bench.FileA)
	if err != nil {
		return nil, err
	}
	c, err := d.missingInTheClear(ctx, rules)
	if err != nil {
		return nil, err
	}
	var known, unknown []missingPerson
	for id, p := range c {
		person := missingPerson{id: id, flags: typed(cells[id]), want: p.want}
		switch {
		case p.keys == 0 || p.keys > demoEvaluations:
		case len(p.want) > 0:
			known = append(known, person)
		default:
			unknown = append(unknown, person)
		}
	}
	byID := func(x, y missingPerson) int { return strings.Compare(x.id, y.id) }
	slices.SortFunc(known, byID)
	slices.SortFunc(unknown, byID)
	if len(known) == 0 || len(unknown) < 2 {
		return nil, usagef("too few people for the lookups: give --people and --shared more")
	}
	return []missingPerson{known[0], unknown[0], unknown[1]}, nil
}

// clearPerson is what a plaintext index says of a person.
type clearPerson struct {
	keys int
	want []string
}

// missingInTheClear looks up all of North's people in South's list, in the clear.
func (d *demo) missingInTheClear(ctx context.Context, rules *records.RuleSet) (map[string]clearPerson, error) {
	deriver, err := records.NewDeriver(rules, records.NormalisationVersion())
	if err != nil {
		return nil, err
	}
	open := func(name string) (*records.Source, error) { return records.Open(filepath.Join(d.dir, name), nil) }
	list, err := open(demoMissingFile)
	if err != nil {
		return nil, err
	}
	index, _, err := records.BuildIndex(ctx, list, deriver, records.ReadOptions{})
	if err != nil {
		return nil, err
	}
	asked, err := open(bench.FileA)
	if err != nil {
		return nil, err
	}
	out := map[string]clearPerson{}
	_, err = asked.Each(ctx, records.ReadOptions{}, func(r *records.Record) error {
		keys, _ := deriver.Keys(nil, r)
		p := clearPerson{keys: len(keys)}
		for _, k := range keys {
			at := index.Find(k)
			if at < 0 {
				continue
			}
			for _, rec := range index.RecordsOf(nil, at) {
				if ref := index.SourceRef(rec); !slices.Contains(p.want, ref) {
					p.want = append(p.want, ref)
				}
			}
		}
		out[r.ID] = p
		return nil
	})
	return out, err
}

// typed returns the flags by which an officer types a row of a register.
func typed(cells map[string]string) []string {
	var flags []string
	values := func(column string) []string {
		if cells[column] == "" {
			return nil
		}
		return strings.Split(cells[column], " | ")
	}
	for _, f := range []struct{ flag, column string }{
		{"--name", "primary_name"}, {"--name", "alt_names"}, {"--given", "given_names"}, {"--family", "family_name"}, {"--dob", "date_of_birth"},
		{"--place", "place_of_birth"}, {"--nationality", "nationality"}, {"--phone", "phone"}, {"--email", "email"}, {"--sex", "sex"},
	} {
		for _, v := range values(f.column) {
			flags = append(flags, f.flag+"="+v)
		}
	}
	kinds, countries := values("document_type"), values("document_country")
	for i, number := range values("document_number") {
		kind, country := "", ""
		if i < len(kinds) {
			kind = kinds[i]
		}
		if i < len(countries) {
			country = countries[i]
		}
		flags = append(flags, fmt.Sprintf("--document=%s:%s:%s", kind, number, country))
	}
	return flags
}

// demoLookupTerms are the flags of the draft of the agreement for lookups.
func demoLookupTerms() []string {
	return []string{"--evaluations", strconv.Itoa(demoEvaluations), "--evaluations-per-minute", strconv.Itoa(2 * demoEvaluations)}
}
