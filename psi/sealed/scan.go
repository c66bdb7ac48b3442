package sealed

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/symbolon/symbolon/internal/parallel"
	"github.com/symbolon/symbolon/psi/sealed/internal/he"
)

// ScanOptions say how a scan runs.
type ScanOptions struct {
	// Rand is the source of blinding and flooding: crypto/rand.Reader.
	Rand io.Reader
	// Workers bounds the goroutines; zero is one a processor.
	Workers int
	// Progress is called, never twice at once, with the answers done and due.
	Progress func(done, total int)
	// Stages counts the time that goroutines spend in each stage.
	Stages *Stages
}

// Stages counts the time spent in the stages of scans.
type Stages struct{ s he.Stages }

// Each calls f with each stage's name and nanoseconds, in order.
func (s *Stages) Each(f func(name string, nanoseconds int64)) {
	for i := range s.s {
		f(he.Stage(i).String(), s.s[i].Load())
	}
}

// Scan answers queries of the index's parameters and scope in one pass over it.
// Queries may be under different keys. emit gets the answer of each query to
// each block, in no order, never two at once; the message is its to keep, and
// an error of its ends the scan. All goroutines have ended when Scan returns,
// soon after ctx is cancelled.
//
// A worker takes about 20 MB, and each query 70 MB, as much again while it is
// prepared, and 8 MB a worker with 256 positions.
func (x *Index) Scan(ctx context.Context, queries []*EncryptedQuery, o ScanOptions, emit func(query, block int, msg []byte) error) error {
	if len(queries) == 0 {
		return nil
	}
	for i, q := range queries {
		if q.keys.p != x.p {
			return fmt.Errorf("sealed: query %d: %w", i, ErrParams)
		}
		if q.keys.scope != x.scope {
			return fmt.Errorf("sealed: query %d: %w", i, ErrScope)
		}
	}
	blocks, err := x.acquire()
	if err != nil {
		return err
	}
	defer func() {
		for _, b := range blocks {
			b.release()
		}
	}()
	var stages *he.Stages
	if o.Stages != nil {
		stages = &o.Stages.s
	}
	s := &scan{x: x, queries: queries, blocks: blocks, rand: o.Rand, stages: stages, emit: emit, progress: o.Progress}
	if err := s.prepare(ctx, o.Workers); err != nil {
		return err
	}
	workers := make(chan *scanWorker, min(parallel.Workers(o.Workers), len(blocks)))
	for range cap(workers) {
		w := s.newWorker()
		defer w.w.Release()
		workers <- w
	}
	return parallel.For(ctx, cap(workers), len(blocks), func(i int) error {
		w := <-workers
		defer func() { workers <- w }()
		return w.block(ctx, i)
	})
}

// acquire takes a reference to every block.
func (x *Index) acquire() ([]*block, error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for i, b := range x.blocks {
		if b == nil {
			return nil, fmt.Errorf("sealed: block %d of the index is not written", i)
		}
	}
	blocks := append([]*block(nil), x.blocks...)
	for _, b := range blocks {
		b.refs.Add(1)
	}
	return blocks, nil
}

type scan struct {
	x        *Index
	queries  []*EncryptedQuery
	prepared []*he.Prepared
	blocks   []*block
	stages   *he.Stages
	progress func(done, total int)

	mu   sync.Mutex // guards what follows
	rand io.Reader
	emit func(query, block int, msg []byte) error
	done int
}

// prepare rotates and checks the queries: one after another on all workers, or
// side by side if there are enough.
func (s *scan) prepare(ctx context.Context, workers int) error {
	outer, inner := 1, parallel.Workers(workers)
	if len(s.queries) >= inner {
		outer, inner = inner, 1
	}
	s.prepared = make([]*he.Prepared, len(s.queries))
	return parallel.For(ctx, outer, len(s.queries), func(i int) error {
		seed, err := s.seed()
		if err != nil {
			return err
		}
		q := s.queries[i]
		s.prepared[i], err = q.keys.keys.Prepare(ctx, q.q, seed, inner, s.stages)
		return err
	})
}

func (s *scan) seed() (seed he.Seed, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.rand == nil {
		return seed, errors.New("sealed: a scan has no source of randomness")
	}
	if _, err := io.ReadFull(s.rand, seed[:]); err != nil {
		return seed, fmt.Errorf("sealed: reading randomness: %w", err)
	}
	return seed, nil
}

// deliver hands an answer over.
func (s *scan) deliver(query, block int, msg []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.emit(query, block, msg); err != nil {
		return err
	}
	s.done++
	if s.progress != nil {
		s.progress(s.done, len(s.queries)*len(s.blocks))
	}
	return nil
}

// scanWorker has the buffers of one goroutine.
type scanWorker struct {
	*scan
	w    *he.Worker
	sums []he.Sums
	// Compact form: one group of diagonals.
	diagonals []uint32
	z         *he.Diagonalizer
}

func (s *scan) newWorker() *scanWorker {
	w := &scanWorker{scan: s, w: s.x.c.Worker()}
	for range s.queries {
		w.sums = append(w.sums, s.x.c.NewSums())
	}
	if s.x.form == Compact {
		w.diagonals = make([]uint32, s.x.c.DiagonalWords()/s.x.c.Giants())
		w.z = s.x.c.NewDiagonalizer()
	}
	return w
}

// block answers all queries for one block.
func (w *scanWorker) block(ctx context.Context, at int) error {
	c, b := w.x.c, w.blocks[at]
	if w.x.form == Fast {
		if err := b.verify(); err != nil {
			return err
		}
		if err := w.inner(ctx, b.diagonals, 0, c.Giants()); err != nil {
			return err
		}
	} else {
		for g := range c.Giants() {
			start := time.Now()
			w.z.Group(w.diagonals, c.Babies()*c.Chunk(), b.sketches, g)
			w.stages.Add(he.StageExpand, start)
			if err := w.inner(ctx, w.diagonals, g, 1); err != nil {
				return err
			}
		}
	}
	for i, p := range w.prepared {
		if err := ctx.Err(); err != nil {
			return err
		}
		seed, err := w.seed()
		if err != nil {
			return err
		}
		q := w.queries[i]
		h := header{kind: kindAnswer, number: uint64(len(w.blocks))<<32 | uint64(at), first: q.id}
		msg := h.append(make([]byte, 0, headerSize+c.AnswerSize()), w.x.p, w.x.scope)
		msg = w.w.Answer(msg, p, w.sums[i], seed, w.stages)
		if err := w.deliver(i, at, msg); err != nil {
			return err
		}
	}
	return nil
}

// inner multiplies groups of diagonals with all queries. Each chunk of the
// index is read once.
func (w *scanWorker) inner(ctx context.Context, diagonals []uint32, first, groups int) error {
	defer w.stages.Add(he.StageInner, time.Now())
	c := w.x.c
	size := groups * c.Babies() * c.Chunk()
	chunks := c.N() / c.Chunk()
	for limb := range c.Limbs() {
		if err := ctx.Err(); err != nil {
			return err
		}
		for chunk := range chunks {
			d := diagonals[(limb*chunks+chunk)*size:][:size]
			for i, p := range w.prepared {
				c.Inner(w.sums[i], p, d, first, groups, limb, chunk)
			}
		}
	}
	return nil
}
