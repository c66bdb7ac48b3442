package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"time"

	"github.com/symbolon/symbolon/bench"
	"github.com/symbolon/symbolon/protocol"
	"github.com/symbolon/symbolon/psi"
)

// benchCmd measures and makes what can be measured, without a node.
type benchCmd struct {
	PSI        benchPSICmd        `cmd:"" name:"psi" help:"Run both parties of an engine in this process and measure it."`
	Lookup     benchLookupCmd     `cmd:"" help:"Publish a filter, fetch it and look people up, between two nodes over loopback, and measure it."`
	Search     benchSearchCmd     `cmd:"" help:"Index records and search them under encryption, between two nodes over loopback, and measure it."`
	Party      benchPartyCmd      `cmd:"" name:"lookup-party" hidden:"" help:"Be a party of bench lookup."`
	Report     benchReportCmd     `cmd:"" help:"Measure engines side by side over growing sets; write a table and a chart."`
	Population benchPopulationCmd `cmd:"" help:"Write two agencies' synthetic records, and who is the same."`
}

// naiveEngine is the yardstick that exists in benchmarks only.
const naiveEngine = "naive"

type benchPSICmd struct {
	Engine    string        `default:"${default_engine}" enum:"${bench_engines}" placeholder:"ENGINE" help:"One of ${enum} (default ${default}); naive hashes and compares: a yardstick, insecure."`
	N         int           `default:"100000" placeholder:"N" help:"Items of the sender, and of the receiver if not said otherwise (default ${default})."`
	NReceiver *int          `name:"n-receiver" placeholder:"M" help:"Items of the receiver."`
	Overlap   float64       `default:"0.5" placeholder:"SHARE" help:"Shared part of the smaller set, 0 to 1 (default ${default})."`
	Security  psi.Security  `placeholder:"LEVEL" help:"malicious or semi-honest; default what the engine offers first."`
	Mode      psi.Mode      `default:"intersection" enum:"intersection,cardinality" placeholder:"MODE" help:"intersection or cardinality (default ${default})."`
	Workers   int           `placeholder:"W" help:"Processors each party uses; default all."`
	Transport string        `default:"memory" enum:"memory,grpc" help:"memory, or grpc: over loopback with TLS, as nodes do (default ${default})."`
	RTT       time.Duration `name:"rtt" placeholder:"TIME" help:"Round-trip time to add, such as 50ms."`
	Shard     *int          `placeholder:"N" help:"Cut the run into shards of about N items, 0 for one; default 1048576 for vole, as in a session."`
	Stages    bool          `help:"Run both parties in turn on one processor, and show what each stage takes (engine vole, in memory)."`
}

// config returns the run that the flags describe.
func (c *benchPSICmd) config() (bench.PSIConfig, error) {
	p := bench.PSIConfig{Engine: c.Engine, Security: c.Security, Mode: c.Mode, SenderItems: c.N, ReceiverItems: c.N,
		Overlap: c.Overlap, Workers: c.Workers, Shard: c.shard()}
	if c.NReceiver != nil {
		p.ReceiverItems = *c.NReceiver
	}
	for _, n := range []int{p.SenderItems, p.ReceiverItems} {
		if n < 0 || n > psi.MaxItems {
			return p, usagef("%d items are outside [0, %d]", n, psi.MaxItems)
		}
	}
	switch {
	case math.IsNaN(c.Overlap) || c.Overlap < 0 || c.Overlap > 1:
		return p, usagef("--overlap %v is outside [0, 1]", c.Overlap)
	case c.Workers < 0:
		return p, usagef("--workers %d is below 0", c.Workers)
	case p.Shard < 0 || p.Shard > psi.MaxItems:
		return p, usagef("--shard %d is outside [0, %d]", p.Shard, psi.MaxItems)
	case c.Stages && (c.Engine != protocol.EngineVOLE || c.Shard != nil || c.Transport != "memory" || c.RTT != 0):
		return p, usagef("--stages goes with --engine %s in memory, without --shard and --rtt", protocol.EngineVOLE)
	case c.RTT < 0 || c.RTT > time.Minute:
		return p, usagef("--rtt %v is outside [0, 1m]", c.RTT)
	}
	if err := c.checkEngine(); err != nil {
		return p, &usageError{err}
	}
	p.Transport = bench.Memory(c.RTT)
	if c.Transport == "grpc" {
		p.Transport = bench.GRPC(c.RTT)
	}
	return p, nil
}

// sessionShard is the default of an agreement's draft.
const sessionShard = 1 << 20

// shard returns the size of shards that was asked for, or is usual.
func (c *benchPSICmd) shard() int {
	switch {
	case c.Shard != nil:
		return *c.Shard
	case c.Engine == protocol.EngineVOLE && !c.Stages:
		return sessionShard
	}
	return 0
}

// checkEngine reports why the engine can't run as asked.
func (c *benchPSICmd) checkEngine() error {
	security := c.Security
	if c.Engine == naiveEngine {
		if security != "" {
			return errors.New("engine naive is not secure at all: leave out --security")
		}
		return nil
	}
	if security == "" {
		security = protocol.EngineSecurity(c.Engine)[0]
	}
	return protocol.CheckEngine(c.Engine, security, c.Mode)
}

func (c *benchPSICmd) Run(app *App) error {
	config, err := c.config()
	if err != nil {
		return err
	}
	if c.Stages {
		return c.runStages(app, config)
	}
	p := app.newProgress()
	defer p.done()
	if p.w != nil {
		// The receiver finishes last; two parties on one line would flicker.
		config.Progress = func(role psi.Role, stage string, done, total int) {
			if role == psi.RoleReceiver {
				p.update(stage, done, total)
			}
		}
	}
	r, err := bench.PSI(app.ctx, config)
	if err != nil {
		return err
	}
	p.done()
	if err := app.print(r, func(w io.Writer) { writeBench(w, r) }); err != nil {
		return err
	}
	return checkBench(r)
}

// runStages shows what each stage of a run takes.
func (c *benchPSICmd) runStages(app *App, config bench.PSIConfig) error {
	r, err := bench.Stages(app.ctx, config)
	if err != nil {
		return err
	}
	if err := app.print(r, func(w io.Writer) { writeStages(w, r) }); err != nil {
		return err
	}
	if !r.Correct {
		return fmt.Errorf("the result of engine %s is wrong: it is not the plain intersection", r.Engine)
	}
	return nil
}

// writeStages shows the stages to a person, in milliseconds of one processor.
func writeStages(w io.Writer, r *bench.StagesReport) {
	fmt.Fprintf(w, "%-10s%12s%12s\n", "stage, ms", "sender", "receiver")
	for _, s := range r.Stages {
		fmt.Fprintf(w, "%-10s%12.1f%12.1f\n", s.Name, 1e3*s.Sender, 1e3*s.Receiver)
	}
	fmt.Fprintf(w, "%-10s%12.1f for both\n", "total", 1e3*r.Total)
}

// checkBench makes a wrong result a failure.
func checkBench(r *bench.PSIReport) error {
	if !r.Correct {
		return fmt.Errorf("the result of engine %s is wrong: %d hits, and not those of the plain intersection", r.Engine, r.Hits)
	}
	return nil
}

// writeBench shows a run to a person.
func writeBench(w io.Writer, r *bench.PSIReport) {
	verdict := "correct"
	if !r.Correct {
		verdict = "WRONG"
	}
	engine := r.Engine + ", " + r.Security
	if r.Engine == naiveEngine {
		engine = "naive, INSECURE: whoever gets the hashes can try all names and numbers at home; a yardstick only"
	}
	larger := float64(max(r.NSender, r.NReceiver))
	fields(w,
		"engine", engine,
		"items", fmt.Sprintf("sender %d, receiver %d, overlap %v of the smaller set", r.NSender, r.NReceiver, r.Overlap),
		"shards", fmt.Sprint(r.Shards),
		"hits", fmt.Sprintf("%d, %s", r.Hits, verdict),
		"wall", seconds(r.Wall, larger),
		"cpu", seconds(r.CPU, larger)+", both parties together",
		"to sender", traffic(r.BytesToSender, r.NReceiver, "receiver"),
		"to receiver", traffic(r.BytesToReceiver, r.NSender, "sender"),
		"peak memory", fmt.Sprintf("%.1f MiB, both parties together", float64(r.PeakRSS)/(1<<20)),
		"workers", fmt.Sprintf("%d a party", r.Workers),
		"transport", r.Transport,
		"cpu model", r.CPUModel,
		"go", r.Go,
		"commit", r.Commit)
}

// seconds formats a time, and what of it falls to each of n items.
func seconds(s, n float64) string {
	if n == 0 {
		return fmt.Sprintf("%.3f s", s)
	}
	return fmt.Sprintf("%.3f s, %.3g µs an item of the larger set", s, s*1e6/n)
}

// traffic formats bytes, and what of them falls to each of n items.
func traffic(bytes int64, n int, role string) string {
	if n == 0 {
		return fmt.Sprintf("%d bytes", bytes)
	}
	return fmt.Sprintf("%d bytes, %.1f an item of the %s", bytes, float64(bytes)/float64(n), role)
}

type benchPopulationCmd struct {
	Out    string `required:"" type:"path" placeholder:"DIR" help:"Where to write a.csv, b.csv and truth.csv; made if missing."`
	N      int    `required:"" placeholder:"N" help:"Records of agency A, and of B if not said otherwise."`
	NB     *int   `name:"n-b" placeholder:"M" help:"Records of agency B."`
	Shared int    `required:"" placeholder:"K" help:"People whom both agencies know."`
	Seed   uint64 `default:"1" placeholder:"S" help:"Equal seeds and sizes give equal files (default ${default})."`
}

// populationView says what was written.
type populationView struct {
	A      string `json:"a"`
	B      string `json:"b"`
	Truth  string `json:"truth"`
	SizeA  int    `json:"n_a"`
	SizeB  int    `json:"n_b"`
	Shared int    `json:"shared"`
	Seed   uint64 `json:"seed"`
}

func (c *benchPopulationCmd) Run(app *App) error {
	config := bench.PopulationConfig{Seed: c.Seed, SizeA: c.N, SizeB: c.N, Shared: c.Shared}
	if c.NB != nil {
		config.SizeB = *c.NB
	}
	population, err := bench.NewPopulation(config)
	if err != nil {
		return &usageError{err}
	}
	v := &populationView{A: filepath.Join(c.Out, bench.FileA), B: filepath.Join(c.Out, bench.FileB), Truth: filepath.Join(c.Out, bench.FileTruth),
		SizeA: config.SizeA, SizeB: config.SizeB, Shared: config.Shared, Seed: config.Seed}
	if err := os.MkdirAll(c.Out, 0o700); err != nil {
		return &usageError{err}
	}
	if err := population.WriteFilesContext(app.ctx, c.Out); err != nil {
		if errors.Is(err, fs.ErrExist) {
			return withHint(&usageError{err}, "choose another folder: nothing is overwritten")
		}
		return err
	}
	return app.print(v, func(w io.Writer) {
		fmt.Fprintf(w, "Wrote %s (%d records), %s (%d records) and %s (%d pairs).\nNo one in them exists.\n",
			v.A, v.SizeA, v.B, v.SizeB, v.Truth, v.Shared)
	})
}
