package he

import (
	"crypto/sha256"
	"encoding/binary"
	"math"
	"math/big"

	"github.com/tuneinsight/lattigo/v5/ring"
	"github.com/tuneinsight/lattigo/v5/ring/ringqp"
)

// SecretKey is an asker's key: a uniform ternary polynomial.
type SecretKey struct {
	s    small
	full ringqp.Poly // transformed, in Montgomery form, as Lattigo keeps keys
}

// NewSecretKey derives the key from a secret seed. It draws again while the sum
// of absolute coefficients is over 0.7·N (expected: two thirds) or the largest
// absolute value at a root of X^N+1 is over SecretNorm, which one draw in six
// or so keeps: the noise bounds of answers stand on both.
func (c *Context) NewSecretKey(seed Seed) *SecretKey {
	st := newStream(seed)
	sk := &SecretKey{s: make(small, c.N()), full: c.ringQP(c.Limbs()).NewPoly()}
	for {
		st.ternary(sk.s)
		weight := 0
		for _, v := range sk.s {
			weight += int(v * v)
		}
		if 10*weight <= 7*c.N() && c.canonicalNorm(sk.s) <= c.SecretNorm() {
			break
		}
	}
	r := c.ringQP(c.Limbs())
	liftSmall(sk.full.Q, sk.s, r.RingQ)
	liftSmall(sk.full.P, sk.s, r.RingP)
	r.MForm(sk.full, sk.full)
	return sk
}

// SecretNorm bounds an honest key at every root of X^N+1: 2.9 times the root
// of its expected square, 303 for N = 16384.
func (s Shape) SecretNorm() float64 {
	return 2.9 * math.Sqrt(float64(s.N())*2/3)
}

// keySpec says which evaluation key stands where in a keys message.
type keySpec struct {
	galois uint64 // 0: relinearisation
	limbs  int
}

// keySpecs lists the evaluation keys: relinearisation, the query's rotations by
// powers of two, the step between groups of diagonals, and, at few limbs, the
// rotations by which the check sums all slots.
func (c *Context) keySpecs() []keySpec {
	specs := []keySpec{{0, c.Limbs() - 1}}
	have := map[int]bool{}
	for k := 1; k < c.Babies() || k == c.Babies() && c.Giants() > 1; k *= 2 {
		specs = append(specs, keySpec{c.galois(k), c.Limbs()})
		have[k] = true
	}
	for k := checkClasses; k < c.N()/2; k *= 2 {
		// A rotation whose half has a key is done in two.
		if !have[k] && !have[k/2] {
			have[k] = true
			specs = append(specs, keySpec{c.galois(k), c.FinalLimbs() + 1})
		}
	}
	return append(specs, keySpec{c.galoisSwap(), c.FinalLimbs() + 1})
}

// digits is the number of digits of a key with the given limbs.
func (c *Context) digits(limbs int) int {
	return (limbs + c.SpecialLimbs() - 1) / c.SpecialLimbs()
}

// KeysSize is the number of bytes of packed evaluation keys.
func (c *Context) KeysSize() int {
	polys := c.FinalLimbs()
	for _, s := range c.keySpecs() {
		polys += c.digits(s.limbs) * (s.limbs + c.SpecialLimbs())
	}
	return polys * c.PackedPoly()
}

// subSeed derives a numbered seed.
func subSeed(seed Seed, n int) Seed {
	return sha256.Sum256(binary.LittleEndian.AppendUint64(seed[:], uint64(n)))
}

// PackKeys returns the evaluation keys of sk: those halves that are not
// uniform. The uniform halves follow from the public seed, the noise from the
// secret one.
func (c *Context) PackKeys(sk *SecretKey, public, noise Seed) []byte {
	out := make([]byte, 0, c.KeysSize())
	specs := c.keySpecs()
	e := make(small, c.N())
	for n, spec := range specs {
		r := c.ringQP(spec.limbs)
		in, under := sk.full.Q, sk.full
		if spec.galois == 0 {
			sq := r.RingQ.NewPoly()
			r.RingQ.MulCoeffsMontgomery(in, in, sq)
			in = sq
		} else {
			// The product comes first and the automorphism after it, so the key
			// leads from s to the image of s under the inverse.
			under = r.NewPoly()
			inverse := c.params.ModInvGaloisElement(spec.galois)
			r.RingQ.AutomorphismNTT(sk.full.Q, inverse, under.Q)
			r.RingP.AutomorphismNTT(sk.full.P, inverse, under.P)
		}
		pub, sec := newStream(subSeed(public, n)), newStream(subSeed(noise, n))
		a, b, t := r.NewPoly(), r.NewPoly(), r.NewPoly()
		for d := range c.digits(spec.limbs) {
			c.uniformQP(pub, a, r)
			sec.noise(e)
			liftSmall(b.Q, e, r.RingQ)
			liftSmall(b.P, e, r.RingP)
			for i := d * c.SpecialLimbs(); i < min((d+1)*c.SpecialLimbs(), spec.limbs); i++ {
				// The key is in Montgomery form already.
				r.RingQ.SubRings[i].MulScalarMontgomeryThenAdd(in.Coeffs[i], c.pModQ[i], b.Q.Coeffs[i])
			}
			// Both halves are meant times 2^32, the form that products want.
			r.MulScalar(b, 1<<32, b)
			r.MulCoeffsMontgomery(a, under, t)
			r.Sub(b, t, b)
			for _, row := range append(b.Q.Coeffs, b.P.Coeffs...) {
				out = pack(out, row)
			}
		}
	}
	return c.packPublic(out, sk, subSeed(public, len(specs)), subSeed(noise, len(specs)))
}

// packPublic appends the key under which owners encrypt zero.
func (c *Context) packPublic(out []byte, sk *SecretKey, public, noise Seed) []byte {
	r := c.at(c.FinalLimbs())
	a, b, t := r.NewPoly(), r.NewPoly(), r.NewPoly()
	c.uniformQ(newStream(public), a)
	e := make(small, c.N())
	newStream(noise).noise(e)
	liftSmall(b, e, r)
	r.MulCoeffsMontgomery(a, lowerPoly(sk.full.Q, c.FinalLimbs()), t)
	r.Sub(b, t, b)
	for _, row := range b.Coeffs {
		out = pack(out, row)
	}
	return out
}

func lowerPoly(p ring.Poly, limbs int) ring.Poly { return ring.Poly{Coeffs: p.Coeffs[:limbs]} }

func (c *Context) uniformQ(st *stream, p ring.Poly) {
	for i, row := range p.Coeffs {
		st.uniform(row, c.ringQ.SubRings[i].Modulus)
	}
}

func (c *Context) uniformQP(st *stream, p ringqp.Poly, r *ringqp.Ring) {
	c.uniformQ(st, p.Q)
	for i, row := range p.P.Coeffs {
		st.uniform(row, r.RingP.SubRings[i].Modulus)
	}
}

// Keys are a peer's evaluation keys, ready for use. They are safe for
// concurrent use.
type Keys struct {
	c      *Context
	relin  *switchKey
	galois map[uint64]*switchKey
	public [2]ring.Poly // transformed, Montgomery form
}

// UnpackKeys reads packed evaluation keys of KeysSize bytes. It fails with
// ErrRange. What they hold can't be checked.
func (c *Context) UnpackKeys(packed []byte, public Seed) (*Keys, error) {
	specs := c.keySpecs()
	k := &Keys{c: c, galois: map[uint64]*switchKey{}}
	for n, spec := range specs {
		r := c.ringQP(spec.limbs)
		pub := newStream(subSeed(public, n))
		key := &switchKey{}
		p := r.NewPoly()
		for range c.digits(spec.limbs) {
			var err error
			if packed, err = unpackPoly(p.Q, packed, r.RingQ); err != nil {
				return nil, err
			}
			if packed, err = unpackPoly(p.P, packed, r.RingP); err != nil {
				return nil, err
			}
			key.rows[0] = append(key.rows[0], narrow(p))
			c.uniformQP(pub, p, r)
			key.rows[1] = append(key.rows[1], narrow(p))
		}
		if spec.galois == 0 {
			k.relin = key
		} else {
			k.galois[spec.galois] = key
		}
	}
	r := c.at(c.FinalLimbs())
	for i := range k.public {
		k.public[i] = r.NewPoly()
	}
	if _, err := unpackPoly(k.public[0], packed, r); err != nil {
		return nil, err
	}
	c.uniformQ(newStream(subSeed(public, len(specs))), k.public[1])
	for _, p := range k.public {
		r.MForm(p, p)
	}
	return k, nil
}

// narrow copies the rows of a polynomial to 32-bit residues.
func narrow(p ringqp.Poly) (rows [][]uint32) {
	for _, coeffs := range [][][]uint64{p.Q.Coeffs, p.P.Coeffs} {
		for _, row := range coeffs {
			out := make([]uint32, len(row))
			for i, v := range row {
				out[i] = uint32(v)
			}
			rows = append(rows, out)
		}
	}
	return rows
}

func unpackPoly(p ring.Poly, packed []byte, r *ring.Ring) (rest []byte, err error) {
	for i, row := range p.Coeffs {
		if packed, err = unpack(row, packed, r.SubRings[i].Modulus); err != nil {
			return nil, err
		}
	}
	return packed, nil
}

// canonicalNorm is the largest absolute value of p at the roots of X^N+1.
func (c *Context) canonicalNorm(p small) float64 {
	v := make([]float64, len(p))
	for i, x := range p {
		v[i] = float64(x)
	}
	return canonicalNorm(v)
}

// LogQP returns the logarithm of the modulus that security is counted with.
func (c *Context) LogQP() float64 {
	v := new(big.Float).SetInt(c.ringQ.ModulusAtLevel[c.Limbs()-1])
	v.Mul(v, new(big.Float).SetInt(c.ringP.ModulusAtLevel[c.SpecialLimbs()-1]))
	m := new(big.Float)
	exp := v.MantExp(m)
	f, _ := m.Float64()
	return float64(exp) + math.Log2(f)
}
