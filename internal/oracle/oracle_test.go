package oracle

import (
	"bytes"
	"crypto/sha256"
	"testing"

	"github.com/symbolon/symbolon/internal/cpu"
	"github.com/symbolon/symbolon/internal/field"
)

func TestSumIsInjective(t *testing.T) {
	got := map[[32]byte]bool{}
	for _, tuple := range [][]string{{"d"}, {"d", ""}, {"d", "ab", "c"}, {"d", "a", "bc"}, {"d", "abc"}, {"dab", "c"}} {
		var parts [][]byte
		for _, p := range tuple[1:] {
			parts = append(parts, []byte(p))
		}
		got[Sum(tuple[0], parts...)] = true
	}
	if len(got) != 6 {
		t.Fatalf("6 tuples have %d sums", len(got))
	}
	want := sha256.Sum256([]byte("\x00\x00\x00\x00\x00\x00\x00\x01d\x00\x00\x00\x00\x00\x00\x00\x02ab"))
	if Sum("d", []byte("ab")) != want {
		t.Fatal("a sum is not SHA-256 of the length-prefixed parts")
	}
}

func TestStreamAt(t *testing.T) {
	key := bytes.Repeat([]byte{5}, 16)
	whole, part := make([]byte, 160), make([]byte, 64)
	Fill(whole, Stream(key))
	Fill(part, StreamAt(key, 6))
	if !bytes.Equal(part, whole[96:]) {
		t.Fatal("a stream from its sixth block differs from the whole")
	}
}

func TestBatch(t *testing.T) {
	for name, f := range cpu.Tiers() {
		t.Run(name, func(t *testing.T) { testBatch(t, f) })
	}
}

func testBatch(t *testing.T, f cpu.Features) {
	h := NewBatch("domain", []byte("run"))
	sum := Sum("domain", []byte("run"))
	for n := range 70 {
		x, y := make([]field.Element, n), make([]field.Element, n)
		for i := range x {
			x[i], y[i] = field.Element{Lo: uint64(i), Hi: ^uint64(i)}, field.Element{Lo: 3, Hi: uint64(7 * i)}
		}
		a, b := make([]field.Element, n+1), make([]field.Element, n+1)
		c, d := make([]field.Element, n+1), make([]field.Element, n+1)
		h.sum1(f, a[:n], b[:n], x)
		h.sum2(f, c[:n], d[:n], x, y)
		for i := range x {
			xb, yb := x[i].Bytes(), y[i].Bytes()
			m := append(append([]byte(nil), sum[:16]...), xb[:]...)
			one := sha256.Sum256(m)
			two := sha256.Sum256(append(m, yb[:]...))
			if a[i] != field.Load(one[:16]) || b[i] != field.Load(one[16:]) {
				t.Fatalf("n = %d: Hash1 is wrong at %d", n, i)
			}
			if c[i] != field.Load(two[:16]) || d[i] != field.Load(two[16:]) {
				t.Fatalf("n = %d: Hash2 is wrong at %d", n, i)
			}
		}
		if !a[n].IsZero() || !b[n].IsZero() || !c[n].IsZero() || !d[n].IsZero() {
			t.Fatalf("n = %d: a batch writes beyond its end", n)
		}
		h.sum2(f, x, y, x, y)
		for i := range x {
			if x[i] != c[i] || y[i] != d[i] {
				t.Fatalf("n = %d: Hash2 in place is wrong at %d", n, i)
			}
		}
	}
}

func TestShared(t *testing.T) {
	var head [64]byte
	for i := range head {
		head[i] = byte(3 * i)
	}
	for name, f := range cpu.Tiers() {
		s := NewShared(head)
		for n := range 60 {
			tails, lens, digests := make([][64]byte, n), make([]uint8, n), make([][32]byte, n+1)
			var want [][32]byte
			for i := range tails {
				lens[i] = uint8((n + i) % (MaxTail + 1))
				for j := range lens[i] {
					tails[i][j] = byte(i) + j
				}
				want = append(want, sha256.Sum256(append(head[:64:64], tails[i][:lens[i]]...)))
			}
			s.sum(f, digests[:n], tails, lens)
			for i := range want {
				if digests[i] != want[i] {
					t.Fatalf("%s: message %d of %d is hashed wrongly", name, i, n)
				}
			}
			if digests[n] != [32]byte{} {
				t.Fatalf("%s: %d messages write beyond the end", name, n)
			}
		}
	}
}

func BenchmarkHash2(b *testing.B) {
	h := NewBatch("domain", []byte("run"))
	x, y := make([]field.Element, 1024), make([]field.Element, 1024)
	b.SetBytes(1024)
	for b.Loop() {
		h.Hash2(x, y, x, y)
	}
}
