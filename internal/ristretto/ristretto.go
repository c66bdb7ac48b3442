// Package ristretto is the prime-order group ristretto255 (RFC 9496) with its
// hash to the group (RFC 9380, Appendix B, ristretto255_XMD:SHA-512_R255MAP_RO_)
// on the curve arithmetic of filippo.io/edwards25519.
//
// Element and Scalar are single values. A Batch holds many elements, on which
// all operations are done at once: eight at a time in vector registers where
// the processor multiplies integers there (AVX-512 IFMA).
//
// Time and memory accesses depend on no scalar, no element and no message,
// but on the message's length and on whether bytes decode. Operations that are
// otherwise say VarTime.
package ristretto

import (
	"errors"

	"filippo.io/edwards25519"
	"filippo.io/edwards25519/field"
)

// ElementSize is the length of an encoded element in bytes.
const ElementSize = 32

// Reasons why bytes are refused as an element.
var (
	ErrIdentity     = errors.New("is the identity")
	ErrNotCanonical = errors.New("is not a canonical encoding")
)

// Element is an element of the group. Its zero value is none: set it first.
// Methods set the receiver, which may be one of their arguments.
type Element struct{ p edwards25519.Point }

// SetIdentity sets e to the neutral element.
func (e *Element) SetIdentity() { e.p.Set(edwards25519.NewIdentityPoint()) }

// SetGenerator sets e to the generator.
func (e *Element) SetGenerator() { e.p.Set(edwards25519.NewGeneratorPoint()) }

// Add sets e to a + b.
func (e *Element) Add(a, b *Element) { e.p.Add(&a.p, &b.p) }

// Subtract sets e to a - b.
func (e *Element) Subtract(a, b *Element) { e.p.Subtract(&a.p, &b.p) }

// Multiply sets e to k·a.
func (e *Element) Multiply(k *Scalar, a *Element) { e.p.ScalarMult(&k.s, &a.p) }

// MultiplyBase sets e to k times the generator.
func (e *Element) MultiplyBase(k *Scalar) { e.p.ScalarBaseMult(&k.s) }

// Equal reports whether e and f are the same element (RFC 9496, Section 4.3.3).
func (e *Element) Equal(f *Element) bool {
	x1, y1, _, _ := e.p.ExtendedCoordinates()
	x2, y2, _, _ := f.p.ExtendedCoordinates()
	var a, b field.Element
	crossed := a.Multiply(x1, y2).Equal(b.Multiply(y1, x2))
	straight := a.Multiply(y1, y2).Equal(b.Multiply(x1, x2))
	return crossed|straight == 1
}

// IsIdentity reports whether e is the neutral element.
func (e *Element) IsIdentity() bool {
	var zero Element
	zero.SetIdentity()
	return e.Equal(&zero)
}

// Decode sets e to the element that b, of ElementSize bytes, encodes (RFC 9496,
// Section 4.3.1). It refuses the identity, which no protocol here sends, with
// ErrIdentity, and all that Encode would not write with ErrNotCanonical; e is
// then unchanged.
func (e *Element) Decode(b []byte) error {
	if err := checkField(b); err != nil {
		return err
	}
	var s field.Element
	if _, err := s.SetBytes(b); err != nil {
		panic("ristretto: " + err.Error())
	}
	var ss, u1, u2, u2Sqr, v, inverse, denX, denY, x, y, t field.Element
	ss.Square(&s)
	u1.Subtract(&one, &ss)
	u2.Add(&one, &ss)
	u2Sqr.Square(&u2)
	// v = -(D·u1²) - u2²
	v.Square(&u1)
	v.Multiply(&v, &d)
	v.Negate(&v)
	v.Subtract(&v, &u2Sqr)
	_, square := inverse.SqrtRatio(&one, t.Multiply(&v, &u2Sqr))
	denX.Multiply(&inverse, &u2)
	denY.Multiply(&inverse, &denX)
	denY.Multiply(&denY, &v)
	x.Add(&s, &s)
	x.Multiply(&x, &denX)
	x.Absolute(&x)
	y.Multiply(&u1, &denY)
	t.Multiply(&x, &y)
	if square == 0 || t.IsNegative() == 1 || y.Equal(&zero) == 1 {
		return ErrNotCanonical
	}
	e.set(&x, &y, &one, &t)
	return nil
}

// checkField refuses what is not the one encoding of a non-negative field
// element, and zero, which encodes the identity.
func checkField(b []byte) error {
	if len(b) != ElementSize {
		panic("ristretto: encoding of the wrong length")
	}
	var or byte
	for _, c := range b {
		or |= c
	}
	if or == 0 {
		return ErrIdentity
	}
	// At least 2^255 - 19, counting bytes from the top, or odd.
	large := b[31] >= 0x7f
	if b[31] == 0x7f {
		large = b[0] >= 0xed
		for _, c := range b[1:31] {
			large = large && c == 0xff
		}
	}
	if large || b[0]&1 == 1 {
		return ErrNotCanonical
	}
	return nil
}

// set puts e at a point of the curve.
func (e *Element) set(x, y, z, t *field.Element) {
	if _, err := e.p.SetExtendedCoordinates(x, y, z, t); err != nil {
		// Callers derive the coordinates by formulas that keep to the curve.
		panic("ristretto: " + err.Error())
	}
}

// Encode writes the encoding of e, ElementSize bytes, to dst (RFC 9496, Section
// 4.3.2).
func (e *Element) Encode(dst []byte) {
	x0, y0, z0, t0 := e.p.ExtendedCoordinates()
	var u1, u2, inverse, den1, den2, zInv, ix, iy, enchanted, tmp field.Element
	u1.Add(z0, y0)
	u1.Multiply(&u1, tmp.Subtract(z0, y0))
	u2.Multiply(x0, y0)
	tmp.Square(&u2)
	inverse.SqrtRatio(&one, tmp.Multiply(&tmp, &u1))
	den1.Multiply(&inverse, &u1)
	den2.Multiply(&inverse, &u2)
	zInv.Multiply(&den1, &den2)
	zInv.Multiply(&zInv, t0)
	ix.Multiply(x0, &sqrtM1)
	iy.Multiply(y0, &sqrtM1)
	enchanted.Multiply(&den1, &invSqrtAMinusD)
	rotate := tmp.Multiply(t0, &zInv).IsNegative()
	var x, y, den field.Element
	x.Select(&iy, x0, rotate)
	y.Select(&ix, y0, rotate)
	den.Select(&enchanted, &den2, rotate)
	negative := tmp.Multiply(&x, &zInv).IsNegative()
	y.Select(tmp.Negate(&y), &y, negative)
	tmp.Subtract(z0, &y)
	tmp.Multiply(&tmp, &den)
	copy(dst[:ElementSize], tmp.Absolute(&tmp).Bytes())
}

// SetUniform sets e to the element that 64 uniform bytes choose (RFC 9496,
// Section 4.3.4): nobody knows its logarithm.
func (e *Element) SetUniform(b *[64]byte) {
	var other Element
	e.elligator(b[:32])
	other.elligator(b[32:])
	e.Add(e, &other)
}

// elligator sets e to what 32 bytes map to; it ignores their top bit.
func (e *Element) elligator(b []byte) {
	var t field.Element
	if _, err := t.SetBytes(b); err != nil {
		panic("ristretto: " + err.Error())
	}
	var r, u, v, s, other, c, n, w0, w1, w2, w3, tmp field.Element
	r.Square(&t)
	r.Multiply(&r, &sqrtM1)
	u.Add(&r, &one)
	u.Multiply(&u, &oneMinusDSq)
	// v = (-1 - r·D)·(r + D)
	v.Multiply(&r, &d)
	v.Subtract(&minusOne, &v)
	v.Multiply(&v, tmp.Add(&r, &d))
	_, square := s.SqrtRatio(&u, &v)
	other.Multiply(&s, &t)
	other.Absolute(&other)
	other.Negate(&other)
	s.Select(&s, &other, square)
	c.Select(&minusOne, &r, square)
	n.Subtract(&r, &one)
	n.Multiply(&n, &c)
	n.Multiply(&n, &dMinusOneSq)
	n.Subtract(&n, &v)
	w0.Multiply(&s, &v)
	w0.Add(&w0, &w0)
	w1.Multiply(&n, &sqrtADMinusOne)
	tmp.Square(&s)
	w2.Subtract(&one, &tmp)
	w3.Add(&one, &tmp)
	e.set(r.Multiply(&w0, &w3), u.Multiply(&w2, &w1), v.Multiply(&w1, &w3), c.Multiply(&w0, &w2))
}
