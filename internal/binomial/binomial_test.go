package binomial

import (
	"math"
	"testing"
)

// TestTail compares the tail with its direct sum.
func TestTail(t *testing.T) {
	const n, bins, c = 60, 4, 25
	direct, pick := 0.0, 1.0
	for k := range n + 1 {
		if k > 0 {
			pick *= float64(n-k+1) / float64(k)
		}
		if k > c {
			direct += pick * math.Pow(1./bins, float64(k)) * math.Pow(1-1./bins, float64(n-k))
		}
	}
	if got := log2Tail(n, bins, c); math.Abs(got-math.Log2(direct)) > 1e-9 {
		t.Errorf("tail is 2^%f, want 2^%f", got, math.Log2(direct))
	}
}

// TestCapacity compares the capacity with its neighbour.
func TestCapacity(t *testing.T) {
	for _, tt := range []struct {
		n, bins int
		lambda  float64
	}{{50000, 3, 42}, {1 << 20, 64, 46}, {1 << 24, 16, 44}, {1 << 28, 1 << 14, 54}, {100, 50, 40}} {
		c := Capacity(tt.n, tt.bins, tt.lambda)
		if log2Tail(tt.n, tt.bins, c) > -tt.lambda || c > tt.n/tt.bins && log2Tail(tt.n, tt.bins, c-1) <= -tt.lambda {
			t.Errorf("%d in %d bins: capacity %d is not the least", tt.n, tt.bins, c)
		}
	}
	if c := Capacity(77, 1, 40); c != 77 {
		t.Errorf("one bin of 77 has capacity %d", c)
	}
	if c := Capacity(0, 5, 40); c != 0 {
		t.Errorf("bins of nothing have capacity %d", c)
	}
}
