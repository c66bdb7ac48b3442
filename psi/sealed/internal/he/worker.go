package he

import (
	"github.com/tuneinsight/lattigo/v5/core/rlwe"
	"github.com/tuneinsight/lattigo/v5/ring"
)

// A Worker holds the buffers of one goroutine, about 20 MB, and evaluates the
// circuit under the keys that Use names. It is not safe for concurrent use.
type Worker struct {
	c        *Context
	keys     *Keys
	switcher switcher
	buf      ring.Poly
	mont     [2]ring.Poly
	third    ring.Poly
	tmp      *rlwe.Ciphertext
	spare    *rlwe.Ciphertext
	coeffs   []uint64
	slots    []uint32
}

// Worker returns a worker, without keys, that was released before or is new.
func (c *Context) Worker() *Worker {
	if w, ok := c.workers.Get().(*Worker); ok {
		return w
	}
	r := c.at(c.Limbs())
	return &Worker{
		c: c, switcher: c.newSwitcher(), buf: r.NewPoly(), mont: [2]ring.Poly{r.NewPoly(), r.NewPoly()}, third: r.NewPoly(),
		tmp: c.newCiphertext(c.Limbs()), spare: c.newCiphertext(c.Limbs()),
		coeffs: make([]uint64, c.N()), slots: make([]uint32, c.N()),
	}
}

// Use makes the worker evaluate under these keys from now on.
func (w *Worker) Use(k *Keys) { w.keys = k }

// Release hands the worker back for others to use.
func (w *Worker) Release() {
	w.keys = nil
	w.c.workers.Put(w)
}

// scaled is a ciphertext whose slots hold its message times scale mod T.
type scaled struct {
	*rlwe.Ciphertext
	scale uint64
}

func (v scaled) lower(limbs int) scaled { return scaled{lower(v.Ciphertext, limbs), v.scale} }

// rescale divides by the last prime: the noise shrinks by it, down to the
// rounding's own.
func (w *Worker) rescale(v scaled) scaled {
	n := limbs(v.Ciphertext)
	r := w.c.at(n)
	for _, p := range v.Value {
		r.DivRoundByLastModulusNTT(p, lowerPoly(w.buf, n), p)
	}
	q := w.c.ringQ.SubRings[n-1].Modulus % T
	return scaled{lower(v.Ciphertext, n-1), mulMod(v.scale, invMod(q, T), T)}
}

// centred is a residue mod T, taken centred, mod q.
func centred(v, q uint64) uint64 {
	if v > T/2 {
		return q - (T - v)
	}
	return v
}

// addTerm adds k·u to v, where k is a residue mod T; both count in v's scale.
func (w *Worker) addTerm(v, u scaled, k uint64) {
	k = mulMod(k, mulMod(v.scale, invMod(u.scale, T), T), T)
	for i := range limbs(v.Ciphertext) {
		s := w.c.ringQ.SubRings[i]
		m := mform(centred(k, s.Modulus), s.Modulus)
		for j := range v.Value {
			s.MulScalarMontgomeryThenAdd(u.Value[j].Coeffs[i], m, v.Value[j].Coeffs[i])
		}
	}
}

// addConstant adds the residue k mod T to every slot.
func (w *Worker) addConstant(v scaled, k uint64) {
	k = mulMod(k, v.scale, T)
	inv := w.c.tInv[limbs(v.Ciphertext)-1]
	for i, row := range v.Value[0].Coeffs {
		s := w.c.ringQ.SubRings[i]
		s.AddScalar(row, mulMod(centred(k, s.Modulus), inv[i], s.Modulus), row)
	}
}

// toFactor sets dst to p·T in Montgomery form, ready to be a product's factor.
func (w *Worker) toFactor(dst, p ring.Poly) {
	for i, row := range p.Coeffs {
		s := w.c.ringQ.SubRings[i]
		s.MulScalarMontgomery(row, mform(mform(T, s.Modulus), s.Modulus), dst.Coeffs[i])
	}
}

// tensor sets d to the three parts of the product of a and b.
func (w *Worker) tensor(d [3]ring.Poly, a, b *rlwe.Ciphertext) {
	n := limbs(a)
	r := w.c.at(n)
	m0, m1 := lowerPoly(w.mont[0], n), lowerPoly(w.mont[1], n)
	w.toFactor(m0, a.Value[0])
	w.toFactor(m1, a.Value[1])
	r.MulCoeffsMontgomery(m0, b.Value[0], d[0])
	r.MulCoeffsMontgomery(m0, b.Value[1], d[1])
	r.MulCoeffsMontgomeryThenAdd(m1, b.Value[0], d[1])
	r.MulCoeffsMontgomery(m1, b.Value[1], d[2])
}

// relinearize adds the third part of a product, as a part of s, to the first
// two, in place.
func (w *Worker) relinearize(ct *rlwe.Ciphertext, third ring.Poly) {
	w.decompose(third)
	w.switchTo([2]ring.Poly(ct.Value), [2]ring.Poly(ct.Value), w.keys.relin)
}

// product returns a·b without dividing: lower terms are added first.
func (w *Worker) product(a, b scaled) scaled {
	n := limbs(a.Ciphertext)
	out := w.c.newCiphertext(n)
	third := lowerPoly(w.third, n)
	w.tensor([3]ring.Poly{out.Value[0], out.Value[1], third}, a.Ciphertext, b.Ciphertext)
	w.relinearize(out, third)
	return scaled{out, mulMod(a.scale, b.scale, T)}
}

func clone(v scaled) scaled { return scaled{v.CopyNew(), v.scale} }

// threshold returns, at FinalLimbs, a ciphertext that is zero in the slots
// whose score is in the window that begins at the threshold, from the inner
// products before their division.
func (w *Worker) threshold(acc *rlwe.Ciphertext, threshold int) *rlwe.Ciphertext {
	p := w.c.window
	x := scaled{acc, 1}
	w.addConstant(x, T-w.c.centre(threshold))
	x = w.rescale(x)
	y := w.rescale(w.product(x, x))
	z := w.product(y, y)
	w.addTerm(z, y, p.a)
	z = w.rescale(z)
	square := w.product(z, z)
	y, n := y.lower(limbs(square.Ciphertext)), limbs(square.Ciphertext)
	var parts []scaled
	for _, o := range p.parts {
		a, b := clone(square), clone(square)
		w.addTerm(a, y, o.u1)
		w.addTerm(b, z, o.v2)
		w.addTerm(b, y, o.v1)
		w.addConstant(b, o.v0)
		part := w.product(w.rescale(a), w.rescale(b))
		w.addTerm(part, z.lower(n-1), o.w2)
		w.addTerm(part, y.lower(n-1), o.w1)
		w.addConstant(part, o.w0)
		parts = append(parts, w.rescale(part))
	}
	out := parts[0]
	if len(parts) == 2 {
		out = w.rescale(w.product(parts[0], parts[1]))
	}
	return out.Ciphertext
}
