// Package field implements GF(2^128) = GF(2)[x] / (x^128 + x^7 + x^2 + x + 1),
// the field of the VOLE engine, and the few loops over vectors of it that the
// engine spends its time in.
//
// The coefficient of x^i is bit i of Lo for i < 64 and bit i-64 of Hi above:
// the plain little-endian order, not GCM's reflected one. On the wire an
// element is 16 little-endian bytes, Lo first.
//
// Every operation takes the same time whatever the values.
package field

import (
	"encoding/binary"
	"math/bits"
)

// Size is the length of an encoded Element in bytes.
const Size = 16

// Element is one element of GF(2^128).
type Element struct{ Lo, Hi uint64 }

// One is the multiplicative identity.
var One = Element{Lo: 1}

// IsZero reports whether e is zero.
func (e Element) IsZero() bool { return e.Lo|e.Hi == 0 }

// Add returns e + f, which in characteristic 2 is also e - f.
func (e Element) Add(f Element) Element { return Element{e.Lo ^ f.Lo, e.Hi ^ f.Hi} }

// MulX returns x·e.
func (e Element) MulX() Element {
	carry := -(e.Hi >> 63)
	return Element{e.Lo<<1 ^ carry&0x87, e.Hi<<1 | e.Lo>>63}
}

// Mul returns e·f.
func (e Element) Mul(f Element) Element {
	// Karatsuba: three products of 64-bit polynomials.
	l0, l1 := clmul64(e.Lo, f.Lo)
	h0, h1 := clmul64(e.Hi, f.Hi)
	m0, m1 := clmul64(e.Lo^e.Hi, f.Lo^f.Hi)
	m0 ^= l0 ^ h0
	m1 ^= l1 ^ h1
	return reduce(l0, l1^m0, h0^m1, h1)
}

// reduce returns the 256-bit polynomial p0..p3 modulo the field's.
func reduce(p0, p1, p2, p3 uint64) Element {
	// x^128 = x^7 + x^2 + x + 1. The top word folds onto words 1 and 2, then
	// word 2 with what fell into it folds onto words 0 and 1.
	p1 ^= p3 ^ p3<<1 ^ p3<<2 ^ p3<<7
	p2 ^= p3>>63 ^ p3>>62 ^ p3>>57
	p0 ^= p2 ^ p2<<1 ^ p2<<2 ^ p2<<7
	p1 ^= p2>>63 ^ p2>>62 ^ p2>>57
	return Element{p0, p1}
}

// clmul64 returns the 128-bit product of two polynomials over GF(2), by integer
// products of words that hold one bit in four. With 60 bits of x at most 15
// ones meet at a position, so that no carry reaches the next bit of the same
// class; the four bits above are added by themselves. The idea is T. Pornin's,
// "Constant-time Mul", bearssl.org.
func clmul64(x, y uint64) (lo, hi uint64) {
	const m0, m1, m2, m3 = 0x1111111111111111, 0x2222222222222222, 0x4444444444444444, 0x8888888888888888
	top := x >> 60
	x &= 1<<60 - 1
	x0, x1, x2, x3 := x&m0, x&m1, x&m2, x&m3
	y0, y1, y2, y3 := y&m0, y&m1, y&m2, y&m3
	h0, l0 := four(x0, y0, x1, y3, x2, y2, x3, y1)
	h1, l1 := four(x0, y1, x1, y0, x2, y3, x3, y2)
	h2, l2 := four(x0, y2, x1, y1, x2, y0, x3, y3)
	h3, l3 := four(x0, y3, x1, y2, x2, y1, x3, y0)
	lo = l0&m0 | l1&m1 | l2&m2 | l3&m3
	hi = h0&m0 | h1&m1 | h2&m2 | h3&m3
	t0, t1, t2, t3 := -(top & 1), -(top >> 1 & 1), -(top >> 2 & 1), -(top >> 3)
	lo ^= t0&(y<<60) ^ t1&(y<<61) ^ t2&(y<<62) ^ t3&(y<<63)
	hi ^= t0&(y>>4) ^ t1&(y>>3) ^ t2&(y>>2) ^ t3&(y>>1)
	return lo, hi
}

// four adds four 128-bit products, bit by bit.
func four(a, b, c, d, e, f, g, h uint64) (hi, lo uint64) {
	h0, l0 := bits.Mul64(a, b)
	h1, l1 := bits.Mul64(c, d)
	h2, l2 := bits.Mul64(e, f)
	h3, l3 := bits.Mul64(g, h)
	return h0 ^ h1 ^ h2 ^ h3, l0 ^ l1 ^ l2 ^ l3
}

// Bytes returns the encoding of e.
func (e Element) Bytes() [Size]byte {
	var b [Size]byte
	binary.LittleEndian.PutUint64(b[:8], e.Lo)
	binary.LittleEndian.PutUint64(b[8:], e.Hi)
	return b
}

// FromBytes returns the element that b encodes; every 16 bytes encode one.
func FromBytes(b [Size]byte) Element {
	return Element{binary.LittleEndian.Uint64(b[:8]), binary.LittleEndian.Uint64(b[8:])}
}

// Load returns the element that the first 16 bytes of b encode.
func Load(b []byte) Element { return FromBytes([Size]byte(b)) }
