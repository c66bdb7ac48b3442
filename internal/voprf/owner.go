package voprf

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/symbolon/symbolon/internal/parallel"
	"github.com/symbolon/symbolon/internal/ristretto"
)

// chunk is the number of inputs that a worker takes at a time: a millisecond.
const chunk = 64

// Evaluate returns the function's value for each input: what Finalize gives an
// asker (Evaluate of RFC 9497, Section 3.3.1). It uses at most workers
// goroutines, or one a processor if workers is 0; the result does not depend on
// them. Inputs have at most MaxInput bytes; there may be any number of them.
func (k *PrivateKey) Evaluate(ctx context.Context, inputs [][]byte, workers int) ([]Output, error) {
	secret, err := k.scalar()
	if err != nil {
		return nil, err
	}
	defer func() { secret = ristretto.Scalar{} }()
	if err := checkInputs(inputs); err != nil {
		return nil, err
	}
	outputs := make([]Output, len(inputs))
	err = parallel.Ranges(ctx, workers, len(inputs), chunk, func(lo, hi int) error {
		var b ristretto.Batch
		b.Hash(k.suite.toGroup, hi-lo, func(i int) []byte { return inputs[lo+i] })
		b.Multiply(&secret)
		finish(&b, inputs[lo:hi], outputs[lo:hi])
		return nil
	})
	if err != nil {
		return nil, err
	}
	return outputs, nil
}

// finish hashes evaluated elements to the values for their inputs.
func finish(b *ristretto.Batch, inputs [][]byte, outputs []Output) {
	encoded := make([]byte, b.Len()*ElementSize)
	b.Encode(encoded)
	var buf []byte
	for i := range outputs {
		buf = finalHash(&outputs[i], buf, inputs[i], encoded[i*ElementSize:][:ElementSize])
	}
}

// BlindEvaluate answers a request of 1 to MaxBatch elements, of ElementSize
// bytes each: as many evaluated elements in their order, and in ModeVOPRF a
// proof of ProofSize bytes, for which it takes 64 bytes of rand. It refuses a
// request with an element that is the identity or not canonical.
func (k *PrivateKey) BlindEvaluate(rand io.Reader, blinded []byte) (evaluated, proof []byte, err error) {
	var r ristretto.Scalar
	if k.suite.mode == ModeVOPRF {
		if err := r.SetRandom(rand); err != nil {
			return nil, nil, fmt.Errorf("voprf: proving: %w", err)
		}
	}
	return k.blindEvaluate(&r, blinded)
}

func (k *PrivateKey) blindEvaluate(r *ristretto.Scalar, blinded []byte) (evaluated, proof []byte, err error) {
	secret, err := k.scalar()
	if err != nil {
		return nil, nil, err
	}
	defer func() { secret, *r = ristretto.Scalar{}, ristretto.Scalar{} }()
	n := len(blinded) / ElementSize
	if len(blinded)%ElementSize != 0 || n == 0 || n > MaxBatch {
		return nil, nil, peerf("blinded elements of %d bytes, want 1 to %d elements of %d", len(blinded), MaxBatch, ElementSize)
	}
	var elements, products ristretto.Batch
	if err := decode(&elements, "blinded", blinded); err != nil {
		return nil, nil, err
	}
	products.Set(&elements)
	products.Multiply(&secret)
	evaluated = make([]byte, len(blinded))
	products.Encode(evaluated)
	if k.suite.mode == ModeVOPRF {
		proof = k.suite.prove(&secret, r, k.public, &elements, blinded, evaluated)
	}
	return evaluated, proof, nil
}

// decode sets b to a peer's elements.
func decode(b *ristretto.Batch, what string, src []byte) error {
	err := b.Decode(src)
	if bad, ok := errors.AsType[*ristretto.DecodeError](err); ok {
		return peerf("%s element %d %w", what, bad.Index, bad.Err)
	}
	return err
}
