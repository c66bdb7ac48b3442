package psi

import (
	"context"
	"runtime"
	"sync"
	"sync/atomic"
)

// Parallel calls f for consecutive ranges of at most chunk items that cover
// 0..n-1, on up to workers goroutines (all processors if workers is 0), and
// waits for all of them. It returns the error of the lowest range that failed,
// whatever the number of workers, or the context's. A chunk should take about a
// millisecond, so that cancellation is prompt.
func Parallel(ctx context.Context, workers, n, chunk int, f func(lo, hi int) error) error {
	if workers <= 0 {
		workers = runtime.GOMAXPROCS(0)
	}
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
			lo := int(next.Add(int64(chunk))) - chunk
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
