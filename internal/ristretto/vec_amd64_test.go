//go:build !purego

package ristretto

import (
	"math/big"
	"math/rand/v2"
	"testing"
)

var prime = new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), 255), big.NewInt(19))

// limbBound is what all limbs in memory are below.
const limbBound = 1<<51 + 1<<17

func needLanes(t *testing.T) {
	if !haveLanes {
		t.Skip("this machine has no AVX-512 IFMA")
	}
}

// extreme sets the lanes to what kernels must bear: limbs up to the bound.
func (v *vec) extreme(r *rand.Rand) {
	special := []uint64{0, 1, 18, 19, limbMask - 19, limbMask - 18, limbMask - 1, limbMask, limbMask + 1, limbBound - 1}
	for l := range v {
		for i := range v[l] {
			v[l][i] = r.Uint64N(limbBound)
			if r.IntN(3) == 0 {
				v[l][i] = special[r.IntN(len(special))]
			}
		}
	}
	// All limbs as large as can be, and the prime itself.
	for l := range v {
		v[l][0] = limbBound - 1
		v[l][1] = limbMask
	}
	v[0][1] = limbMask - 18
}

func (v *vec) big(lane int) *big.Int {
	x := new(big.Int)
	for l := 4; l >= 0; l-- {
		x.Lsh(x, 51).Add(x, new(big.Int).SetUint64(v[l][lane]))
	}
	return x
}

// sameVec compares values modulo the prime, and bounds.
func sameVec(t *testing.T, what string, v *vec, bound uint64, want func(lane int) *big.Int) {
	t.Helper()
	for lane := range 8 {
		got, w := v.big(lane), want(lane)
		if new(big.Int).Mod(got.Sub(got, w), prime).Sign() != 0 {
			t.Fatalf("%s, lane %d: wrong result", what, lane)
		}
		for l := range v {
			if v[l][lane] >= bound {
				t.Fatalf("%s, lane %d: limb %d is %#x", what, lane, l, v[l][lane])
			}
		}
	}
}

func TestFieldKernels(t *testing.T) {
	needLanes(t)
	r := rand.New(rand.NewPCG(1, 2))
	for range 300 {
		var a, b wide
		for v := range a {
			a[v].extreme(r)
			b[v].extreme(r)
		}
		times := 1 + r.IntN(3)
		for what, op := range map[string]struct {
			run  func(w *wide)
			want func(x, y *big.Int) *big.Int
		}{
			"product":    {func(w *wide) { w.mul(&a, &b) }, func(x, y *big.Int) *big.Int { return x.Mul(x, y) }},
			"sum":        {func(w *wide) { w.add(&a, &b) }, func(x, y *big.Int) *big.Int { return x.Add(x, y) }},
			"difference": {func(w *wide) { w.sub(&a, &b) }, func(x, y *big.Int) *big.Int { return x.Sub(x, y) }},
			"canonical":  {func(w *wide) { w.canonical(&a) }, func(x, _ *big.Int) *big.Int { return x }},
			"square": {func(w *wide) { w.squareTimes(&a, times) }, func(x, _ *big.Int) *big.Int {
				return x.Exp(x, big.NewInt(1<<times), prime)
			}},
		} {
			var w wide
			op.run(&w)
			for v := range w {
				sameVec(t, what, &w[v], limbBound, func(lane int) *big.Int { return op.want(a[v].big(lane), b[v].big(lane)) })
				if what != "canonical" {
					continue
				}
				for lane := range 8 {
					if w[v].big(lane).Cmp(prime) >= 0 {
						t.Fatalf("lane %d of %d: canonical value is not below the prime", lane, v)
					}
				}
			}
		}
		product := a
		product.mul(&product, &product)
		var square wide
		square.square(&a)
		square.sub(&square, &product)
		if square.isZero() != allLanes {
			t.Fatal("a product with itself in place is not the square")
		}
	}
}

var allLanes = func() (m mask) {
	for v := range m {
		for i := range m[v] {
			m[v][i]--
		}
	}
	return m
}()

// coordinates returns four numbers of a lane.
func coordinates(a, b, c, d *vec, lane int) (w, x, y, z *big.Int) {
	return a.big(lane), b.big(lane), c.big(lane), d.big(lane)
}

func TestPointKernels(t *testing.T) {
	needLanes(t)
	mul := func(x, y *big.Int) *big.Int { return new(big.Int).Mul(x, y) }
	sum := func(x, y *big.Int) *big.Int { return new(big.Int).Add(x, y) }
	sub := func(x, y *big.Int) *big.Int { return new(big.Int).Sub(x, y) }
	two := big.NewInt(2)
	d2 := mul(big.NewInt(2*-121665), new(big.Int).ModInverse(big.NewInt(121666), prime))
	check := func(what string, p *point, efgh func(lane int) (e, f, g, h *big.Int), product bool) {
		t.Helper()
		for i, v := range []*vec{&p.x, &p.y, &p.z, &p.t} {
			if i == 3 && !product {
				continue
			}
			sameVec(t, what, v, limbBound, func(lane int) *big.Int {
				e, f, g, h := efgh(lane)
				return []*big.Int{mul(e, f), mul(g, h), mul(f, g), mul(e, h)}[i]
			})
		}
	}
	r := rand.New(rand.NewPCG(3, 4))
	for range 300 {
		// The formulas are polynomials: any numbers will do.
		p := &aligned[point](1)[0]
		for _, v := range []*vec{&p.x, &p.y, &p.z, &p.t} {
			v.extreme(r)
		}
		before := *p
		p.double(1)
		check("double", p, func(lane int) (e, f, g, h *big.Int) {
			x, y, z, _ := coordinates(&before.x, &before.y, &before.z, &before.t, lane)
			h = sum(mul(x, x), mul(y, y))
			g = sub(mul(y, y), mul(x, x))
			f = sub(mul(two, mul(z, z)), g)
			return mul(two, mul(x, y)), f, g, h
		}, true)
		twice := before
		twice.double(2)
		p.double(1)
		if twice != *p {
			t.Fatal("doubling twice is not doubling and doubling")
		}

		var q cached
		for i := range q {
			q[i].extreme(r)
		}
		// What is selected may be as large as an operand can be.
		for l := range q[3] {
			q[3][l][r.IntN(8)] = 1<<52 - 1
		}
		for _, product := range []bool{true, false} {
			*p = before
			p.add(&q, product)
			check("add", p, func(lane int) (e, f, g, h *big.Int) {
				x, y, z, t := coordinates(&before.x, &before.y, &before.z, &before.t, lane)
				plus, minus, twoZ, twoT := coordinates(&q[0], &q[1], &q[2], &q[3], lane)
				a, b := mul(sub(y, x), minus), mul(sum(y, x), plus)
				c, d := mul(t, twoT), mul(z, twoZ)
				return sub(b, a), sub(d, c), sum(d, c), sum(b, a)
			}, product)
		}
		q.set(&before)
		for i, v := range q {
			sameVec(t, "cache", &v, limbBound, func(lane int) *big.Int {
				x, y, z, t := coordinates(&before.x, &before.y, &before.z, &before.t, lane)
				return []*big.Int{sum(y, x), sub(y, x), mul(two, z), mul(t, d2)}[i]
			})
		}
	}
}

func TestSelectKernel(t *testing.T) {
	needLanes(t)
	r := rand.New(rand.NewPCG(5, 6))
	tab := &aligned[table](1)[0]
	for i := range tab.multiples {
		for j := range tab.multiples[i] {
			tab.multiples[i][j].extreme(r)
		}
	}
	for range 100 {
		digits := &tab.digits[0]
		for i := range digits {
			digits[i] = r.Int64N(17) - 8
		}
		selectIFMA(&tab.chosen[0][0][0], &tab.multiples[0][0][0][0], &digits[0])
		for i := range tab.chosen {
			sameVec(t, "selected", &tab.chosen[i], 1<<52, func(lane int) *big.Int {
				digit, from := digits[lane], i
				switch {
				case digit == 0:
					return big.NewInt([]int64{1, 1, 2, 0}[i])
				case digit < 0 && i < 2:
					digit, from = -digit, 1-i
				case digit < 0 && i == 3:
					x := tab.multiples[-digit-1][3].big(lane)
					return x.Neg(x)
				case digit < 0:
					digit = -digit
				}
				return tab.multiples[digit-1][from].big(lane)
			})
		}
	}
}

func TestSetDigits(t *testing.T) {
	var tab table
	_, ks := sample(t, 200)
	for _, k := range ks {
		tab.setDigits(3, &k)
		sum := new(big.Int)
		for i := len(tab.digits) - 1; i >= 0; i-- {
			digit := tab.digits[i][3]
			if digit < -8 || digit > 8 {
				t.Fatalf("digit %d is %d", i, digit)
			}
			sum.Lsh(sum, 4).Add(sum, big.NewInt(digit))
		}
		var b [ScalarSize]byte
		k.Encode(b[:])
		for i := range 16 {
			b[i], b[31-i] = b[31-i], b[i]
		}
		if sum.Cmp(new(big.Int).SetBytes(b[:])) != 0 {
			t.Fatal("the digits give another scalar")
		}
	}
}

func BenchmarkKernels(b *testing.B) {
	if !haveLanes {
		b.Skip("this machine has no AVX-512 IFMA")
	}
	w := &aligned[wide](1)[0]
	*w = wideD
	p := &aligned[point](1)[0]
	*p = *generator
	t := &aligned[table](1)[0]
	t.multiples[0].set(p)
	for _, k := range []struct {
		name string
		run  func()
	}{
		{"16 products", func() { w.mul(w, w) }},
		{"100 x 16 squares", func() { w.squareTimes(w, 100) }},
		{"4 x 8 doublings", func() { p.double(4) }},
		{"8 additions", func() { p.add(&t.multiples[0], false) }},
		{"8 selections", func() { selectIFMA(&t.chosen[0][0][0], &t.multiples[0][0][0][0], &t.digits[0][0]) }},
	} {
		b.Run(k.name, func(b *testing.B) {
			for b.Loop() {
				k.run()
			}
		})
	}
}
