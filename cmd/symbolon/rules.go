package main

import (
	"encoding/hex"
	"fmt"
	"io"
	"math"

	"github.com/symbolon/symbolon/internal/records"
)

// rulesCmd is about rule sets by themselves. An agreement holds a copy of its
// set, which `agreement show` explains.
type rulesCmd struct {
	List    rulesListCmd    `cmd:"" help:"List the rule sets that come with the program."`
	Show    rulesShowCmd    `cmd:"" help:"Print a rule set as a file that can be changed and used."`
	Explain rulesExplainCmd `cmd:"" help:"Say in sentences when two records match."`
}

// ruleSetView is a rule set with what its rules mean.
type ruleSetView struct {
	Name             string     `json:"name"`
	Hash             string     `json:"hash"`
	MaxKeysPerRecord int        `json:"max_keys_per_record"`
	MeantFor         [2]int64   `json:"meant_for"`
	AllowWeak        bool       `json:"allow_weak"`
	Rules            []ruleView `json:"rules"`
	// Text is the set as a file.
	Text string `json:"text"`
	// Records counts those of --data, and Cut those of them with more keys than
	// the set allows.
	Records       int      `json:"records,omitempty"`
	Cut           int      `json:"cut,omitempty"`
	KeysPerRecord *float64 `json:"keys_per_record,omitempty"`
	// Sizes are the numbers of records that ExpectedFalse is for.
	Sizes    *[2]int64 `json:"sizes,omitempty"`
	Warnings []string  `json:"warnings,omitempty"`
}

// ruleView is one rule. Domain is how many keys someone must try to find every
// one that the rule could derive, an order of magnitude.
type ruleView struct {
	ID       string  `json:"id"`
	Match    string  `json:"match"`
	Sentence string  `json:"sentence"`
	Domain   float64 `json:"domain"`
	// ExpectedFalse estimates the false pairs at the sizes.
	ExpectedFalse *float64 `json:"expected_false,omitempty"`
	Weak          bool     `json:"weak"`
	KeysPerRecord *float64 `json:"keys_per_record,omitempty"`
}

func viewRules(rs *records.RuleSet) *ruleSetView {
	hash := rs.Hash()
	v := &ruleSetView{Name: rs.Name, Hash: hex.EncodeToString(hash[:]), MaxKeysPerRecord: rs.MaxKeysPerRecord,
		MeantFor: rs.MeantFor, AllowWeak: rs.AllowWeak, Text: rs.Text()}
	for i := range rs.Rules {
		r := &rs.Rules[i]
		v.Rules = append(v.Rules, ruleView{ID: r.ID, Match: r.Match(), Sentence: r.Sentence(), Domain: r.Domain(), Weak: r.Weak()})
		if r.Weak() {
			v.Warnings = append(v.Warnings,
				fmt.Sprintf("rule %s is weak: neither an identifier nor both a name and a date of birth, so that it matches different people", r.ID))
		}
	}
	return v
}

// sizes is what the set says it is meant for.
func (v *ruleSetView) sizes() string {
	if v.MeantFor == [2]int64{} {
		return "not stated"
	}
	return fmt.Sprintf("%d x %d records", v.MeantFor[0], v.MeantFor[1])
}

type rulesListCmd struct{}

// rulesListView lists rule sets.
type rulesListView struct {
	// Default is the set that evaluate takes where none is named.
	Default string         `json:"default"`
	Sets    []*ruleSetView `json:"sets"`
}

func (c *rulesListCmd) Run(app *App) error {
	v := &rulesListView{Default: defaultRules()}
	for _, name := range records.ShippedNames() {
		rs, err := records.Shipped(name)
		if err != nil {
			return err
		}
		v.Sets = append(v.Sets, viewRules(rs))
	}
	return app.print(v, func(w io.Writer) {
		var rows [][]string
		for _, s := range v.Sets {
			rows = append(rows, []string{s.Name, fmt.Sprint(len(s.Rules)), s.sizes(), short(s.Hash)})
		}
		table(w, []string{"SET", "RULES", "MEANT FOR", "HASH"}, rows)
	})
}

type rulesShowCmd struct {
	Set string `arg:"" placeholder:"NAME|FILE" help:"A rule set: ${rule_sets}, or a file."`
}

func (c *rulesShowCmd) Run(app *App) error {
	rs, err := loadRules(c.Set)
	if err != nil {
		return &usageError{err}
	}
	v := viewRules(rs)
	return app.print(v, func(w io.Writer) { fmt.Fprint(w, v.Text) })
}

type rulesExplainCmd struct {
	Set      string         `arg:"" placeholder:"NAME|FILE" help:"A rule set: ${rule_sets}, or a file."`
	Sizes    []int64        `placeholder:"A,B" help:"Records on each side, to estimate false pairs for (default: what the set is meant for)."`
	Data     string         `placeholder:"FILE|URL" help:"Records to count the keys of: CSV, JSON Lines, SQLite or postgres://."`
	Mapping  string         `type:"path" placeholder:"FILE" help:"Which column of --data feeds which field."`
	OnBadRow records.Policy `default:"fail" enum:"fail,skip,keep" placeholder:"POLICY" help:"What to do with a row that has a bad value: fail, skip, or keep it without the value."`
}

func (c *rulesExplainCmd) Run(app *App) error {
	rs, err := loadRules(c.Set)
	if err != nil {
		return &usageError{err}
	}
	v := viewRules(rs)
	if err := c.estimate(rs, v); err != nil {
		return err
	}
	if c.Data != "" {
		if err := c.measure(app, rs, v); err != nil {
			return err
		}
	} else if c.Mapping != "" {
		return usagef("--mapping is of use with --data only")
	}
	return app.print(v, func(w io.Writer) { v.writeText(w) })
}

// estimate adds the false pairs to expect.
func (c *rulesExplainCmd) estimate(rs *records.RuleSet, v *ruleSetView) error {
	sizes := rs.MeantFor
	if len(c.Sizes) > 0 {
		if len(c.Sizes) != 2 || c.Sizes[0] <= 0 || c.Sizes[1] <= 0 {
			return usagef("--sizes wants two numbers of records above zero, such as 100000,100000")
		}
		sizes = [2]int64(c.Sizes)
	}
	if sizes[0] == 0 || sizes[1] == 0 {
		return nil
	}
	e, err := rs.Explain(sizes[0], sizes[1])
	if err != nil {
		return err
	}
	v.Sizes, v.Warnings = &sizes, e.Warnings
	for i := range v.Rules {
		v.Rules[i].ExpectedFalse = &e.Rules[i].ExpectedFalse
	}
	return nil
}

// measure counts the keys that the rules derive from the data.
func (c *rulesExplainCmd) measure(app *App, rs *records.RuleSet, v *ruleSetView) error {
	x, _, err := app.index(rs, "", c.Data, c.Mapping, c.OnBadRow)
	if err != nil {
		return err
	}
	v.Records, v.Cut = x.Records(), x.Cut()
	perRule := make(map[string]int, len(v.Rules))
	for i := range x.Len() {
		perRule[x.Key(i).Rule] += x.Shared(i)
	}
	mean := func(keys int) *float64 {
		m := 0.0
		if v.Records > 0 {
			m = float64(keys) / float64(v.Records)
		}
		return &m
	}
	v.KeysPerRecord = mean(x.Postings())
	for i := range v.Rules {
		v.Rules[i].KeysPerRecord = mean(perRule[v.Rules[i].ID])
	}
	if v.Cut > 0 {
		v.Warnings = append(v.Warnings, fmt.Sprintf("%d records have more than %d keys and lost some", v.Cut, v.MaxKeysPerRecord))
	}
	return nil
}

func (v *ruleSetView) writeText(w io.Writer) {
	fields(w, "rule set", clean(v.Name), "hash", v.Hash, "meant for", v.sizes(),
		"keys", fmt.Sprintf("at most %d a record", v.MaxKeysPerRecord))
	if v.KeysPerRecord != nil {
		fields(w, "", fmt.Sprintf("%.2f a record on average in %d records", *v.KeysPerRecord, v.Records))
	}
	for _, r := range v.Rules {
		fmt.Fprintf(w, "\n%s: %s\n", r.ID, r.Match)
		fmt.Fprintf(w, "  %s\n", r.Sentence)
		fmt.Fprintf(w, "  Whoever tries all its keys tries about 10^%.0f.\n", math.Log10(max(r.Domain, 1)))
		if r.ExpectedFalse != nil {
			fmt.Fprintf(w, "  About %s false pairs are to be expected between %d and %d records of different people.\n", records.Figure(*r.ExpectedFalse), v.Sizes[0], v.Sizes[1])
		}
		if r.KeysPerRecord != nil {
			fmt.Fprintf(w, "  %.2f keys a record.\n", *r.KeysPerRecord)
		}
	}
	fmt.Fprintln(w, "\nTwo records match when one rule or more says so.")
	for _, warning := range v.Warnings {
		fmt.Fprintf(w, "warning: %s\n", warning)
	}
}
