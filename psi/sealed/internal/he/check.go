package he

import (
	"github.com/tuneinsight/lattigo/v5/core/rlwe"
	"github.com/tuneinsight/lattigo/v5/ring"
)

// The well-formedness check. A query q is honest when every slot is 0 or 1,
// each group of every sketch in it sums to 1, it repeats with the dimension d,
// and both rows agree. Each of these is a residue that is zero in every slot:
//
//	q_i² - q_i,   Σ_v q_(i+vK) - 1,   q_i - q_(i+d),   q_(0,i) - q_(1,i)
//
// A random linear combination of all of them, over all slots, is zero for an
// honest query and uniform mod T for any other. There are checkClasses such
// combinations, independent of each other: the slots congruent to c mod
// checkClasses hold the terms of the c'th, which the query's first rotations
// bring there, and are summed up. The last three constraints are linear, so
// their combination is worked out in the clear as one weight a slot.
const checkClasses = 4

// checksUsed is how many of the combinations each answer carries. An answer
// slot hides a malformed query unless all of its own are zero, at 2^-48; the
// four sets of three that occur make that at most 2^-46.
const checksUsed = 3

// checkWeights are the plaintexts of a check: the quadratic and linear weights
// of each of the rotations 0 to checkClasses-1 of the query, and the constants.
type checkWeights struct {
	quadratic, linear [checkClasses][]uint32
	constant          [checkClasses]uint32
}

// newCheckWeights draws the random combinations.
func (c *Context) newCheckWeights(st *stream) *checkWeights {
	n, cols, d := c.N(), c.N()/2, c.Dimension()
	w := &checkWeights{}
	for j := range checkClasses {
		w.quadratic[j] = make([]uint32, n)
		st.uniformT(w.quadratic[j])
		w.linear[j] = make([]uint32, n)
	}
	group, period, rows := make([]uint32, n), make([]uint32, n), make([]uint32, cols)
	weight := make([]uint32, n)
	for class := range checkClasses {
		st.uniformT(group)
		st.uniformT(period)
		st.uniformT(rows)
		clear(weight)
		var sum uint64
		for i := range n {
			row, col := i/cols*cols, i%cols
			sum += uint64(group[i])
			for v := range c.Symbols {
				addT(&weight[row+(col+v*c.Groups)%cols], group[i])
			}
			addT(&weight[i], period[i])
			addT(&weight[row+(col+d)%cols], T-period[i])
			if row == 0 {
				addT(&weight[i], rows[col])
				addT(&weight[cols+col], T-rows[col])
			}
		}
		w.constant[class] = uint32((T - sum%T) % T)
		// Slot i of rotation j holds slot i+j of the query: each slot of the
		// query meets the class once.
		for row := 0; row < n; row += cols {
			for i := class; i < cols; i += checkClasses {
				for j := range checkClasses {
					w.linear[j][row+i] = weight[row+(i+j)%cols]
				}
			}
		}
	}
	for j := range checkClasses {
		for i, v := range w.quadratic[j] {
			addT(&w.linear[j][i], T-v)
		}
	}
	return w
}

// addT adds residues mod T; v may be T.
func addT(a *uint32, v uint32) {
	s := *a + v
	for s >= T {
		s -= T
	}
	*a = s
}

// check returns the ciphertexts, at FinalLimbs, whose slots hold the
// combinations: in slot i of the k'th the one of class i+k mod checkClasses.
// rotated are the query's first rotations.
func (w *Worker) check(rotated []*rlwe.Ciphertext, st *stream) [checksUsed]*rlwe.Ciphertext {
	c := w.c
	weights := c.newCheckWeights(st)
	r := c.at(c.checkLimbs())
	sum := scaled{c.newCiphertext(c.checkLimbs()), 1}
	third := lowerPoly(w.third, c.checkLimbs())
	for _, row := range third.Coeffs {
		clear(row)
	}
	var d [3]ring.Poly
	for i := range d {
		d[i] = r.NewPoly()
	}
	plain := r.NewPoly()
	load := func(slots []uint32) {
		c.encodeT(w.coeffs, slots)
		c.liftNTT(plain, w.coeffs)
		r.MForm(plain, plain)
	}
	for j := range checkClasses {
		q := lower(rotated[j], c.checkLimbs())
		w.tensor(d, q, q)
		load(weights.quadratic[j])
		for i, dst := range [3]ring.Poly{sum.Value[0], sum.Value[1], third} {
			r.MulCoeffsMontgomeryThenAdd(plain, d[i], dst)
		}
		load(weights.linear[j])
		for i, dst := range sum.Value {
			r.MulCoeffsMontgomeryThenAdd(plain, q.Value[i], dst)
		}
	}
	w.relinearize(sum.Ciphertext, third)
	slots := make([]uint32, c.N())
	copy(slots, weights.constant[:])
	c.encodeT(w.coeffs, slots)
	c.liftNTT(plain, w.coeffs)
	c.mulTInv(plain.Coeffs)
	r.Add(sum.Value[0], plain, sum.Value[0])

	sum = w.rescale(w.rescale(sum))
	r = c.at(limbs(sum.Ciphertext))
	turned, twice := c.newCiphertext(limbs(sum.Ciphertext)), c.newCiphertext(limbs(sum.Ciphertext))
	add := func(ct *rlwe.Ciphertext) {
		r.Add(sum.Value[0], ct.Value[0], sum.Value[0])
		r.Add(sum.Value[1], ct.Value[1], sum.Value[1])
	}
	for k := checkClasses; k < c.N()/2; k *= 2 {
		if w.keys.galois[c.galois(k)] != nil {
			w.rotate(turned, sum.Ciphertext, c.galois(k))
			add(turned)
		} else {
			w.rotate(turned, sum.Ciphertext, c.galois(k/2))
			w.rotate(twice, turned, c.galois(k/2))
			add(twice)
		}
	}
	w.rotate(turned, sum.Ciphertext, c.galoisSwap())
	add(turned)
	// Rotated before the last division, none has more noise than its own.
	out := [checksUsed]*rlwe.Ciphertext{w.rescale(clone(sum)).Ciphertext}
	w.decompose(sum.Value[1])
	for k := 1; k < checksUsed; k++ {
		turned := scaled{c.newCiphertext(limbs(sum.Ciphertext)), sum.scale}
		w.automorphism(turned.Ciphertext, sum.Ciphertext, c.galois(k))
		out[k] = w.rescale(turned).Ciphertext
	}
	return out
}
