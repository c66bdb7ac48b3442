package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/symbolon/symbolon/internal/parallel"
)

// LookupConfig describes a measured run of lookups.
type LookupConfig struct {
	// Records is how many people the owner publishes, Keys how many match keys
	// each has, Queries how many people the asker looks up one after the other:
	// one in two is among the owner's.
	Records, Keys, Queries int
	// Clients streams ask at once, for Sustained, as fast as they are answered, or
	// together Rate times a second if that is above zero.
	Clients   int
	Sustained time.Duration
	Rate      int
	// Changed people are replaced before the second version of the filter.
	Changed int
	// LabelBytes is the size of labels; 0 is a filter without.
	LabelBytes int
	// Workers bounds the owner's goroutines; 0 means all processors.
	Workers int
	// Start starts a process that runs LookupParty, whose other end it returns.
	// If nil, both parties run in this process, and figures of CPU and memory
	// are those of both.
	Start func(ctx context.Context) (io.ReadWriteCloser, error)
	// Progress, if set, hears of each stage before it starts.
	Progress func(stage string)
}

// Bounds on a run.
const (
	maxLookupRecords = 10_000_000
	maxLookupKeys    = 64
)

// LookupReport is the outcome of a run. Times are in seconds or milliseconds,
// sizes in bytes, as the names say.
type LookupReport struct {
	Records int `json:"n_records"`
	Keys    int `json:"keys"`
	// Build is publishing the first version: reading, deriving, evaluating and
	// writing. BuildCPU is the owner's.
	Build       float64 `json:"build_s"`
	BuildCPU    float64 `json:"build_cpu_s"`
	FilterBytes int64   `json:"filter_bytes"`
	LabelBytes  int     `json:"label_bytes"`
	Fetch       float64 `json:"fetch_s"`
	// Delta is publishing the second version, in which Changed people are
	// replaced by others. DeltaCPU is the owner's.
	Delta       float64 `json:"delta_s"`
	DeltaCPU    float64 `json:"delta_cpu_s"`
	DeltaBytes  int64   `json:"delta_bytes"`
	Changed     int     `json:"changed_records"`
	ChangedKeys int     `json:"changed_keys"`
	// The queries one after the other: each is all keys of one person, from the
	// record to the answer on the asker's side.
	Queries   int     `json:"queries"`
	QueryKeys int     `json:"keys_per_query"`
	P50       float64 `json:"query_p50_ms"`
	P99       float64 `json:"query_p99_ms"`
	// BytesUp and BytesDown are what the owner's sockets carried a query, TLS,
	// HTTP/2 and all, without what opens and closes the stream.
	BytesUp   float64 `json:"bytes_per_query_up"`
	BytesDown float64 `json:"bytes_per_query_down"`
	// OwnerCPU is the CPU time of the owner's process during these queries,
	// AskerCPU the asker's.
	OwnerCPU float64 `json:"owner_cpu_ms_per_query"`
	AskerCPU float64 `json:"asker_cpu_ms_per_query"`
	// The queries of Clients streams at once.
	Clients      int     `json:"clients"`
	Rate         int     `json:"rate_per_s,omitempty"`
	PerSecond    float64 `json:"queries_per_s"`
	SustainedP50 float64 `json:"sustained_p50_ms"`
	SustainedP99 float64 `json:"sustained_p99_ms"`
	// PeakRSS is the owner's, AskerRSS the asker's, whose mapped filter is part
	// of it.
	PeakRSS  int64 `json:"peak_rss_bytes"`
	AskerRSS int64 `json:"asker_peak_rss_bytes"`
	// Processes is 2 if each party ran in its own, 1 if both ran in this one.
	Processes     int     `json:"processes"`
	FalsePositive float64 `json:"false_positive_log2"`
	// Correct says that every query's hits, of people who are there and of people
	// who are not, before and after the change, are those of a plaintext index.
	Correct  bool   `json:"correct"`
	Wrong    int    `json:"wrong"`
	Workers  int    `json:"workers"`
	CPUModel string `json:"cpu"`
	Go       string `json:"go"`
	Commit   string `json:"commit"`
}

// Check refuses a run that can't be.
func (c *LookupConfig) Check() error {
	for _, r := range []struct {
		name              string
		value, low, upper int
	}{
		{"records", c.Records, 2, maxLookupRecords}, {"keys a record", c.Keys, 1, maxLookupKeys},
		{"queries", c.Queries, 1, 1_000_000}, {"clients", c.Clients, 0, 256}, {"rate", c.Rate, 0, 1_000_000},
		{"changed records", c.Changed, 0, c.Records}, {"label bytes", c.LabelBytes, 0, 256},
	} {
		if r.value < r.low || r.value > r.upper {
			return fmt.Errorf("bench: %d %s are outside [%d, %d]", r.value, r.name, r.low, r.upper)
		}
	}
	if c.Sustained < 0 || c.Sustained > time.Hour {
		return fmt.Errorf("bench: %v of sustained load is outside [0, 1h]", c.Sustained)
	}
	return nil
}

// Lookup measures one run: an owner publishes, an asker fetches and asks, over
// loopback gRPC with TLS, each a node with its own database, log and budget. A
// wrong answer is no error, but Correct is false.
func Lookup(ctx context.Context, c LookupConfig) (*LookupReport, error) {
	if err := c.Check(); err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "symbolon-bench-")
	if err != nil {
		return nil, fmt.Errorf("bench: %w", err)
	}
	defer os.RemoveAll(dir)
	r := &lookupRun{LookupConfig: c, dir: dir, report: &LookupReport{Records: c.Records, LabelBytes: c.LabelBytes, Changed: c.Changed,
		ChangedKeys: c.Changed * c.Keys, Queries: c.Queries, QueryKeys: c.Keys, Clients: c.Clients, Rate: c.Rate, Processes: 2,
		Workers: parallel.Workers(c.Workers), CPUModel: cpuModel(), Go: goVersion(), Commit: commit()}}
	if c.Start == nil {
		r.Start, r.report.Processes = startLookupParty, 1
	}
	err = r.run(ctx)
	return r.report, err
}

// lookupRun is a run in progress.
type lookupRun struct {
	LookupConfig
	dir          string
	owner, asker *lookupParty
	report       *LookupReport
}

func (r *lookupRun) stage(name string) {
	if r.Progress != nil {
		r.Progress(name)
	}
}

func (r *lookupRun) path(name string) string { return filepath.Join(r.dir, name) }

func (r *lookupRun) run(ctx context.Context) (err error) {
	r.stage("making the people")
	if err := r.writeData(); err != nil {
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
	for _, step := range []func() error{r.build, r.queries, r.sustained, r.delta, r.memory} {
		if err := step(); err != nil {
			return err
		}
	}
	r.report.Correct = r.report.Wrong == 0
	return nil
}

// build publishes the first version, and fetches it.
func (r *lookupRun) build() error {
	r.stage("publishing")
	p, cpu, err := r.publish(fileOwner)
	if err != nil {
		return err
	}
	r.report.Build, r.report.BuildCPU = p.Seconds, cpu
	r.report.Keys, r.report.FilterBytes = int(p.Keys), p.Bytes
	r.stage("fetching")
	f, err := r.asker.do(lookupCall{Do: "fetch"})
	if err != nil {
		return err
	}
	r.report.Fetch, r.report.FalsePositive = f.Seconds, f.Log2
	return nil
}

// publish lets the owner publish a file, and returns the CPU seconds it took.
func (r *lookupRun) publish(name string) (p lookupReply, cpu float64, err error) {
	before, err := r.owner.usage()
	if err != nil {
		return p, 0, err
	}
	if p, err = r.owner.do(lookupCall{Do: "publish", Text: r.path(name)}); err != nil {
		return p, 0, err
	}
	after, err := r.owner.usage()
	return p, after.CPU - before.CPU, err
}

// queries asks one query after the other, and checks each.
func (r *lookupRun) queries() error {
	r.stage("looking up")
	want, err := r.inTheClear(fileOwner, fileQueries)
	if err != nil {
		return err
	}
	if _, err := r.asker.do(lookupCall{Do: "open", Streams: 1}); err != nil {
		return err
	}
	before, asker, err := r.both()
	if err != nil {
		return err
	}
	a, err := r.asker.do(lookupCall{Do: "ask", Text: r.path(fileQueries)})
	if err != nil {
		return err
	}
	after, askerAfter, err := r.both()
	if err != nil {
		return err
	}
	n := float64(r.Queries)
	r.report.P50, r.report.P99 = percentile(a.Latencies, 50), percentile(a.Latencies, 99)
	r.report.OwnerCPU, r.report.AskerCPU = 1e3*(after.CPU-before.CPU)/n, 1e3*(askerAfter.CPU-asker.CPU)/n
	r.report.BytesUp, r.report.BytesDown = float64(after.In-before.In)/n, float64(after.Out-before.Out)/n
	r.report.Wrong += wrongAnswers(a.Answers, want) + unanswered(a.Answers, want)
	_, err = r.asker.do(lookupCall{Do: "shut"})
	return err
}

// both returns what both parties have used.
func (r *lookupRun) both() (owner, asker lookupReply, err error) { return usageOf(r.owner, r.asker) }

func usageOf(owner, asker *lookupParty) (o, a lookupReply, err error) {
	if o, err = owner.usage(); err != nil {
		return o, a, err
	}
	a, err = asker.usage()
	return o, a, err
}

// sustained asks from many streams at once.
func (r *lookupRun) sustained() error {
	if r.Clients == 0 || r.Sustained == 0 {
		return nil
	}
	r.stage("looking up from many streams")
	if _, err := r.asker.do(lookupCall{Do: "open", Streams: r.Clients}); err != nil {
		return err
	}
	a, err := r.asker.do(lookupCall{Do: "load", Text: r.path(fileQueries), Seconds: r.Sustained.Seconds(), Rate: r.Rate})
	if err != nil {
		return err
	}
	want, err := r.inTheClear(fileOwner, fileQueries)
	if err != nil {
		return err
	}
	r.report.PerSecond = float64(len(a.Latencies)) / a.Seconds
	r.report.SustainedP50, r.report.SustainedP99 = percentile(a.Latencies, 50), percentile(a.Latencies, 99)
	r.report.Wrong += wrongAnswers(a.Answers, want)
	_, err = r.asker.do(lookupCall{Do: "shut"})
	return err
}

// delta publishes the second version, fetches it and asks for the people who
// came and went.
func (r *lookupRun) delta() error {
	if r.Changed == 0 {
		return nil
	}
	r.stage("publishing a change")
	p, cpu, err := r.publish(fileChanged)
	if err != nil {
		return err
	}
	r.report.Delta, r.report.DeltaCPU, r.report.DeltaBytes = p.Seconds, cpu, p.DeltaBytes
	want, err := r.inTheClear(fileChanged, fileChangedQueries)
	if err != nil {
		return err
	}
	for _, call := range []lookupCall{{Do: "fetch"}, {Do: "open", Streams: 1}} {
		if _, err := r.asker.do(call); err != nil {
			return err
		}
	}
	a, err := r.asker.do(lookupCall{Do: "ask", Text: r.path(fileChangedQueries)})
	if err != nil {
		return err
	}
	r.report.Wrong += wrongAnswers(a.Answers, want) + unanswered(a.Answers, want)
	_, err = r.asker.do(lookupCall{Do: "shut"})
	return err
}

func (r *lookupRun) memory() error {
	owner, asker, err := r.both()
	r.report.PeakRSS, r.report.AskerRSS = owner.RSS, asker.RSS
	return err
}

// wrongAnswers counts the people whose hits are not those wanted.
func wrongAnswers(got, want map[string][]string) int {
	wrong := 0
	for id, hits := range got {
		if w, ok := want[id]; !ok || !slices.Equal(w, hits) {
			wrong++
		}
	}
	return wrong
}

// unanswered counts those who were to be asked for and were not.
func unanswered(got, want map[string][]string) int { return max(0, len(want)-len(got)) }

// percentile returns the least value that p percent of the values do not
// exceed, or 0 of none. It sorts them.
func percentile(values []float64, p float64) float64 {
	if len(values) == 0 {
		return 0
	}
	slices.Sort(values)
	at := int(float64(len(values))*p/100+0.999999) - 1
	return values[max(0, min(at, len(values)-1))]
}
