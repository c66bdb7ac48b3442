package main

import (
	"fmt"
	"io"

	"github.com/symbolon/symbolon/bench"
	"github.com/symbolon/symbolon/protocol"
)

type benchSearchCmd struct {
	N         int    `default:"20000" placeholder:"N" help:"People in the owner's index, a slot each (default ${default})."`
	Queries   int    `default:"50" placeholder:"Q" help:"People searched for one after the other, one in two of them known to the owner (default ${default})."`
	AtOnce    int    `placeholder:"B" help:"Afterwards, so many searches at once, which share passes over the index; default none."`
	Threshold int    `placeholder:"T" help:"How many of ${search_groups} groups must agree; default ${search_threshold}."`
	Form      string `default:"fast" enum:"fast,compact" placeholder:"FORM" help:"The index: fast or compact (default ${default})."`
	Workers   int    `placeholder:"W" help:"Processors that each party uses; default all."`
	Seed      uint64 `default:"1" placeholder:"S" help:"Decides the people (default ${default})."`
}

func (c *benchSearchCmd) Run(app *App) error {
	config := bench.SearchConfig{Records: c.N, Queries: c.Queries, AtOnce: c.AtOnce, Threshold: c.Threshold, Form: c.Form,
		Workers: c.Workers, Seed: c.Seed, Start: startParty}
	if err := config.Check(); err != nil {
		return &usageError{err}
	}
	p := app.newProgress()
	defer p.done()
	config.Progress = func(stage string) { p.update(stage, 0, 0) }
	r, err := bench.Search(app.ctx, config)
	p.done()
	if err != nil {
		return err
	}
	if err := app.print(r, func(w io.Writer) { writeBenchSearch(w, r) }); err != nil {
		return err
	}
	if !r.Correct {
		return fmt.Errorf("%d answers are wrong: they are not those of a comparison in the clear", r.Wrong)
	}
	return nil
}

// writeBenchSearch shows a run to a person.
func writeBenchSearch(w io.Writer, r *bench.SearchReport) {
	verdict := "every record at or over the threshold opened, and none below"
	if !r.Correct {
		verdict = fmt.Sprintf("%d answers are WRONG", r.Wrong)
	}
	cpu := fmt.Sprintf("%.2f s of the owner, %.0f ms of the asker, a search", r.OwnerCPU, r.AskerCPU)
	memory := fmt.Sprintf("%.0f MiB the owner, its mapped index included, %.0f MiB the asker", float64(r.PeakRSS)/(1<<20), float64(r.AskerRSS)/(1<<20))
	if r.Processes == 1 {
		cpu, memory = fmt.Sprintf("%.2f s of both parties a search", r.OwnerCPU), fmt.Sprintf("%.0f MiB, both parties together", float64(r.PeakRSS)/(1<<20))
	}
	atOnce := ""
	if r.AtOnce > 0 {
		atOnce = fmt.Sprintf("%d searches in %.2f s, %.2f s of the owner's CPU", r.AtOnce, r.AtOnceS, r.AtOnceCPU)
	}
	form := "fast"
	if r.Form == protocol.FormCompact {
		form = "compact"
	}
	fields(w,
		"people", fmt.Sprintf("%d, %d slots after padding", r.Records, r.Slots),
		"index", fmt.Sprintf("%s, %s, %.0f bytes a slot; made in %.1f s, %.1f s of CPU", byteCount(r.IndexBytes), form, float64(r.IndexBytes)/float64(max(1, r.Slots)), r.Build, r.BuildCPU),
		"sketches", fmt.Sprintf("%d groups of %d symbols, opening at %d", r.Groups, r.Symbols, r.Threshold),
		"keys", fmt.Sprintf("%s once an epoch, made and brought in %.1f s", byteCount(r.KeysBytes), r.Keys),
		"search", fmt.Sprintf("%.2f s, at most %.2f s, of %d", r.Wall, r.WallMax, r.Queries),
		"cpu", cpu,
		"wire", fmt.Sprintf("%s up, %s down, a search", byteCount(int64(r.BytesUp)), byteCount(int64(r.BytesDown))),
		"at once", atOnce,
		"noise", fmt.Sprintf("flooded %.1f bits over its bound; modulus of %.0f bits, %d allowed for 128 bits of security", r.NoiseMargin, r.Security, r.SecurityLimit),
		"peak memory", memory,
		"handles", fmt.Sprintf("%d, of which %d lead to other people, such as namesakes", r.Hits, r.FalseHits),
		"answers", verdict,
		"workers", fmt.Sprint(r.Workers),
		"cpu model", r.CPUModel,
		"go", r.Go,
		"commit", r.Commit)
}
