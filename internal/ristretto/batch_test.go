package ristretto

import (
	"bytes"
	"errors"
	"fmt"
	"testing"
)

// sample returns n elements and scalars; the first few are special ones.
func sample(t testing.TB, n int) ([]Element, []Scalar) {
	r := randomness("batch")
	es, ks := make([]Element, n), make([]Scalar, n)
	h := NewHasher([]byte("sample"))
	for i := range es {
		h.Element(&es[i], []byte(fmt.Sprint(i)))
		ks[i] = *randomScalar(t, r)
	}
	special := []*Scalar{new(Scalar), scalarOf(t, 1), scalarOf(t, 8), scalarOf(t, 15), scalarOf(t, 0x888)}
	for i := range min(n, len(special)) {
		ks[i] = *special[i]
	}
	if n > 5 {
		// The largest one.
		ks[5].Subtract(&ks[0], &ks[1])
	}
	if n > 10 {
		es[6].SetIdentity()
		es[9].SetGenerator()
		es[10] = es[8]
	}
	return es, ks
}

// same compares a batch with single elements, coordinates aside.
func same(t *testing.T, what string, b *Batch, want []Element) {
	t.Helper()
	if b.Len() != len(want) {
		t.Fatalf("%s: batch of %d, want %d", what, b.Len(), len(want))
	}
	encoded := make([]byte, len(want)*ElementSize)
	b.Encode(encoded)
	for i := range want {
		if got := [ElementSize]byte(encoded[i*ElementSize:]); got != encoding(&want[i]) {
			t.Errorf("%s: element %d encodes to %x, want %x", what, i, got, encoding(&want[i]))
		}
		var e Element
		b.At(&e, i)
		if !e.Equal(&want[i]) {
			t.Errorf("%s: element %d is another", what, i)
		}
	}
}

// TestBatch compares every operation of each form with single elements.
func TestBatch(t *testing.T) {
	for name, form := range batches() {
		t.Run(name, func(t *testing.T) {
			b := form()
			for _, n := range []int{0, 1, 2, 7, 8, 9, 16, 33, 5} {
				es, ks := sample(t, n)
				pointers := make([]*Element, n)
				for i := range es {
					pointers[i] = &es[i]
				}
				b.SetAll(pointers)
				same(t, fmt.Sprintf("set %d", n), b, es)

				other := form()
				other.Set(b)
				other.MultiplyEach(ks)
				products := make([]Element, n)
				var sum Element
				sum.SetIdentity()
				for i := range es {
					products[i].Multiply(&ks[i], &es[i])
					sum.Add(&sum, &products[i])
				}
				same(t, fmt.Sprintf("multiply each of %d", n), other, products)
				var got Element
				b.VarTimeSums([]*Element{&got}, ks)
				if !got.Equal(&sum) {
					t.Errorf("sum of %d products is wrong", n)
				}
				if n > 0 {
					each, pointers := make([]Element, n), make([]*Element, n)
					for i := range each {
						pointers[i] = &each[i]
					}
					b.VarTimeSums(pointers, ks)
					for i := range each {
						if !each[i].Equal(&products[i]) {
							t.Errorf("sum of product %d of %d alone is wrong", i, n)
						}
					}
				}
				if n%2 == 0 {
					var second, difference Element
					b.VarTimeSums([]*Element{&got, &second}, ks)
					if difference.Subtract(&sum, &second); !got.Equal(&difference) || n > 0 && got.Equal(&sum) {
						t.Errorf("sums of %d products in halves are wrong", n)
					}
				}
				same(t, fmt.Sprintf("source of %d", n), b, es)

				added, subtracted, bases := make([]Element, n), make([]Element, n), make([]Element, n)
				for i := range es {
					added[i].Add(&es[i], &products[i])
					subtracted[i].Subtract(&es[i], &products[i])
					bases[i].MultiplyBase(&ks[i])
				}
				result := form()
				result.Set(b)
				result.Add(other)
				same(t, fmt.Sprintf("add %d", n), result, added)
				result.Set(b)
				result.Subtract(other)
				same(t, fmt.Sprintf("subtract %d", n), result, subtracted)
				result.Subtract(result)
				for i := range n {
					subtracted[i].SetIdentity()
				}
				same(t, fmt.Sprintf("subtract %d from themselves", n), result, subtracted)
				result.MultiplyBase(ks)
				same(t, fmt.Sprintf("multiply the base %d times", n), result, bases)

				k := randomScalar(t, randomness(fmt.Sprint(n)))
				other.Set(b)
				other.Multiply(k)
				for i := range es {
					products[i].Multiply(k, &es[i])
				}
				same(t, fmt.Sprintf("multiply %d", n), other, products)
				// Elements with other coordinates than those just set.
				other.Multiply(k)
				for i := range es {
					products[i].Multiply(k, &products[i])
				}
				same(t, fmt.Sprintf("multiply %d again", n), other, products)
			}
		})
	}
}

func TestBatchHashDecode(t *testing.T) {
	h := NewHasher([]byte("symbolon test"))
	for name, form := range batches() {
		t.Run(name, func(t *testing.T) {
			b, c := form(), form()
			for n := range 40 {
				want := make([]Element, n)
				b.Hash(h, n, func(i int) []byte { return fmt.Appendf(nil, "%d of %d", i, n) })
				encoded := make([]byte, n*ElementSize)
				for i := range want {
					h.Element(&want[i], fmt.Appendf(nil, "%d of %d", i, n))
					want[i].Encode(encoded[i*ElementSize:])
				}
				same(t, "hash", b, want)
				if err := c.Decode(encoded); err != nil {
					t.Fatal(err)
				}
				same(t, "decode", c, want)
			}
		})
	}
}

// FuzzBatch compares the forms of batches with each other: hashing, scalars that
// differ and encoding.
func FuzzBatch(f *testing.F) {
	f.Add([]byte("message"), []byte("scalar"), uint8(3))
	f.Add([]byte{}, bytes.Repeat([]byte{0xff}, 64), uint8(17))
	f.Add([]byte{1}, bytes.Repeat([]byte{0x88}, 64), uint8(8))
	f.Fuzz(func(t *testing.T, msg, seed []byte, n uint8) {
		h := NewHasher([]byte("fuzz"))
		ks := make([]Scalar, n%32)
		for i := range ks {
			var b [64]byte
			copy(b[:], seed)
			b[i] ^= byte(i)
			ks[i].SetUniform(&b)
		}
		var first []byte
		for name, form := range batches() {
			b := form()
			b.Hash(h, len(ks), func(i int) []byte { return append(msg[:len(msg):len(msg)], byte(i)) })
			b.MultiplyEach(ks)
			got := make([]byte, len(ks)*ElementSize)
			b.Encode(got)
			if first == nil {
				first = got
			}
			if !bytes.Equal(got, first) {
				t.Fatalf("%s: another result", name)
			}
			c := form()
			if err := c.Decode(got); err != nil && !errors.Is(err, ErrIdentity) {
				t.Fatalf("%s: %v", name, err)
			}
		}
	})
}

func TestBatchAllocates(t *testing.T) {
	for name, form := range batches() {
		b := form()
		var k Scalar
		k.SetUniform(&[64]byte{1, 2, 3})
		h := NewHasher([]byte("allocations"))
		encoded := make([]byte, 32*ElementSize)
		msg := make([]byte, 32)
		run := func() {
			b.Hash(h, 32, func(int) []byte { return msg })
			b.Multiply(&k)
			b.Encode(encoded)
			if err := b.Decode(encoded); err != nil {
				t.Fatal(err)
			}
		}
		run()
		// Single elements come from a library that allocates.
		if got := testing.AllocsPerRun(3, run); got > 4*32 {
			t.Errorf("%s: %v allocations for 32 elements", name, got)
		}
	}
}
