package records

import (
	"context"
	"sync"
	"sync/atomic"
)

// A batch ends at so many rows or bytes; so many bytes are under way beside the
// batch that is filled. A row is a few megabytes at most.
const (
	batchRows  = 256
	batchBytes = 256 << 10
	pipeBytes  = 8 << 20
)

// pipeline interprets rows on several goroutines, in batches. Rows enter and
// leave in their order on the caller's goroutine, which alone reads and judges:
// so what comes out does not depend on the number of workers.
type pipeline struct {
	reader  *reader
	workers int
	// work holds batches for the workers, which own them until done hears.
	work    chan *batch
	running sync.WaitGroup
	stopped atomic.Bool
	filling *batch
	queue   []*batch // at work, the oldest first
	held    int      // bytes of the queue
	free    []*batch
}

// batch is some rows on their way.
type batch struct {
	rows     []row
	cells    []string
	lines    []byte
	bytes    int
	readings []reading
	done     chan struct{}
}

// limit is how many batches are under way at once.
func (p *pipeline) limit() int { return p.workers + 2 }

// add takes a row, whose memory may be used again afterwards.
func (p *pipeline) add(ctx context.Context, w row) error {
	if p.filling == nil {
		p.filling = p.newBatch()
	}
	b := p.filling
	b.add(w)
	if len(b.rows) < batchRows && b.bytes < batchBytes {
		return nil
	}
	return p.send(ctx)
}

func (p *pipeline) newBatch() *batch {
	if n := len(p.free); n > 0 {
		b := p.free[n-1]
		p.free = p.free[:n-1]
		return b
	}
	return &batch{readings: make([]reading, batchRows), done: make(chan struct{}, 1)}
}

func (b *batch) add(w row) {
	// Where append moves the cells or lines, earlier rows keep the old ones.
	if w.line != nil {
		at := len(b.lines)
		b.lines = append(b.lines, w.line...)
		w.line = b.lines[at:]
	} else {
		at := len(b.cells)
		b.cells = append(b.cells, w.cells...)
		w.cells = b.cells[at:]
	}
	b.bytes += len(w.line)
	for _, c := range w.cells {
		b.bytes += len(c)
	}
	b.rows = append(b.rows, w)
}

// send gives the batch to the workers, once there is room.
func (p *pipeline) send(ctx context.Context) error {
	for len(p.queue) > 0 && (len(p.queue) == p.limit() || p.held >= pipeBytes) {
		if err := p.takeOldest(ctx); err != nil {
			return err
		}
	}
	if p.work == nil {
		p.start()
	}
	p.held += p.filling.bytes
	p.queue = append(p.queue, p.filling)
	p.work <- p.filling
	p.filling = nil
	return nil
}

func (p *pipeline) start() {
	p.work = make(chan *batch, p.limit())
	for range p.workers {
		in := p.reader.newInterpreter()
		p.running.Go(func() {
			for b := range p.work {
				for i := 0; i < len(b.rows) && !p.stopped.Load(); i++ {
					in.read(&b.rows[i], &b.readings[i])
				}
				b.done <- struct{}{}
			}
		})
	}
}

// takeOldest takes what came of the oldest batch.
func (p *pipeline) takeOldest(ctx context.Context) error {
	b := p.queue[0]
	p.queue = p.queue[1:]
	<-b.done
	for i := range b.rows {
		if err := p.reader.take(ctx, &b.readings[i]); err != nil {
			return err
		}
	}
	p.held -= b.bytes
	p.recycle(b)
	return nil
}

// recycle empties a batch for more rows. One that held long rows is left to the
// garbage collector.
func (p *pipeline) recycle(b *batch) {
	if b.bytes >= 2*batchBytes {
		return
	}
	for i := range b.rows {
		b.readings[i].record.reset()
	}
	clear(b.cells)
	clear(b.rows)
	b.rows, b.cells, b.lines, b.bytes = b.rows[:0], b.cells[:0], b.lines[:0], 0
	p.free = append(p.free, b)
}

// finish takes all rows that were added.
func (p *pipeline) finish(ctx context.Context) error {
	if p.filling != nil {
		if err := p.send(ctx); err != nil {
			return err
		}
	}
	for len(p.queue) > 0 {
		if err := p.takeOldest(ctx); err != nil {
			return err
		}
	}
	return nil
}

// close ends the workers. Rows not yet taken are lost.
func (p *pipeline) close() {
	p.stopped.Store(true)
	if p.work != nil {
		close(p.work)
		p.running.Wait()
	}
}
