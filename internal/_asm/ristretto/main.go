// Command ristretto generates the vector kernels of internal/ristretto: field
// and curve arithmetic modulo p = 2^255 - 19 in eight lanes, on AVX-512 IFMA.
//
// A field element is five limbs of 51 bits, a register each. The processor
// multiplies 52 bits and adds the low or high 52 bits of the product to 64, so
// an operand needs limbs below 2^52. Two kinds of values satisfy the bounds:
//
//	reduced    limbs below 2^51 + 2^17; operands and all that is in memory, but
//	           for what selectIFMA negates, which only serves as an operand
//	wide       limbs below 2^60.3; what mul and square return
//
// A sum, or a difference plus a multiple of p that keeps it positive, of at most
// four wide values is below 2^63, and carry makes it reduced: a limb passes at
// most 2^12 on, times 19 where it wraps around.
package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

const (
	limbs    = 5
	limbBits = 51
	vecSize  = limbs * 64
	mask     = 1<<limbBits - 1
)

// The constants are broadcast from memory.
var c19, cMask, cOne, cTwo Mem

// twoP is 2p, which keeps the difference of reduced values positive; bias and
// doubleBias are 2^10·p and 2^11·p, for that of one and two wide values.
var twoP, bias, doubleBias, twoD [limbs]Mem

func main() {
	ConstraintExpr("!purego")
	c19 = ConstData("c19", U64(19))
	cMask = ConstData("limbMask", U64(mask))
	cOne = ConstData("one", U64(1))
	cTwo = ConstData("two", U64(2))
	low, high := uint64(1<<limbBits-19), uint64(mask)
	for _, m := range []struct {
		to    *[limbs]Mem
		name  string
		shift int
	}{{&twoP, "twoP", 1}, {&bias, "bias", 10}, {&doubleBias, "doubleBias", 11}} {
		first := ConstData(m.name+"Low", U64(low<<m.shift))
		others := ConstData(m.name+"High", U64(high<<m.shift))
		*m.to = [limbs]Mem{first, others, others, others, others}
	}
	// 2d, for d = -121665/121666.
	for i, l := range []uint64{0x69b9426b2f159, 0x35050762add7a, 0x3cf44c0038052, 0x6738cc7407977, 0x2406d9dc56dff} {
		twoD[i] = ConstData("twoD"+string(rune('0'+i)), U64(l))
	}
	fieldKernels()
	canonical()
	double()
	add()
	cache()
	selectEntry()
	Generate()
}

// element is a field element in registers.
type element [limbs]VecVirtual

func newElement() (e element) {
	for i := range e {
		e[i] = ZMM()
	}
	return e
}

func at(base Register, vec int) Mem { return Mem{Base: base, Disp: vec * vecSize} }

func load(m Mem) element {
	e := newElement()
	for i := range e {
		VMOVDQU64(m.Offset(64*i), e[i])
	}
	return e
}

func store(e element, m Mem) {
	for i := range e {
		VMOVDQU64(e[i], m.Offset(64*i))
	}
}

// zero is zero in the function that is being generated. Registers are cleared by
// copying it: the generator takes one that is combined with itself for in use
// from the beginning.
var zero VecVirtual

func begin(name, signature string) {
	TEXT(name, NOSPLIT, signature)
	Pragma("noescape")
	zero = ZMM()
	VPXORQ(zero, zero, zero)
}

func zeroed() VecVirtual {
	z := ZMM()
	VMOVDQA64(zero, z)
	return z
}

// mul returns a·b, wide. The high halves of the products weigh twice as much as
// limbs of 51 bits would have it: they come first, and doubled begin the sums of
// the low halves.
func mul(a, b element) element {
	return mulBy(a, func(j int) VecVirtual { return b[j] })
}

// mulMem is mul with the second operand in memory, which saves registers.
func mulMem(a element, b Mem) element {
	return mulBy(a, func(j int) VecVirtual {
		limb := ZMM()
		VMOVDQU64(b.Offset(64*j), limb)
		return limb
	})
}

func mulBy(a element, b func(j int) VecVirtual) element {
	var sum [2 * limbs]VecVirtual
	for k := range sum {
		sum[k] = zeroed()
	}
	for j := range limbs {
		limb := b(j)
		for i := range a {
			VPMADD52HUQ(limb, a[i], sum[i+j+1])
		}
	}
	for _, s := range sum[1:] {
		VPADDQ(s, s, s)
	}
	for j := range limbs {
		limb := b(j)
		for i := range a {
			VPMADD52LUQ(limb, a[i], sum[i+j])
		}
	}
	return fold(sum)
}

// square returns a², wide: each product of different limbs counts twice.
func square(a element) element {
	var sum [2 * limbs]VecVirtual
	for k := range sum {
		sum[k] = zeroed()
	}
	for i := range a {
		for j := i + 1; j < limbs; j++ {
			VPMADD52HUQ(a[i], a[j], sum[i+j+1])
		}
	}
	for _, s := range sum[2:9] {
		VPADDQ(s, s, s)
	}
	for i := range a {
		for j := i + 1; j < limbs; j++ {
			VPMADD52LUQ(a[i], a[j], sum[i+j])
		}
	}
	for i := range a {
		VPMADD52HUQ(a[i], a[i], sum[2*i+1])
	}
	for _, s := range sum[1:] {
		VPADDQ(s, s, s)
	}
	for i := range a {
		VPMADD52LUQ(a[i], a[i], sum[2*i])
	}
	return fold(sum)
}

// fold adds the limbs from 2^255 on to those below, times 19.
func fold(sum [2 * limbs]VecVirtual) (e element) {
	for k := range e {
		VPMULLQ_BCST(c19, sum[k+limbs], sum[k+limbs])
		VPADDQ(sum[k+limbs], sum[k], sum[k])
		e[k] = sum[k]
	}
	return e
}

// carry makes e reduced.
func carry(e element) element {
	var c element
	for i := range e {
		c[i] = ZMM()
		VPSRLQ(Imm(limbBits), e[i], c[i])
		VPANDQ_BCST(cMask, e[i], e[i])
	}
	for i := range limbs - 1 {
		VPADDQ(c[i], e[i+1], e[i+1])
	}
	VPMADD52LUQ_BCST(c19, c[limbs-1], e[0])
	return e
}

// sum returns a + b, not carried.
func sum(a, b element) element {
	s := newElement()
	for i := range s {
		VPADDQ(b[i], a[i], s[i])
	}
	return s
}

// difference returns a - b plus a multiple of p, not carried.
func difference(a, b element, multiple [limbs]Mem) element {
	d := newElement()
	for i := range d {
		VPADDQ_BCST(multiple[i], a[i], d[i])
		VPSUBQ(b[i], d[i], d[i])
	}
	return d
}

func parameter(name string) Register { return Load(Param(name), GP64()) }

func done() {
	VZEROUPPER()
	RET()
}

// fieldKernels work on two vectors, sixteen lanes, so that the processor has
// something to do while one waits for the other.
func fieldKernels() {
	begin("mulIFMA", "func(dst, a, b *uint64)")
	Doc("mulIFMA sets dst to a·b in sixteen lanes.")
	dst, a, b := parameter("dst"), parameter("a"), parameter("b")
	for v := range 2 {
		store(carry(mulMem(load(at(a, v)), at(b, v))), at(dst, v))
	}
	done()

	begin("squareIFMA", "func(dst, a *uint64, n int)")
	Doc("squareIFMA sets dst to a squared n times, at least once, in sixteen lanes.")
	dst, a = parameter("dst"), parameter("a")
	n := parameter("n")
	e := []element{load(at(a, 0)), load(at(a, 1))}
	Label("square")
	for v := range e {
		s := carry(square(e[v]))
		for i := range s {
			VMOVDQA64(s[i], e[v][i])
		}
	}
	DECQ(n)
	JNZ(LabelRef("square"))
	store(e[0], at(dst, 0))
	store(e[1], at(dst, 1))
	done()

	begin("addIFMA", "func(dst, a, b *uint64)")
	Doc("addIFMA sets dst to a + b in sixteen lanes.")
	dst, a, b = parameter("dst"), parameter("a"), parameter("b")
	for v := range 2 {
		store(carry(sum(load(at(a, v)), load(at(b, v)))), at(dst, v))
	}
	done()

	begin("subIFMA", "func(dst, a, b *uint64)")
	Doc("subIFMA sets dst to a - b in sixteen lanes.")
	dst, a, b = parameter("dst"), parameter("a"), parameter("b")
	for v := range 2 {
		store(carry(difference(load(at(a, v)), load(at(b, v)), twoP)), at(dst, v))
	}
	done()
}

// canonical subtracts p from values that are at least p. Reduced ones are below
// 2p: 2^255 is passed by value + 19 exactly when value is at least p.
func canonical() {
	begin("canonicalIFMA", "func(dst, a *uint64)")
	Doc("canonicalIFMA sets dst to the representatives below p of a in sixteen lanes.")
	dst, a := parameter("dst"), parameter("a")
	for v := range 2 {
		e := load(at(a, v))
		q, t := ZMM(), ZMM()
		VPADDQ_BCST(c19, e[0], q)
		VPSRLQ(Imm(limbBits), q, q)
		for _, l := range e[1:] {
			VPADDQ(q, l, q)
			VPSRLQ(Imm(limbBits), q, q)
		}
		VPMADD52LUQ_BCST(c19, q, e[0])
		for i := range limbs - 1 {
			VPSRLQ(Imm(limbBits), e[i], t)
			VPADDQ(t, e[i+1], e[i+1])
		}
		for i := range e {
			VPANDQ_BCST(cMask, e[i], e[i])
		}
		store(e, at(dst, v))
	}
	done()
}

// Coordinates of a point, and of one prepared for addition, by vector.
const (
	x, y, z, t                = 0, 1, 2, 3
	sumYX, diffYX, twoZ, twoT = 0, 1, 2, 3
)

// finish stores the coordinates x, y and z of the point that e, f, g, h complete,
// (e·f : g·h : f·g), the end of both formulas of Hisil, Wong, Carter and Dawson
// (ASIACRYPT 2008). Where t and z belong it finds f and g.
func finish(p Register, e, h element) {
	store(carry(mulMem(e, at(p, t))), at(p, x))
	store(carry(mulMem(h, at(p, z))), at(p, y))
	store(carry(mulMem(load(at(p, z)), at(p, t))), at(p, z))
}

func double() {
	begin("doubleIFMA", "func(p *uint64, n int)")
	Doc("doubleIFMA doubles p n times, at least once, in eight lanes.")
	p, n := parameter("p"), parameter("n")
	e, h := newElement(), newElement()
	Label("double")
	px, py := load(at(p, x)), load(at(p, y))
	s := carry(sum(px, py))
	xx, yy := square(px), square(py)
	ss := square(s)
	total := sum(xx, yy)
	d := carry(difference(ss, total, doubleBias))
	g := difference(yy, xx, bias)
	carry(total)
	for i := range d {
		VMOVDQA64(d[i], e[i])
		VMOVDQA64(total[i], h[i])
	}
	zz := square(load(at(p, z)))
	f := sum(zz, zz)
	store(carry(difference(f, g, doubleBias)), at(p, t))
	store(carry(g), at(p, z))
	finish(p, e, h)
	DECQ(n)
	JNZ(LabelRef("double"))
	store(carry(mul(e, h)), at(p, t))
	done()
}

func add() {
	begin("addPointIFMA", "func(p, q *uint64, product int)")
	Doc("addPointIFMA adds q to p in eight lanes. It leaves out the coordinate t, which",
		"doubling does without, if product is 0.")
	p, q, product := parameter("p"), parameter("q"), parameter("product")
	px, py := load(at(p, x)), load(at(p, y))
	left, right := carry(sum(py, px)), carry(difference(py, px, twoP))
	pp := mulMem(left, at(q, sumYX))
	mm := mulMem(right, at(q, diffYX))
	e, h := carry(difference(pp, mm, bias)), carry(sum(pp, mm))
	tt := mulMem(load(at(p, t)), at(q, twoT))
	zz := mulMem(load(at(p, z)), at(q, twoZ))
	store(carry(difference(zz, tt, bias)), at(p, t))
	store(carry(sum(zz, tt)), at(p, z))
	finish(p, e, h)
	TESTQ(product, product)
	JZ(LabelRef("done"))
	store(carry(mul(e, h)), at(p, t))
	Label("done")
	done()
}

func cache() {
	begin("cacheIFMA", "func(q, p *uint64)")
	Doc("cacheIFMA sets q to p prepared for addition, in eight lanes.")
	q, p := parameter("q"), parameter("p")
	px, py := load(at(p, x)), load(at(p, y))
	store(carry(sum(py, px)), at(q, sumYX))
	store(carry(difference(py, px, twoP)), at(q, diffYX))
	pz := load(at(p, z))
	store(carry(sum(pz, pz)), at(q, twoZ))
	constant := newElement()
	for i := range constant {
		VPBROADCASTQ(twoD[i], constant[i])
	}
	store(carry(mul(load(at(p, t)), constant)), at(q, twoT))
	done()
}

// selectEntry reads the whole table whatever the digits are.
func selectEntry() {
	begin("selectIFMA", "func(q, table *uint64, digits *int64)")
	Doc("selectIFMA sets q to digits[i], from -8 to 8, times what table has the multiples of",
		"from 1 to 8, in lane i.")
	q, table, digits := parameter("q"), parameter("table"), parameter("digits")
	digit, abs, number := ZMM(), ZMM(), zeroed()
	VMOVDQU64(Mem{Base: digits}, digit)
	VPABSQ(digit, abs)
	// wanted[j] has ones in the lanes whose digit is j or -j.
	var wanted [9]VecVirtual
	for j := range wanted {
		k := K()
		wanted[j] = ZMM()
		VPCMPEQQ(number, abs, k)
		VPMOVM2Q(k, wanted[j])
		VPADDQ_BCST(cOne, number, number)
	}
	negative := K()
	VPMOVQ2M(digit, negative)
	entry := func(vec int) element {
		e := newElement()
		for i := range e {
			// Zero times a point is (0 : 1 : 1 : 0).
			switch {
			case i == 0 && vec == twoZ:
				VPANDQ_BCST(cTwo, wanted[0], e[i])
			case i == 0 && vec != twoT:
				VPANDQ_BCST(cOne, wanted[0], e[i])
			default:
				VMOVDQA64(zero, e[i])
			}
		}
		for j := range 8 {
			for i := range e {
				// e | wanted & entry
				VPTERNLOGQ(Imm(0xf8), at(table, 4*j+vec).Offset(64*i), wanted[j+1], e[i])
			}
		}
		return e
	}
	// The negative of a point has y + x and y - x exchanged and t negated.
	a, b := entry(sumYX), entry(diffYX)
	for i := range a {
		kept := ZMM()
		VMOVDQA64(a[i], kept)
		VMOVDQA64(b[i], negative, a[i])
		VMOVDQA64(kept, negative, b[i])
	}
	store(a, at(q, sumYX))
	store(b, at(q, diffYX))
	store(entry(twoZ), at(q, twoZ))
	product := entry(twoT)
	for i := range product {
		opposite := ZMM()
		VPBROADCASTQ(twoP[i], opposite)
		VPSUBQ(product[i], opposite, negative, product[i])
	}
	store(product, at(q, twoT))
	done()
}
