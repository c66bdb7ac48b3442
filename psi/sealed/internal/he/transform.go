package he

import (
	"fmt"

	"github.com/tuneinsight/lattigo/v5/ring"

	"github.com/symbolon/symbolon/internal/cpu"
)

// transform is Lattigo's number-theoretic transform with kernels of our own
// where the machine has them: the same values in the same order. The library
// calls it through its interface, so all of its key switching gains.
type transform struct {
	ring.NumberTheoreticTransformer // the library's own, in portable Go
	features                        cpu.Features
	sub                             *ring.SubRing
	n                               int
	q                               uint64
	// Roots as the kernels take them: w with floor(w·2^32/q) above it.
	forward, backward []uint64
	scale             uint64
}

// pair is a constant factor as the kernels take it.
func pair(w, q uint64) uint64 { return w | (w<<32/q)<<32 }

// newRing returns the ring with transforms by the kernels that f allows.
func newRing(n int, moduli []uint64, f cpu.Features) (*ring.Ring, error) {
	var all []*transform
	r, err := ring.NewRingWithCustomNTT(n, moduli, func(s *ring.SubRing, n int) ring.NumberTheoreticTransformer {
		t := &transform{NumberTheoreticTransformer: ring.NewNumberTheoreticTransformerStandard(s, n),
			features: f, sub: s, n: n, q: s.Modulus}
		all = append(all, t)
		return t
	}, 2*n)
	if err != nil {
		return nil, err
	}
	for _, t := range all {
		t.forward, t.backward = t.pairs(t.sub.RootsForward), t.pairs(t.sub.RootsBackward)
		t.scale = pair(invMod(uint64(n), t.q), t.q)
	}
	return r, nil
}

func (t *transform) pairs(roots []uint64) []uint64 {
	out := make([]uint64, len(roots))
	for i, w := range roots {
		out[i] = pair(ring.IMForm(w, t.q, t.sub.MRedConstant), t.q)
	}
	return out
}

// fast reports whether the kernels take this ring.
func (t *transform) fast(dst, src []uint64) bool {
	if len(dst) < t.n || len(src) < t.n {
		panic(fmt.Sprintf("sealed: transform of %d and %d residues, want %d", len(src), len(dst), t.n))
	}
	return t.features.AVX512 && t.q < 1<<LimbBits && t.n >= 256
}

// Forward implements ring.NumberTheoreticTransformer.
func (t *transform) Forward(src, dst []uint64) {
	if !t.fast(dst, src) {
		t.NumberTheoreticTransformer.Forward(src, dst)
		return
	}
	t.forwardAVX512(dst, src)
}

// ForwardLazy implements ring.NumberTheoreticTransformer.
func (t *transform) ForwardLazy(src, dst []uint64) {
	if !t.fast(dst, src) {
		t.NumberTheoreticTransformer.ForwardLazy(src, dst)
		return
	}
	t.forwardAVX512(dst, src)
}

// Backward implements ring.NumberTheoreticTransformer.
func (t *transform) Backward(src, dst []uint64) {
	if !t.fast(dst, src) {
		t.NumberTheoreticTransformer.Backward(src, dst)
		return
	}
	t.backwardAVX512(dst, src)
}

// BackwardLazy implements ring.NumberTheoreticTransformer.
func (t *transform) BackwardLazy(src, dst []uint64) {
	if !t.fast(dst, src) {
		t.NumberTheoreticTransformer.BackwardLazy(src, dst)
		return
	}
	t.backwardAVX512(dst, src)
}
