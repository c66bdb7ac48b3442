package okvs

import (
	"fmt"
	"math"

	"github.com/symbolon/symbolon/internal/binomial"
)

// Params fixes the shape of a store: how many keys it is meant for and how wide
// it is. It follows from the number of keys and λ alone, so that both parties
// know it.
type Params struct {
	// Keys is the most keys an encoder takes, Capacity the most in one bin.
	Keys, Capacity int
	// Bins is the number of bins, each of Columns sparse columns and Dense
	// dense ones.
	Bins, Columns, Dense int
}

const (
	// binKeys is the expected number of keys in a bin: large enough for a
	// small expansion, small enough for a bin in cache and 16-bit indices.
	binKeys = 1 << 14
	// minKeys is the least size that the paper's fit covers.
	minKeys = 64
	// maxKeys keeps the length of a store far within 32 bits.
	maxKeys = 1 << 28
)

// NewParams returns the shape of a store for n keys. Encoding fails with
// probability at most 2^-lambda because of a full bin, and as much because of
// an unsolvable one. It panics if n is not in [0, 2^28] or lambda not in
// [1, 128].
func NewParams(n, lambda int) Params {
	if n < 0 || n > maxKeys || lambda < 1 || lambda > 128 {
		panic(fmt.Sprintf("okvs: no parameters for %d keys and λ = %d", n, lambda))
	}
	p := Params{Keys: n, Bins: max(1, (n+binKeys/2)/binKeys)}
	perBin := float64(lambda) + math.Log2(float64(p.Bins))
	p.Capacity = binomial.Capacity(n, p.Bins, perBin)
	p.Columns, p.Dense = width(max(p.Capacity, minKeys), perBin)
	return p
}

// BinLen returns the length of one bin.
func (p *Params) BinLen() int { return p.Columns + p.Dense }

// Len returns the length of the store's vector.
func (p *Params) Len() int { return p.Bins * p.BinLen() }

// width returns the columns for n keys of one bin at a failure probability of
// 2^-lambda. See Raghuraman and Rindal, Section 3.2 (Equations 1 and 2): the
// expansion is e = e* + (λ + 9.2)/s, where the slope s is fitted to
// experiments, and λ/((w-2)·log2(e·n)) dense columns cover the small cores
// that no expansion avoids.
func width(n int, lambda float64) (sparse, dense int) {
	const threshold = 1.223 // e* for w = 3
	w := math.Log2(Weight)
	slope := math.Exp2(0.555*math.Log2(float64(n)) + 0.0930*w*w*w - 1.010*w*w + 2.925*w - 0.133)
	e := threshold + (lambda+9.2)/slope
	sparse = int(math.Ceil(e * float64(n)))
	dense = int(lambda / ((Weight - 2) * math.Log2(e*float64(n))))
	return sparse, dense
}
