package he

import (
	"github.com/tuneinsight/lattigo/v5/core/rlwe"
)

// QuerySize is the number of bytes of a packed query.
func (c *Context) QuerySize() int { return c.Limbs() * c.PackedPoly() }

// AnswerSize is the number of bytes of a packed answer to one block.
func (c *Context) AnswerSize() int { return 2 * c.PackedPoly() }

// position is where a group's symbol stands in the one-hot form: symbols are
// the slow index, so that rotations by multiples of Groups visit one group.
func (s Shape) position(group int, symbol uint8) int { return int(symbol)*s.Groups + group }

// OneHot returns the one-hot form of a sketch of Groups symbols, each under
// Symbols, repeated over all slots.
func (c *Context) OneHot(sketch []uint8) []uint32 {
	slots := make([]uint32, c.N())
	d := c.Dimension()
	for g, v := range sketch {
		for i := c.position(g, v); i < len(slots); i += d {
			slots[i] = 1
		}
	}
	return slots
}

// Encrypt encrypts N slots as a query and returns the half that is not uniform.
func (c *Context) Encrypt(sk *SecretKey, slots []uint32, public, noise Seed) []byte {
	r := c.at(c.Limbs())
	a, b, t := r.NewPoly(), r.NewPoly(), r.NewPoly()
	c.uniformQ(newStream(public), a)
	e := make(small, c.N())
	newStream(noise).noise(e)
	liftSmall(b, e, r)
	r.MulCoeffsMontgomery(a, sk.full.Q, t)
	r.Sub(b, t, b)
	m := make([]uint64, c.N())
	c.encodeT(m, slots)
	c.liftNTT(t, m)
	c.mulTInv(t.Coeffs)
	r.Add(b, t, b)
	out := make([]byte, 0, c.QuerySize())
	for _, row := range b.Coeffs {
		out = pack(out, row)
	}
	return out
}

// mulTInv multiplies by the inverse of T modulo the product of all limbs.
func (c *Context) mulTInv(coeffs [][]uint64) {
	inv := c.tInv[len(coeffs)-1]
	for i, row := range coeffs {
		s := c.ringQ.SubRings[i]
		s.MulScalarMontgomery(row, mform(inv[i], s.Modulus), row)
	}
}

// mform is v·2^64 mod q.
func mform(v, q uint64) uint64 { return mulMod(v, pow64(q), q) }

// Query is an encrypted query.
type Query struct {
	ct        *rlwe.Ciphertext
	threshold int
}

// UnpackQuery reads a packed query of QuerySize bytes, whose slots open from
// the threshold on, between the shape's and Groups. It fails with ErrRange.
func (c *Context) UnpackQuery(packed []byte, public Seed, threshold int) (*Query, error) {
	ct := c.newCiphertext(c.Limbs())
	if _, err := unpackPoly(ct.Value[0], packed, c.ringQ); err != nil {
		return nil, err
	}
	c.uniformQ(newStream(public), ct.Value[1])
	return &Query{ct, threshold}, nil
}

// DecryptQuery returns the slots of a query.
func (c *Context) DecryptQuery(sk *SecretKey, q *Query) []uint32 {
	p := c.phase(sk, q.ct)
	slots := make([]uint32, c.N())
	c.decodeT(slots, p)
	return slots
}

// phase returns T·(c0 + c1·s), centred mod the first prime, mod T: the message.
func (c *Context) phase(sk *SecretKey, ct *rlwe.Ciphertext) []uint64 {
	s := c.ringQ.SubRings[0]
	p := make([]uint64, c.N())
	s.MulCoeffsMontgomery(ct.Value[1].Coeffs[0], sk.full.Q.Coeffs[0], p)
	s.Add(p, ct.Value[0].Coeffs[0], p)
	s.INTT(p, p)
	c.reduceT(p)
	return p
}

// reduceT multiplies residues mod the first prime by T and reduces the centred
// product mod T.
func (c *Context) reduceT(p []uint64) {
	q := c.ringQ.SubRings[0].Modulus
	for i, v := range p {
		v = v * T % q
		if v > q/2 {
			p[i] = (T - (q-v)%T) % T
		} else {
			p[i] = v % T
		}
	}
}

// DecryptAnswer reads a packed answer of AnswerSize bytes and returns, for each
// slot, the residue it holds: zero where the score is in the window. It fails
// with ErrRange.
func (c *Context) DecryptAnswer(sk *SecretKey, packed []byte) ([]uint32, error) {
	s := c.ringQ.SubRings[0]
	c0, c1 := make([]uint64, c.N()), make([]uint64, c.N())
	rest, err := unpack(c0, packed, s.Modulus)
	if err != nil {
		return nil, err
	}
	if _, err := unpack(c1, rest, s.Modulus); err != nil {
		return nil, err
	}
	s.NTT(c1, c1)
	s.MulCoeffsMontgomery(c1, sk.full.Q.Coeffs[0], c1)
	s.INTT(c1, c1)
	s.Add(c0, c1, c0)
	c.reduceT(c0)
	slots := make([]uint32, c.N())
	c.decodeT(slots, c0)
	return slots, nil
}

// FromOneHot returns the sketch whose one-hot form the first slots are; where
// they are none, some sketch.
func (c *Context) FromOneHot(slots []uint32) []uint8 {
	sketch := make([]uint8, c.Groups)
	for g := range sketch {
		for v := range c.Symbols {
			if slots[c.position(g, uint8(v))] == 1 {
				sketch[g] = uint8(v)
			}
		}
	}
	return sketch
}
