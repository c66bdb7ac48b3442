package ristretto

import (
	"testing"

	"github.com/cloudflare/circl/group"
)

const benchElements = 64

// perElement reports the time of one of the elements that f handles at a time.
func perElement(b *testing.B, f func()) {
	for b.Loop() {
		f()
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/benchElements, "ns/element")
}

func BenchmarkMultiply(b *testing.B) {
	k := randomScalar(b, randomness("bench"))
	es, _ := sample(b, benchElements)
	for name, form := range batches() {
		b.Run(name, func(b *testing.B) {
			batch := form()
			pointers := make([]*Element, len(es))
			for i := range es {
				pointers[i] = &es[i]
			}
			batch.SetAll(pointers)
			perElement(b, func() { batch.Multiply(k) })
		})
	}
	b.Run("circl", func(b *testing.B) {
		e, s := group.Ristretto255.HashToElement(nil, nil), group.Ristretto255.HashToScalar(nil, nil)
		perElement(b, func() {
			for range benchElements {
				e.Mul(e, s)
			}
		})
	})
}

func BenchmarkHashMultiplyEncode(b *testing.B) {
	k := randomScalar(b, randomness("bench"))
	h := NewHasher([]byte("a tag of the usual length, as in the RFC"))
	item := make([]byte, 32)
	out := make([]byte, benchElements*ElementSize)
	for name, form := range batches() {
		b.Run(name, func(b *testing.B) {
			batch := form()
			perElement(b, func() {
				batch.Hash(h, benchElements, func(int) []byte { return item })
				batch.Multiply(k)
				batch.Encode(out)
			})
		})
	}
	b.Run("circl", func(b *testing.B) {
		s := group.Ristretto255.HashToScalar(nil, nil)
		perElement(b, func() {
			for range benchElements {
				e := group.Ristretto255.HashToElement(item, []byte("a tag of the usual length, as in the RFC"))
				if _, err := e.Mul(e, s).MarshalBinary(); err != nil {
					b.Fatal(err)
				}
			}
		})
	})
}

func BenchmarkDecodeMultiplyEncode(b *testing.B) {
	k := randomScalar(b, randomness("bench"))
	es, _ := sample(b, benchElements)
	es[6] = es[7] // no identity
	in := make([]byte, benchElements*ElementSize)
	for i := range es {
		es[i].Encode(in[i*ElementSize:])
	}
	for name, form := range batches() {
		b.Run(name, func(b *testing.B) {
			batch := form()
			out := make([]byte, len(in))
			perElement(b, func() {
				if err := batch.Decode(in); err != nil {
					b.Fatal(err)
				}
				batch.Multiply(k)
				batch.Encode(out)
			})
		})
	}
	b.Run("circl", func(b *testing.B) {
		e, s := group.Ristretto255.NewElement(), group.Ristretto255.HashToScalar(nil, nil)
		perElement(b, func() {
			for i := range benchElements {
				if err := e.UnmarshalBinary(in[i*ElementSize:][:ElementSize]); err != nil {
					b.Fatal(err)
				}
				if _, err := e.Mul(e, s).MarshalBinary(); err != nil {
					b.Fatal(err)
				}
			}
		})
	})
}
