package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/symbolon/symbolon/internal/parallel"
	"github.com/symbolon/symbolon/internal/records"
	"github.com/symbolon/symbolon/internal/records/sketch"
	"github.com/symbolon/symbolon/protocol"
	"github.com/symbolon/symbolon/psi"
	"github.com/symbolon/symbolon/psi/sealed"
)

// SearchConfig describes a measured run of sealed searches.
type SearchConfig struct {
	// Records is how many people the owner indexes, one slot each; Queries how
	// many the asker searches for one after the other, one in two known to the
	// owner, as another agency writes them.
	Records, Queries int
	// AtOnce searches are asked at once afterwards; 0 leaves that out.
	AtOnce int
	// Threshold is how many groups must agree; 0 is the default's.
	Threshold int
	// Form is that of the index, protocol.FormFast where empty.
	Form string
	// Workers bounds the owner's goroutines; 0 means all processors.
	Workers int
	Seed    uint64 // of the people
	// Start is as in LookupConfig.
	Start    func(ctx context.Context) (io.ReadWriteCloser, error)
	Progress func(stage string)
}

// maxSearchRecords bounds a run.
const maxSearchRecords = 4_000_000

// SearchReport is the outcome of a run. Times are in seconds or milliseconds,
// sizes in bytes, as the names say.
type SearchReport struct {
	Records    int    `json:"n_records"`
	Slots      int    `json:"padded_slots"`
	Form       string `json:"index_form"`
	IndexBytes int64  `json:"index_bytes"`
	// Build is making the index: reading, sketching, transforming and writing.
	Build    float64 `json:"build_s"`
	BuildCPU float64 `json:"build_cpu_s"`
	// Keys is what bringing the asker's keys carried, once an epoch.
	KeysBytes int64   `json:"keys_bytes"`
	Keys      float64 `json:"keys_s"`
	// The searches one after the other. Wall is the median time, from the record
	// to the handles on the asker's side, WallMax the longest.
	Queries int     `json:"queries"`
	Wall    float64 `json:"query_wall_s"`
	WallMax float64 `json:"query_wall_max_s"`
	// OwnerCPU and AskerCPU are the CPU time of each party's process a search.
	OwnerCPU float64 `json:"owner_cpu_s"`
	AskerCPU float64 `json:"asker_cpu_ms"`
	// BytesUp and BytesDown are what the owner's sockets carried a search.
	BytesUp   float64 `json:"bytes_up"`
	BytesDown float64 `json:"bytes_down"`
	// Searches at once: the time to the last answer, and the owner's CPU for all.
	AtOnce    int     `json:"at_once"`
	AtOnceS   float64 `json:"at_once_s"`
	AtOnceCPU float64 `json:"at_once_owner_cpu_s"`
	Groups    int     `json:"groups"`
	Symbols   int     `json:"symbols"`
	Threshold int     `json:"threshold"`
	// NoiseMargin is how many bits the flooding stands over the bound on the
	// noise; Security the logarithm of the modulus against SecurityLimit, the
	// largest for 128 bits.
	NoiseMargin   float64 `json:"noise_margin_bits"`
	Security      float64 `json:"log2_modulus"`
	SecurityLimit int     `json:"log2_modulus_limit"`
	// PeakRSS is the owner's, whose mapped index is part of it.
	PeakRSS   int64 `json:"peak_rss_bytes"`
	AskerRSS  int64 `json:"asker_peak_rss_bytes"`
	Processes int   `json:"processes"`
	// Hits counts the handles; FalseHits those of other people than the one
	// searched for, who resemble.
	Hits      int `json:"hits"`
	FalseHits int `json:"false_hits"`
	// Correct says that for every query exactly the records at or over the
	// threshold have opened, compared with the sketches in the clear.
	Correct  bool   `json:"correct"`
	Wrong    int    `json:"wrong"`
	Workers  int    `json:"workers"`
	CPUModel string `json:"cpu"`
	Go       string `json:"go"`
	Commit   string `json:"commit"`
}

// Check refuses a run that can't be.
func (c *SearchConfig) Check() error {
	for _, r := range []struct {
		name              string
		value, low, upper int
	}{
		{"records", c.Records, 2, maxSearchRecords}, {"queries", c.Queries, 1, 100_000}, {"searches at once", c.AtOnce, 0, 16},
	} {
		if r.value < r.low || r.value > r.upper {
			return fmt.Errorf("bench: %d %s are outside [%d, %d]", r.value, r.name, r.low, r.upper)
		}
	}
	if c.Form != "" && c.Form != protocol.FormFast && c.Form != protocol.FormCompact {
		return fmt.Errorf("bench: form %q of an index is unknown", c.Form)
	}
	if err := c.params().Validate(); err != nil {
		return fmt.Errorf("bench: %w", err)
	}
	return nil
}

func (c *SearchConfig) params() sealed.Params {
	p := sketch.Default()
	if c.Threshold != 0 {
		p.Threshold = c.Threshold
	}
	return sealed.Params{Groups: p.Groups, Symbols: p.Symbols, Threshold: p.Threshold}
}

// Search measures one run: an owner indexes, an asker searches, over loopback
// gRPC with TLS, each a node with its own database, log and budget. A wrong
// answer is no error, but Correct is false.
func Search(ctx context.Context, c SearchConfig) (*SearchReport, error) {
	if err := c.Check(); err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "symbolon-bench-")
	if err != nil {
		return nil, fmt.Errorf("bench: %w", err)
	}
	defer os.RemoveAll(dir)
	p := c.params()
	r := &searchRun{SearchConfig: c, dir: dir, report: &SearchReport{Records: c.Records, Queries: c.Queries, AtOnce: c.AtOnce,
		Groups: p.Groups, Symbols: p.Symbols, Threshold: p.Threshold, NoiseMargin: p.FloodMargin(), Processes: 2,
		Workers: parallel.Workers(c.Workers), CPUModel: cpuModel(), Go: goVersion(), Commit: commit()}}
	if r.report.Security, r.report.SecurityLimit, err = p.Security(); err != nil {
		return nil, err
	}
	if c.Start == nil {
		r.Start, r.report.Processes = startLookupParty, 1
	}
	err = r.run(ctx)
	return r.report, err
}

// searchRun is a run in progress.
type searchRun struct {
	SearchConfig
	dir          string
	owner, asker *lookupParty
	report       *SearchReport
	agreement    *protocol.Agreement
	want         map[string][]string // of a comparison in the clear
	truth        map[string]string   // of those whom both know: id there by id here
}

func (r *searchRun) stage(name string) {
	if r.Progress != nil {
		r.Progress(name)
	}
}

func (r *searchRun) path(name string) string { return filepath.Join(r.dir, name) }

func (r *searchRun) run(ctx context.Context) (err error) {
	r.stage("making the people")
	if err := r.writeData(ctx); err != nil {
		return err
	}
	r.stage("making two nodes")
	if err := r.makeNodes(); err != nil {
		return err
	}
	parties, err := startPair(ctx, r.Start, r.path(ownerDir), r.path(askerDir), r.Workers)
	defer func() { err = errors.Join(err, closePair(parties)) }()
	if err != nil {
		return err
	}
	r.owner, r.asker = parties[0], parties[1]
	for _, step := range []func() error{r.build, r.keys, r.searches, r.atOnce, r.memory} {
		if err := step(); err != nil {
			return err
		}
	}
	r.report.Correct = r.report.Wrong == 0
	return nil
}

// makeNodes makes both nodes, under an agreement whose caps are out of the way.
func (r *searchRun) makeNodes() error {
	rules, err := records.ParseRuleSet([]byte(lookupRules))
	if err != nil {
		return err
	}
	signed, err := makePair([2]string{r.path(ownerDir), r.path(askerDir)}, rules, func(a *protocol.Agreement) {
		clause := protocol.DefaultSearch()
		clause.Threshold, clause.MaxSlots = r.report.Threshold, 1<<22
		clause.SearchesPerMinute, clause.SearchesPerDay, clause.Evaluations, clause.Reveals = 1<<20, 1<<24, 1, 1024
		a.Modes, a.Search, a.Padding = []psi.Mode{psi.ModeSearch}, clause, protocol.PadExact
	})
	if err == nil {
		r.agreement = signed.Agreement
	}
	return err
}

// build makes the index.
func (r *searchRun) build() error {
	r.stage("indexing")
	before, err := r.owner.usage()
	if err != nil {
		return err
	}
	x, err := r.owner.do(lookupCall{Do: "index", Text: r.path(fileOwner), Form: r.Form})
	if err != nil {
		return err
	}
	after, err := r.owner.usage()
	if err != nil {
		return err
	}
	r.report.Build, r.report.BuildCPU = x.Seconds, after.CPU-before.CPU
	r.report.IndexBytes, r.report.Slots, r.report.Form = x.Bytes, int(x.Keys), x.Text
	return nil
}

// keys opens the stream, for which the keys are made and brought.
func (r *searchRun) keys() error {
	r.stage("making and bringing keys")
	before, err := r.owner.usage()
	if err != nil {
		return err
	}
	k, err := r.asker.do(lookupCall{Do: "open-searches", Text: r.path(fileQueries)})
	if err != nil {
		return err
	}
	after, err := r.owner.usage()
	if err != nil {
		return err
	}
	r.report.Keys, r.report.KeysBytes = k.Seconds, after.In-before.In
	return nil
}

// searches asks one search after the other, and checks each.
func (r *searchRun) searches() error {
	r.stage("searching")
	before, asker, err := usageOf(r.owner, r.asker)
	if err != nil {
		return err
	}
	a, err := r.asker.do(lookupCall{Do: "search", Count: r.Queries})
	if err != nil {
		return err
	}
	after, askerAfter, err := usageOf(r.owner, r.asker)
	if err != nil {
		return err
	}
	n := float64(r.Queries)
	r.report.Wall, r.report.WallMax = percentile(a.Latencies, 50)/1e3, percentile(a.Latencies, 100)/1e3
	r.report.OwnerCPU, r.report.AskerCPU = (after.CPU-before.CPU)/n, 1e3*(askerAfter.CPU-asker.CPU)/n
	r.report.BytesUp, r.report.BytesDown = float64(after.In-before.In)/n, float64(after.Out-before.Out)/n
	got, err := r.check()
	if err != nil {
		return err
	}
	r.report.Wrong += unanswered(got, r.want)
	for id, hits := range got {
		for _, reference := range hits {
			r.report.Hits++
			if reference != r.truth[id] {
				r.report.FalseHits++
			}
		}
	}
	return nil
}

// check asks for the references of all handles and compares them with the
// sketches in the clear; it returns the answers.
func (r *searchRun) check() (map[string][]string, error) {
	r.stage("comparing with the sketches in the clear")
	got, err := r.asker.do(lookupCall{Do: "reveal"})
	if err != nil {
		return nil, err
	}
	if r.want == nil {
		if r.want, err = r.inTheClear(); err != nil {
			return nil, err
		}
	}
	r.report.Wrong += wrongAnswers(got.Answers, r.want)
	return got.Answers, nil
}

// atOnce asks several searches at once, which share passes over the index.
func (r *searchRun) atOnce() error {
	if r.AtOnce == 0 {
		return nil
	}
	r.stage("searching at once")
	before, err := r.owner.usage()
	if err != nil {
		return err
	}
	began := time.Now()
	if _, err := r.asker.do(lookupCall{Do: "search", Count: r.AtOnce, Streams: r.AtOnce}); err != nil {
		return err
	}
	r.report.AtOnceS = time.Since(began).Seconds()
	after, err := r.owner.usage()
	if err != nil {
		return err
	}
	r.report.AtOnceCPU = after.CPU - before.CPU
	_, err = r.check()
	return err
}

func (r *searchRun) memory() error {
	owner, asker, err := usageOf(r.owner, r.asker)
	r.report.PeakRSS, r.report.AskerRSS = owner.RSS, asker.RSS
	return err
}
