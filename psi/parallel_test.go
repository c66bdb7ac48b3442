package psi

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
)

func TestParallel(t *testing.T) {
	for _, n := range []int{0, 1, 6, 7, 8, 100} {
		for _, workers := range []int{0, 1, 2, 9} {
			hits := make([]atomic.Int32, n)
			err := Parallel(context.Background(), workers, n, 7, func(lo, hi int) error {
				if hi-lo > 7 || hi <= lo {
					return fmt.Errorf("range %d to %d", lo, hi)
				}
				for i := lo; i < hi; i++ {
					hits[i].Add(1)
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			for i := range hits {
				if hits[i].Load() != 1 {
					t.Fatalf("%d workers: item %d of %d is done %d times", workers, i, n, hits[i].Load())
				}
			}
		}
	}
}

func TestParallelReturnsTheLowestError(t *testing.T) {
	for range 200 {
		err := Parallel(context.Background(), 4, 100, 1, func(lo, _ int) error {
			if lo >= 30 {
				return fmt.Errorf("item %d", lo)
			}
			return nil
		})
		if err == nil || err.Error() != "item 30" {
			t.Fatalf("got error %v, want that of item 30", err)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := 0
	err := Parallel(ctx, 1, 100, 1, func(int, int) error {
		if done++; done == 5 {
			cancel()
		}
		return nil
	})
	if !errors.Is(err, context.Canceled) || done != 5 {
		t.Fatalf("got error %v after %d items of a run cancelled at 5", err, done)
	}
}
