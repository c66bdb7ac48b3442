// Package parallel runs the pieces of a computation on several goroutines and
// joins them all before it returns, on cancellation too.
package parallel

import (
	"context"
	"runtime"
	"sync"
	"sync/atomic"
)

// Workers returns n, or the number of processors if n is not positive.
func Workers(n int) int {
	if n > 0 {
		return n
	}
	return runtime.GOMAXPROCS(0)
}

// For calls f(0), ..., f(n-1) from at most workers goroutines, in any order. It
// returns the error of the lowest index that failed, or the context's once it
// is cancelled; pieces not yet begun are then left out. Each piece should take
// well under a second, since none is interrupted.
func For(ctx context.Context, workers, n int, f func(i int) error) error {
	workers = min(Workers(workers), n)
	if workers <= 1 {
		for i := range n {
			if err := ctx.Err(); err != nil {
				return err
			}
			if err := f(i); err != nil {
				return err
			}
		}
		return ctx.Err()
	}
	var (
		next  atomic.Int64
		wg    sync.WaitGroup
		mu    sync.Mutex
		first = n
		err   error
	)
	for range workers {
		wg.Go(func() {
			for ctx.Err() == nil {
				i := int(next.Add(1)) - 1
				if i >= n {
					return
				}
				if e := f(i); e != nil {
					mu.Lock()
					if i < first {
						first, err = i, e
					}
					mu.Unlock()
					next.Store(int64(n))
				}
			}
		})
	}
	wg.Wait()
	if err != nil {
		return err
	}
	return ctx.Err()
}

// Ranges cuts [0, n) into pieces of at most size and calls f(lo, hi) for each.
// The cut does not depend on the number of workers.
func Ranges(ctx context.Context, workers, n, size int, f func(lo, hi int) error) error {
	return For(ctx, workers, (n+size-1)/size, func(i int) error {
		return f(i*size, min(n, (i+1)*size))
	})
}
