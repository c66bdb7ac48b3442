package he

import (
	"math/big"
	"math/rand/v2"
	"testing"

	"github.com/symbolon/symbolon/internal/cpu"
)

// TestConvert extends residues of random and extreme integers.
func TestConvert(t *testing.T) {
	const n = 64
	rng := rand.New(rand.NewPCG(1, 2))
	for name, f := range cpu.Tiers() {
		for sources := 1; sources <= 4; sources++ {
			q, p := primes[:sources], primes[5:14]
			var offsets []int
			for i := range p {
				offsets = append(offsets, (len(p)-1-i)*n)
			}
			v := newConversion(q, p, offsets)
			product := big.NewInt(1)
			for _, x := range q {
				product.Mul(product, new(big.Int).SetUint64(x))
			}
			half := new(big.Int).Rsh(product, 1)
			var values []*big.Int
			for i := range n {
				x := new(big.Int)
				switch i {
				case 0:
				case 1, 2:
					x.SetInt64(int64(2*i - 3))
				case 3:
					// Closer to half of the product, rounding could go either way.
					x.Sub(half, new(big.Int).Rsh(product, 30))
				case 4:
					x.Sub(new(big.Int).Rsh(product, 30), half)
				default:
					for range 4 {
						x.Lsh(x, 31).Add(x, big.NewInt(rng.Int64N(1<<31)))
					}
					x.Mod(x, product).Sub(x, half)
				}
				values = append(values, x)
			}
			residue := func(x *big.Int, q uint64) uint64 {
				m := new(big.Int).SetUint64(q)
				return new(big.Int).Mod(x, m).Uint64()
			}
			src, dst := make([]uint64, sources*n), make([]uint64, len(p)*n)
			for i, m := range q {
				for j, x := range values {
					src[i*n+j] = residue(x, m)
				}
			}
			convert(f, v, dst, src, n)
			for i, m := range p {
				for j, x := range values {
					got := dst[offsets[i]+j]
					if got >= 4*m || got%m != residue(x, m) {
						t.Fatalf("%s: %d sources, target %d, residue %d is wrong", name, sources, i, j)
					}
				}
			}
		}
	}
}

func TestSumProducts(t *testing.T) {
	const n = 64
	rng := rand.New(rand.NewPCG(1, 2))
	for name, f := range cpu.Tiers() {
		for _, q := range []uint64{primes[0], primes[13]} {
			inverse := invMod(1<<32, q)
			for digits := 1; digits <= 3; digits++ {
				for round := range 3 {
					var x [][]uint64
					var k [][]uint32
					for range digits {
						row, key := make([]uint64, n), make([]uint32, n)
						for i := range row {
							row[i], key[i] = rng.Uint64N(q), uint32(rng.Uint64N(q))
							if round == 0 {
								row[i], key[i] = q-1, uint32(q-1)
							}
						}
						x, k = append(x, row), append(k, key)
					}
					dst := make([]uint64, n)
					sumProducts(f, dst, x, k, q)
					for i, got := range dst {
						want := uint64(0)
						for d := range digits {
							want += mulMod(mulMod(x[d][i], uint64(k[d][i]), q), inverse, q)
						}
						if got != want%q {
							t.Fatalf("%s: %d digits mod %d: got %d, want %d", name, digits, q, got, want%q)
						}
					}
				}
			}
			a, b, plus, dst := make([]uint64, n), make([]uint64, n), make([]uint64, n), make([]uint64, n)
			for i := range a {
				a[i], b[i], plus[i] = rng.Uint64N(q), rng.Uint64N(q), rng.Uint64N(q)
			}
			a[0], b[0], plus[0] = 0, q-1, q-1
			a[1], b[1], plus[1] = q-1, 0, q-1
			scale := rng.Uint64N(q)
			for _, more := range [][]uint64{nil, plus} {
				subtractScale(f, dst, a, b, more, pair(scale, q), q)
				for i, got := range dst {
					want := mulMod(a[i]+q-b[i], scale, q)
					if more != nil {
						want = (want + plus[i]) % q
					}
					if got != want {
						t.Fatalf("%s: scaled difference mod %d: got %d, want %d", name, q, got, want)
					}
				}
			}
		}
	}
}
