package bench

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

// SeriesConfig describes a series of runs for a report.
type SeriesConfig struct {
	// Engines and Sizes are measured each with each, sizes ascending; both
	// parties have as many items.
	Engines []string
	Sizes   []int
	// Limit ends an engine's series before a run that would take longer, judged
	// by the one before it; 0 means no limit.
	Limit time.Duration
	// Run makes one run, in a process of its own if PeakRSS is to mean
	// anything.
	Run func(ctx context.Context, engine string, n int) (*PSIReport, error)
	// Progress, if set, hears of each run before it starts.
	Progress func(engine string, n int)
}

// Series makes the runs, engine by engine.
func Series(ctx context.Context, c SeriesConfig) ([]*PSIReport, error) {
	if !slices.IsSorted(c.Sizes) {
		return nil, fmt.Errorf("bench: sizes %v do not ascend", c.Sizes)
	}
	var all []*PSIReport
	for _, engine := range c.Engines {
		var last *PSIReport
		for _, n := range c.Sizes {
			if last != nil && c.Limit > 0 && last.Wall*float64(n)/float64(last.NSender) > c.Limit.Seconds() {
				break
			}
			if c.Progress != nil {
				c.Progress(engine, n)
			}
			r, err := c.Run(ctx, engine, n)
			if err != nil {
				return all, fmt.Errorf("bench: engine %s with %d items: %w", engine, n, err)
			}
			if !r.Correct {
				return all, fmt.Errorf("bench: engine %s with %d items: the result is wrong", engine, n)
			}
			all, last = append(all, r), r
		}
	}
	return all, nil
}

// measure is one quantity of a report.
type measure struct {
	name string
	of   func(r *PSIReport) float64
	unit string
}

var measures = []measure{
	{"wall", func(r *PSIReport) float64 { return r.Wall }, "s"},
	{"CPU, both parties", func(r *PSIReport) float64 { return r.CPU }, "s"},
	{"sent, both ways", func(r *PSIReport) float64 { return float64(r.BytesToSender+r.BytesToReceiver) / 1e6 }, "MB"},
	{"peak memory, both parties", func(r *PSIReport) float64 { return float64(r.PeakRSS) / (1 << 20) }, "MiB"},
}

// WriteMarkdown writes a table of the runs, with what they ran on.
func WriteMarkdown(w io.Writer, runs []*PSIReport) error {
	var b strings.Builder
	b.WriteString("# Private set intersection, measured\n\n")
	if len(runs) > 0 {
		r := runs[0]
		fmt.Fprintf(&b, "Both parties in one process on %s, %d workers each, transport %s, %s, commit %s. ",
			r.CPUModel, r.Workers, r.Transport, r.Go, r.Commit)
		fmt.Fprintf(&b, "Items are hashed from strings; %g of the smaller set is shared. ", r.Overlap)
		b.WriteString("Every result was compared with the plain intersection.\n\n")
	}
	b.WriteString("| engine | security | items a side | hits |")
	for _, m := range measures {
		fmt.Fprintf(&b, " %s (%s) |", m.name, m.unit)
	}
	b.WriteString("\n|---|---|--:|--:|--:|--:|--:|--:|\n")
	for _, r := range runs {
		fmt.Fprintf(&b, "| %s | %s | %d | %d |", r.Engine, r.Security, r.NSender, r.Hits)
		for _, m := range measures {
			fmt.Fprintf(&b, " %.3g |", m.of(r))
		}
		b.WriteString("\n")
	}
	_, err := io.WriteString(w, b.String())
	return err
}
