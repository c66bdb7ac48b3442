package dhpsi

import (
	"errors"
	"fmt"
	"io"

	"github.com/symbolon/symbolon/internal/ristretto"
	"github.com/symbolon/symbolon/psi"
)

// suite names the hash to the group (RFC 9380, Appendix B).
const suite = "ristretto255_XMD:SHA-512_R255MAP_RO_"

// errRepeated is a reason to refuse an element, beside those of
// ristretto.Batch.
var errRepeated = errors.New("repeats an earlier one")

// newHasher returns the hasher of the run with the given context. The context
// holds session, shard and attempt, so that elements of different runs are
// unrelated.
func newHasher(context []byte) *ristretto.Hasher {
	sum := psi.HashTuple([]byte("symbolon/v1/dhpsi"), context)
	return ristretto.NewHasher(append([]byte("SYMBOLON-V1-DHPSI-"+suite), sum[:]...))
}

// scalars hashes randomness to scalars.
var scalars = ristretto.NewHasher([]byte("SYMBOLON-V1-DHPSI-scalar"))

// randomScalar returns a uniform non-zero scalar, from 64 bytes of rand.
func randomScalar(rand io.Reader) (*ristretto.Scalar, error) {
	var b [64]byte
	if _, err := io.ReadFull(rand, b[:]); err != nil {
		return nil, fmt.Errorf("dhpsi: reading randomness: %w", err)
	}
	// A hash of 512 bits is within 2^-258 of uniform, and zero as rarely as
	// that.
	s := new(ristretto.Scalar)
	scalars.Scalar(s, b[:])
	if s.IsZero() {
		return nil, errors.New("dhpsi: random scalar is zero")
	}
	return s, nil
}

func inverse(s *ristretto.Scalar) *ristretto.Scalar {
	inv := new(ristretto.Scalar)
	inv.Invert(s)
	return inv
}

// evaluate writes to dst the encodings of s·H(item(i)) for i below n.
func (r *run) evaluate(dst []byte, n int, item func(i int) *psi.Item) {
	var b ristretto.Batch
	b.Hash(r.group, n, func(i int) []byte { return item(i)[:] })
	b.Multiply(r.secret)
	b.Encode(dst)
}

// seenElements remembers encodings by their first sixteen bytes. Different
// ones that agree in these are as rare in an honest run as a broken hash:
// 2^-72 for psi.MaxItems elements.
type seenElements map[[16]byte]struct{}

func (s seenElements) add(b []byte) error {
	k := [16]byte(b)
	if _, ok := s[k]; ok {
		return errRepeated
	}
	s[k] = struct{}{}
	return nil
}
