package he

import "fmt"

// windowPoly evaluates the monic polynomial that vanishes on the accepted
// scores and nowhere else, in few products.
//
// With x = score - centre the roots come in pairs ±a, so the polynomial is one
// in y = x². For eight pairs it has degree 8 in y and takes three products
// after y:
//
//	z = y² + a·y,   A = z² + u1·y,   B = z² + v2·z + v1·y + v0
//	P = A·B + w2·z + w1·y + w0
//
// where a is a quarter of y⁷'s coefficient, so that P's expansion in powers of
// z with linear coefficients has no y·z³ term; the rest is linear. (z² is one
// product: four with y, at depth 4.) For sixteen pairs P is the product of two
// such octics that share z: the pairs are split by the Thue–Morse sequence,
// whose halves have equal sums of squares (Prouhet 1851), so their a is equal.
type windowPoly struct {
	a     uint64
	parts []octic
}

// octic is a degree-8 polynomial in y in the form above.
type octic struct {
	u1, v2, v1, v0, w2, w1, w0 uint64
}

// centre returns the middle of the window that begins at a threshold, mod T.
// All else about the window's polynomial is the same for every threshold.
func (s Shape) centre(threshold int) uint64 {
	return mulMod(uint64(2*threshold+s.Window()-1), invMod(2, T), T)
}

func newWindowPoly(window int) (*windowPoly, error) {
	half := invMod(2, T)
	w := &windowPoly{}
	sets := [2][]uint64{}
	for i := range window / 2 {
		r := mulMod(uint64(2*i+1), half, T) // half-odd distance from the centre
		which := 0
		if window == 32 && onesParity(i) {
			which = 1
		}
		sets[which] = append(sets[which], mulMod(r, r, T))
	}
	for _, roots := range sets {
		if len(roots) == 0 {
			continue
		}
		o, a, err := newOctic(roots)
		if err != nil {
			return nil, err
		}
		if len(w.parts) > 0 && a != w.a {
			return nil, fmt.Errorf("sealed: the halves of a window of %d scores differ", window)
		}
		w.a = a
		w.parts = append(w.parts, o)
	}
	return w, nil
}

func onesParity(i int) bool {
	p := false
	for ; i > 0; i &= i - 1 {
		p = !p
	}
	return p
}

// newOctic solves for the form of the polynomial with these eight roots.
func newOctic(roots []uint64) (octic, uint64, error) {
	p := []uint64{1}
	for _, r := range roots {
		p = polyMul(p, []uint64{(T - r) % T, 1})
	}
	a := mulMod(p[7], invMod(4, T), T)
	z := []uint64{0, a, 1}
	// Digits of p in base z, each linear in y.
	var alpha, beta [4]uint64
	for i := range 4 {
		var rem []uint64
		p, rem = polyDiv(p, z)
		beta[i], alpha[i] = rem[0], rem[1]
	}
	if alpha[3] != 0 || len(p) != 1 || p[0] != 1 {
		panic("sealed: the octic's expansion is wrong")
	}
	if beta[3] == 0 {
		return octic{}, 0, fmt.Errorf("sealed: this window's polynomial has no short form")
	}
	var o octic
	o.v2 = beta[3]
	o.u1 = mulMod(alpha[1], invMod(beta[3], T), T)
	o.v1 = sub(alpha[2], o.u1)
	o.v0 = beta[2]
	// A·B leaves u1·v1·y² + u1·v0·y beyond the matched terms; y² = z - a·y.
	uv := mulMod(o.u1, o.v1, T)
	o.w2 = sub(beta[1], uv)
	o.w1 = sub(alpha[0], sub(mulMod(o.u1, o.v0, T), mulMod(uv, a, T)))
	o.w0 = beta[0]
	return o, a, nil
}

func sub(a, b uint64) uint64 { return (a + T - b) % T }

func polyMul(a, b []uint64) []uint64 {
	out := make([]uint64, len(a)+len(b)-1)
	for i, x := range a {
		for j, y := range b {
			out[i+j] = (out[i+j] + mulMod(x, y, T)) % T
		}
	}
	return out
}

// polyDiv divides by a monic quadratic.
func polyDiv(a, b []uint64) (quo, rem []uint64) {
	rem = append([]uint64(nil), a...)
	quo = make([]uint64, len(a)-2)
	for i := len(quo) - 1; i >= 0; i-- {
		q := rem[i+2]
		quo[i] = q
		for j := range 3 {
			rem[i+j] = sub(rem[i+j], mulMod(q, b[j], T))
		}
	}
	return quo, rem[:2]
}
