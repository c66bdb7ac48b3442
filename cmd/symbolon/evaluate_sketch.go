package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/symbolon/symbolon/bench"
	"github.com/symbolon/symbolon/internal/records"
	"github.com/symbolon/symbolon/internal/records/sketch"
)

// sketchShape holds the flags of evaluate --sketch.
type sketchShape struct {
	Groups    int `default:"${sketch_groups}" placeholder:"K" help:"Groups of a sketch, a power of two from 16 to 128 (default ${default})."`
	Symbols   int `default:"${sketch_symbols}" placeholder:"M" help:"Values that a group has: 2, 4, 8 or 16 (default ${default})."`
	Strangers int `default:"100000" placeholder:"N" help:"Synthetic people to search in vain (default ${default})."`
}

// Of strangers: how many queries are compared with them, of each kind, and the
// seed of the population, which no weight was chosen on.
const (
	strangerQueries = 3000
	strangerSeed    = 12
	maxStrangers    = 10_000_000
)

// sketchView is the trade-off of sealed search.
type sketchView struct {
	*sketch.Curve
	People int `json:"people"`
}

func (s *sketchShape) params() sketch.Params {
	return sketch.Params{Groups: s.Groups, Symbols: s.Symbols, Threshold: s.Groups}
}

func (s *sketchShape) check() error {
	if err := s.params().Validate(); err != nil {
		return &usageError{err}
	}
	if s.Strangers < 1 || s.Strangers > maxStrangers {
		return usagef("--sketch-strangers is outside [1, %d]", maxStrangers)
	}
	return nil
}

// sketches measures the sketches of both sides, and of strangers. Missed are
// the true pairs that the rules did not find.
func (c *evaluateCmd) sketches(app *App, truth, missed [][2]string) (*sketchView, error) {
	a, err := c.sketchFile(app, "A", c.A, c.MappingA, sketch.Owner)
	if err != nil {
		return nil, err
	}
	b, err := c.sketchFile(app, "B", c.B, c.MappingB, sketch.Query)
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "symbolon-evaluate-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	people, err := bench.NewPopulation(bench.PopulationConfig{Seed: strangerSeed, SizeA: c.Shape.Strangers, SizeB: strangerQueries})
	if err != nil {
		return nil, err
	}
	if err := people.WriteFilesContext(app.ctx, dir); err != nil {
		return nil, err
	}
	strangers, err := c.sketchFile(app, "strangers", filepath.Join(dir, bench.FileA), "", sketch.Owner)
	if err != nil {
		return nil, err
	}
	others, err := c.sketchFile(app, "strangers", filepath.Join(dir, bench.FileB), "", sketch.Query)
	if err != nil {
		return nil, err
	}
	curve, err := sketch.Measure(app.ctx, a, b, strangers, []*sketch.Slots{others}, truth, missed, strangerQueries)
	if err != nil {
		return nil, err
	}
	return &sketchView{Curve: curve, People: c.Shape.Strangers}, nil
}

// sketchFile sketches a source; side names it in messages.
func (c *evaluateCmd) sketchFile(app *App, side, data, mapping string, role sketch.Role) (*sketch.Slots, error) {
	source, err := openSource("", data, mapping, referenceID, c.OnBadRow)
	if err != nil {
		return nil, err
	}
	s, err := sketch.New(c.Shape.params(), records.NormalisationVersion(), []byte("symbolon evaluate"), role)
	if err != nil {
		return nil, err
	}
	p := app.newProgress()
	defer p.done()
	source.Read.Progress = func(rows int64) { p.update("sketching "+side, int(rows), 0) }
	slots, _, err := sketch.Read(app.ctx, source.Records, s, source.Read)
	if err != nil {
		return nil, fmt.Errorf("sketching %s: %w", side, err)
	}
	return slots, nil
}

// writeText shows the thresholds at which something changes that matters: from
// a hundred false slots a query to where a third of the pairs is gone.
func (v *sketchView) writeText(w io.Writer) {
	if v == nil {
		return
	}
	fmt.Fprintf(w, "\nSealed search with %d groups of %d, against %d synthetic people (%d slots):\n", v.Groups, v.Symbols, v.People, v.Slots)
	var rows [][]string
	for _, p := range v.Points {
		if most := max(p.FalseSlots[0], p.FalseSlots[1]); most > 100 || 3*p.Found.All < v.Pairs.All && most == 0 {
			continue
		}
		rows = append(rows, []string{fmt.Sprint(p.Threshold),
			share(ratio(p.Found.Missed, v.Pairs.Missed), v.Pairs.Missed), share(ratio(p.Found.All, v.Pairs.All), v.Pairs.All),
			fmt.Sprintf("%.3f", p.FalseSlots[0]), fmt.Sprintf("%.3f", p.FalseSlots[1])})
	}
	table(w, []string{"THRESHOLD", "OF MISSED", "OF ALL", "FALSE, ASKED BY B", "FALSE, ASKED BY SYNTHETIC PEOPLE"}, rows)
	fmt.Fprintf(w, "Of missed: of the %d true pairs that the rules miss. False: mean slots of strangers that open to a query.\n", v.Pairs.Missed)
}

func ratio(n, of int) float64 { return float64(n) / float64(max(of, 1)) }
