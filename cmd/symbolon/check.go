package main

import (
	"fmt"
	"io"

	"github.com/symbolon/symbolon/internal/records"
)

// checkCmd reads a source as a session would and tells how good it is.
type checkCmd struct {
	Data    string `required:"" placeholder:"FILE|URL" help:"The records: CSV, JSON Lines, SQLite or postgres://."`
	Mapping string `type:"path" placeholder:"FILE" help:"Which column of --data feeds which field."`
	Rules   string `default:"strict" placeholder:"NAME|FILE" help:"Rules by which people may stand in the data twice: ${rule_sets}, or a file (default ${default})."`
}

// checkView is the report on a source. It holds counts and places, never a
// value of a record.
type checkView struct {
	*records.Report
	// BadRows are the first bad values: where they stand and why.
	BadRows []string `json:"bad_rows"`
	// Duplicates counts, rule by rule, the pairs of records that may be one
	// person.
	Duplicates []duplicatesView `json:"duplicates"`
}

type duplicatesView struct {
	Rule  string `json:"rule"`
	Pairs int64  `json:"pairs"`
}

func (c *checkCmd) Run(app *App) error {
	rules, err := loadRules(c.Rules)
	if err != nil {
		return &usageError{err}
	}
	x, report, err := app.index(rules, "", c.Data, c.Mapping, records.KeepBadRow)
	if err != nil {
		return err
	}
	v := &checkView{Report: report, BadRows: []string{}}
	for i := range report.First {
		v.BadRows = append(v.BadRows, report.First[i].Error())
	}
	for _, r := range rules.Rules {
		v.Duplicates = append(v.Duplicates, duplicatesView{r.ID, x.Duplicates(r.ID)})
	}
	return app.print(v, v.writeText)
}

func (v *checkView) writeText(w io.Writer) {
	fmt.Fprintln(w, v.Report)
	for _, bad := range v.BadRows {
		fmt.Fprintf(w, "  %s\n", clean(bad))
	}
	fmt.Fprintf(w, "\n%s\n", v.Quality.Text(v.Records))
	rows := make([][]string, len(v.Duplicates))
	for i, d := range v.Duplicates {
		rows[i] = []string{d.Rule, fmt.Sprint(d.Pairs)}
	}
	table(w, []string{"RULE", "PAIRS THAT MAY BE ONE PERSON"}, rows)
}
