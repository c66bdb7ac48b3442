package okvs

import (
	"errors"
	"math"
	"math/rand/v2"
	"os"
	"testing"

	"github.com/symbolon/symbolon/internal/field"
)

// TestWidth compares with figures printed in the paper's Table 1 and the text
// for λ = 40: e = 1.268 and two dense columns at 2^14 keys.
func TestWidth(t *testing.T) {
	sparse, dense := width(1<<14, 40)
	if e := float64(sparse) / (1 << 14); math.Abs(e-1.268) > 0.001 || dense != 2 {
		t.Errorf("2^14 keys: expansion %.4f and %d dense columns, want 1.268 and 2", e, dense)
	}
	for _, n := range []int{64, 1 << 10, 1 << 14} {
		s40, _ := width(n, 40)
		s80, _ := width(n, 80)
		if s80 <= s40 {
			t.Errorf("%d keys: λ = 80 needs %d columns, λ = 40 %d", n, s80, s40)
		}
	}
}

// TestBinsFit checks that indices within a bin fit in 16 bits.
func TestBinsFit(t *testing.T) {
	for _, n := range []int{1, 24575, 24576, 50000, 1 << 20, 1 << 24, 1 << 28} {
		p := NewParams(n, 40)
		if p.Columns > 1<<16 || p.Capacity > 1<<16 || p.Capacity*p.Bins < n {
			t.Errorf("%d keys: bins %+v", n, p)
		}
	}
}

// failureRate encodes n random keys with the given columns, again and again.
func failureRate(t *testing.T, runs, n, sparse, dense int) float64 {
	t.Helper()
	r := rand.New(rand.NewPCG(6, uint64(n+sparse)))
	p := NewParams(n, 40)
	p.Columns, p.Dense = sparse, dense
	failures := 0
	for range runs {
		k, _, err := p.Sort(ctx, 1, randomVector(r, n))
		if err != nil {
			t.Fatal(err)
		}
		err = Encode(ctx, 1, k, k.Keys, make([]field.Element, p.Len()))
		if errors.Is(err, ErrSingular) {
			failures++
		} else if err != nil {
			t.Fatal(err)
		}
	}
	return float64(failures) / float64(runs)
}

// TestFailureRate encodes at a reduced λ and compares how often there is no
// solution with the formula's 2^-λ: no more often, up to a factor of two that
// the fit and the sample are allowed. Well below the threshold failures have to
// appear, or the test could not see any.
func TestFailureRate(t *testing.T) {
	long := 1
	if os.Getenv("SYMBOLON_LONG") != "" {
		long = 25
	}
	for _, n := range []int{128, 1024} {
		runs := long * 200_000 / n
		for _, lambda := range []float64{3, 5, 7, 9} {
			sparse, dense := width(n, lambda)
			want, got := math.Exp2(-lambda), failureRate(t, runs, n, sparse, dense)
			t.Logf("n = %d, λ = %g, expansion %.3f, %d dense: failure rate %.5f of %d, formula %.5f",
				n, lambda, float64(sparse)/float64(n), dense, got, runs, want)
			if bound := 2*want + 4*math.Sqrt(want/float64(runs)); got > bound {
				t.Errorf("n = %d, λ = %g: failure rate %.4f exceeds the formula's %.4f", n, lambda, got, want)
			}
		}
		if got := failureRate(t, runs, n, n*105/100, 0); got < 0.1 {
			t.Errorf("n = %d: failure rate %.4f at expansion 1.05: this test sees no failures", n, got)
		}
	}
}

func TestNewParamsPanics(t *testing.T) {
	for _, a := range [][2]int{{-1, 40}, {1<<28 + 1, 40}, {5, 0}, {5, 129}} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("parameters for %d keys and λ = %d", a[0], a[1])
				}
			}()
			NewParams(a[0], a[1])
		}()
	}
}

func BenchmarkEncode(b *testing.B) {
	r := rand.New(rand.NewPCG(7, 7))
	const n = 1 << 18
	p := NewParams(n, 40)
	k, _, _ := p.Sort(ctx, 1, randomVector(r, n))
	vector := make([]field.Element, p.Len())
	b.SetBytes(n)
	for b.Loop() {
		clear(vector)
		if err := Encode(ctx, 1, k, k.Keys, vector); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDecode(b *testing.B) {
	r := rand.New(rand.NewPCG(8, 8))
	const n = 1 << 18
	p := NewParams(n, 40)
	k, _, _ := p.Sort(ctx, 1, randomVector(r, n))
	vector, values := randomVector(r, p.Len()), make([]field.Element, n)
	b.SetBytes(n)
	for b.Loop() {
		if err := Decode(ctx, 1, k, vector, values); err != nil {
			b.Fatal(err)
		}
	}
}
