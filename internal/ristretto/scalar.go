package ristretto

import (
	"errors"
	"fmt"
	"io"

	"filippo.io/edwards25519"
)

// ScalarSize is the length of an encoded scalar in bytes.
const ScalarSize = 32

// Scalar is an integer modulo the order of the group. The zero value is zero.
// Methods set the receiver, which may be one of their arguments.
type Scalar struct{ s edwards25519.Scalar }

// ErrScalar reports that bytes are not the one encoding of a scalar.
var ErrScalar = errors.New("is not a canonical scalar")

// Decode sets k to the scalar that b, of ScalarSize bytes, encodes in
// little-endian order, or returns ErrScalar if that is not below the order of
// the group. Zero is a scalar: see IsZero.
func (k *Scalar) Decode(b []byte) error {
	if len(b) != ScalarSize {
		panic("ristretto: scalar of the wrong length")
	}
	if _, err := k.s.SetCanonicalBytes(b); err != nil {
		return ErrScalar
	}
	return nil
}

// Encode writes the encoding of k, ScalarSize bytes, to dst.
func (k *Scalar) Encode(dst []byte) { copy(dst[:ScalarSize], k.s.Bytes()) }

// SetUniform sets k to b modulo the order of the group.
func (k *Scalar) SetUniform(b *[64]byte) {
	if _, err := k.s.SetUniformBytes(b[:]); err != nil {
		panic("ristretto: " + err.Error())
	}
}

// SetRandom sets k to a uniform non-zero scalar, from 64 bytes of rand.
func (k *Scalar) SetRandom(rand io.Reader) error {
	var b [64]byte
	defer clear(b[:])
	if _, err := io.ReadFull(rand, b[:]); err != nil {
		return fmt.Errorf("ristretto: reading randomness: %w", err)
	}
	k.SetUniform(&b)
	// As rare as 2^-252, unless the reader is broken.
	if k.IsZero() {
		return errors.New("ristretto: random scalar is zero")
	}
	return nil
}

// Add sets k to a + b.
func (k *Scalar) Add(a, b *Scalar) { k.s.Add(&a.s, &b.s) }

// Subtract sets k to a - b.
func (k *Scalar) Subtract(a, b *Scalar) { k.s.Subtract(&a.s, &b.s) }

// Multiply sets k to a·b.
func (k *Scalar) Multiply(a, b *Scalar) { k.s.Multiply(&a.s, &b.s) }

// Invert sets k to 1/a, and to zero if a is zero.
func (k *Scalar) Invert(a *Scalar) { k.s.Invert(&a.s) }

// Equal reports whether k and l are the same scalar.
func (k *Scalar) Equal(l *Scalar) bool { return k.s.Equal(&l.s) == 1 }

// IsZero reports whether k is zero.
func (k *Scalar) IsZero() bool { return k.Equal(new(Scalar)) }

// InvertAll sets each of ks, none of which is zero, to its inverse, at the cost
// of one inversion and three multiplications each.
func InvertAll(ks []Scalar) {
	if len(ks) == 0 {
		return
	}
	// before[i] is the product of those before i.
	before := make([]Scalar, len(ks))
	before[0] = ks[0]
	for i := 1; i < len(ks); i++ {
		before[i].Multiply(&before[i-1], &ks[i])
	}
	var rest Scalar
	rest.Invert(&before[len(ks)-1])
	for i := len(ks) - 1; i > 0; i-- {
		var inverse Scalar
		inverse.Multiply(&rest, &before[i-1])
		rest.Multiply(&rest, &ks[i])
		ks[i] = inverse
	}
	ks[0] = rest
	clear(before)
}
