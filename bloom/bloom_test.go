package bloom

import (
	"bytes"
	"errors"
	"math/bits"
	"math/rand/v2"
	"testing"
)

// lengths are CLK lengths in bits, odd ones among them.
var lengths = []int{1, 7, 8, 63, 64, 65, 100, 128, 1000, 1023, 1024, 2048, 4100}

// randomCLK returns a CLK with about the given share of its bits set.
func randomCLK(r *rand.Rand, bits int, share float64) []byte {
	clk := make([]byte, (bits+7)/8)
	for i := range bits {
		if r.Float64() < share {
			clk[i/8] |= 0x80 >> (i % 8)
		}
	}
	return clk
}

func randomSet(t testing.TB, r *rand.Rand, bits, n int) *Set {
	t.Helper()
	s, err := NewSet(bits)
	if err != nil {
		t.Fatal(err)
	}
	for range n {
		if err := s.Append(randomCLK(r, bits, r.Float64())); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

func popcount(b []byte) (n int) {
	for _, v := range b {
		n += bits.OnesCount8(v)
	}
	return n
}

func TestSet(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for _, length := range lengths {
		s, err := NewSet(length)
		if err != nil {
			t.Fatal(err)
		}
		var clks [][]byte
		for range 19 {
			clks = append(clks, randomCLK(r, length, 0.3))
			if err := s.Append(clks[len(clks)-1]); err != nil {
				t.Fatal(err)
			}
		}
		if err := s.AppendSet(s); err != nil {
			t.Fatal(err)
		}
		clks = append(clks, clks...)
		if s.Len() != len(clks) || s.Bits() != length {
			t.Fatalf("got %d CLKs of %d bits, want %d of %d", s.Len(), s.Bits(), len(clks), length)
		}
		for i, clk := range clks {
			if got := s.AppendBytes(nil, i); !bytes.Equal(got, clk) {
				t.Fatalf("%d bits: CLK %d comes back as %x, want %x", length, i, got, clk)
			}
			if s.Count(i) != popcount(clk) {
				t.Fatalf("%d bits: CLK %d counts %d bits, want %d", length, i, s.Count(i), popcount(clk))
			}
		}
		for _, bad := range [][]byte{nil, make([]byte, len(clks[0])+1)} {
			if err := s.Append(bad); !errors.Is(err, ErrLength) {
				t.Errorf("%d bits: %d bytes were taken: %v", length, len(bad), err)
			}
		}
		if length%8 != 0 {
			if err := s.Append(bytes.Repeat([]byte{0xff}, len(clks[0]))); !errors.Is(err, ErrLength) {
				t.Errorf("%d bits: bits beyond were taken: %v", length, err)
			}
		}
	}
	for _, length := range []int{-1, 0, MaxBits + 1} {
		if _, err := NewSet(length); err == nil {
			t.Errorf("a set of %d bits was made", length)
		}
	}
	other := newSet(8)
	if err := other.AppendSet(newSet(9)); !errors.Is(err, ErrLength) {
		t.Errorf("a set of another length was taken: %v", err)
	}
}
