package bench

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"
	"time"

	"github.com/symbolon/symbolon/internal/parallel"
	"github.com/symbolon/symbolon/psi"
	"golang.org/x/sync/errgroup"
)

// PSIConfig describes one measured run.
type PSIConfig struct {
	// Engine is one of Engines.
	Engine string
	// Security is what the engine shall withstand; empty takes its default.
	Security psi.Security
	// Mode is intersection if empty; receipts and labels are no part of a run.
	Mode psi.Mode
	// SenderItems and ReceiverItems are the sizes of the sets.
	SenderItems, ReceiverItems int
	// Overlap is the shared part of the smaller set, from 0 to 1.
	Overlap float64
	// Shard cuts the run into shards of about so many items; 0 means one.
	Shard int
	// Workers bounds the goroutines of each party; 0 means all processors.
	Workers int
	// Transport carries the messages; nil means Memory(0).
	Transport Transport
	// Rand yields all randomness; nil means crypto/rand.
	Rand io.Reader
	// Progress, if set, hears of the items done by both parties in each stage.
	// Both call it, each from its own goroutine.
	Progress func(role psi.Role, stage string, done, total int)
}

// PSIReport is the outcome of a run. Times are in seconds, sizes in bytes.
type PSIReport struct {
	Engine    string  `json:"engine"`
	Security  string  `json:"security"`
	NSender   int     `json:"n_sender"`
	NReceiver int     `json:"n_receiver"`
	Overlap   float64 `json:"overlap"`
	Shards    int     `json:"shards"`
	Hits      int     `json:"hits"`
	// Correct says that the result is the plain intersection, item by item.
	Correct bool `json:"correct"`
	// Wall and CPU cover hashing both parties' strings to items, the run and
	// its result, not the making of the strings nor the check. CPU is that of
	// the process, so of both parties.
	Wall float64 `json:"wall_s"`
	CPU  float64 `json:"cpu_s"`
	// BytesToSender and BytesToReceiver are what the transport carried.
	BytesToSender   int64 `json:"bytes_to_sender"`
	BytesToReceiver int64 `json:"bytes_to_receiver"`
	// PeakRSS is the most memory that the process has ever held, strings
	// included; 0 where the system doesn't tell.
	PeakRSS   int64  `json:"peak_rss_bytes"`
	Workers   int    `json:"workers"`
	Transport string `json:"transport"`
	CPUModel  string `json:"cpu"`
	Go        string `json:"go"`
	Commit    string `json:"commit"`
}

// benchRule is the rule that all of a workload's keys come from.
const benchRule = "bench"

// PSI measures one run: it hashes two sets of strings to items, runs both
// parties over the transport and compares the result with the plain
// intersection. A wrong result is no error, but Correct is false.
func PSI(ctx context.Context, c PSIConfig) (*PSIReport, error) {
	engine, err := c.prepare()
	if err != nil {
		return nil, err
	}
	p := psi.Params{
		Mode: c.Mode, Security: c.Security,
		SenderItems: c.SenderItems, ReceiverItems: c.ReceiverItems,
	}
	if _, err := io.ReadFull(c.Rand, p.Session[:]); err != nil {
		return nil, fmt.Errorf("bench: reading randomness: %w", err)
	}
	if err := p.Validate(); err != nil {
		return nil, err
	}
	w, err := newWorkload(c)
	if err != nil {
		return nil, err
	}

	// What making the strings left behind is no part of the run.
	runtime.GC()
	start := startClock()
	cut, err := psi.NewSharding(&p, c.Shard)
	if err != nil {
		return nil, err
	}
	res, err := c.run(ctx, engine, p, cut, w)
	if err != nil {
		return nil, err
	}
	wall, cpu := start.stop()

	toSender, toReceiver := c.Transport.Bytes()
	security := string(c.Security)
	if engine.insecure {
		security = "none (insecure)"
	}
	return &PSIReport{
		Engine: c.Engine, Security: security,
		NSender: c.SenderItems, NReceiver: c.ReceiverItems, Overlap: c.Overlap, Shards: cut.Shards,
		Hits: res.count, Correct: w.check(c.Mode, res),
		Wall: wall.Seconds(), CPU: cpu.Seconds(),
		BytesToSender: toSender, BytesToReceiver: toReceiver, PeakRSS: peakRSS(),
		Workers: parallel.Workers(c.Workers), Transport: c.Transport.String(),
		CPUModel: cpuModel(), Go: goVersion(), Commit: commit(),
	}, nil
}

// prepare fills in defaults and finds the engine.
func (c *PSIConfig) prepare() (*engine, error) {
	e, err := findEngine(c.Engine)
	if err != nil {
		return nil, err
	}
	if c.Security == "" {
		c.Security = e.security[0]
	}
	if err := e.allows(c.Security); err != nil {
		return nil, err
	}
	if c.Mode == "" {
		c.Mode = psi.ModeIntersection
	}
	if c.Overlap < 0 || c.Overlap > 1 || c.Overlap != c.Overlap {
		return nil, fmt.Errorf("bench: overlap %v is outside [0, 1]", c.Overlap)
	}
	if c.Transport == nil {
		c.Transport = Memory(0)
	}
	if c.Rand == nil {
		c.Rand = rand.Reader
	}
	return e, nil
}

// run is what is measured.
func (c *PSIConfig) run(ctx context.Context, e *engine, p psi.Params, cut psi.Sharding, w *workload) (*outcome, error) {
	senderConn, receiverConn, err := c.Transport.Connect(ctx)
	if err != nil {
		return nil, fmt.Errorf("bench: connecting: %w", err)
	}
	seed := make([]byte, 32)
	if _, err := io.ReadFull(c.Rand, seed); err != nil {
		return nil, errors.Join(fmt.Errorf("bench: reading randomness: %w", err), c.Transport.Close())
	}
	var m outcome
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		items, err := w.sender.items(gctx, p.Session, c.Workers)
		if err != nil {
			return err
		}
		return eachShard(gctx, c, p, cut, psi.RoleSender, items, seed, e.newSender, senderConn, func(psi.Sender, []uint32) {})
	})
	g.Go(func() error {
		items, err := w.receiver.items(gctx, p.Session, c.Workers)
		if err != nil {
			return err
		}
		return eachShard(gctx, c, p, cut, psi.RoleReceiver, items, seed, e.newReceiver, receiverConn, m.add)
	})
	if err := errors.Join(g.Wait(), c.Transport.Close()); err != nil {
		return nil, err
	}
	return &m, nil
}

// eachShard runs one party through all shards, each as soon as this party is
// done with the one before, as a session does.
func eachShard[P psi.Party](ctx context.Context, c *PSIConfig, p psi.Params, s psi.Sharding, role psi.Role, items []psi.Item, seed []byte,
	start func(psi.Params, []psi.Item, psi.Options) (P, error), conn psi.Conn, finished func(P, []uint32)) error {
	size := s.SenderItems
	if role == psi.RoleReceiver {
		size = s.ReceiverItems
	}
	cut := psi.NewCut(s, &p, items)
	for shard := range s.Shards {
		o := psi.Options{Rand: psi.NewStream(seed, string(role), uint32(shard)), Workers: c.Workers}
		if c.Progress != nil {
			o.Progress = func(stage string, done, total int) { c.Progress(role, stage, done, total) }
		}
		part, order, err := cut.Shard(shard, size, o.Rand)
		if err != nil {
			return err
		}
		party, err := start(s.Params(p, shard), part, o)
		if err != nil {
			return err
		}
		if err := psi.Drive(ctx, party, conn); err != nil {
			return fmt.Errorf("%s: %w", role, err)
		}
		finished(party, order)
		if s.Shards > 1 {
			// The shard's memory is large and dead: the next one takes it over.
			runtime.GC()
		}
	}
	return nil
}

// outcome is what all shards together tell the receiver: how many items are
// shared and, where the mode says it, which.
type outcome struct {
	count int
	items []uint32
}

func (m *outcome) add(r psi.Receiver, order []uint32) {
	res := r.Result()
	m.count += res.Count
	m.items = slices.Grow(m.items, len(res.Hits))
	for _, h := range res.Hits {
		switch {
		case order == nil:
			m.items = append(m.items, h.Item)
		case int(h.Item) < len(order): // padding comes last, and nobody else has it
			m.items = append(m.items, order[h.Item])
		}
	}
}

// clock measures wall and processor time.
type clock struct {
	wall time.Time
	cpu  time.Duration
}

func startClock() clock { return clock{time.Now(), cpuTime()} }

func (c clock) stop() (wall, cpu time.Duration) { return time.Since(c.wall), cpuTime() - c.cpu }
