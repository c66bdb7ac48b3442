package psi

import (
	"bytes"
	"slices"
	"testing"
)

func TestPermutation(t *testing.T) {
	seed := bytes.Repeat([]byte{5}, 32)
	for _, n := range []int{0, 1, 2, 3, 1023, 1024, 1025, 5000} {
		p, err := Permutation(NewStream(seed, "permutation"), n)
		if err != nil {
			t.Fatal(err)
		}
		q, err := Permutation(NewStream(seed, "permutation"), n)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(p, q) {
			t.Errorf("permutation of %d is not reproducible", n)
		}
		slices.Sort(p)
		for i, v := range p {
			if v != uint32(i) {
				t.Fatalf("permutation of %d lacks %d", n, i)
			}
		}
	}
	if _, err := Permutation(bytes.NewReader(make([]byte, 7)), 3); err == nil {
		t.Error("a reader that ends gives a permutation")
	}
}

// TestPermutationIsUniform counts all 24 permutations of four; the threshold is
// the 10^-6 quantile of chi-square with 23 degrees of freedom.
func TestPermutationIsUniform(t *testing.T) {
	rand := NewStream(bytes.Repeat([]byte{6}, 32), "uniform")
	counts := map[[4]uint32]int{}
	const runs = 24000
	for range runs {
		p, err := Permutation(rand, 4)
		if err != nil {
			t.Fatal(err)
		}
		counts[[4]uint32(p)]++
	}
	chi := 0.0
	for _, c := range counts {
		d := float64(c) - runs/24
		chi += d * d / (runs / 24)
	}
	if len(counts) != 24 || chi > 71.1 {
		t.Fatalf("%d permutations, chi-square %.1f", len(counts), chi)
	}
}

// TestDrawRejects gives the one draw that has to be repeated for a range of
// three.
func TestDrawRejects(t *testing.T) {
	d := drawer{rand: bytes.NewReader([]byte{0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff}), left: 1}
	if got, err := d.below(3); err != nil || got != 2 {
		t.Fatalf("got %d and error %v, want 2 after the rejected draw", got, err)
	}
}
