// Package he holds the homomorphic circuit of sealed search, and all of the
// project's use of Lattigo: nothing outside imports that library, and no type
// of it is exported from here to psi/sealed's callers.
//
// The scheme is BGV (Brakerski, Gentry, Vaikuntanathan, ITCS 2012) over
// Z[X]/(X^N+1) with plaintext modulus T = 65537, so that a plaintext is N
// integers mod T in slots: two rows of N/2, rotated by automorphisms. A
// ciphertext (c0, c1) of the message m has the phase c0 + c1·s = m/T + e mod Q:
// the form of Lattigo's bgv package, in which dropping a prime of Q is a plain
// division and e is what noise means below. Products multiply by T once.
//
// Lattigo gives rings, transforms, key switching and basis extension. Sampling,
// encodings, products, divisions' order and scales are done here, because keys
// and queries have to be reproducible from a seed, lower terms have to be added
// before a division to be free, and every noise term has to be accounted for.
package he

import (
	"fmt"
	"math/big"
	"math/bits"
	"sync"

	"github.com/tuneinsight/lattigo/v5/core/rlwe"
	"github.com/tuneinsight/lattigo/v5/ring"
	"github.com/tuneinsight/lattigo/v5/ring/ringqp"

	"github.com/symbolon/symbolon/internal/cpu"
)

// T is the plaintext modulus, the prime 2^16 + 1: slots hold integers mod T.
const T = 65537

// LogN is the logarithm of the ring degree in use; smaller rings are for tests
// and give no security.
const LogN = 14

// LimbBits bounds the bit length of every prime. Below 2^31, products of two
// residues can be summed lazily in 64 bits.
const LimbBits = 31

// primes are the largest primes under 2^31 that are 1 mod 2^15: Q's limbs, from
// the front, and P's, from the back.
var primes = [...]uint64{
	0x7ffe0001, 0x7ff80001, 0x7fee8001, 0x7fea0001, 0x7fe90001, 0x7fd98001, 0x7fd88001,
	0x7fd70001, 0x7fd20001, 0x7fd08001, 0x7fcb0001, 0x7fbd0001, 0x7fb90001, 0x7fb40001,
}

// Shape says what a search computes. Groups and Symbols are powers of two; the
// window of accepted scores is Threshold up to Threshold+Window()-1.
type Shape struct {
	LogN      int
	Groups    int
	Symbols   int
	Threshold int
}

// Window is the number of accepted scores that the polynomial vanishes on: 16
// or 32. Scores above Groups don't occur, so a wider window changes nothing.
func (s Shape) Window() int {
	if s.Groups-s.Threshold < 16 {
		return 16
	}
	return 32
}

// Depth is the number of products in a row that the threshold takes.
func (s Shape) Depth() int { return bits.Len(uint(s.Window())) - 1 }

// FinalLimbs is the number of limbs at which answers are flooded. An answer
// leaves with one. The wide window has no room for a fourth.
func (s Shape) FinalLimbs() int {
	if s.Window() == 32 {
		return 3
	}
	return maxFinalLimbs
}

const maxFinalLimbs = 4

// checkLimbs is the number of limbs at which the well-formedness check begins.
func (s Shape) checkLimbs() int { return s.FinalLimbs() + 3 }

// N is the ring degree, the number of slots of a block.
func (s Shape) N() int { return 1 << s.LogN }

// Dimension is the length of a one-hot sketch.
func (s Shape) Dimension() int { return s.Groups * s.Symbols }

// Limbs is the number of primes of Q.
func (s Shape) Limbs() int { return 1 + s.Depth() + s.FinalLimbs() }

// SpecialLimbs is the number of primes of P, which key switching divides by. Its
// digits are of as many limbs.
func (s Shape) SpecialLimbs() int { return 4 }

// Babies is the number of rotations of the query that are kept. Each costs as
// much as one of the Giants()-1 rotations of a block: these numbers are the best
// for some ten blocks.
func (s Shape) Babies() int {
	if s.Dimension() > 256 {
		return 64
	}
	return min(32, s.Dimension())
}

// Giants is the number of groups of diagonals.
func (s Shape) Giants() int { return s.Dimension() / s.Babies() }

// Chunk is the number of coefficients that lie together in an index and in the
// rotated query.
func (s Shape) Chunk() int { return chunkSize }

// PackedPoly is the number of bytes of a packed residue polynomial.
func (s Shape) PackedPoly() int { return s.N() * LimbBits / 8 }

// Context holds what a shape precomputes. It is safe for concurrent use.
type Context struct {
	Shape
	features cpu.Features
	params   rlwe.Parameters
	ringQ    *ring.Ring
	ringP    *ring.Ring
	ringT    *ring.Ring
	perm     []uint32 // slot -> position in the transform mod T
	tInv     [][]uint64
	pModQ    []uint64
	pInverse []uint64 // the inverse of P modulo each prime of Q, as a pair
	// What key switching takes: by number of limbs, and by automorphism.
	conversions  []conversions
	permutations map[uint64][]uint32
	window       *windowPoly
	lazy         []uint64 // multiple of each prime of Q just under 2^63
	workers      sync.Pool
}

// NewContext checks the shape and precomputes.
func NewContext(s Shape) (*Context, error) { return newContext(s, cpu.Host()) }

func newContext(s Shape, f cpu.Features) (*Context, error) {
	if s.LogN < 8 || s.LogN > LogN {
		return nil, fmt.Errorf("sealed: ring degree 2^%d is outside 2^8 to 2^%d", s.LogN, LogN)
	}
	params, err := rlwe.NewParameters(s.LogN, primes[:s.Limbs()], primes[len(primes)-s.SpecialLimbs():],
		rlwe.DefaultXs, rlwe.DefaultXe, ring.Standard, rlwe.NewScale(1), true)
	if err != nil {
		return nil, fmt.Errorf("sealed: parameters: %w", err)
	}
	c := &Context{Shape: s, features: f, params: params, ringQ: params.RingQ(), ringP: params.RingP()}
	// The library's rings get our transforms.
	for _, r := range []*ring.Ring{c.ringQ, c.ringP} {
		own, err := newRing(s.N(), r.ModuliChain(), f)
		if err != nil {
			return nil, fmt.Errorf("sealed: ring: %w", err)
		}
		copy(r.SubRings, own.SubRings)
	}
	if c.ringT, err = newRing(s.N(), []uint64{T}, f); err != nil {
		return nil, fmt.Errorf("sealed: plaintext ring: %w", err)
	}
	c.perm = slotPositions(s.LogN)
	if c.window, err = newWindowPoly(s.Window()); err != nil {
		return nil, err
	}
	p := c.ringP.ModulusAtLevel[s.SpecialLimbs()-1]
	for i, sub := range c.ringQ.SubRings {
		q := new(big.Int).SetUint64(sub.Modulus)
		c.pModQ = append(c.pModQ, new(big.Int).Mod(p, q).Uint64())
		c.pInverse = append(c.pInverse, pair(invMod(c.pModQ[i], sub.Modulus), sub.Modulus))
		c.lazy = append(c.lazy, (1<<63)/sub.Modulus*sub.Modulus)
		row := make([]uint64, i+1)
		inv := new(big.Int).ModInverse(big.NewInt(T), c.ringQ.ModulusAtLevel[i])
		for j := range row {
			row[j] = new(big.Int).Mod(inv, new(big.Int).SetUint64(c.ringQ.SubRings[j].Modulus)).Uint64()
		}
		c.tInv = append(c.tInv, row)
	}
	c.conversions = c.newConversions()
	c.permutations = map[uint64][]uint32{}
	for _, k := range c.keySpecs() {
		if k.galois == 0 {
			continue
		}
		index, err := ring.AutomorphismNTTIndex(c.N(), uint64(2*c.N()), k.galois)
		if err != nil {
			return nil, fmt.Errorf("sealed: automorphism: %w", err)
		}
		p := make([]uint32, c.N())
		for i, v := range index {
			p[i] = uint32(v)
		}
		c.permutations[k.galois] = p
	}
	return c, nil
}

// slotPositions maps slots to positions of the transform mod T, whose order is
// that of bit-reversed odd powers of the root: slot j of the first row is the
// value at root^(5^j), the second row holds the inverses.
func slotPositions(logN int) []uint32 {
	n := uint64(1) << logN
	perm := make([]uint32, n)
	pow := uint64(1)
	for i := range n / 2 {
		pos := bits.Reverse64(pow>>1) >> (64 - logN)
		perm[i] = uint32(pos)
		perm[i+n/2] = uint32(n - pos - 1)
		pow = pow * ring.GaloisGen & (2*n - 1)
	}
	return perm
}

// galois returns the automorphism that rotates both rows left by k.
func (c *Context) galois(k int) uint64 {
	g, m := uint64(1), uint64(2*c.N()-1)
	for range k {
		g = g * ring.GaloisGen & m
	}
	return g
}

// galoisSwap returns the automorphism that swaps the rows.
func (c *Context) galoisSwap() uint64 { return uint64(2*c.N() - 1) }

// at returns Q's ring with the given number of limbs.
func (c *Context) at(limbs int) *ring.Ring { return c.ringQ.AtLevel(limbs - 1) }

// newCiphertext returns a zero ciphertext.
func (c *Context) newCiphertext(limbs int) *rlwe.Ciphertext {
	ct := rlwe.NewCiphertext(c.params, 1, limbs-1)
	ct.IsNTT = true
	return ct
}

// limbs is the number of limbs of a ciphertext.
func limbs(ct *rlwe.Ciphertext) int { return len(ct.Value[0].Coeffs) }

// lower returns the ciphertext with fewer limbs, sharing memory: the same
// message and noise under a smaller modulus.
func lower(ct *rlwe.Ciphertext, limbs int) *rlwe.Ciphertext {
	out := &rlwe.Ciphertext{}
	out.MetaData = ct.MetaData
	for _, p := range ct.Value {
		out.Value = append(out.Value, ring.Poly{Coeffs: p.Coeffs[:limbs]})
	}
	return out
}

// encodeT sets poly, of degree under N mod T, to the polynomial with these slots.
func (c *Context) encodeT(poly []uint64, slots []uint32) {
	for i, v := range slots {
		poly[c.perm[i]] = uint64(v)
	}
	c.ringT.SubRings[0].INTT(poly, poly)
}

// decodeT sets slots to those of the polynomial, which it overwrites.
func (c *Context) decodeT(slots []uint32, poly []uint64) {
	c.ringT.SubRings[0].NTT(poly, poly)
	for i := range slots {
		slots[i] = uint32(poly[c.perm[i]])
	}
}

// lift sets dst to a polynomial mod T, taken centred, mod the given prime of Q,
// in coefficients.
func (c *Context) lift(dst, poly []uint64, limb int) {
	q := c.ringQ.SubRings[limb].Modulus
	for i, v := range poly {
		dst[i] = v + (q-T)&-((T/2-v)>>63)
	}
}

// liftNTT sets the limbs of dst to the centred polynomial, transformed.
func (c *Context) liftNTT(dst ring.Poly, poly []uint64) {
	for i, row := range dst.Coeffs {
		c.lift(row, poly, i)
		c.ringQ.SubRings[i].NTT(row, row)
	}
}

// small is a polynomial with small signed coefficients.
type small []int8

// liftSmall sets dst to the polynomial in every limb of the rings given.
func liftSmall(dst ring.Poly, p small, r *ring.Ring) {
	for i, row := range dst.Coeffs {
		q := r.SubRings[i].Modulus
		for j, v := range p {
			if v < 0 {
				row[j] = q - uint64(-v)
			} else {
				row[j] = uint64(v)
			}
		}
		r.SubRings[i].NTT(row, row)
	}
}

func (c *Context) ringQP(limbs int) *ringqp.Ring {
	r := c.params.RingQP().AtLevel(limbs-1, c.SpecialLimbs()-1)
	return &r
}
