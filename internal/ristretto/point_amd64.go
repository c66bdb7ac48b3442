//go:build !purego

package ristretto

// point is a point of the curve in each of eight lanes: x/z and y/z, and t with
// x·y = z·t.
type point struct{ x, y, z, t vec }

// cached is a point prepared for addition: y + x, y - x, 2z and 2d·t.
type cached [4]vec

// points are two points in each of eight lanes, by coordinate.
type points struct{ x, y, z, t wide }

func (p *points) set(a, b *point) {
	p.x, p.y, p.z, p.t = wide{a.x, b.x}, wide{a.y, b.y}, wide{a.z, b.z}, wide{a.t, b.t}
}

func (p *points) get(a, b *point) {
	*a = point{p.x[0], p.y[0], p.z[0], p.t[0]}
	*b = point{p.x[1], p.y[1], p.z[1], p.t[1]}
}

func (p *point) double(n int) { doubleIFMA(&p.x[0][0], n) }

// add adds q to p. Without the product t of its coordinates p can only be
// doubled or encoded by others.
func (p *point) add(q *cached, product bool) {
	want := 0
	if product {
		want = 1
	}
	addPointIFMA(&p.x[0][0], &q[0][0][0], want)
}

func (q *cached) set(p *point) { cacheIFMA(&q[0][0][0], &p.x[0][0]) }

func (p *point) setIdentity() {
	*p = point{}
	for lane := range 8 {
		p.y[0][lane], p.z[0][lane] = 1, 1
	}
}

// table is room for a multiplication.
type table struct {
	// multiples are 1 to 8 times the points.
	multiples [8]cached
	chosen    cached
	// digits are the lanes' scalars: number i is for 16^i.
	digits [64][8]int64
}

// setDigits sets the digits of a lane, from -8 to 8, to those of k.
func (t *table) setDigits(lane int, k *Scalar) {
	var b [ScalarSize]byte
	k.Encode(b[:])
	carry := int64(0)
	for i := range t.digits {
		digit := int64(b[i/2]>>(4*(i%2))&15) + carry
		carry = 0
		// The last one is 0 or 1 and a carry: scalars are below 2^253.
		if i < len(t.digits)-1 {
			carry = (digit + 8) >> 4
		}
		t.digits[i][lane] = digit - carry<<4
	}
	clear(b[:])
}

// multiply multiplies p by the scalars of the digits. It does the same for all
// of them.
func (t *table) multiply(p *point) {
	t.multiples[0].set(p)
	for i := 1; i < len(t.multiples); i++ {
		p.add(&t.multiples[0], true)
		t.multiples[i].set(p)
	}
	p.setIdentity()
	for i := len(t.digits) - 1; i >= 0; i-- {
		if i < len(t.digits)-1 {
			p.double(4)
		}
		selectIFMA(&t.chosen[0][0][0], &t.multiples[0][0][0][0], &t.digits[i][0])
		p.add(&t.chosen, i == 0)
	}
}

// decode sets p to what the field elements s encode, all of them canonical and
// not negative, and returns the lanes where that is nothing (RFC 9496, Section
// 4.3.1).
func (p *points) decode(s *wide) (bad mask) {
	var u1, u2, u2Sqr, v, inverse, denX, denY wide
	v.square(s)
	u1.sub(&wideOne, &v)
	u2.add(&wideOne, &v)
	u2Sqr.square(&u2)
	// v = -(D·u1²) - u2²
	v.square(&u1)
	v.mul(&v, &wideD)
	v.negate(&v)
	v.sub(&v, &u2Sqr)
	u2Sqr.mul(&v, &u2Sqr)
	square := inverse.sqrtRatio(&wideOne, &u2Sqr)
	denX.mul(&inverse, &u2)
	denY.mul(&inverse, &denX)
	denY.mul(&denY, &v)
	p.x.add(s, s)
	p.x.mul(&p.x, &denX)
	p.x.abs(&p.x)
	p.y.mul(&u1, &denY)
	p.z = wideOne
	p.t.mul(&p.x, &p.y)
	bad, zero := p.t.negative(), p.y.isZero()
	bad.or(&zero)
	for v := range square {
		for i := range square[v] {
			square[v][i] = ^square[v][i]
		}
	}
	bad.or(&square)
	return bad
}

// encode sets s to the field elements that stand for p, canonical (RFC 9496,
// Section 4.3.2).
func (p *points) encode(s *wide) {
	var u1, u2, inverse, den1, den2, zInv, ix, iy, y wide
	u1.add(&p.z, &p.y)
	u2.sub(&p.z, &p.y)
	u1.mul(&u1, &u2)
	u2.mul(&p.x, &p.y)
	inverse.square(&u2)
	inverse.mul(&inverse, &u1)
	inverse.sqrtRatio(&wideOne, &inverse)
	den1.mul(&inverse, &u1)
	den2.mul(&inverse, &u2)
	zInv.mul(&den1, &den2)
	zInv.mul(&zInv, &p.t)
	ix.mul(&p.x, &wideSqrtM1)
	iy.mul(&p.y, &wideSqrtM1)
	u1.mul(&den1, &wideInvSqrtAMinusD)
	u2.mul(&p.t, &zInv)
	rotate := u2.negative()
	iy.choose(&iy, &p.x, &rotate)
	y.choose(&ix, &p.y, &rotate)
	den2.choose(&u1, &den2, &rotate)
	iy.mul(&iy, &zInv)
	negative := iy.negative()
	ix.negate(&y)
	y.choose(&ix, &y, &negative)
	s.sub(&p.z, &y)
	s.mul(s, &den2)
	s.abs(s)
	s.canonical(s)
}

// elligator sets p to what the field elements t map to (MAP of RFC 9496, Section
// 4.3.4).
func (p *points) elligator(t *wide) {
	var r, u, v, s, other, c, n, w0, w1, w2, w3 wide
	r.square(t)
	r.mul(&r, &wideSqrtM1)
	u.add(&r, &wideOne)
	u.mul(&u, &wideOneMinusDSq)
	// v = (-1 - r·D)·(r + D)
	v.mul(&r, &wideD)
	v.sub(&wideMinusOne, &v)
	n.add(&r, &wideD)
	v.mul(&v, &n)
	square := s.sqrtRatio(&u, &v)
	other.mul(&s, t)
	other.abs(&other)
	other.negate(&other)
	s.choose(&s, &other, &square)
	c.choose(&wideMinusOne, &r, &square)
	n.sub(&r, &wideOne)
	n.mul(&n, &c)
	n.mul(&n, &wideDMinusOneSq)
	n.sub(&n, &v)
	w0.mul(&s, &v)
	w0.add(&w0, &w0)
	w1.mul(&n, &wideSqrtADMinusOne)
	s.square(&s)
	w2.sub(&wideOne, &s)
	w3.add(&wideOne, &s)
	p.x.mul(&w0, &w3)
	p.y.mul(&w2, &w1)
	p.z.mul(&w1, &w3)
	p.t.mul(&w0, &w2)
}
