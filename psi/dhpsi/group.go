package dhpsi

import (
	"errors"
	"fmt"
	"io"

	"github.com/cloudflare/circl/group"
	"github.com/symbolon/symbolon/psi"
)

// ristretto is the group of the engine.
var ristretto = group.Ristretto255

// suite names the hash to the group (RFC 9380, Appendix B).
const suite = "ristretto255_XMD:SHA-512_R255MAP_RO_"

// Reasons to refuse an element.
var (
	errIdentity     = errors.New("is the identity")
	errNotCanonical = errors.New("is not a canonical encoding")
	errRepeated     = errors.New("repeats an earlier one")
)

// hasher hashes items to the group under the domain of one run. It is safe for
// concurrent use.
type hasher struct{ dst []byte }

// newHasher returns the hasher of the run with the given context. The context
// holds session, shard and attempt, so that elements of different runs are
// unrelated.
func newHasher(context []byte) *hasher {
	sum := psi.HashTuple([]byte("symbolon/v1/dhpsi"), context)
	return &hasher{dst: append([]byte("SYMBOLON-V1-DHPSI-"+suite), sum[:]...)}
}

// hash returns hash_to_ristretto255 of msg (RFC 9380, Appendix B).
func (h *hasher) hash(msg []byte) element {
	return element{ristretto.HashToElement(msg, h.dst)}
}

// scalar is a secret scalar.
type scalar struct{ s group.Scalar }

// randomScalar returns a uniform non-zero scalar, from 64 bytes of rand.
func randomScalar(rand io.Reader) (scalar, error) {
	var b [64]byte
	if _, err := io.ReadFull(rand, b[:]); err != nil {
		return scalar{}, fmt.Errorf("dhpsi: reading randomness: %w", err)
	}
	// The group's own random scalars come from no reader of ours. A hash of
	// 512 bits is within 2^-258 of uniform, and zero as rarely as that.
	s := ristretto.HashToScalar(b[:], []byte("SYMBOLON-V1-DHPSI-scalar"))
	if s.IsZero() {
		return scalar{}, errors.New("dhpsi: random scalar is zero")
	}
	return scalar{s}, nil
}

func (s scalar) inverse() scalar { return scalar{ristretto.NewScalar().Inv(s.s)} }

// element is a group element that its methods overwrite.
type element struct{ e group.Element }

func newElement() element { return element{ristretto.NewElement()} }

func (e element) mul(s scalar) { e.e.Mul(e.e, s.s) }

// encode writes the encoding to b.
func (e element) encode(b []byte) {
	enc, err := e.e.MarshalBinaryCompress()
	if err != nil {
		// Encoding takes any element.
		panic("dhpsi: " + err.Error())
	}
	copy(b, enc)
}

// decode sets e to what b encodes, and refuses the identity and everything
// but the one encoding of an element (RFC 9496, Section 4.3.1).
func (e element) decode(b []byte) error {
	if isZero(b) {
		return errIdentity
	}
	if err := e.e.UnmarshalBinary(b); err != nil {
		return errNotCanonical
	}
	return nil
}

func isZero(b []byte) bool {
	var or byte
	for _, c := range b {
		or |= c
	}
	return or == 0
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
