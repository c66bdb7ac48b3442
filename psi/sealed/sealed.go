// Package sealed is the sealed search: a fuzzy lookup in a database whose owner
// publishes nothing.
//
//	asker                                          owner
//	secret key from a seed
//	keys  ───────────── evaluation keys ─────────▶  once an agreement and epoch
//	query ───────────── one ciphertext ──────────▶  inner product with every slot,
//	                                                threshold, blinding, flooding
//	slots at or over  ◀── one ciphertext a block ──
//
// A record is a sketch of K symbols below m (internal/records/sketch makes
// them), one slot of the owner's index for each name form of a record. Two
// sketches are as similar as the number of positions in which they agree. The
// asker learns which slots agree with its query in at least T positions, and
// nothing of any score: a slot under the threshold holds a uniform non-zero
// residue whatever its score, and a query that is no sketch of one person opens
// nothing. The owner learns that it was asked. Slots stand in an order that the
// owner shuffles each epoch; a slot number is the handle for asking further.
//
// SECURITY.md states the parameters, what the privacy of each side rests on and
// what is not covered. The circuit is in internal/he, which holds all use of
// the lattice library.
//
// The engine reads no clock (but to count stages) and no network, and takes its
// randomness from seeds and readers. A scan does the same operations whatever
// query and records hold: which instructions run and which memory is read
// depends on shape and size alone, as far as the library's reductions go, which
// branch on residues. What the asker does on its own machine is not guarded
// that way.
package sealed

import (
	"encoding/binary"
	"fmt"
	"math/bits"
	"sync"

	"github.com/symbolon/symbolon/psi"
	"github.com/symbolon/symbolon/psi/sealed/internal/he"
)

// BlockSlots is the number of slots that one ciphertext of answers covers.
const BlockSlots = 1 << he.LogN

// Params is the shape of a search: sketches of Groups symbols, each below
// Symbols; a slot opens when at least Threshold positions agree, or more if the
// query asks for more. Keys and indexes depend on all three.
type Params struct {
	Groups    int
	Symbols   int
	Threshold int
	// ring is the logarithm of the ring degree; zero is he.LogN. Smaller ones
	// are for tests: they give no security.
	ring int
}

// Validate reports whether the circuit can do this shape: Groups and Symbols
// are powers of two, Symbols at most 128, the product from 16 to 1024, and
// Groups-Threshold+1 accepted scores at most 32 (up to 16 are cheaper, and
// hidden with a wider margin).
func (p Params) Validate() error {
	d := p.Groups * p.Symbols
	switch {
	case p.Groups < 2 || bits.OnesCount(uint(p.Groups)) != 1:
		return fmt.Errorf("sealed: %d groups: want a power of two from 2 on", p.Groups)
	case p.Symbols < 2 || p.Symbols > 128 || bits.OnesCount(uint(p.Symbols)) != 1:
		return fmt.Errorf("sealed: %d symbols: want a power of two from 2 to 128", p.Symbols)
	case p.Groups > 1024 || d < 16 || d > 1024:
		return fmt.Errorf("sealed: %d groups of %d symbols: want 16 to 1024 positions", p.Groups, p.Symbols)
	case p.Threshold < 1 || p.Threshold > p.Groups:
		return fmt.Errorf("sealed: threshold %d is outside 1 to %d", p.Threshold, p.Groups)
	case p.Groups-p.Threshold+1 > 32:
		return fmt.Errorf("sealed: thresholds under %d accept more than 32 of %d scores", p.Groups-31, p.Groups+1)
	}
	return nil
}

func (p Params) shape() he.Shape {
	s := he.Shape{LogN: p.ring, Groups: p.Groups, Symbols: p.Symbols, Threshold: p.Threshold}
	if s.LogN == 0 {
		s.LogN = he.LogN
	}
	return s
}

// blockSlots is BlockSlots but for tests.
func (p Params) blockSlots() int { return p.shape().N() }

// contexts holds what shapes precompute: a process serves few.
var contexts sync.Map // he.Shape -> func() (*he.Context, error)

func (p Params) context() (*he.Context, error) {
	if err := p.Validate(); err != nil {
		return nil, err
	}
	once, _ := contexts.LoadOrStore(p.shape(), sync.OnceValues(func() (*he.Context, error) {
		return he.NewContext(p.shape())
	}))
	return once.(func() (*he.Context, error))()
}

// bytes is the canonical form of the parameters.
func (p Params) bytes() []byte {
	b := []byte{byte(p.shape().LogN)}
	for _, v := range []int{p.Groups, p.Symbols, p.Threshold} {
		b = binary.LittleEndian.AppendUint16(b, uint16(v))
	}
	return b
}

// Security returns the logarithm of the modulus that security is counted with
// and the largest that the homomorphic encryption standard allows for 128 bits
// with ternary secrets at the ring degree in use (Albrecht et al., Homomorphic
// Encryption Security Standard, 2018, Table 1).
func (p Params) Security() (logModulus float64, limit int, err error) {
	c, err := p.context()
	if err != nil {
		return 0, 0, err
	}
	return c.LogQP(), map[int]int{11: 54, 12: 109, 13: 218, 14: 438}[p.shape().LogN], nil
}

// FloodMargin returns how many bits the flooding of answers stands over the
// bound on an honest answer's noise: 71 with up to 16 accepted scores, 40 with
// more. Measured noise is five bits lower; see SECURITY.md.
func (p Params) FloodMargin() float64 { return p.shape().FloodMargin() }

// Scope binds messages and indexes to an agreement, by its identifier, and an
// epoch of it.
type Scope struct {
	Agreement [32]byte
	Epoch     uint32
}

func (s Scope) bytes() []byte {
	return binary.LittleEndian.AppendUint32(append([]byte(nil), s.Agreement[:]...), s.Epoch)
}

// bound is a hash of parts, bound to parameters and scope.
func bound(domain string, p Params, s Scope, parts ...[]byte) [32]byte {
	return psi.HashTuple(append([][]byte{[]byte(domain), p.bytes(), s.bytes()}, parts...)...)
}

// check reports whether the sketch fits the parameters.
func (p Params) check(sketch []uint8) error {
	if len(sketch) != p.Groups {
		return fmt.Errorf("sealed: the sketch has %d symbols, want %d", len(sketch), p.Groups)
	}
	for i, v := range sketch {
		if int(v) >= p.Symbols {
			return fmt.Errorf("sealed: symbol %d of the sketch is not below %d", i, p.Symbols)
		}
	}
	return nil
}
