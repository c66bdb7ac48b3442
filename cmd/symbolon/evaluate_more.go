package main

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"

	"github.com/symbolon/symbolon/internal/records"
)

// comparedView is what another rule set finds.
type comparedView struct {
	RuleSet string `json:"rule_set"`
	records.Score
}

// checkFiles refuses files that exist, or that two flags name, before the work
// is done.
func (c *evaluateCmd) checkFiles() error {
	flags := map[string]string{}
	for _, f := range [][2]string{{"--out", c.Out}, {"--missed", c.Missed}, {"--plot", c.Plot}, {"--review", c.Review}} {
		flag, path := f[0], f[1]
		if path == "" {
			continue
		}
		if other, taken := flags[path]; taken {
			return usagef("%s and %s name the same file", other, flag)
		}
		flags[path] = flag
		if err := checkNew(path, c.Force); err != nil {
			return err
		}
	}
	if c.Sample <= 0 {
		return usagef("--sample is not above zero")
	}
	return nil
}

// loadRules loads the rule set without the rules to leave out.
func (c *evaluateCmd) loadRules() (*records.RuleSet, error) {
	rules, err := loadRules(c.Rules)
	if err == nil && len(c.Without) > 0 {
		rules, err = rules.Without(c.Without...)
	}
	if err != nil {
		return nil, &usageError{err}
	}
	return rules, nil
}

// evaluate reads both sides into indexes and fills in the evaluation.
func (c *evaluateCmd) evaluate(app *App, rules *records.RuleSet, truth, ignore [][2]string, v *evaluationView) (a, b *records.Index, err error) {
	if a, v.InputA, err = app.index(rules, "A", c.A, c.MappingA, c.OnBadRow); err != nil {
		return nil, nil, err
	}
	if b, v.InputB, err = app.index(rules, "B", c.B, c.MappingB, c.OnBadRow); err != nil {
		return nil, nil, err
	}
	join := records.Evaluate
	if c.OneToOne {
		join = records.EvaluateOneToOne
	}
	if v.Evaluation, err = join(a, b, truth, ignore, c.MaxPairs); err != nil {
		return nil, nil, withHint(err, "take stronger rules, or allow more with --max-pairs")
	}
	return a, b, nil
}

// compare adds the evaluation of another rule set.
func (c *evaluateCmd) compare(app *App, name string, truth, ignore [][2]string, v *evaluationView) error {
	rules, err := loadRules(name)
	if err != nil {
		return &usageError{err}
	}
	var other evaluationView
	if _, _, err := c.evaluate(app, rules, truth, ignore, &other); err != nil {
		return fmt.Errorf("rule set %q: %w", rules.Name, err)
	}
	v.Compared = append(v.Compared, comparedView{rules.Name, other.Score})
	return nil
}

// write writes the files that were asked for.
func (c *evaluateCmd) write(app *App, a, b *records.Index, v *evaluationView) error {
	var all []error
	file := func(path string, write func(io.Writer) error) {
		if path != "" {
			all = append(all, createFile(path, c.Force, write))
		}
	}
	if c.Plot != "" {
		v.Sweep = v.Evaluation.Sweep()
	}
	file(c.Out, func(w io.Writer) error { return writeFound(w, a, b, v.Evaluation) })
	file(c.Missed, func(w io.Writer) error { return writeMissed(w, v.Evaluation) })
	file(c.Plot, func(w io.Writer) error { return records.WriteSweepSVG(w, v.RuleSet, v.Sweep) })
	file(c.Review, func(w io.Writer) error { return c.writeReview(app, w, a, b, v.Evaluation) })
	return errors.Join(all...)
}

// writeReview draws pairs from those found, each as likely as the other.
func (c *evaluateCmd) writeReview(app *App, w io.Writer, a, b *records.Index, e *records.Evaluation) error {
	sourceA, err := openSource("", c.A, c.MappingA, referenceID, c.OnBadRow)
	if err != nil {
		return err
	}
	sourceB, err := openSource("", c.B, c.MappingB, referenceID, c.OnBadRow)
	if err != nil {
		return err
	}
	order := rand.Perm(len(e.Found))
	pairs := make([][2]string, min(c.Sample, len(order)))
	for i := range pairs {
		f := e.Found[order[i]]
		pairs[i] = [2]string{a.ID(f.A), b.ID(f.B)}
	}
	return records.WriteReview(app.ctx, w, sourceA.Records, sourceB.Records, sourceA.Read, pairs, rand.Uint64())
}

// writeGroups shows how the figures differ between groups of people.
func (v *evaluationView) writeGroups(w io.Writer) {
	if len(v.ByGroup) == 0 {
		return
	}
	rows := make([][]string, len(v.ByGroup))
	for i, g := range v.ByGroup {
		rows[i] = []string{g.Group, g.Value, share(g.Recall, g.TruePositives+g.Missed), share(g.Precision, g.TruePositives+g.FalsePositives),
			fmt.Sprint(g.TruePositives), fmt.Sprint(g.FalsePositives), fmt.Sprint(g.Missed)}
	}
	fmt.Fprintln(w, "\nBy group of the record of A:")
	table(w, []string{"GROUP", "VALUE", "RECALL", "PRECISION", "TRUE", "FALSE", "MISSED"}, rows)
}

// writeCompared shows other rule sets beside this one.
func (v *evaluationView) writeCompared(w io.Writer) {
	if len(v.Compared) == 0 {
		return
	}
	rows := [][]string{scoreRow(v.RuleSet, v.Score)}
	for _, c := range v.Compared {
		rows = append(rows, scoreRow(c.RuleSet, c.Score))
	}
	fmt.Fprintln(w, "\nRule sets side by side:")
	table(w, []string{"SET", "RECALL", "PRECISION", "F1", "TRUE", "FALSE", "MISSED", "IGNORED", "PAIRS", "KEYS A", "KEYS B"}, rows)
}
