package he

import (
	"math"
	"math/big"

	"github.com/tuneinsight/lattigo/v5/core/rlwe"
	"github.com/tuneinsight/lattigo/v5/ring"
)

// Key switching with an auxiliary modulus P and digits of several limbs (Han and
// Ki, CT-RSA 2020, Section 3): a polynomial is cut into digits of SpecialLimbs
// limbs, each digit extended to all limbs of Q and P, multiplied with the key's
// row for it, and the sum divided by P. Lattigo has this too; here the kernels
// do it in a third of the time. Its rings, which hold the transforms, are used.

// switchKey leads from one key to the asker's: for each half and digit the
// residues modulo Q's limbs and P's, times 2^32 (Montgomery form), transformed.
type switchKey struct {
	rows [2][][][]uint32
}

// conversion extends residues modulo few primes to others. A residue x modulo
// the product D of the sources, taken centred, is Σ y_i·(D/q_i) - v·D, with
// y_i = x·(D/q_i)^-1 mod q_i and v = round(Σ y_i/q_i).
type conversion struct {
	sources, targets int
	// For each source: the factor of y_i as a pair, q_i, the bits of 1/q_i; then
	// for each target p: p, p^-1 mod 2^32, the D/q_i and -D mod p in Montgomery
	// form.
	constants []uint64
	// For each target, where its row lies in the destination, in residues.
	offsets []int
}

// sourceWords are the constants of a source; a target has 3 and one a source.
const sourceWords = 3

func newConversion(sources, targets []uint64, offsets []int) *conversion {
	v := &conversion{sources: len(sources), targets: len(targets), offsets: offsets}
	product := big.NewInt(1)
	for _, q := range sources {
		product.Mul(product, new(big.Int).SetUint64(q))
	}
	mod := func(x *big.Int, q uint64) uint64 { return new(big.Int).Mod(x, new(big.Int).SetUint64(q)).Uint64() }
	var parts []*big.Int
	for _, q := range sources {
		part := new(big.Int).Div(product, new(big.Int).SetUint64(q))
		parts = append(parts, part)
		v.constants = append(v.constants, pair(invMod(mod(part, q), q), q), q, math.Float64bits(1/float64(q)))
	}
	for _, p := range targets {
		v.constants = append(v.constants, p, inverse32(p))
		for _, part := range parts {
			v.constants = append(v.constants, mod(part, p)<<32%p)
		}
		v.constants = append(v.constants, (p-mod(product, p))<<32%p)
	}
	return v
}

// inverse32 is p^-1 mod 2^32 for odd p, by Newton's iteration.
func inverse32(p uint64) uint64 {
	x := uint32(p)
	for range 5 {
		x *= 2 - uint32(p)*x
	}
	return uint64(x)
}

// conversions are those of one number of limbs.
type conversions struct {
	up   []*conversion // by digit, from it to all other limbs of Q and P
	down *conversion   // from P to Q
}

// newConversions precomputes for every number of limbs. Rows of digits lie as
// Q's limbs, then P's.
func (c *Context) newConversions() []conversions {
	q, p := c.ringQ.ModuliChain(), c.ringP.ModuliChain()
	out := make([]conversions, c.Limbs()+1)
	for limbs := 1; limbs <= c.Limbs(); limbs++ {
		for d := range c.digits(limbs) {
			lo, hi := d*c.SpecialLimbs(), min((d+1)*c.SpecialLimbs(), limbs)
			var targets []uint64
			var offsets []int
			for i := range limbs {
				if i < lo || i >= hi {
					targets, offsets = append(targets, q[i]), append(offsets, i*c.N())
				}
			}
			for i := range p {
				targets, offsets = append(targets, p[i]), append(offsets, (c.Limbs()+i)*c.N())
			}
			out[limbs].up = append(out[limbs].up, newConversion(q[lo:hi], targets, offsets))
		}
		var offsets []int
		for i := range limbs {
			offsets = append(offsets, i*c.N())
		}
		out[limbs].down = newConversion(p, q[:limbs], offsets)
	}
	return out
}

// switcher holds the buffers of key switching.
type switcher struct {
	coeffs []uint64     // a polynomial's limbs in coefficients
	slabs  [][]uint64   // a digit's rows
	digits [][][]uint64 // by digit and limb of Q and P, rows of a slab or the input
	sums   [2][]uint64  // the sums over digits, by limb of Q and P
	lift   []uint64     // P's part, extended to Q
}

func (c *Context) newSwitcher() switcher {
	all := c.Limbs() + c.SpecialLimbs()
	s := switcher{coeffs: make([]uint64, max(c.Limbs(), c.SpecialLimbs())*c.N()), lift: make([]uint64, c.Limbs()*c.N())}
	for range c.digits(c.Limbs()) {
		s.slabs = append(s.slabs, make([]uint64, all*c.N()))
		s.digits = append(s.digits, make([][]uint64, all))
	}
	for i := range s.sums {
		s.sums[i] = make([]uint64, all*c.N())
	}
	return s
}

// decompose cuts a transformed polynomial into the worker's digits. They refer
// to its rows, which have to stay as they are while the digits are used.
func (w *Worker) decompose(p ring.Poly) {
	c, s := w.c, &w.switcher
	n, limbs := c.N(), len(p.Coeffs)
	for i, row := range p.Coeffs {
		c.ringQ.SubRings[i].INTT(row, s.coeffs[i*n:][:n])
	}
	for d, conv := range c.conversions[limbs].up {
		lo, hi := d*c.SpecialLimbs(), min((d+1)*c.SpecialLimbs(), limbs)
		convert(c.features, conv, s.slabs[d], s.coeffs[lo*n:hi*n], n)
		for i := range s.digits[d] {
			row := s.slabs[d][i*n:][:n]
			switch {
			case lo <= i && i < hi:
				row = p.Coeffs[i]
			case i < limbs:
				c.ringQ.SubRings[i].NTT(row, row)
			case i >= c.Limbs():
				c.ringP.SubRings[i-c.Limbs()].NTT(row, row)
			}
			s.digits[d][i] = row
		}
	}
}

// switchTo sets dst to the product of the worker's digits, of a polynomial of as
// many limbs, with the key, plus what is in plus (which may be dst, or hold no
// limbs: zero).
func (w *Worker) switchTo(dst, plus [2]ring.Poly, key *switchKey) {
	c, s := w.c, &w.switcher
	n, limbs := c.N(), len(dst[0].Coeffs)
	digits := c.digits(limbs)
	for h, sum := range s.sums {
		rows := key.rows[h]
		for i := range c.Limbs() + c.SpecialLimbs() {
			at, q := i, uint64(0)
			switch {
			case i < limbs:
				q = c.ringQ.SubRings[i].Modulus
			case i < c.Limbs():
				continue
			default:
				// A key of fewer limbs has P's rows right after them.
				at = len(rows[0]) - c.SpecialLimbs() + i - c.Limbs()
				q = c.ringP.SubRings[i-c.Limbs()].Modulus
			}
			var x [3][]uint64
			var k [3][]uint32
			for d := range digits {
				x[d], k[d] = s.digits[d][i], rows[d][at]
			}
			sumProducts(c.features, sum[i*n:][:n], x[:digits], k[:digits], q)
		}
		special := sum[c.Limbs()*n:]
		for i, sub := range c.ringP.SubRings {
			sub.INTT(special[i*n:][:n], s.coeffs[i*n:][:n])
		}
		convert(c.features, c.conversions[limbs].down, s.lift, s.coeffs[:c.SpecialLimbs()*n], n)
		for i := range limbs {
			sub, row := c.ringQ.SubRings[i], s.lift[i*n:][:n]
			sub.NTT(row, row)
			var more []uint64
			if len(plus[h].Coeffs) > 0 {
				more = plus[h].Coeffs[i]
			}
			subtractScale(c.features, dst[h].Coeffs[i], sum[i*n:][:n], row, more, c.pInverse[i], sub.Modulus)
		}
	}
}

// automorphism sets dst to the image of src, whose second half the worker's
// digits are. dst is not src.
func (w *Worker) automorphism(dst, src *rlwe.Ciphertext, galois uint64) {
	n := limbs(src)
	tmp := lower(w.tmp, n)
	w.switchTo([2]ring.Poly(tmp.Value), [2]ring.Poly{src.Value[0], {}}, w.keys.galois[galois])
	permutation := w.c.permutations[galois]
	for h, p := range tmp.Value {
		for i, row := range p.Coeffs {
			permute(dst.Value[h].Coeffs[i], row, permutation)
		}
	}
}

// rotate is automorphism without digits at hand.
func (w *Worker) rotate(dst, src *rlwe.Ciphertext, galois uint64) {
	w.decompose(src.Value[1])
	w.automorphism(dst, src, galois)
}

func permute(dst, src []uint64, permutation []uint32) {
	dst = dst[:len(permutation)]
	for i, at := range permutation {
		dst[i] = src[at]
	}
}
