package bloom

import (
	"fmt"
	"math"
	"math/bits"
	"math/rand/v2"
	"testing"

	"github.com/symbolon/symbolon/internal/cpu"
)

// kernels returns the feature values that select each kernel of this machine.
func kernels() map[string]cpu.Features {
	host := cpu.Host()
	k := map[string]cpu.Features{"generic": {}}
	if host.AVX2 {
		k["AVX2"] = cpu.Features{AVX2: true}
	}
	if host.VPOPCNT {
		k["AVX512"] = cpu.Features{VPOPCNT: true}
	}
	return k
}

// forEachKernel runs a test with every kernel and says which are missing.
func forEachKernel(t *testing.T, test func(t *testing.T, f cpu.Features)) {
	k := kernels()
	for _, name := range []string{"generic", "AVX2", "AVX512"} {
		t.Run(name, func(t *testing.T) {
			f, ok := k[name]
			if !ok {
				t.Skip("this machine or build has no such kernel")
			}
			test(t, f)
		})
	}
}

// randomScan returns a call over n groups of CLKs, sparse ones, dense ones and
// ones with all bits set, with bounds about what decides.
func randomScan(r *rand.Rand, n, words int) *scanArgs {
	density := r.IntN(4)
	word := func() uint64 {
		switch density {
		case 0:
			return r.Uint64() & r.Uint64() & r.Uint64()
		case 1:
			return r.Uint64()
		case 2:
			return r.Uint64() | r.Uint64()
		}
		return math.MaxUint64
	}
	s := &scanArgs{
		masks: make([][rowsPerTile]byte, n), tile: make([]uint64, words*rowsPerTile),
		groups: make([]uint64, n*words*group), bounds: make([]int64, n*group),
	}
	for i := range s.tile {
		s.tile[i] = word()
	}
	for i := range s.groups {
		s.groups[i] = word()
	}
	for i := range s.base {
		s.base[i] = -int64(r.IntN(64 * words << places))
	}
	for i := range s.bounds {
		s.bounds[i] = int64(common(s, i%rowsPerTile, i))<<places + s.base[i%rowsPerTile] + int64(r.IntN(3)) - 1
		if r.IntN(8) == 0 {
			s.bounds[i] = math.MaxInt64
		}
	}
	return s
}

// common counts the bits that row r and candidate c share.
func common(s *scanArgs, r, c int) (n int) {
	for w := range s.words() {
		n += bits.OnesCount64(s.tile[w*rowsPerTile+r] & s.groups[(c/group*s.words()+w)*group+c%group])
	}
	return n
}

func TestScan(t *testing.T) {
	forEachKernel(t, func(t *testing.T, f cpu.Features) {
		r := rand.New(rand.NewPCG(3, 4))
		for _, words := range []int{1, 2, 3, 4, 5, 7, 15, 16, 17, 30, 31, 32, 33, 62, 63, 100} {
			for n := range 6 {
				s := randomScan(r, n, words)
				// What lies beyond the masks must stay.
				guarded := append(s.masks, [rowsPerTile]byte{0xa5, 0xa5, 0xa5, 0xa5})
				s.masks = guarded[:n]
				for i := range s.masks {
					s.masks[i] = [rowsPerTile]byte{0xff, 0, 0xff, 0}
				}
				scan(f, s)
				for c := range n * group {
					for row := range rowsPerTile {
						want := s.base[row]+int64(common(s, row, c))<<places >= s.bounds[c]
						if got := s.masks[c/group][row]>>(c%group)&1 == 1; got != want {
							t.Fatalf("%d words, %d groups: row %d and candidate %d: got %v, want %v", words, n, row, c, got, want)
						}
					}
				}
				if guarded[n] != [rowsPerTile]byte{0xa5, 0xa5, 0xa5, 0xa5} {
					t.Fatalf("%d words, %d groups: wrote beyond the masks", words, n)
				}
			}
		}
	})
}

func BenchmarkScan(b *testing.B) {
	for name, f := range kernels() {
		for _, bits := range []int{512, 1024, 2048} {
			b.Run(fmt.Sprintf("%s/%d", name, bits), func(b *testing.B) {
				s := randomScan(rand.New(rand.NewPCG(5, 6)), chunk/group, bits/64)
				for i := range s.bounds {
					s.bounds[i] = math.MaxInt64
				}
				for b.Loop() {
					scan(f, s)
				}
				b.ReportMetric(float64(b.N)*rowsPerTile*chunk/b.Elapsed().Seconds()/1e6, "Mcmp/s")
			})
		}
	}
}
