package parallel

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
)

func TestRangesCoverOnce(t *testing.T) {
	for _, workers := range []int{0, 1, 2, 7} {
		for _, n := range []int{0, 1, 9, 10, 11, 100} {
			seen := make([]atomic.Int32, n)
			err := Ranges(context.Background(), workers, n, 10, func(lo, hi int) error {
				for i := lo; i < hi; i++ {
					seen[i].Add(1)
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			for i := range seen {
				if got := seen[i].Load(); got != 1 {
					t.Fatalf("workers %d, n %d: index %d was visited %d times", workers, n, i, got)
				}
			}
		}
	}
}

func TestForStops(t *testing.T) {
	for _, workers := range []int{1, 3} {
		var calls atomic.Int32
		want := errors.New("stop")
		err := For(context.Background(), workers, 1000, func(i int) error {
			calls.Add(1)
			if i >= 5 {
				return fmt.Errorf("%d: %w", i, want)
			}
			return nil
		})
		if !errors.Is(err, want) || calls.Load() > 500 {
			t.Errorf("workers %d: error %v after %d calls", workers, err, calls.Load())
		}
		ctx, cancel := context.WithCancel(context.Background())
		calls.Store(0)
		err = For(ctx, workers, 1000, func(i int) error {
			if calls.Add(1) == 10 {
				cancel()
			}
			return nil
		})
		if !errors.Is(err, context.Canceled) || calls.Load() > 500 {
			t.Errorf("workers %d: error %v after %d calls", workers, err, calls.Load())
		}
	}
}
