package main

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"

	"github.com/symbolon/symbolon/internal/records"
)

// evaluateCmd joins two sources in the clear, on one machine and without a
// node, to measure what a rule set would find in a session.
type evaluateCmd struct {
	A        string         `required:"" placeholder:"FILE|URL" help:"Agency A's records: CSV, JSON Lines, SQLite or postgres://."`
	B        string         `required:"" placeholder:"FILE|URL" help:"Agency B's records."`
	Truth    string         `required:"" type:"path" placeholder:"FILE" help:"The pairs that are the same person: CSV with columns id_a and id_b."`
	Ignore   string         `type:"path" placeholder:"FILE" help:"Pairs that count neither as found nor as false, in the same form."`
	Rules    string         `default:"${default_rules}" placeholder:"NAME|FILE" help:"A rule set: ${rule_sets}, or a file (default ${default})."`
	MappingA string         `type:"path" placeholder:"FILE" help:"Which column of A feeds which field."`
	MappingB string         `type:"path" placeholder:"FILE" help:"Which column of B feeds which field."`
	OnBadRow records.Policy `default:"fail" enum:"fail,skip,keep" placeholder:"POLICY" help:"What to do with a row that has a bad value: fail, skip, or keep it without the value."`
	Out      string         `type:"path" placeholder:"FILE" help:"Write the pairs found here, as CSV: id_a, id_b, rules, verdict."`
	Missed   string         `type:"path" placeholder:"FILE" help:"Write the true pairs that no rule found here, as CSV: id_a, id_b."`
	Force    bool           `help:"Replace the files if they exist."`
	MaxPairs int            `default:"${max_pairs}" placeholder:"N" help:"Give up beyond so many pairs (default ${default})."`
}

// evaluationView is an evaluation with what it was made from.
type evaluationView struct {
	*records.Evaluation
	Normalisation string          `json:"normalisation"`
	InputA        *records.Report `json:"input_a"`
	InputB        *records.Report `json:"input_b"`
}

// defaultRules is the shipped set that commands take where none is named.
func defaultRules() string {
	const usual = "standard"
	if names := records.ShippedNames(); !slices.Contains(names, usual) {
		return names[0]
	}
	return usual
}

func (c *evaluateCmd) Run(app *App) error {
	if c.MaxPairs <= 0 {
		return usagef("--max-pairs is not above zero")
	}
	for _, path := range []string{c.Out, c.Missed} {
		if path == "" {
			continue
		}
		if err := checkNew(path, c.Force); err != nil { // before the work is done
			return err
		}
	}
	if c.Out != "" && c.Out == c.Missed {
		return usagef("--out and --missed name the same file")
	}
	rules, err := loadRules(c.Rules)
	if err != nil {
		return &usageError{err}
	}
	truth, err := readPairs(c.Truth)
	if err != nil {
		return err
	}
	var ignore [][2]string
	if c.Ignore != "" {
		if ignore, err = readPairs(c.Ignore); err != nil {
			return err
		}
	}
	v := &evaluationView{Normalisation: records.NormalisationVersion()}
	a, inputA, err := app.index(rules, "A", c.A, c.MappingA, c.OnBadRow)
	if err != nil {
		return err
	}
	b, inputB, err := app.index(rules, "B", c.B, c.MappingB, c.OnBadRow)
	if err != nil {
		return err
	}
	v.InputA, v.InputB = inputA, inputB
	if v.Evaluation, err = records.Evaluate(a, b, truth, ignore, c.MaxPairs); err != nil {
		return withHint(err, "take stronger rules, or allow more with --max-pairs")
	}
	switch {
	case v.Evaluation.Truth == 0:
		v.Warnings = append(v.Warnings, "the truth holds no pair: recall says nothing")
	case v.UnknownTruth == v.Evaluation.Truth:
		v.Warnings = append(v.Warnings, "not one true pair names a record on each side: are --a and --b in each other's place?")
	}
	if err := c.write(a, b, v.Evaluation); err != nil {
		return err
	}
	return app.print(v, func(w io.Writer) { v.writeText(w, rules) })
}

// readPairs reads a file of pairs of ids.
func readPairs(path string) ([][2]string, error) {
	pairs, err := records.ReadPairs(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, &usageError{err}
	}
	return pairs, err
}

// index reads a source into an index of its match keys. Side names it in
// messages, if there are two.
func (a *App) index(rules *records.RuleSet, side, data, mapping string, policy records.Policy) (*records.Index, *records.Report, error) {
	src, err := openSource("", data, mapping, referenceID, policy)
	if err != nil {
		return nil, nil, err
	}
	d, err := records.NewDeriver(rules, records.NormalisationVersion())
	if err != nil {
		return nil, nil, err
	}
	p := a.newProgress()
	defer p.done()
	src.Read.Progress = func(rows int64) { p.update(strings.TrimSpace("reading "+side), int(rows), 0) }
	x, report, err := records.BuildIndex(a.ctx, src.Records, d, src.Read)
	if err != nil && side != "" {
		err = fmt.Errorf("side %s: %w", side, err)
	}
	return x, report, err
}

// write writes the files of pairs.
func (c *evaluateCmd) write(a, b *records.Index, e *records.Evaluation) error {
	if c.Out != "" {
		err := createFile(c.Out, c.Force, func(w io.Writer) error { return writeFound(w, a, b, e) })
		if err != nil {
			return err
		}
	}
	if c.Missed == "" {
		return nil
	}
	return createFile(c.Missed, c.Force, func(w io.Writer) error { return writeMissed(w, e) })
}

func writeFound(w io.Writer, a, b *records.Index, e *records.Evaluation) error {
	out := csv.NewWriter(w)
	_ = out.Write([]string{"id_a", "id_b", "rules", "verdict"})
	rules := a.Rules().Rules
	for _, f := range e.Found {
		var fired []string
		for i := range rules {
			if f.Rules&(1<<i) != 0 {
				fired = append(fired, rules[i].ID)
			}
		}
		_ = out.Write([]string{a.ID(f.A), b.ID(f.B), strings.Join(fired, " "), string(f.Verdict)})
	}
	out.Flush()
	return out.Error()
}

func writeMissed(w io.Writer, e *records.Evaluation) error {
	out := csv.NewWriter(w)
	_ = out.Write([]string{"id_a", "id_b"})
	for _, p := range e.MissedPairs {
		_ = out.Write(p[:])
	}
	out.Flush()
	return out.Error()
}

// writeText shows the evaluation to a person: what was read, a line for each
// rule, the whole set, and what to beware of.
func (v *evaluationView) writeText(w io.Writer, rules *records.RuleSet) {
	fields(w,
		"rules", fmt.Sprintf("%s (%d)", clean(v.RuleSet), len(rules.Rules)),
		"normalisation", v.Normalisation,
		"agency A", v.InputA.String(),
		"agency B", v.InputB.String(),
		"true pairs", fmt.Sprint(v.Truth))
	fmt.Fprintln(w)
	rows := make([][]string, 0, len(v.Rules)+1)
	for _, r := range v.Rules {
		rows = append(rows, scoreRow(r.ID, r.Score))
	}
	rows = append(rows, scoreRow("any of them", v.Score))
	table(w, []string{"RULE", "RECALL", "PRECISION", "F1", "TRUE", "FALSE", "MISSED", "IGNORED", "PAIRS", "KEYS A", "KEYS B"}, rows)
	fmt.Fprintln(w, "\nA false pair would be disclosed in a session like a true one. Keys are means a record.")
	for _, warning := range v.Warnings {
		fmt.Fprintf(w, "warning: %s\n", warning)
	}
}

func scoreRow(name string, s records.Score) []string {
	truth, judged := s.TruePositives+s.Missed, s.TruePositives+s.FalsePositives
	return []string{name, share(s.Recall, truth), share(s.Precision, judged), share(s.F1, min(truth, judged)),
		fmt.Sprint(s.TruePositives), fmt.Sprint(s.FalsePositives), fmt.Sprint(s.Missed), fmt.Sprint(s.Ignored),
		fmt.Sprint(s.Pairs), fmt.Sprintf("%.2f", s.KeysPerRecordA), fmt.Sprintf("%.2f", s.KeysPerRecordB)}
}

// share formats a share of n; of nothing there is none.
func share(x float64, n int) string {
	if n == 0 {
		return "-"
	}
	return fmt.Sprintf("%.3f", x)
}
