package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"

	"github.com/symbolon/symbolon/bench"
)

// benchReportCmd measures engines side by side and writes what it saw.
type benchReportCmd struct {
	Out     string        `required:"" type:"path" placeholder:"DIR" help:"Where to write report.md, report.svg and report.json; made if missing."`
	Engines []string      `default:"vole,dh,naive" enum:"${bench_engines}" placeholder:"ENGINE" help:"Engines to measure, of ${enum} (default ${default})."`
	Min     int           `default:"12" placeholder:"LOG2" help:"Smallest set: two to this power (default ${default})."`
	Max     int           `default:"22" placeholder:"LOG2" help:"Largest set: two to this power (default ${default})."`
	Step    int           `default:"2" placeholder:"LOG2" help:"From one power to the next (default ${default})."`
	Limit   time.Duration `default:"1m" placeholder:"TIME" help:"Leave out runs that would take longer (default ${default})."`
}

// reportView says what was written.
type reportView struct {
	Markdown string             `json:"markdown"`
	SVG      string             `json:"svg"`
	Runs     []*bench.PSIReport `json:"runs"`
}

func (c *benchReportCmd) Run(app *App) error {
	if c.Min < 0 || c.Max > 28 || c.Min > c.Max || c.Step < 1 {
		return usagef("sizes from 2^%d to 2^%d by steps of 2^%d are not within 2^0 to 2^28", c.Min, c.Max, c.Step)
	}
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("finding this program: %w", err)
	}
	if err := os.MkdirAll(c.Out, 0o755); err != nil {
		return err
	}
	config := bench.SeriesConfig{Engines: c.Engines, Limit: c.Limit}
	for p := c.Min; p <= c.Max; p += c.Step {
		config.Sizes = append(config.Sizes, 1<<p)
	}
	p, done := app.newProgress(), 0
	defer p.done()
	config.Progress = func(engine string, n int) {
		if p.w != nil {
			p.update(fmt.Sprintf("%s, %d items", engine, n), done, len(c.Engines)*len(config.Sizes))
		}
		done++
	}
	config.Run = func(ctx context.Context, engine string, n int) (*bench.PSIReport, error) {
		return runAlone(ctx, self, engine, n)
	}
	runs, err := bench.Series(app.ctx, config)
	if err != nil {
		return err
	}
	p.done()
	v := &reportView{filepath.Join(c.Out, "report.md"), filepath.Join(c.Out, "report.svg"), runs}
	for path, write := range map[string]func(io.Writer) error{
		v.Markdown: func(w io.Writer) error { return bench.WriteMarkdown(w, runs) },
		v.SVG:      func(w io.Writer) error { return bench.WriteSVG(w, runs) },
		filepath.Join(c.Out, "report.json"): func(w io.Writer) error {
			e := json.NewEncoder(w)
			e.SetIndent("", "  ")
			return e.Encode(runs)
		},
	} {
		var b bytes.Buffer
		if err := write(&b); err != nil {
			return err
		}
		if err := os.WriteFile(path, b.Bytes(), 0o644); err != nil {
			return err
		}
	}
	return app.print(v, func(w io.Writer) {
		_ = bench.WriteMarkdown(w, runs)
		fmt.Fprintf(w, "\nwritten to %s and %s\n", v.Markdown, v.SVG)
	})
}

// runAlone makes one run in a process of its own, so that its memory is its.
func runAlone(ctx context.Context, self, engine string, n int) (*bench.PSIReport, error) {
	cmd := exec.CommandContext(ctx, self, "bench", "psi", "--engine", engine, "--n", strconv.Itoa(n), "--json")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("%w: %s", err, bytes.TrimSpace(stderr.Bytes()))
	}
	r := &bench.PSIReport{}
	if err := json.Unmarshal(out, r); err != nil {
		return nil, fmt.Errorf("reading the run's report: %w", err)
	}
	return r, nil
}
