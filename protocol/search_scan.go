package protocol

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/symbolon/symbolon/psi/sealed"
)

// maxScan bounds the queries that share a pass over an index.
const maxScan = 8

// scanJob is one query that waits for a pass or is in one.
type scanJob struct {
	ctx    context.Context
	query  *sealed.EncryptedQuery
	blocks chan []byte // has room for all
	done   chan error  // gets one
}

// scanQueue gathers the queries to one index: those that come while a pass runs
// share the next one. Guarded by the state's mu.
type scanQueue struct {
	jobs    []*scanJob
	leading bool
}

// scan answers a query with one message for each block of the index, in any
// order. It returns when emit has had them all, or ctx has ended; a slow emit
// holds up nobody else.
func (n *Node) scan(ctx context.Context, x *openIndex, q *sealed.EncryptedQuery, emit func(msg []byte) error) error {
	job := &scanJob{ctx: ctx, query: q, blocks: make(chan []byte, x.Blocks()), done: make(chan error, 1)}
	s := &n.searches
	s.mu.Lock()
	x.scanning.jobs = append(x.scanning.jobs, job)
	lead := !x.scanning.leading
	x.scanning.leading = true
	if lead {
		x.users++ // the leader's
	}
	s.mu.Unlock()
	if lead {
		go n.lead(x)
	}
	for {
		select {
		case msg, ok := <-job.blocks:
			if !ok {
				return <-job.done
			}
			if err := emit(msg); err != nil {
				return err
			}
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// lead runs passes until no query waits. It holds the index.
func (n *Node) lead(x *openIndex) {
	defer n.done(x)
	s := &n.searches
	for {
		s.pass <- struct{}{} // passes over other indexes come in between
		s.mu.Lock()
		q := &x.scanning
		count := min(len(q.jobs), maxScan)
		jobs := q.jobs[:count:count]
		q.jobs = q.jobs[count:]
		if count == 0 {
			q.leading = false
		}
		s.mu.Unlock()
		if count > 0 {
			n.runPass(x, jobs)
		}
		<-s.pass
		if count == 0 {
			return
		}
	}
}

// runPass runs the queries of one pass over an index. It ends early when nobody
// waits for any of them any more.
func (n *Node) runPass(x *openIndex, jobs []*scanJob) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var waiting atomic.Int64
	waiting.Store(int64(len(jobs)))
	queries := make([]*sealed.EncryptedQuery, len(jobs))
	for i, j := range jobs {
		queries[i] = j.query
		stop := context.AfterFunc(j.ctx, func() {
			if waiting.Add(-1) == 0 {
				cancel()
			}
		})
		defer stop()
	}
	log := n.Logger.With().Str("agreement", short(x.a.Hex())).Int("queries", len(jobs)).Int("blocks", x.Blocks()).Logger()
	began := time.Now()
	err := x.Scan(ctx, queries, sealed.ScanOptions{Rand: n.Rand, Workers: n.Workers,
		Progress: func(done, total int) {
			log.Debug().Int("done", done).Int("total", total).Msg("searching")
		}},
		func(query, _ int, msg []byte) error {
			if jobs[query].ctx.Err() == nil {
				jobs[query].blocks <- msg
			}
			return nil
		})
	if err == nil {
		log.Info().Dur("took", time.Since(began)).Msg("searched")
	}
	for _, j := range jobs {
		j.done <- err
		close(j.blocks)
	}
}
