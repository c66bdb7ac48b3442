package store

import (
	"fmt"
	"sync"
	"time"
)

// maxBatch bounds the changes that share a transaction, and so how long the
// first of them waits for the last.
const maxBatch = 128

// batcher gathers the callers of Batch. Whoever finds nobody leading leads:
// it takes the writer's token and runs what has gathered by then.
type batcher struct {
	mu      sync.Mutex
	queue   []*change
	leading bool
}

// change is one caller's part of a batch.
type change struct {
	fn    func(tx *Tx) error
	lead  chan struct{} // closed when the caller shall lead the next batch
	done  chan struct{} // closed when err and panicked are set
	err   error
	panic any
}

// Batch is Update for many small changes at a time: concurrent calls share a
// transaction, and so the wait for the disk. Each runs behind a savepoint of
// its own: an error, or a change that the database refused, undoes that call
// alone. It returns when the change is on the disk. fn may run in another
// caller's goroutine, one after the other with theirs, and sees what those
// before it have changed.
func (s *Store) Batch(fn func(tx *Tx) error) error {
	c := &change{fn: fn, lead: make(chan struct{}), done: make(chan struct{})}
	b := &s.batch
	b.mu.Lock()
	b.queue = append(b.queue, c)
	first := !b.leading
	b.leading = true
	b.mu.Unlock()
	if !first {
		select {
		case <-c.done:
		case <-c.lead:
			first = true
		}
	}
	if first {
		s.leadBatch()
		<-c.done
	}
	if c.panic != nil {
		panic(c.panic)
	}
	return c.err
}

// leadBatch runs the changes that have gathered, the caller's among them, and
// hands the lead on.
func (s *Store) leadBatch() {
	release, err := s.acquire()
	b := &s.batch
	b.mu.Lock()
	n := min(len(b.queue), maxBatch)
	batch := b.queue[:n:n]
	b.queue = b.queue[n:]
	b.mu.Unlock()
	if err == nil {
		err = s.runBatch(batch)
		release()
	}
	for _, c := range batch {
		if c.err == nil {
			c.err = err
		}
		close(c.done)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.queue) == 0 {
		b.leading, b.queue = false, nil
		return
	}
	close(b.queue[0].lead)
}

// runBatch returns the error that undid the whole transaction.
func (s *Store) runBatch(batch []*change) error {
	tx, err := s.write.Begin()
	if err != nil {
		return fmt.Errorf("store: %w", mapError(err))
	}
	defer tx.Rollback() // after Commit this does nothing
	for _, c := range batch {
		t := &Tx{Reader: Reader{tx}, tx: tx}
		if _, err := tx.Exec("SAVEPOINT change"); err != nil {
			return fmt.Errorf("store: %w", mapError(err))
		}
		c.run(t)
		if c.err != nil || c.panic != nil {
			// A database that has rolled back by itself (full disk) knows no
			// savepoint any more: then nothing of the batch remains.
			if _, err := tx.Exec("ROLLBACK TO change"); err != nil {
				return fmt.Errorf("store: another change failed: %w", mapError(err))
			}
		}
		if _, err := tx.Exec("RELEASE change"); err != nil {
			return fmt.Errorf("store: %w", mapError(err))
		}
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("store: committing: %w", mapError(err))
	}
	return nil
}

// run runs one change and keeps its error or panic for its caller.
func (c *change) run(t *Tx) {
	defer func() {
		if p := recover(); p != nil {
			c.panic = p
		}
	}()
	if c.err = mapError(c.fn(t)); c.err == nil {
		c.err = t.failed
	}
}

// acquire waits for the turn to write. The function it returns gives it back.
func (s *Store) acquire() (release func(), err error) {
	wait := time.NewTimer(s.updateWait)
	defer wait.Stop()
	select {
	case <-s.writer:
		return func() { s.writer <- struct{}{} }, nil
	case <-s.done:
		return nil, fmt.Errorf("store: %w", ErrClosed)
	case <-wait.C:
		return nil, fmt.Errorf("store: waited %v for another transaction to end", s.updateWait)
	}
}
