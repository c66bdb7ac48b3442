package dhpsi

import (
	"context"
	"sync"
	"sync/atomic"
)

// chunk is the number of items that a worker takes at a time: about 2 ms.
const chunk = 32

// parallel calls f for consecutive ranges that cover 0..n-1, on up to workers
// goroutines, and waits for all of them. It returns the error of the lowest
// range that failed, whatever the number of workers, or the context's.
func parallel(ctx context.Context, workers, n int, f func(lo, hi int) error) error {
	workers = min(workers, (n+chunk-1)/chunk)
	var (
		next   atomic.Int64
		failed atomic.Bool
		mu     sync.Mutex
		first  error
		at     int
		wg     sync.WaitGroup
	)
	work := func() {
		for !failed.Load() && ctx.Err() == nil {
			lo := int(next.Add(chunk)) - chunk
			if lo >= n {
				return
			}
			if err := f(lo, min(lo+chunk, n)); err != nil {
				// Ranges are handed out in order, so every lower one is
				// finished or will be.
				mu.Lock()
				if first == nil || lo < at {
					first, at = err, lo
				}
				mu.Unlock()
				failed.Store(true)
			}
		}
	}
	for range workers - 1 {
		wg.Go(work)
	}
	work()
	wg.Wait()
	if first != nil {
		return first
	}
	return ctx.Err()
}
