// Command sealed generates the kernels of psi/sealed: number-theoretic
// transforms and sums of products modulo primes under 2^31, eight residues of
// 64 bits in a ZMM register.
package main

import (
	"strings"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

func main() {
	ConstraintExpr("!purego")
	forward("forwardPassAVX512", false)
	forward("forwardFirstAVX512", true)
	forwardHalf()
	forwardTail()
	inverse("inversePassAVX512", false)
	inverse("inverseLastAVX512", true)
	inverseHalf()
	inverseTail()
	multiplyAdd()
	convert()
	for digits := 1; digits <= 3; digits++ {
		sumProducts(digits)
	}
	subtractScale("subtractScaleAVX512", false)
	subtractScale("subtractScalePlusAVX512", true)
	Generate()
}

// modulus holds the prime, and twice it, in every lane.
type modulus struct{ q, q2 VecVirtual }

func loadModulus(name string) modulus {
	m := modulus{ZMM(), ZMM()}
	p := Load(Param(name), GP64())
	VPBROADCASTQ(p, m.q)
	VPADDQ(m.q, m.q, m.q2)
	return m
}

// root is a constant factor w: w in the low half of each lane and
// floor(w·2^32/q) in the high half, and the latter shifted down.
type root struct{ w, quotient VecVirtual }

func loadRoot(at Mem) root {
	r := root{ZMM(), ZMM()}
	VPBROADCASTQ(at, r.w)
	VPSRLQ(Imm(32), r.w, r.quotient)
	return r
}

// times returns x·w mod q, below 2q, for x below 2^32 (Shoup).
func (m modulus) times(x VecVirtual, r root) VecVirtual {
	hi, out := ZMM(), ZMM()
	VPMULUDQ(x, r.quotient, hi)
	VPMULUDQ(x, r.w, out)
	VPSRLQ(Imm(32), hi, hi)
	VPMULUDQ(hi, m.q, hi)
	VPSUBQ(hi, out, out)
	return out
}

// fold subtracts k from x where that is not negative.
func fold(x, k VecVirtual) {
	t := ZMM()
	VPSUBQ(k, x, t)
	VPMINUQ(t, x, x)
}

// plus returns a+b below 2q, for a and b below 2q.
func (m modulus) plus(a, b VecVirtual) VecVirtual {
	s := ZMM()
	VPADDQ(b, a, s)
	fold(s, m.q2)
	return s
}

// minus returns a-b below 2q, for a and b below 2q.
func (m modulus) minus(a, b VecVirtual) VecVirtual {
	s, t := ZMM(), ZMM()
	VPSUBQ(b, a, s)
	VPADDQ(m.q2, s, t)
	VPMINUQ(t, s, s)
	return s
}

// forwardStep is Cooley and Tukey's butterfly: a+w·b and a-w·b.
func (m modulus) forwardStep(a, b VecVirtual, r root) (VecVirtual, VecVirtual) {
	v := m.times(b, r)
	return m.plus(a, v), m.minus(a, v)
}

// inverseStep is Gentleman and Sande's butterfly: a+b and w·(a-b).
func (m modulus) inverseStep(a, b VecVirtual, r root) (VecVirtual, VecVirtual) {
	return m.plus(a, b), m.times(m.minus(a, b), r)
}

// quarters are the parts of a block that a pass combines.
type quarters struct {
	dst, src [4]Register
	offset   Register
}

func (p quarters) at(base [4]Register, i int) Mem {
	return Mem{Base: base[i], Index: p.offset, Scale: 1}
}

// pass emits the loop of two stages at once over blocks of four quarters of
// size bytes. body gets the four inputs and the roots, which are one of a first
// list and two of a second for each block.
func pass(name, doc string, extra string, body func(m modulus, in [4]VecVirtual, r [3]root, more root) [4]VecVirtual) {
	TEXT(name, NOSPLIT, "func(dst, src *uint64, quarter, blocks int, one, two *uint64, q"+extra+" uint64)")
	Doc(strings.Split(doc, "\n")...)
	dst, src := Load(Param("dst"), GP64()), Load(Param("src"), GP64())
	size, blocks := Load(Param("quarter"), GP64()), Load(Param("blocks"), GP64())
	one, two := Load(Param("one"), GP64()), Load(Param("two"), GP64())
	m := loadModulus("q")
	var more root
	if extra != "" {
		more = root{ZMM(), ZMM()}
		p := Load(Param("scale"), GP64())
		VPBROADCASTQ(p, more.w)
		VPSRLQ(Imm(32), more.w, more.quotient)
	}
	SHLQ(Imm(3), size)

	var p quarters
	for i := range 4 {
		p.dst[i], p.src[i] = GP64(), GP64()
	}
	MOVQ(dst, p.dst[0])
	MOVQ(src, p.src[0])
	offset := GP64()
	p.offset = offset
	Label("block")
	for i := 1; i < 4; i++ {
		LEAQ(Mem{Base: p.dst[i-1], Index: size, Scale: 1}, p.dst[i])
		LEAQ(Mem{Base: p.src[i-1], Index: size, Scale: 1}, p.src[i])
	}
	r := [3]root{loadRoot(Mem{Base: one}), loadRoot(Mem{Base: two}), loadRoot(Mem{Base: two, Disp: 8})}
	XORQ(offset, offset)
	Label("loop")
	var in [4]VecVirtual
	for i := range in {
		in[i] = ZMM()
		VMOVDQU64(p.at(p.src, i), in[i])
	}
	for i, v := range body(m, in, r, more) {
		VMOVDQU64(v, p.at(p.dst, i))
	}
	ADDQ(Imm(64), offset)
	CMPQ(offset, size)
	JL(LabelRef("loop"))
	LEAQ(Mem{Base: p.dst[3], Index: size, Scale: 1}, p.dst[0])
	LEAQ(Mem{Base: p.src[3], Index: size, Scale: 1}, p.src[0])
	ADDQ(Imm(8), one)
	ADDQ(Imm(16), two)
	DECQ(blocks)
	JNZ(LabelRef("block"))
	VZEROUPPER()
	RET()
}

func forward(name string, first bool) {
	doc := name + " does two stages of a transform, on residues below 2q. The roots of the\n" +
		"first stage are in one, those of the second in two."
	if first {
		doc = name + " is forwardPassAVX512 for residues below 6q."
	}
	pass(name, doc, "", func(m modulus, in [4]VecVirtual, r [3]root, _ root) [4]VecVirtual {
		if first {
			for _, v := range in {
				fold(v, m.q2)
				fold(v, m.q2)
			}
		}
		a, c := m.forwardStep(in[0], in[2], r[0])
		b, d := m.forwardStep(in[1], in[3], r[0])
		a, b = m.forwardStep(a, b, r[1])
		c, d = m.forwardStep(c, d, r[2])
		return [4]VecVirtual{a, b, c, d}
	})
}

func inverse(name string, last bool) {
	doc := name + " does two stages of an inverse transform, on residues below 2q. The\n" +
		"roots of the first stage are in two, those of the second in one."
	extra := ""
	if last {
		doc = name + " is inversePassAVX512, multiplied by scale and fully reduced."
		extra = ", scale"
	}
	pass(name, doc, extra, func(m modulus, in [4]VecVirtual, r [3]root, scale root) [4]VecVirtual {
		a, b := m.inverseStep(in[0], in[1], r[1])
		c, d := m.inverseStep(in[2], in[3], r[2])
		a, c = m.inverseStep(a, c, r[0])
		b, d = m.inverseStep(b, d, r[0])
		out := [4]VecVirtual{a, b, c, d}
		if last {
			for i, v := range out {
				out[i] = m.times(v, scale)
				fold(out[i], m.q)
			}
		}
		return out
	})
}

// half emits a loop of one stage over the two halves of an array.
func half(name, doc string, body func(m modulus, a, b VecVirtual, r root) (VecVirtual, VecVirtual)) {
	TEXT(name, NOSPLIT, "func(dst, src *uint64, half int, root, q uint64)")
	Doc(strings.Split(doc, "\n")...)
	dst, src := Load(Param("dst"), GP64()), Load(Param("src"), GP64())
	size := Load(Param("half"), GP64())
	w := Load(Param("root"), GP64())
	r := root{ZMM(), ZMM()}
	VPBROADCASTQ(w, r.w)
	VPSRLQ(Imm(32), r.w, r.quotient)
	m := loadModulus("q")
	SHLQ(Imm(3), size)
	dst2, src2, offset := GP64(), GP64(), GP64()
	LEAQ(Mem{Base: dst, Index: size, Scale: 1}, dst2)
	LEAQ(Mem{Base: src, Index: size, Scale: 1}, src2)
	XORQ(offset, offset)
	Label("loop")
	a, b := ZMM(), ZMM()
	VMOVDQU64(Mem{Base: src, Index: offset, Scale: 1}, a)
	VMOVDQU64(Mem{Base: src2, Index: offset, Scale: 1}, b)
	a, b = body(m, a, b, r)
	VMOVDQU64(a, Mem{Base: dst, Index: offset, Scale: 1})
	VMOVDQU64(b, Mem{Base: dst2, Index: offset, Scale: 1})
	ADDQ(Imm(64), offset)
	CMPQ(offset, size)
	JL(LabelRef("loop"))
	VZEROUPPER()
	RET()
}

func forwardHalf() {
	half("forwardHalfAVX512", "forwardHalfAVX512 does the first stage of a transform, on residues below 6q.",
		func(m modulus, a, b VecVirtual, r root) (VecVirtual, VecVirtual) {
			for _, v := range []VecVirtual{a, b} {
				fold(v, m.q2)
				fold(v, m.q2)
			}
			return m.forwardStep(a, b, r)
		})
}

func inverseHalf() {
	half("inverseHalfAVX512", "inverseHalfAVX512 does one stage of an inverse transform over two halves and\n"+
		"leaves residues below q.",
		func(m modulus, a, b VecVirtual, r root) (VecVirtual, VecVirtual) {
			a, b = m.inverseStep(a, b, r)
			fold(a, m.q)
			fold(b, m.q)
			return a, b
		})
}

// index returns a register with these quadword indices, from a table.
func index(name string, v ...uint64) VecVirtual {
	table, ok := tables[name]
	if !ok {
		table = GLOBL(name, RODATA|NOPTR)
		for i, x := range v {
			DATA(8*i, U64(x))
		}
		tables[name] = table
	}
	r := ZMM()
	VMOVDQU64(table, r)
	return r
}

var tables = map[string]Mem{}

// pick returns the quadwords of a (0 to 7) and b (8 to 15) at the indices.
func pick(idx, a, b VecVirtual) VecVirtual {
	out := ZMM()
	VMOVDQA64(idx, out)
	VPERMI2Q(b, a, out)
	return out
}

// spread loads n roots and repeats each over 8/n lanes.
func spread(at Mem, n int, idx VecVirtual) root {
	r := root{ZMM(), ZMM()}
	switch n {
	case 2:
		VBROADCASTI64X2(at, r.w)
		VPERMQ(r.w, idx, r.w)
	case 4:
		VBROADCASTI64X4(at, r.w)
		VPERMQ(r.w, idx, r.w)
	case 8:
		VMOVDQU64(at, r.w)
	}
	VPSRLQ(Imm(32), r.w, r.quotient)
	return r
}

// The orders of sixteen quadwords a0..a7, b0..b7 in two registers, for the
// stages whose butterflies join neighbours at distance 4, 2 and 1.
func orders() (first, second [3]VecVirtual, wide2, wide4 VecVirtual) {
	// Distance 4: a0-3 b0-3 and a4-7 b4-7, from a and b.
	first[0] = index("take4lo", 0, 1, 2, 3, 8, 9, 10, 11)
	second[0] = index("take4hi", 4, 5, 6, 7, 12, 13, 14, 15)
	// Distance 2: a0 a1 a4 a5 b0 b1 b4 b5 and a2 a3 a6 a7 b2 b3 b6 b7.
	first[1] = index("take2lo", 0, 1, 8, 9, 4, 5, 12, 13)
	second[1] = index("take2hi", 2, 3, 10, 11, 6, 7, 14, 15)
	// Distance 1: a0 a2 a4 a6 b0 b2 b4 b6 and the odd ones.
	first[2] = index("take1lo", 0, 8, 2, 10, 4, 12, 6, 14)
	second[2] = index("take1hi", 1, 9, 3, 11, 5, 13, 7, 15)
	wide2 = index("spread2", 0, 0, 0, 0, 1, 1, 1, 1)
	wide4 = index("spread4", 0, 0, 1, 1, 2, 2, 3, 3)
	return
}

// tail emits the loop of the four stages within sixteen residues.
func tail(name, doc string, body func(m modulus, a, b VecVirtual, r func(stage int) root) (VecVirtual, VecVirtual)) {
	TEXT(name, NOSPLIT, "func(dst, src *uint64, blocks int, r8, r4, r2, r1 *uint64, q uint64)")
	Doc(strings.Split(doc, "\n")...)
	dst, src := Load(Param("dst"), GP64()), Load(Param("src"), GP64())
	blocks := Load(Param("blocks"), GP64())
	var at [4]Register
	for i, n := range []string{"r8", "r4", "r2", "r1"} {
		at[i] = Load(Param(n), GP64())
	}
	m := loadModulus("q")
	tailOrders.first, tailOrders.second, tailOrders.wide2, tailOrders.wide4 = orders()
	Label("loop")
	a, b := ZMM(), ZMM()
	VMOVDQU64(Mem{Base: src}, a)
	VMOVDQU64(Mem{Base: src, Disp: 64}, b)
	a, b = body(m, a, b, func(stage int) root {
		p := Mem{Base: at[stage]}
		switch stage {
		case 0:
			return loadRoot(p)
		case 1:
			return spread(p, 2, tailOrders.wide2)
		case 2:
			return spread(p, 4, tailOrders.wide4)
		}
		return spread(p, 8, nil)
	})
	VMOVDQU64(a, Mem{Base: dst})
	VMOVDQU64(b, Mem{Base: dst, Disp: 64})
	ADDQ(I32(128), src)
	ADDQ(I32(128), dst)
	for i, p := range at {
		ADDQ(Imm(8<<i), p)
	}
	DECQ(blocks)
	JNZ(LabelRef("loop"))
	VZEROUPPER()
	RET()
}

var tailOrders struct {
	first, second [3]VecVirtual
	wide2, wide4  VecVirtual
}

func forwardTail() {
	tail("forwardTailAVX512", "forwardTailAVX512 does the last four stages of a transform, whose roots are in r8,\n"+
		"r4, r2 and r1, on blocks of sixteen residues below 2q, and reduces fully.",
		func(m modulus, a, b VecVirtual, r func(int) root) (VecVirtual, VecVirtual) {
			o := &tailOrders
			a, b = m.forwardStep(a, b, r(0))
			a, b = pick(o.first[0], a, b), pick(o.second[0], a, b)
			a, b = m.forwardStep(a, b, r(1))
			a, b = pick(o.first[1], a, b), pick(o.second[1], a, b)
			a, b = m.forwardStep(a, b, r(2))
			a, b = pick(o.first[2], a, b), pick(o.second[2], a, b)
			a, b = m.forwardStep(a, b, r(3))
			fold(a, m.q)
			fold(b, m.q)
			lo := index("zipLo", 0, 8, 1, 9, 2, 10, 3, 11)
			hi := index("zipHi", 4, 12, 5, 13, 6, 14, 7, 15)
			return pick(lo, a, b), pick(hi, a, b)
		})
}

func inverseTail() {
	tail("inverseTailAVX512", "inverseTailAVX512 does the first four stages of an inverse transform, whose roots\n"+
		"are in r1, r2, r4 and r8, on blocks of sixteen residues below 6q.",
		func(m modulus, a, b VecVirtual, r func(int) root) (VecVirtual, VecVirtual) {
			for _, v := range []VecVirtual{a, b} {
				fold(v, m.q2)
				fold(v, m.q2)
			}
			o := &tailOrders
			even := index("even", 0, 2, 4, 6, 8, 10, 12, 14)
			odd := index("odd", 1, 3, 5, 7, 9, 11, 13, 15)
			a, b = pick(even, a, b), pick(odd, a, b)
			a, b = m.inverseStep(a, b, r(3))
			// The forward orders at distances 1, 2 and 4 are their own inverses.
			a, b = pick(o.first[2], a, b), pick(o.second[2], a, b)
			a, b = m.inverseStep(a, b, r(2))
			a, b = pick(o.first[1], a, b), pick(o.second[1], a, b)
			a, b = m.inverseStep(a, b, r(1))
			a, b = pick(o.first[0], a, b), pick(o.second[0], a, b)
			return m.inverseStep(a, b, r(0))
		})
}

func multiplyAdd() {
	TEXT("multiplyAddAVX512", NOSPLIT, "func(lo, hi *uint64, diagonals, rotated *uint32, pairs int, m uint64)")
	Doc("multiplyAddAVX512 is multiplyAdd for 32 coefficients and pairs of rotations.")
	lo, hi := Load(Param("lo"), GP64()), Load(Param("hi"), GP64())
	d, r := Load(Param("diagonals"), GP64()), Load(Param("rotated"), GP64())
	pairs := Load(Param("pairs"), GP64())
	m := ZMM()
	p := Load(Param("m"), GP64())
	VPBROADCASTQ(p, m)
	// Sums of the even and the odd coefficients of each sixteen, by half.
	var acc [2][2][2]VecVirtual // [part][half][parity]
	for i := range acc {
		for j := range acc[i] {
			for k := range acc[i][j] {
				acc[i][j][k] = ZMM()
				VPXORQ(acc[i][j][k], acc[i][j][k], acc[i][j][k])
			}
		}
	}
	Label("loop")
	for b := range 2 {
		for part := range 2 {
			x, xo := ZMM(), ZMM()
			VMOVDQU64(Mem{Base: d, Disp: 128*b + 64*part}, x)
			VPSRLQ(Imm(32), x, xo)
			for h := range 2 {
				y, yo := ZMM(), ZMM()
				VMOVDQU64(Mem{Base: r, Disp: 256*b + 128*h + 64*part}, y)
				VPSRLQ(Imm(32), y, yo)
				VPMULUDQ(x, y, y)
				VPADDQ(y, acc[part][h][0], acc[part][h][0])
				VPMULUDQ(xo, yo, yo)
				VPADDQ(yo, acc[part][h][1], acc[part][h][1])
			}
		}
	}
	for _, a := range acc {
		for _, b := range a {
			for _, v := range b {
				fold(v, m)
			}
		}
	}
	ADDQ(I32(256), d)
	ADDQ(I32(512), r)
	DECQ(pairs)
	JNZ(LabelRef("loop"))
	zlo := index("sumLo", 0, 8, 1, 9, 2, 10, 3, 11)
	zhi := index("sumHi", 4, 12, 5, 13, 6, 14, 7, 15)
	for part := range 2 {
		for h, dst := range []Register{lo, hi} {
			VMOVDQU64(pick(zlo, acc[part][h][0], acc[part][h][1]), Mem{Base: dst, Disp: 128 * part})
			VMOVDQU64(pick(zhi, acc[part][h][0], acc[part][h][1]), Mem{Base: dst, Disp: 128*part + 64})
		}
	}
	VZEROUPPER()
	RET()
}

// montgomery returns s·2^-32 mod p, below p + 2^32, where inverse is p^-1 mod 2^32.
func montgomery(s VecVirtual, p, inverse Op) VecVirtual {
	m, hi := ZMM(), ZMM()
	product := func(b Op, a, dst VecVirtual) {
		if _, ok := b.(Mem); ok {
			VPMULUDQ_BCST(b, a, dst)
		} else {
			VPMULUDQ(b, a, dst)
		}
	}
	product(inverse, s, m)
	product(p, m, m)
	VPSRLQ(Imm(32), s, hi)
	VPSRLQ(Imm(32), m, m)
	if _, ok := p.(Mem); ok {
		VPADDQ_BCST(p, hi, hi)
	} else {
		VPADDQ(p, hi, hi)
	}
	VPSUBQ(m, hi, hi)
	return hi
}

// convert does eight residues at a time: up to four sources stay in registers
// while the targets are worked out.
func convert() {
	TEXT("convertAVX512", NOSPLIT, "func(dst, src *uint64, n, sources, targets int, constants *uint64, offsets *int)")
	Doc("convertAVX512 is convertGeneric for one to four sources.")
	dst, src, n := Load(Param("dst"), GP64()), Load(Param("src"), GP64()), Load(Param("n"), GP64())
	sources, targets := Load(Param("sources"), GP64()), Load(Param("targets"), GP64())
	constants, offsets := Load(Param("constants"), GP64()), Load(Param("offsets"), GP64())
	half := ZMM()
	bits := GP64()
	MOVQ(U64(0x3fe0000000000000), bits) // 1/2
	VPBROADCASTQ(bits, half)
	SHLQ(Imm(3), n)
	x, row, k, left, o, at := GP64(), GP64(), GP64(), GP64(), GP64(), GP64()
	for count := 1; count <= 4; count++ {
		name := func(s string) string { return s + string(rune('0'+count)) }
		if count < 4 {
			CMPQ(sources, Imm(uint64(count)))
			JNE(LabelRef(name("skip")))
		}
		XORQ(x, x)
		Label(name("residues"))
		MOVQ(src, row)
		MOVQ(constants, k)
		var y [5]VecVirtual
		sum := ZMM()
		for i := range count {
			y[i] = ZMM()
			v := ZMM()
			VMOVDQU64(Mem{Base: row, Index: x, Scale: 1}, v)
			q, r := ZMM(), root{ZMM(), ZMM()}
			VPBROADCASTQ(Mem{Base: k, Disp: 24 * i}, r.w)
			VPSRLQ(Imm(32), r.w, r.quotient)
			VPBROADCASTQ(Mem{Base: k, Disp: 24*i + 8}, q)
			y[i] = modulus{q: q}.times(v, r)
			fold(y[i], q)
			f := ZMM()
			VCVTUQQ2PD(y[i], f)
			if i == 0 {
				VMULPD_BCST(Mem{Base: k, Disp: 24*i + 16}, f, sum)
			} else {
				VFMADD231PD_BCST(Mem{Base: k, Disp: 24*i + 16}, f, sum)
			}
			if i < count-1 {
				ADDQ(n, row)
			}
		}
		VADDPD(half, sum, sum)
		y[count] = ZMM()
		VCVTTPD2UQQ(sum, y[count])
		ADDQ(Imm(uint64(24*count)), k)
		MOVQ(targets, left)
		MOVQ(offsets, o)
		Label(name("targets"))
		s := ZMM()
		VPMULUDQ_BCST(Mem{Base: k, Disp: 16}, y[0], s)
		for i := 1; i <= count; i++ {
			t := ZMM()
			VPMULUDQ_BCST(Mem{Base: k, Disp: 16 + 8*i}, y[i], t)
			VPADDQ(t, s, s)
		}
		out := montgomery(s, Mem{Base: k}, Mem{Base: k, Disp: 8})
		MOVQ(Mem{Base: o}, at)
		LEAQ(Mem{Base: x, Index: at, Scale: 8}, at)
		VMOVDQU64(out, Mem{Base: dst, Index: at, Scale: 1})
		ADDQ(Imm(uint64(24+8*count)), k)
		ADDQ(Imm(8), o)
		DECQ(left)
		JNZ(LabelRef(name("targets")))
		ADDQ(Imm(64), x)
		CMPQ(x, n)
		JL(LabelRef(name("residues")))
		VZEROUPPER()
		RET()
		if count < 4 {
			Label(name("skip"))
		}
	}
}

func sumProducts(digits int) {
	d := string(rune('0' + digits))
	rows, keys := []string{"x0", "x1", "x2"}[:digits], []string{"k0", "k1", "k2"}[:digits]
	name := "sumProducts" + d + "AVX512"
	TEXT(name, NOSPLIT, "func(dst *uint64, n int, "+strings.Join(rows, ", ")+" *uint64, "+strings.Join(keys, ", ")+" *uint32, q, inverse uint64)")
	Doc(name + " is sumProductsGeneric for " + d + " rows.")
	dst, n := Load(Param("dst"), GP64()), Load(Param("n"), GP64())
	var x, k []Register
	for i := range digits {
		x = append(x, Load(Param(rows[i]), GP64()))
		k = append(k, Load(Param(keys[i]), GP64()))
	}
	m := loadModulus("q")
	inverse := ZMM()
	p := Load(Param("inverse"), GP64())
	VPBROADCASTQ(p, inverse)
	i := GP64()
	XORQ(i, i)
	Label("loop")
	s := ZMM()
	for j := range digits {
		t := ZMM()
		VPMOVZXDQ(Mem{Base: k[j], Index: i, Scale: 4}, t)
		VPMULUDQ(Mem{Base: x[j], Index: i, Scale: 8}, t, t)
		if j == 0 {
			s = t
		} else {
			VPADDQ(t, s, s)
		}
	}
	out := montgomery(s, m.q, inverse)
	fold(out, m.q2)
	fold(out, m.q)
	VMOVDQU64(out, Mem{Base: dst, Index: i, Scale: 8})
	ADDQ(Imm(8), i)
	CMPQ(i, n)
	JL(LabelRef("loop"))
	VZEROUPPER()
	RET()
}

func subtractScale(name string, plus bool) {
	extra := ""
	if plus {
		extra = ", plus"
	}
	TEXT(name, NOSPLIT, "func(dst, a, b"+extra+" *uint64, n int, scale, q uint64)")
	Doc(name + " is subtractScaleGeneric.")
	dst, a, b := Load(Param("dst"), GP64()), Load(Param("a"), GP64()), Load(Param("b"), GP64())
	var more Register
	if plus {
		more = Load(Param("plus"), GP64())
	}
	n := Load(Param("n"), GP64())
	r := root{ZMM(), ZMM()}
	p := Load(Param("scale"), GP64())
	VPBROADCASTQ(p, r.w)
	VPSRLQ(Imm(32), r.w, r.quotient)
	m := loadModulus("q")
	i := GP64()
	XORQ(i, i)
	Label("loop")
	x, t := ZMM(), ZMM()
	VMOVDQU64(Mem{Base: a, Index: i, Scale: 8}, x)
	VPSUBQ(Mem{Base: b, Index: i, Scale: 8}, x, x)
	VPADDQ(m.q, x, t)
	VPMINUQ(t, x, x)
	out := m.times(x, r)
	fold(out, m.q)
	if plus {
		VPADDQ(Mem{Base: more, Index: i, Scale: 8}, out, out)
		fold(out, m.q)
	}
	VMOVDQU64(out, Mem{Base: dst, Index: i, Scale: 8})
	ADDQ(Imm(8), i)
	CMPQ(i, n)
	JL(LabelRef("loop"))
	VZEROUPPER()
	RET()
}
