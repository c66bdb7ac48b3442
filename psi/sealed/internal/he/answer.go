package he

import (
	"github.com/tuneinsight/lattigo/v5/core/rlwe"
	"github.com/tuneinsight/lattigo/v5/ring"
)

// blind returns r0·t + Σ r_k·check_k with fresh r: non-zero residues for the
// threshold's slots, uniform ones for the check's. For an honest query a slot
// is zero where t is and otherwise uniform and non-zero, whatever t holds; for
// any other query every slot is uniform.
func (w *Worker) blind(t *rlwe.Ciphertext, p *Prepared, st *stream) *rlwe.Ciphertext {
	c := w.c
	r := c.at(c.FinalLimbs())
	plain := r.NewPoly()
	out := c.newCiphertext(c.FinalLimbs())
	add := func(ct *rlwe.Ciphertext) {
		c.liftNTT(plain, w.coeffs)
		r.MForm(plain, plain)
		for i := range out.Value {
			r.MulCoeffsMontgomeryThenAdd(plain, ct.Value[i], out.Value[i])
		}
	}
	st.nonzeroT(w.slots)
	c.encodeT(w.coeffs, w.slots)
	add(t)
	for _, z := range p.checks {
		// Uniform slots are a polynomial with uniform coefficients.
		st.uniformT(w.slots)
		for i, v := range w.slots {
			w.coeffs[i] = uint64(v)
		}
		add(z)
	}
	return out
}

// finish hides how the ciphertext came to be: an encryption of zero makes its
// second half pseudorandom, flooding drowns its noise, and all primes but one
// are divided away. The result is in coefficients.
func (w *Worker) finish(ct *rlwe.Ciphertext, st *stream) {
	c := w.c
	r := c.at(c.FinalLimbs())
	u, e := make(small, c.N()), make(small, c.N())
	st.ternary(u)
	poly := r.NewPoly()
	liftSmall(poly, u, r)
	for i := range ct.Value {
		r.MulCoeffsMontgomeryThenAdd(poly, w.keys.public[i], ct.Value[i])
	}
	for i, p := range ct.Value {
		st.noise(e)
		liftSmall(poly, e, r)
		r.Add(p, poly, p)
		r.INTT(p, p)
		if i == 0 {
			st.flood(p.Coeffs, primes[:c.FinalLimbs()], c.FloodBits())
		}
		r.DivRoundByLastModulusMany(c.FinalLimbs()-1, p, lowerPoly(w.buf, c.FinalLimbs()), p)
	}
	clear(u)
	clear(e)
	for i := range ct.Value {
		ct.Value[i] = ring.Poly{Coeffs: ct.Value[i].Coeffs[:1]}
	}
}
