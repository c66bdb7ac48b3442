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
	OnBadRow records.Policy `default:"keep" enum:"fail,skip,keep" placeholder:"POLICY" help:"What to do with a row that has a bad value: fail, skip, or keep it without the value (default ${default}, so that no record is missing from the measure)."`
	Without  []string       `placeholder:"RULE" help:"Leave these rules out of the set."`
	Compare  []string       `placeholder:"NAME|FILE" help:"Measure these rule sets too, on the same records."`
	OneToOne bool           `help:"Keep the best pair of each record only."`
	Plot     string         `type:"path" placeholder:"FILE" help:"Draw recall and precision against a threshold of the score here, as SVG."`
	Review   string         `type:"path" placeholder:"FILE" help:"Write a blind review sheet here: pairs in random order, with the records of both sides and without scores, for a person to label. A sheet with y in the column same is a file for --truth."`
	Sample   int            `default:"200" placeholder:"N" help:"Pairs on a review sheet, drawn from those found (default ${default})."`
	Out      string         `type:"path" placeholder:"FILE" help:"Write the pairs found here, as CSV: id_a, id_b, rules, verdict."`
	Missed   string         `type:"path" placeholder:"FILE" help:"Write the true pairs that no rule found here, as CSV: id_a, id_b."`
	Force    bool           `help:"Replace the files if they exist."`
	Sketch   bool           `help:"Measure sealed search too: what each threshold of its sketches finds of the pairs that the rules miss, and how many strangers it opens."`
	Shape    sketchShape    `embed:"" prefix:"sketch-"`
	MaxPairs int            `default:"${max_pairs}" placeholder:"N" help:"Give up beyond so many pairs (default ${default})."`
}

// evaluationView is an evaluation with what it was made from.
type evaluationView struct {
	*records.Evaluation
	Normalisation string          `json:"normalisation"`
	InputA        *records.Report `json:"input_a"`
	InputB        *records.Report `json:"input_b"`
	// Compared are the sets of --compare.
	Compared []comparedView `json:"compared,omitempty"`
	// Sweep is the evaluation at thresholds of the score, with --plot.
	Sweep []records.SweepPoint `json:"sweep,omitempty"`
	// Sketches is the trade-off of sealed search, with --sketch.
	Sketches *sketchView `json:"sketches,omitempty"`
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
	if err := c.Shape.check(); err != nil {
		return err
	}
	if err := c.checkFiles(); err != nil {
		return err
	}
	rules, err := c.loadRules()
	if err != nil {
		return err
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
	a, b, err := c.evaluate(app, rules, truth, ignore, v)
	if err != nil {
		return err
	}
	for _, name := range c.Compare {
		if err := c.compare(app, name, truth, ignore, v); err != nil {
			return err
		}
	}
	if c.Sketch {
		if v.Sketches, err = c.sketches(app, truth, v.MissedPairs); err != nil {
			return err
		}
	}
	switch {
	case v.Evaluation.Truth == 0:
		v.Warnings = append(v.Warnings, "the truth holds no pair: recall says nothing")
	case v.UnknownTruth == v.Evaluation.Truth:
		v.Warnings = append(v.Warnings, "not one true pair names a record on each side: are --a and --b in each other's place?")
	}
	if err := c.write(app, a, b, v); err != nil {
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
	v.writeGroups(w)
	v.writeCompared(w)
	v.Sketches.writeText(w)
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
