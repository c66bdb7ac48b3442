package lookup

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
)

// randomNumbers returns n distinct numbers below 2^u, sorted.
func randomNumbers(rng *rand.Rand, n int, u uint) []fingerprint {
	seen := make(map[fingerprint]bool, n)
	out := make([]fingerprint, 0, n)
	for len(out) < n {
		f := fingerprint{rng.Uint64(), rng.Uint64()}.mask(u)
		if !seen[f] {
			seen[f] = true
			out = append(out, f)
		}
	}
	slices.SortFunc(out, fingerprint.compare)
	return out
}

func encode(numbers []fingerprint, u uint) ([]byte, error) {
	return encodeSet(len(numbers), slices.Values(numbers), u)
}

func TestSetAgainstMap(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for _, tt := range []struct {
		n int
		u uint
	}{
		{0, 0}, {0, 60}, {1, 0}, {1, 1}, {1, 128}, {2, 1}, {3, 2}, {64, 6}, {65, 7}, {100, 8}, {64, 105},
		{255, 40}, {256, 64}, {257, 65}, {1000, 63}, {1000, 128}, {3000, 12}, {4096, 67}, {5000, 77},
	} {
		t.Run(fmt.Sprintf("%d of %d bits", tt.n, tt.u), func(t *testing.T) {
			numbers := randomNumbers(rng, tt.n, tt.u)
			b, err := encode(numbers, tt.u)
			if err != nil {
				t.Fatal(err)
			}
			s := newSet(b, tt.n, tt.u)
			if err := s.check(max(tt.n, 1)); err != nil {
				t.Fatal(err)
			}
			rank := map[fingerprint]int{}
			r := s.reader()
			for i, f := range numbers {
				rank[f] = i
				if got, ok := r.next(); !ok || got != f {
					t.Fatalf("number %d is %x, want %x", i, got, f)
				}
				if got, ok := s.find(f); !ok || got != i {
					t.Fatalf("number %d is found at %d, %v", i, got, ok)
				}
				// Neighbours fall in the same bucket.
				for _, g := range []fingerprint{{f.hi, f.lo ^ 1}, {f.hi, f.lo + 1}, {f.hi, f.lo - 1}} {
					if g != g.mask(tt.u) {
						continue
					}
					want, there := rankIn(numbers, g)
					if got, ok := s.find(g); ok != there || ok && got != want {
						t.Fatalf("%x is found at %d, %v, want %d, %v", g, got, ok, want, there)
					}
				}
			}
			if _, ok := r.next(); ok {
				t.Fatal("a number follows the last")
			}
			for range 2000 {
				f := fingerprint{rng.Uint64(), rng.Uint64()}.mask(tt.u)
				want, there := rank[f]
				if got, ok := s.find(f); ok != there || ok && got != want {
					t.Fatalf("%x is found at %d, %v, want %d, %v", f, got, ok, want, there)
				}
			}
		})
	}
}

func rankIn(numbers []fingerprint, f fingerprint) (int, bool) {
	return slices.BinarySearchFunc(numbers, f, fingerprint.compare)
}

func TestSetRefusesDisorder(t *testing.T) {
	for name, numbers := range map[string][]fingerprint{
		"falling": {number(5), number(4)}, "twice": {number(5), number(5)}, "too long": {number(5), number(1 << 10)},
	} {
		if _, err := encode(numbers, 10); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// Every flipped bit changes the numbers or is refused, never both or neither:
// there is one encoding of a set.
func TestSetIsCanonical(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	const n, u = 300, 21
	numbers := randomNumbers(rng, n, u)
	good, err := encode(numbers, u)
	if err != nil {
		t.Fatal(err)
	}
	accepted := 0
	for bit := range 8 * len(good) {
		b := bytes.Clone(good)
		b[bit/8] ^= 1 << (bit % 8)
		if reencodes(t, b, n, u) {
			accepted++
		}
	}
	if accepted == 0 || accepted > n*u {
		t.Errorf("%d of %d flipped bits give a set", accepted, 8*len(good))
	}
}

// reencodes reports whether b is a set, which must then encode to b.
func reencodes(t *testing.T, b []byte, n int, u uint) bool {
	t.Helper()
	s := newSet(b, n, u)
	if s.check(maxLoad) != nil {
		return false
	}
	var numbers []fingerprint
	r := s.reader()
	for f, ok := r.next(); ok; f, ok = r.next() {
		if rank, there := s.find(f); !there || rank != len(numbers) {
			t.Fatalf("number %d is found at %d, %v", len(numbers), rank, there)
		}
		numbers = append(numbers, f)
	}
	again, err := encode(numbers, u)
	if err != nil || !bytes.Equal(again, b) {
		t.Fatalf("an accepted set encodes otherwise: %v", err)
	}
	return true
}

func FuzzSet(f *testing.F) {
	rng := rand.New(rand.NewPCG(5, 6))
	for _, n := range []int{0, 1, 5, 64, 300} {
		b, err := encode(randomNumbers(rng, n, 30), 30)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b, uint16(n), uint8(30))
	}
	f.Fuzz(func(t *testing.T, b []byte, n uint16, u uint8) {
		if u > 128 || len(b) != setLen(int(n), uint(u)) {
			return
		}
		reencodes(t, b, int(n), uint(u))
	})
}

// A crowded bucket would make a test slow.
func TestSetLoad(t *testing.T) {
	var numbers []fingerprint
	for i := range maxLoad + 1 {
		numbers = append(numbers, number(i))
	}
	for i := range 200 {
		numbers = append(numbers, number(1<<20+i<<10))
	}
	b, err := encode(numbers, 40)
	if err != nil {
		t.Fatal(err)
	}
	s := newSet(b, len(numbers), 40)
	if err := s.check(maxLoad); err == nil {
		t.Error("a crowded bucket is taken")
	}
}

// golombRice is the candidate that lost: codes of the gaps with a parameter of k
// bits, and for every 64 keys the bit offset and the fingerprint before it.
type golombRice struct {
	k       uint
	bits    []byte
	size    int
	offsets []uint32
	heads   []fingerprint
	bytes   int
}

const riceStep = 64

func newGolombRice(numbers []fingerprint, u uint) *golombRice {
	g := &golombRice{k: u - uint(ceilLog2(len(numbers)))}
	put := func(bit uint64) {
		if g.size%8 == 0 {
			g.bits = append(g.bits, 0)
		}
		g.bits[g.size/8] |= byte(bit) << (g.size % 8)
		g.size++
	}
	before := fingerprint{}
	for i, f := range numbers {
		if i%riceStep == 0 {
			g.offsets = append(g.offsets, uint32(g.size))
			g.heads = append(g.heads, before)
		}
		gap := f.minus(before)
		for range gap.shiftRight(g.k).lo {
			put(1)
		}
		put(0)
		for j := range g.k {
			put(gap.lo >> j & 1)
		}
		before = f
	}
	// An offset and the first bits of a fingerprint, enough to search by.
	g.bytes = len(g.bits) + 8*len(g.offsets)
	g.bits = append(g.bits, make([]byte, 16)...)
	return g
}

func (f fingerprint) minus(g fingerprint) fingerprint {
	lo := f.lo - g.lo
	if f.lo < g.lo {
		return fingerprint{f.hi - g.hi - 1, lo}
	}
	return fingerprint{f.hi - g.hi, lo}
}

func (g *golombRice) find(f fingerprint) (int, bool) {
	block, ok := slices.BinarySearchFunc(g.heads, f, fingerprint.compare)
	if ok {
		return block*riceStep - 1, true
	}
	block--
	at, x := int(g.offsets[block]), g.heads[block]
	for rank := block * riceStep; at < g.size; rank++ {
		q := uint64(0)
		for g.bits[at/8]>>(at%8)&1 == 1 {
			q++
			at++
		}
		at++
		w := binary.LittleEndian.Uint64(g.bits[at/8:])>>(at%8) | uint64(g.bits[at/8+8])<<(64-at%8)
		at += int(g.k)
		x = x.plus(join(q, fingerprint{lo: w & (1<<g.k - 1)}, g.k))
		if !x.less(f) {
			return rank, x == f
		}
	}
	return 0, false
}

func TestGolombRice(t *testing.T) {
	numbers := randomNumbers(rand.New(rand.NewPCG(7, 8)), 1000, 60)
	g := newGolombRice(numbers, 60)
	for i, f := range numbers {
		if rank, ok := g.find(f); !ok || rank != i {
			t.Fatalf("number %d is found at %d, %v", i, rank, ok)
		}
	}
}

// BenchmarkTable measures both candidates for the table.
func BenchmarkTable(b *testing.B) {
	const n, u = 1 << 20, 67
	numbers := make([]fingerprint, n)
	for i := range numbers {
		h := sha256.Sum256(binary.BigEndian.AppendUint64(nil, uint64(i)))
		numbers[i] = fingerprintOf(h[:], u)
	}
	slices.SortFunc(numbers, fingerprint.compare)
	probe := func(i int) fingerprint {
		h := uint64(i) * 0x9e3779b97f4a7c15
		if i%2 == 0 {
			return numbers[h%n]
		}
		return fingerprint{h >> 61, h * h}
	}
	b.Run("elias-fano", func(b *testing.B) {
		e, err := encode(numbers, u)
		if err != nil {
			b.Fatal(err)
		}
		s := newSet(e, n, u)
		b.ResetTimer()
		for i := range b.N {
			s.find(probe(i))
		}
		b.ReportMetric(float64(8*len(e))/n, "bits/key")
	})
	b.Run("golomb-rice", func(b *testing.B) {
		g := newGolombRice(numbers, u)
		b.ResetTimer()
		for i := range b.N {
			g.find(probe(i))
		}
		b.ReportMetric(float64(8*g.bytes)/n, "bits/key")
		b.ReportMetric(float64(g.size)/n, "code-bits/key")
	})
	b.Run("encode", func(b *testing.B) {
		for range b.N {
			if _, err := encode(numbers, u); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("check", func(b *testing.B) {
		e, err := encode(numbers, u)
		if err != nil {
			b.Fatal(err)
		}
		s := newSet(e, n, u)
		for range b.N {
			if err := s.check(maxLoad); err != nil {
				b.Fatal(err)
			}
		}
	})
}
