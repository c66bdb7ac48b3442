package voprf

import (
	"crypto/sha512"
	"encoding/binary"

	"github.com/symbolon/symbolon/internal/ristretto"
)

// weights are the factors under which a batch of pairs (blinded, evaluated) is
// proved as one (ComputeComposites of RFC 9497, Section 2.2.1).
func (s *suite) weights(public, blinded, evaluated []byte) []ristretto.Scalar {
	seed := sha512.Sum512(appendCounted(appendCounted(nil, public), s.seedTag))
	ks := make([]ristretto.Scalar, len(blinded)/ElementSize)
	var buf []byte
	for i := range ks {
		buf = appendCounted(buf[:0], seed[:])
		buf = binary.BigEndian.AppendUint16(buf, uint16(i))
		buf = appendCounted(buf, blinded[i*ElementSize:][:ElementSize])
		buf = appendCounted(buf, evaluated[i*ElementSize:][:ElementSize])
		buf = append(buf, "Composite"...)
		s.toScalar.Scalar(&ks[i], buf)
	}
	return ks
}

// challenge hashes the public key and the four elements of a proof.
func (s *suite) challenge(public []byte, m, z, t2, t3 *ristretto.Element) (c ristretto.Scalar) {
	var b ristretto.Batch
	b.SetAll([]*ristretto.Element{m, z, t2, t3})
	var encoded [4 * ElementSize]byte
	b.Encode(encoded[:])
	buf := appendCounted(nil, public)
	for i := range 4 {
		buf = appendCounted(buf, encoded[i*ElementSize:][:ElementSize])
	}
	s.toScalar.Scalar(&c, append(buf, "Challenge"...))
	return c
}

// prove shows with the randomness r that evaluated is secret·blinded for the
// secret of the public key (GenerateProof of RFC 9497, Section 2.2.1). The
// elements are those that blinded encodes.
func (s *suite) prove(secret, r *ristretto.Scalar, public *PublicKey, elements *ristretto.Batch, blinded, evaluated []byte) []byte {
	var m, z, t2, t3 ristretto.Element
	elements.VarTimeSums([]*ristretto.Element{&m}, s.weights(public.encoded[:], blinded, evaluated))
	// Both are m times a secret, in one go.
	var both ristretto.Batch
	both.SetAll([]*ristretto.Element{&m, &m})
	both.MultiplyEach([]ristretto.Scalar{*secret, *r})
	both.At(&z, 0)
	both.At(&t3, 1)
	t2.MultiplyBase(r)
	c := s.challenge(public.encoded[:], &m, &z, &t2, &t3)
	proof := make([]byte, ProofSize)
	c.Encode(proof)
	// r - c·secret
	c.Multiply(&c, secret)
	c.Subtract(r, &c)
	c.Encode(proof[ristretto.ScalarSize:])
	return proof
}

// verify checks a proof (VerifyProof of RFC 9497, Section 2.2.2). The batches
// hold what blinded and evaluated encode.
func (s *suite) verify(public *PublicKey, blindedElements, evaluatedElements *ristretto.Batch, blinded, evaluated, proof []byte) error {
	if len(proof) != ProofSize {
		return peerf("proof of %d bytes, want %d", len(proof), ProofSize)
	}
	var c, r ristretto.Scalar
	if err := c.Decode(proof[:ristretto.ScalarSize]); err != nil {
		return peerf("first half of the proof %w", err)
	}
	if err := r.Decode(proof[ristretto.ScalarSize:]); err != nil {
		return peerf("second half of the proof %w", err)
	}
	weights := s.weights(public.encoded[:], blinded, evaluated)
	var g, m, z, t2, t3 ristretto.Element
	blindedElements.VarTimeSums([]*ristretto.Element{&m}, weights)
	evaluatedElements.VarTimeSums([]*ristretto.Element{&z}, weights)
	g.SetGenerator()
	var pairs ristretto.Batch
	pairs.SetAll([]*ristretto.Element{&g, &public.element, &m, &z})
	pairs.VarTimeSums([]*ristretto.Element{&t2, &t3}, []ristretto.Scalar{r, c, r, c})
	want := s.challenge(public.encoded[:], &m, &z, &t2, &t3)
	if !c.Equal(&want) {
		return peerf("the proof does not hold: %d elements were not evaluated under the public key",
			evaluatedElements.Len())
	}
	return nil
}
