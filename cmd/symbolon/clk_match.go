package main

import (
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"time"

	"github.com/symbolon/symbolon/bloom"
)

type clkMatchCmd struct {
	A         string   `required:"" type:"path" placeholder:"FILE" help:"CLKs of \"symbolon clk encode\" or clkhash: CSV with id and clk, or JSON."`
	B         string   `type:"path" placeholder:"FILE" help:"CLKs to compare with; without it duplicates in A are looked for."`
	As        string   `default:"agency" enum:"agency,linkage-unit" placeholder:"ROLE" help:"agency if all records are this agency's own, linkage-unit if two agencies have sent theirs to be linked here (default ${default})."`
	Measure   string   `default:"dice" enum:"dice,jaccard,hamming" placeholder:"MEASURE" help:"dice, jaccard or hamming (default ${default})."`
	Threshold *float64 `placeholder:"X" help:"Least dice or jaccard similarity, above 0 up to 1, or greatest hamming distance in bits."`
	Top       int      `placeholder:"K" help:"For each CLK of A only the K best, with --threshold or without."`
	OneToOne  string   `name:"one-to-one" default:"off" enum:"off,by-order,withdraw" placeholder:"TIES" help:"Give each CLK at most one partner, the best pairs first. Equal scores: by-order takes the one that comes first, withdraw calls all of them doubtful (default ${default})."`
	Out       string   `type:"path" placeholder:"FILE" help:"Write the pairs here: CSV, or JSON if it ends in .json."`
	Format    string   `placeholder:"FORMAT" help:"csv or json, whatever the name of --out."`
	MaxPairs  int      `default:"${max_pairs}" placeholder:"N" help:"Give up beyond so many pairs (default ${default})."`
	Workers   int      `placeholder:"N" help:"Processors to use; default all."`
	Force     bool     `help:"Replace the file if it exists."`
}

// Help is shown by --help.
func (c *clkMatchCmd) Help() string { return clkNotice + "\n\n" + clkUnitNotice }

// clkMatchView tells of a comparison.
type clkMatchView struct {
	Notice      []string `json:"notice"`
	As          string   `json:"as"`
	CLKsA       int      `json:"clks_a"`
	CLKsB       int      `json:"clks_b"`
	Bits        int      `json:"bits"`
	Measure     string   `json:"measure"`
	Threshold   *float64 `json:"threshold,omitempty"`
	Top         int      `json:"top,omitempty"`
	OneToOne    string   `json:"one_to_one"`
	Pairs       int      `json:"pairs"`
	Doubtful    int      `json:"doubtful"`
	Comparisons int64    `json:"comparisons"`
	Seconds     float64  `json:"seconds"` // of searching
	Out         string   `json:"out,omitempty"`
	within      bool
}

// clkPairView is one pair of the file.
type clkPairView struct {
	A       string  `json:"id_a"`
	B       string  `json:"id_b"`
	Score   float64 `json:"score"`
	Verdict string  `json:"verdict"`
}

// Verdicts on a pair.
const (
	verdictSimilar  = "similar"  // reaches the threshold
	verdictMatched  = "matched"  // of a one-to-one matching
	verdictDoubtful = "doubtful" // tied
)

// query checks the flags and returns the search that they describe.
func (c *clkMatchCmd) query() (bloom.Query, error) {
	m, err := bloom.ParseMeasure(c.Measure)
	if err != nil {
		return bloom.Query{}, &usageError{err}
	}
	q := bloom.Query{Measure: m, TopK: c.Top, MaxPairs: c.MaxPairs, Workers: c.Workers}
	switch {
	case c.Threshold != nil:
		q.Threshold = *c.Threshold
	case c.Top <= 0:
		return q, withHint(usagef("neither --threshold nor --top is given"), "start with --threshold 0.8 for dice")
	case m == bloom.Hamming:
		q.Threshold = bloom.MaxBits // lowered to the CLKs' length
	}
	switch {
	case c.Top < 0:
		return q, usagef("--top %d is below 0", c.Top)
	case c.MaxPairs < 1:
		return q, usagef("--max-pairs is not above zero")
	case c.Workers < 0:
		return q, usagef("--workers %d is below 0", c.Workers)
	case c.B == "" && c.OneToOne != "off":
		return q, usagef("--one-to-one is between two files: --b is missing")
	case c.B == "" && c.As != "agency":
		return q, usagef("a linkage unit compares two files: --b is missing")
	}
	return q, nil
}

func (c *clkMatchCmd) Run(app *App) error {
	q, err := c.query()
	if err != nil {
		return err
	}
	format, err := resultFormat(c.Format, c.Out)
	if err != nil {
		return err
	}
	if c.Out != "" {
		if err := checkNew(c.Out, c.Force); err != nil { // before the work is done
			return err
		}
	}
	a, err := readCLKs(c.A)
	if err != nil {
		return err
	}
	b := a
	if c.B != "" {
		if b, err = readCLKs(c.B); err != nil {
			return err
		}
	}
	if c.Threshold == nil {
		q.Threshold = min(q.Threshold, float64(a.CLKs.Bits()))
	}
	compared := int64(a.CLKs.Len()) * int64(b.CLKs.Len())
	if c.B == "" {
		compared = (compared - int64(a.CLKs.Len())) / 2
	}
	v := &clkMatchView{Notice: c.notice(), As: c.As, CLKsA: a.CLKs.Len(), CLKsB: b.CLKs.Len(), Bits: a.CLKs.Bits(), Measure: c.Measure,
		Threshold: c.Threshold, Top: c.Top, OneToOne: c.OneToOne, Comparisons: compared, Out: c.Out, within: c.B == ""}
	began := time.Now()
	pairs, err := c.search(app, a.CLKs, b.CLKs, q)
	if err != nil {
		return err
	}
	v.Seconds = time.Since(began).Seconds()
	found, doubtful, verdict := pairs, []bloom.Pair(nil), verdictSimilar
	switch c.OneToOne {
	case "by-order":
		found, doubtful = bloom.Assign(pairs, q.Measure, bloom.TiesByOrder)
		verdict = verdictMatched
	case "withdraw":
		found, doubtful = bloom.Assign(pairs, q.Measure, bloom.TiesWithdrawn)
		verdict = verdictMatched
	}
	v.Pairs, v.Doubtful = len(found), len(doubtful)
	if c.Out != "" {
		file := clkPairs{c: c, a: a, b: b, notice: v.Notice}
		file.add(found, verdict)
		file.add(doubtful, verdictDoubtful)
		write := file.writeCSV
		if format == formatJSON {
			write = file.writeJSON
		}
		if err := createFile(c.Out, c.Force, write); err != nil {
			return err
		}
	}
	return app.print(v, v.writeText)
}

func (c *clkMatchCmd) notice() []string {
	n := []string{notice, clkNotice}
	if c.As == "linkage-unit" {
		n = append(n, clkUnitNotice)
	}
	return n
}

func (c *clkMatchCmd) search(app *App, a, b *bloom.Set, q bloom.Query) ([]bloom.Pair, error) {
	p := app.newProgress()
	defer p.done()
	q.Progress = func(done, total int) { p.update("comparing", done, total) }
	var pairs []bloom.Pair
	var err error
	if c.B == "" {
		pairs, err = bloom.SearchWithin(app.ctx, a, q)
	} else {
		pairs, err = bloom.Search(app.ctx, a, b, q)
	}
	switch {
	case errors.Is(err, bloom.ErrTooManyPairs):
		return nil, withHint(err, "take a stricter --threshold, or allow more with --max-pairs")
	case errors.Is(err, bloom.ErrLength):
		return nil, withHint(err, "encode both files by the same schema")
	case err != nil && app.ctx.Err() == nil:
		return nil, &usageError{err}
	}
	return pairs, err
}

func readCLKs(path string) (*bloom.List, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, &usageError{err}
	}
	defer f.Close()
	l, err := bloom.ReadList(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return l, nil
}

// clkPairs is the file of pairs.
type clkPairs struct {
	c      *clkMatchCmd
	a, b   *bloom.List
	notice []string
	parts  []clkPart
}

type clkPart struct {
	pairs   []bloom.Pair
	verdict string
}

func (f *clkPairs) add(pairs []bloom.Pair, verdict string) {
	f.parts = append(f.parts, clkPart{pairs, verdict})
}

// each calls fn with every pair.
func (f *clkPairs) each(fn func(clkPairView) error) error {
	for _, part := range f.parts {
		for _, p := range part.pairs {
			if err := fn(clkPairView{f.a.IDs[p.A], f.b.IDs[p.B], p.Score, part.verdict}); err != nil {
				return err
			}
		}
	}
	return nil
}

func (f *clkPairs) writeCSV(w io.Writer) error {
	c := csv.NewWriter(w)
	_ = c.Write([]string{"id_a", "id_b", "score", "verdict", "notice"})
	safe := func(id string) string { return id }
	if f.c.As != "agency" {
		safe = inert // others chose the ids
	}
	_ = f.each(func(p clkPairView) error {
		return c.Write([]string{safe(p.A), safe(p.B), strconv.FormatFloat(p.Score, 'f', -1, 64), p.Verdict, noticeCell})
	})
	c.Flush()
	return c.Error()
}

// writeJSON writes pair by pair, for there may be many.
func (f *clkPairs) writeJSON(w io.Writer) error {
	notice, err := json.Marshal(f.notice)
	if err != nil {
		return err
	}
	if _, err := fmt.Fprintf(w, "{\"notice\": %s,\n\"pairs\": [", notice); err != nil {
		return err
	}
	before := "\n"
	err = f.each(func(p clkPairView) error {
		raw, err := json.Marshal(p)
		if err == nil {
			_, err = fmt.Fprintf(w, "%s%s", before, raw)
		}
		before = ",\n"
		return err
	})
	if err != nil {
		return err
	}
	_, err = io.WriteString(w, "\n]}\n")
	return err
}

func (v *clkMatchView) writeText(w io.Writer) {
	what := fmt.Sprintf("%d with %d", v.CLKsA, v.CLKsB)
	if v.within {
		what = fmt.Sprintf("%d with one another", v.CLKsA)
	}
	rate := ""
	if v.Seconds > 0 {
		rate = fmt.Sprintf(" in %.3g s", v.Seconds)
	}
	fields(w, "CLKs", fmt.Sprintf("%s, %d bits", what, v.Bits), "comparisons", fmt.Sprint(v.Comparisons)+rate,
		"pairs", fmt.Sprint(v.Pairs))
	if v.OneToOne == "withdraw" {
		fields(w, "doubtful", fmt.Sprint(v.Doubtful))
	}
	fields(w, "written to", v.Out)
	fmt.Fprintln(w)
	for _, n := range v.Notice {
		fmt.Fprintln(w, n)
	}
}
