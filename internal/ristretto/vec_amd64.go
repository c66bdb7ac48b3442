//go:build !purego

package ristretto

import (
	"encoding/binary"

	"filippo.io/edwards25519/field"
)

//go:generate go run -C ../_asm ./ristretto -out ../ristretto/kernel_amd64.s -stubs ../ristretto/kernel_amd64.go -pkg ristretto

// vec is a field element in each of eight lanes: limbs of 51 bits, those of one
// kind beside each other. Limbs in memory are below 2^51 + 2^17.
type vec [5][8]uint64

// wide is a field element in each of sixteen lanes.
type wide [2]vec

// mask has ones in the lanes that are meant and zeros in the others.
type mask [2][8]uint64

const limbMask = 1<<51 - 1

// load sets the lane to 32 bytes in little-endian order without their top bit.
func (v *vec) load(lane int, b []byte) {
	w0, w1 := binary.LittleEndian.Uint64(b), binary.LittleEndian.Uint64(b[8:])
	w2, w3 := binary.LittleEndian.Uint64(b[16:]), binary.LittleEndian.Uint64(b[24:])
	v[0][lane] = w0 & limbMask
	v[1][lane] = (w0>>51 | w1<<13) & limbMask
	v[2][lane] = (w1>>38 | w2<<26) & limbMask
	v[3][lane] = (w2>>25 | w3<<39) & limbMask
	v[4][lane] = w3 >> 12 & limbMask
}

// store writes the lane of a canonical vector to 32 bytes.
func (v *vec) store(lane int, b []byte) {
	l0, l1, l2, l3, l4 := v[0][lane], v[1][lane], v[2][lane], v[3][lane], v[4][lane]
	binary.LittleEndian.PutUint64(b, l0|l1<<51)
	binary.LittleEndian.PutUint64(b[8:], l1>>13|l2<<38)
	binary.LittleEndian.PutUint64(b[16:], l2>>26|l3<<25)
	binary.LittleEndian.PutUint64(b[24:], l3>>39|l4<<12)
}

func (w *wide) load(lane int, b []byte)  { w[lane/8].load(lane%8, b) }
func (w *wide) store(lane int, b []byte) { w[lane/8].store(lane%8, b) }

// broadcast returns e in all lanes.
func broadcast(e *field.Element) (w wide) {
	b := e.Bytes()
	for lane := range 16 {
		w.load(lane, b)
	}
	return w
}

// The constants of the same names.
var (
	wideZero           wide
	wideOne            = broadcast(&one)
	wideMinusOne       = broadcast(&minusOne)
	wideD              = broadcast(&d)
	wideSqrtM1         = broadcast(&sqrtM1)
	wideSqrtADMinusOne = broadcast(&sqrtADMinusOne)
	wideInvSqrtAMinusD = broadcast(&invSqrtAMinusD)
	wideOneMinusDSq    = broadcast(&oneMinusDSq)
	wideDMinusOneSq    = broadcast(&dMinusOneSq)
)

// Methods set the receiver, which may be an argument.

func (w *wide) mul(a, b *wide)             { mulIFMA(&w[0][0][0], &a[0][0][0], &b[0][0][0]) }
func (w *wide) squareTimes(a *wide, n int) { squareIFMA(&w[0][0][0], &a[0][0][0], n) }
func (w *wide) square(a *wide)             { w.squareTimes(a, 1) }
func (w *wide) add(a, b *wide)             { addIFMA(&w[0][0][0], &a[0][0][0], &b[0][0][0]) }
func (w *wide) sub(a, b *wide)             { subIFMA(&w[0][0][0], &a[0][0][0], &b[0][0][0]) }
func (w *wide) negate(a *wide)             { w.sub(&wideZero, a) }
func (w *wide) canonical(a *wide)          { canonicalIFMA(&w[0][0][0], &a[0][0][0]) }

// choose sets w to a where m has ones and to b elsewhere.
func (w *wide) choose(a, b *wide, m *mask) {
	for v := range w {
		for l := range w[v] {
			for i := range w[v][l] {
				w[v][l][i] = b[v][l][i] ^ (a[v][l][i]^b[v][l][i])&m[v][i]
			}
		}
	}
}

// negative returns the lanes where a is odd (IS_NEGATIVE of RFC 9496).
func (a *wide) negative() (m mask) {
	var c wide
	c.canonical(a)
	for v := range m {
		for i := range m[v] {
			m[v][i] = -(c[v][0][i] & 1)
		}
	}
	return m
}

// isZero returns the lanes where a is zero.
func (a *wide) isZero() (m mask) {
	var c wide
	c.canonical(a)
	for v := range m {
		for i := range m[v] {
			or := c[v][0][i] | c[v][1][i] | c[v][2][i] | c[v][3][i] | c[v][4][i]
			// The limbs leave the top bit free.
			m[v][i] = -((or - 1) >> 63)
		}
	}
	return m
}

// or adds the lanes of n to m.
func (m *mask) or(n *mask) {
	for v := range m {
		for i := range m[v] {
			m[v][i] |= n[v][i]
		}
	}
}

// abs sets w to whichever of a and -a is not negative.
func (w *wide) abs(a *wide) {
	var opposite wide
	opposite.negate(a)
	negative := a.negative()
	w.choose(&opposite, a, &negative)
}

// pow22523 sets w to a^((p-5)/8), an exponent of 2^252 - 3.
func (w *wide) pow22523(a *wide) {
	var t0, t1, t2 wide
	t0.square(a)
	t1.squareTimes(&t0, 2)
	t1.mul(a, &t1)
	t0.mul(&t0, &t1) // 11
	t0.square(&t0)
	t0.mul(&t1, &t0) // 2^5 - 1
	t1.squareTimes(&t0, 5)
	t0.mul(&t1, &t0) // 2^10 - 1
	t1.squareTimes(&t0, 10)
	t1.mul(&t1, &t0) // 2^20 - 1
	t2.squareTimes(&t1, 20)
	t1.mul(&t2, &t1) // 2^40 - 1
	t1.squareTimes(&t1, 10)
	t0.mul(&t1, &t0) // 2^50 - 1
	t1.squareTimes(&t0, 50)
	t1.mul(&t1, &t0) // 2^100 - 1
	t2.squareTimes(&t1, 100)
	t1.mul(&t2, &t1) // 2^200 - 1
	t1.squareTimes(&t1, 50)
	t0.mul(&t1, &t0) // 2^250 - 1
	t0.squareTimes(&t0, 2)
	w.mul(&t0, a)
}

// sqrtRatio sets w to the non-negative square root of u/v, or of sqrt(-1)·u/v in
// the lanes where u/v is no square, and returns those where it is one
// (SQRT_RATIO_M1 of RFC 9496, Section 4.2).
func (w *wide) sqrtRatio(u, v *wide) (square mask) {
	var v3, r, check, other wide
	v3.square(v)
	v3.mul(&v3, v)
	r.square(&v3)
	r.mul(&r, v)
	r.mul(&r, u)
	r.pow22523(&r)
	r.mul(&r, &v3)
	r.mul(&r, u)
	check.square(&r)
	check.mul(&check, v)
	other.sub(&check, u)
	square = other.isZero()
	other.add(&check, u)
	flipped := other.isZero()
	other.mul(u, &wideSqrtM1)
	other.add(&check, &other)
	wrong := other.isZero()
	square.or(&flipped)
	wrong.or(&flipped)
	other.mul(&r, &wideSqrtM1)
	r.choose(&other, &r, &wrong)
	w.abs(&r)
	return square
}
