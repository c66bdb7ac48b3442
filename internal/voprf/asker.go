package voprf

import (
	"errors"
	"fmt"
	"io"

	"github.com/symbolon/symbolon/internal/ristretto"
)

// Request is a question to an owner. Not safe for concurrent use.
type Request struct {
	suite    *suite
	inputs   [][]byte
	blinds   []ristretto.Scalar
	elements ristretto.Batch
	blinded  []byte
}

// Blind returns a request for the values of 1 to MaxBatch inputs, which must
// not change before Finalize. It takes 64 bytes of rand for each.
func Blind(mode Mode, rand io.Reader, inputs [][]byte) (*Request, error) {
	s, err := suiteOf(mode)
	if err != nil {
		return nil, err
	}
	if len(inputs) == 0 || len(inputs) > MaxBatch {
		return nil, fmt.Errorf("voprf: got %d inputs, want 1 to %d", len(inputs), MaxBatch)
	}
	if err := checkInputs(inputs); err != nil {
		return nil, err
	}
	blinds := make([]ristretto.Scalar, len(inputs))
	for i := range blinds {
		if err := blinds[i].SetRandom(rand); err != nil {
			return nil, fmt.Errorf("voprf: blinding: %w", err)
		}
	}
	return s.blind(blinds, inputs), nil
}

func (s *suite) blind(blinds []ristretto.Scalar, inputs [][]byte) *Request {
	r := &Request{suite: s, inputs: inputs, blinds: blinds, blinded: make([]byte, len(inputs)*ElementSize)}
	r.elements.Hash(s.toGroup, len(inputs), func(i int) []byte { return inputs[i] })
	r.elements.MultiplyEach(blinds)
	r.elements.Encode(r.blinded)
	return r
}

// Blinded returns the blinded elements, ElementSize bytes each, in the order of
// the inputs: what the owner gets.
func (r *Request) Blinded() []byte { return append([]byte(nil), r.blinded...) }

// Finalize checks an owner's answer and returns the value for each input. In
// ModeOPRF there are no key and no proof: both are nil. An answer with another
// number of elements, an element that is the identity or not canonical, or a
// proof that does not hold against the key is an ErrPeer, and another answer
// may be tried. After one that is right the request is spent.
func (r *Request) Finalize(key *PublicKey, evaluated, proof []byte) ([]Output, error) {
	if r.blinds == nil {
		return nil, errors.New("voprf: the request is spent")
	}
	if err := r.checkKey(key); err != nil {
		return nil, err
	}
	if len(evaluated) != len(r.blinded) {
		return nil, peerf("evaluated elements of %d bytes, want %d of %d", len(evaluated), len(r.inputs), ElementSize)
	}
	var elements ristretto.Batch
	if err := decode(&elements, "evaluated", evaluated); err != nil {
		return nil, err
	}
	if r.suite.mode == ModeVOPRF {
		if err := r.suite.verify(key, &r.elements, &elements, r.blinded, evaluated, proof); err != nil {
			return nil, err
		}
	} else if len(proof) != 0 {
		return nil, peerf("proof of %d bytes in a mode without", len(proof))
	}
	ristretto.InvertAll(r.blinds)
	elements.MultiplyEach(r.blinds)
	clear(r.blinds)
	r.blinds = nil
	outputs := make([]Output, len(r.inputs))
	finish(&elements, r.inputs, outputs)
	return outputs, nil
}

func (r *Request) checkKey(key *PublicKey) error {
	switch {
	case r.suite.mode == ModeOPRF && key != nil:
		return errors.New("voprf: a public key in a mode without proofs")
	case r.suite.mode == ModeVOPRF && key == nil:
		return errors.New("voprf: no public key to check the proof against")
	case key != nil && key.suite != r.suite:
		return fmt.Errorf("voprf: the public key is of mode %d, the request of mode %d", key.suite.mode, r.suite.mode)
	}
	return nil
}
