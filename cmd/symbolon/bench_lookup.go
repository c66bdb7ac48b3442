package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"time"

	"github.com/symbolon/symbolon/bench"
)

type benchLookupCmd struct {
	N          int           `default:"100000" placeholder:"N" help:"People whom the owner publishes (default ${default})."`
	Keys       int           `default:"8" placeholder:"K" help:"Match keys of each person (default ${default})."`
	Queries    int           `default:"200" placeholder:"Q" help:"People looked up one after the other, one in two of them unknown to the owner (default ${default})."`
	Clients    int           `default:"8" placeholder:"C" help:"Streams that ask at once afterwards; 0 leaves that out (default ${default})."`
	Sustained  time.Duration `default:"3s" placeholder:"TIME" help:"For how long they ask (default ${default})."`
	Rate       int           `placeholder:"R" help:"Queries a second of all streams together; default as fast as they are answered."`
	Changed    *int          `placeholder:"M" help:"People replaced in the second version of the filter; default one in a hundred."`
	LabelBytes int           `placeholder:"B" help:"Size of the label that a hit opens; default none."`
	Workers    int           `placeholder:"W" help:"Processors that the owner uses; default all."`
}

func (c *benchLookupCmd) Run(app *App) error {
	config := bench.LookupConfig{Records: c.N, Keys: c.Keys, Queries: c.Queries, Clients: c.Clients, Sustained: c.Sustained, Rate: c.Rate,
		Changed: max(1, c.N/100), LabelBytes: c.LabelBytes, Workers: c.Workers, Start: startParty}
	if c.Changed != nil {
		config.Changed = *c.Changed
	}
	if err := config.Check(); err != nil {
		return &usageError{err}
	}
	p := app.newProgress()
	defer p.done()
	config.Progress = func(stage string) { p.update(stage, 0, 0) }
	r, err := bench.Lookup(app.ctx, config)
	p.done()
	if err != nil {
		return err
	}
	if err := app.print(r, func(w io.Writer) { writeBenchLookup(w, r) }); err != nil {
		return err
	}
	if !r.Correct {
		return fmt.Errorf("%d answers are wrong: they are not those of a plaintext index", r.Wrong)
	}
	return nil
}

// startParty starts this program as a party of a run.
func startParty(ctx context.Context) (io.ReadWriteCloser, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, self, "bench", "lookup-party")
	cmd.Stderr = os.Stderr
	p := &partyProcess{cmd: cmd}
	if p.WriteCloser, err = cmd.StdinPipe(); err != nil {
		return nil, err
	}
	if p.Reader, err = cmd.StdoutPipe(); err != nil {
		return nil, err
	}
	return p, cmd.Start()
}

// partyProcess is a process that runs a party.
type partyProcess struct {
	io.WriteCloser // its standard input
	io.Reader      // its standard output
	cmd            *exec.Cmd
}

// Close lets the process end, and waits for it.
func (p *partyProcess) Close() error { return errors.Join(p.WriteCloser.Close(), p.cmd.Wait()) }

// benchPartyCmd is a party of bench lookup, told what to do at its standard
// input.
type benchPartyCmd struct{}

func (c *benchPartyCmd) Run(app *App) error {
	return bench.LookupParty(app.ctx, app.stdin, app.stdout)
}

// writeBenchLookup shows a run to a person.
func writeBenchLookup(w io.Writer, r *bench.LookupReport) {
	verdict := "every answer is that of a plaintext index"
	if !r.Correct {
		verdict = fmt.Sprintf("%d answers are WRONG", r.Wrong)
	}
	keys := float64(max(1, r.Keys))
	sustained, delta := "", ""
	if r.PerSecond > 0 {
		sustained = fmt.Sprintf("%.0f queries a second from %d streams, p50 %.1f ms, p99 %.1f ms", r.PerSecond, r.Clients, r.SustainedP50, r.SustainedP99)
	}
	if r.Changed > 0 {
		delta = fmt.Sprintf("%.2f s, %.2f s of CPU, %s for %d keys replaced", r.Delta, r.DeltaCPU, byteCount(r.DeltaBytes), r.ChangedKeys)
	}
	cpu := fmt.Sprintf("%.2f ms of the owner, %.2f ms of the asker, a query", r.OwnerCPU, r.AskerCPU)
	memory := fmt.Sprintf("%.0f MiB the owner, %.0f MiB the asker, its mapped filter included", float64(r.PeakRSS)/(1<<20), float64(r.AskerRSS)/(1<<20))
	if r.Processes == 1 {
		cpu, memory = fmt.Sprintf("%.2f ms of both parties a query", r.OwnerCPU), fmt.Sprintf("%.0f MiB, both parties together", float64(r.PeakRSS)/(1<<20))
	}
	fields(w,
		"people", fmt.Sprintf("%d with %d match keys", r.Records, r.Keys),
		"build", fmt.Sprintf("%.2f s; %.2f s of CPU, %.1f µs a key", r.Build, r.BuildCPU, 1e6*r.BuildCPU/keys),
		"filter", fmt.Sprintf("%s, %.2f bytes a key; a query is wrongly a hit with probability 2^%.1f", byteCount(r.FilterBytes), float64(r.FilterBytes)/keys, r.FalsePositive),
		"fetch", fmt.Sprintf("%.2f s", r.Fetch),
		"query", fmt.Sprintf("p50 %.2f ms, p99 %.2f ms, of %d with %d keys each", r.P50, r.P99, r.Queries, r.QueryKeys),
		"cpu", cpu,
		"wire", fmt.Sprintf("%.0f bytes up, %.0f down, a query", r.BytesUp, r.BytesDown),
		"sustained", sustained,
		"change", delta,
		"peak memory", memory,
		"answers", verdict,
		"workers", fmt.Sprint(r.Workers),
		"cpu model", r.CPUModel,
		"go", r.Go,
		"commit", r.Commit)
}
