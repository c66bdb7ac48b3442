package he

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/tuneinsight/lattigo/v5/ring"

	"github.com/symbolon/symbolon/internal/cpu"
)

// TestTransform compares the kernels with the library's transforms, in place
// and not, for residues as large as the library passes them.
func TestTransform(t *testing.T) {
	for name, f := range cpu.Tiers() {
		for logN := 8; logN <= LogN; logN++ {
			n := 1 << logN
			moduli := []uint64{primes[0], primes[len(primes)-1], T}
			want, err := ring.NewRing(n, moduli)
			if err != nil {
				t.Fatal(err)
			}
			got, err := newRing(n, moduli, f)
			if err != nil {
				t.Fatal(err)
			}
			rng := rand.New(rand.NewPCG(1, uint64(n)))
			for i, q := range moduli {
				w, g := want.SubRings[i], got.SubRings[i]
				for bound := uint64(1); bound <= 4; bound++ {
					x := make([]uint64, n)
					for j := range x {
						x[j] = rng.Uint64N(bound * q)
					}
					x[0], x[n-1] = bound*q-1, 0
					reduced := make([]uint64, n)
					w.Reduce(x, reduced)
					a, b := make([]uint64, n), make([]uint64, n)
					for what, run := range map[string][2]func(src, dst []uint64){
						"forward":       {w.NTT, g.NTT},
						"forward lazy":  {w.NTT, g.NTTLazy},
						"backward":      {w.INTT, g.INTT},
						"backward lazy": {w.INTT, g.INTTLazy},
					} {
						if strings.HasPrefix(what, "backward") && bound > 2 {
							continue // the library's own is wrong there
						}
						run[0](reduced, a)
						run[1](x, b)
						w.Reduce(b, b)
						if !slices.Equal(a, b) {
							t.Fatalf("%s: %s of 2^%d mod %d, residues below %d·q: wrong", name, what, logN, q, bound)
						}
						in := slices.Clone(x)
						run[1](in, in)
						w.Reduce(in, in)
						if !slices.Equal(a, in) {
							t.Fatalf("%s: %s of 2^%d mod %d in place: wrong", name, what, logN, q)
						}
					}
				}
			}
		}
	}
}

func TestMultiplyAdd(t *testing.T) {
	q := primes[0]
	m := (1 << 63) / q * q
	rng := rand.New(rand.NewPCG(1, 2))
	for name, f := range cpu.Tiers() {
		for _, n := range []int{2, 4, 64} {
			for round := range 4 {
				d, r := make([]uint32, n*chunkSize), make([]uint32, 2*n*chunkSize)
				for _, s := range [][]uint32{d, r} {
					for i := range s {
						s[i] = uint32(rng.Uint64N(q))
						if round == 0 {
							s[i] = uint32(q - 1)
						}
					}
				}
				lo, hi := make([]uint64, chunkSize), make([]uint64, chunkSize)
				multiplyAdd(f, lo, hi, d, r, m)
				for i := range chunkSize {
					var a, b uint64
					for k := range n {
						x := uint64(d[k*chunkSize+i])
						a = (a + x*uint64(r[2*k*chunkSize+i])) % q
						b = (b + x*uint64(r[(2*k+1)*chunkSize+i])) % q
					}
					if lo[i]%q != a || hi[i]%q != b {
						t.Fatalf("%s: %d rotations, coefficient %d is wrong", name, n, i)
					}
				}
			}
		}
	}
}

func BenchmarkTransform(b *testing.B) {
	for name, f := range cpu.Tiers() {
		r, err := newRing(1<<LogN, primes[:1], f)
		if err != nil {
			b.Fatal(err)
		}
		x := make([]uint64, 1<<LogN)
		b.Run(name+"/forward", func(b *testing.B) {
			for b.Loop() {
				r.SubRings[0].NTT(x, x)
			}
		})
		b.Run(name+"/backward", func(b *testing.B) {
			for b.Loop() {
				r.SubRings[0].INTT(x, x)
			}
		})
	}
}

func BenchmarkMultiplyAdd(b *testing.B) {
	for name, f := range cpu.Tiers() {
		b.Run(name, func(b *testing.B) {
			d, r := make([]uint32, 64*chunkSize), make([]uint32, 128*chunkSize)
			lo, hi := make([]uint64, chunkSize), make([]uint64, chunkSize)
			b.SetBytes(int64(4 * len(d)))
			for b.Loop() {
				multiplyAdd(f, lo, hi, d, r, (1<<63)/primes[0]*primes[0])
			}
		})
	}
}
