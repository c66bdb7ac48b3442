// Command field generates the vector kernels of internal/field: VPCLMULQDQ on
// ZMM registers, four elements at a time, and on XMM registers, one at a time.
package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

func main() {
	ConstraintExpr("!purego")
	mulAdd()
	innerProduct()
	addPoly()
	mulAddNarrow()
	innerProductNarrow()
	addPolyNarrow()
	Generate()
}

// tailMask sets k to the qwords of n elements, n from 1 to 3.
func tailMask(n GPVirtual) VecMask {
	k := K()
	shift, mask := GP64(), GP64()
	Comment("A mask of two qwords an element.")
	MOVQ(n, shift)
	ADDQ(shift, shift)
	MOVQ(I32(-1), mask)
	SHLXQ(shift, mask, mask)
	NOTQ(mask)
	KMOVB(mask.As32(), k)
	return k
}

// VecMask is a mask register.
type VecMask = OpmaskVirtual

func mulAdd() {
	TEXT("mulAddAVX512", NOSPLIT, "func(dst, src *uint64, n int, c, cx *uint64)")
	Doc("mulAddAVX512 sets dst[i] += c·src[i] for n elements; cx is c·x^64.")
	dst, src, n := Load(Param("dst"), GP64()), Load(Param("src"), GP64()), Load(Param("n"), GP64())
	c, cx := ZMM(), ZMM()
	p := Load(Param("c"), GP64())
	VBROADCASTI64X2(Mem{Base: p}, c)
	p = Load(Param("cx"), GP64())
	VBROADCASTI64X2(Mem{Base: p}, cx)
	poly := broadcastPoly()
	acc, s := []VecVirtual{ZMM(), ZMM()}, []VecVirtual{ZMM(), ZMM()}

	Label("pair")
	CMPQ(n, Imm(8))
	JL(LabelRef("four"))
	for i := range 2 {
		VMOVDQU64(Mem{Base: src, Disp: 64 * i}, s[i])
	}
	for i := range 2 {
		mul(s[i], c, cx, poly, acc[i])
		VPXORQ(Mem{Base: dst, Disp: 64 * i}, acc[i], acc[i])
	}
	for i := range 2 {
		VMOVDQU64(acc[i], Mem{Base: dst, Disp: 64 * i})
	}
	ADDQ(Imm(128), src)
	ADDQ(Imm(128), dst)
	SUBQ(Imm(8), n)
	JMP(LabelRef("pair"))

	Label("four")
	CMPQ(n, Imm(4))
	JL(LabelRef("tail"))
	VMOVDQU64(Mem{Base: src}, s[0])
	mul(s[0], c, cx, poly, acc[0])
	VPXORQ(Mem{Base: dst}, acc[0], acc[0])
	VMOVDQU64(acc[0], Mem{Base: dst})
	ADDQ(Imm(64), src)
	ADDQ(Imm(64), dst)
	SUBQ(Imm(4), n)

	Label("tail")
	TESTQ(n, n)
	JZ(LabelRef("done"))
	k := tailMask(n.(GPVirtual))
	VMOVDQU64_Z(Mem{Base: src}, k, s[0])
	mul(s[0], c, cx, poly, acc[0])
	VMOVDQU64_Z(Mem{Base: dst}, k, s[0])
	VPXORQ(s[0], acc[0], acc[0])
	VMOVDQU64(acc[0], k, Mem{Base: dst})
	Label("done")
	VZEROUPPER()
	RET()
}

func broadcastPoly() VecVirtual {
	poly, r := ZMM(), GP64()
	MOVQ(U32(0x87), r)
	VPBROADCASTQ(r, poly)
	return poly
}

// mul sets out to a·c: with a = a0 + a1·x^64 that is a0·c + a1·(c·x^64), at most
// 192 bits, of which the top 64 fold once.
func mul(a, c, cx, poly, out VecVirtual) {
	mid, t := ZMM(), ZMM()
	VPCLMULQDQ(Imm(0x00), c, a, out)
	VPCLMULQDQ(Imm(0x01), cx, a, t)
	VPXORQ(t, out, out)
	VPCLMULQDQ(Imm(0x10), c, a, mid)
	VPCLMULQDQ(Imm(0x11), cx, a, t)
	VPXORQ(t, mid, mid)
	VPCLMULQDQ(Imm(0x01), poly, mid, t)
	VPSLLDQ(Imm(8), mid, mid)
	VPTERNLOGQ(Imm(0x96), t, mid, out)
}

func innerProduct() {
	TEXT("innerProductAVX512", NOSPLIT, "func(sum, a, b *uint64, n int)")
	Doc("innerProductAVX512 sets sum to the products of n pairs of elements, added up",
		"unreduced: low, middle (at x^64) and high 128 bits.")
	sum, a, b, n := Load(Param("sum"), GP64()), Load(Param("a"), GP64()), Load(Param("b"), GP64()), Load(Param("n"), GP64())
	lo, mid, mid2, hi := ZMM(), ZMM(), ZMM(), ZMM()
	for _, z := range []VecVirtual{lo, mid, mid2, hi} {
		VPXORQ(z, z, z)
	}
	x, y := []VecVirtual{ZMM(), ZMM()}, []VecVirtual{ZMM(), ZMM()}
	step := func(x, y VecVirtual) {
		for _, p := range []struct {
			imm uint8
			acc VecVirtual
		}{{0x00, lo}, {0x01, mid}, {0x10, mid2}, {0x11, hi}} {
			t := ZMM()
			VPCLMULQDQ(Imm(uint64(p.imm)), y, x, t)
			VPXORQ(t, p.acc, p.acc)
		}
	}
	Label("pair")
	CMPQ(n, Imm(8))
	JL(LabelRef("four"))
	for i := range 2 {
		VMOVDQU64(Mem{Base: a, Disp: 64 * i}, x[i])
		VMOVDQU64(Mem{Base: b, Disp: 64 * i}, y[i])
	}
	for i := range 2 {
		step(x[i], y[i])
	}
	ADDQ(Imm(128), a)
	ADDQ(Imm(128), b)
	SUBQ(Imm(8), n)
	JMP(LabelRef("pair"))
	Label("four")
	CMPQ(n, Imm(4))
	JL(LabelRef("tail"))
	VMOVDQU64(Mem{Base: a}, x[0])
	VMOVDQU64(Mem{Base: b}, y[0])
	step(x[0], y[0])
	ADDQ(Imm(64), a)
	ADDQ(Imm(64), b)
	SUBQ(Imm(4), n)
	Label("tail")
	TESTQ(n, n)
	JZ(LabelRef("fold"))
	k := tailMask(n.(GPVirtual))
	VMOVDQU64_Z(Mem{Base: a}, k, x[0])
	VMOVDQU64_Z(Mem{Base: b}, k, y[0])
	step(x[0], y[0])
	Label("fold")
	VPXORQ(mid2, mid, mid)
	for i, z := range []VecVirtual{lo, mid, hi} {
		h := YMM()
		VEXTRACTI64X4(Imm(1), z, h)
		VPXORQ(h, z.AsY(), h)
		q := XMM()
		VEXTRACTI64X2(Imm(1), h, q)
		VPXORQ(q, h.AsX(), q)
		VMOVDQU64(q, Mem{Base: sum, Disp: 16 * i})
	}
	VZEROUPPER()
	RET()
}

// addPoly evaluates one polynomial without constant term at many points by
// Horner's rule, eight at a time.
func addPoly() {
	TEXT("addPolyAVX512", NOSPLIT, "func(dst, x *uint64, n int, coef *uint64, degree int)")
	Doc("addPolyAVX512 adds to dst[i], for n points, the sum of coef[j]·x[i]^(j+1) over",
		"j below degree, which is at least 1.")
	dst, x, n := Load(Param("dst"), GP64()), Load(Param("x"), GP64()), Load(Param("n"), GP64())
	coef, degree := Load(Param("coef"), GP64()), Load(Param("degree"), GP64())
	end := GP64()
	Comment("Past the last coefficient, which comes first.")
	MOVQ(degree, end)
	SHLQ(Imm(4), end)
	ADDQ(coef, end)
	poly := broadcastPoly()
	eval := func(label string, v, s []VecVirtual) {
		c, at := ZMM(), GP64()
		for i := range s {
			VPXORQ(s[i], s[i], s[i])
		}
		MOVQ(end, at)
		Label(label)
		SUBQ(Imm(16), at)
		VBROADCASTI64X2(Mem{Base: at}, c)
		for i := range s {
			VPXORQ(c, s[i], s[i])
			mulFull(s[i], v[i], poly)
		}
		CMPQ(at, coef)
		JNE(LabelRef(label))
	}
	v, s := []VecVirtual{ZMM(), ZMM()}, []VecVirtual{ZMM(), ZMM()}
	Label("pair")
	CMPQ(n, Imm(8))
	JL(LabelRef("tail"))
	for i := range v {
		VMOVDQU64(Mem{Base: x, Disp: 64 * i}, v[i])
	}
	eval("pairdegree", v, s)
	for i := range v {
		VPXORQ(Mem{Base: dst, Disp: 64 * i}, s[i], s[i])
		VMOVDQU64(s[i], Mem{Base: dst, Disp: 64 * i})
	}
	ADDQ(Imm(128), x)
	ADDQ(Imm(128), dst)
	SUBQ(Imm(8), n)
	JMP(LabelRef("pair"))
	Label("tail")
	TESTQ(n, n)
	JZ(LabelRef("done"))
	Comment("Up to eight at once: the last four may all be masked.")
	shift, mask, k := GP64(), GP64(), []OpmaskVirtual{K(), K()}
	MOVQ(n, shift)
	ADDQ(shift, shift)
	MOVQ(I32(-1), mask)
	SHLXQ(shift, mask, mask)
	NOTQ(mask)
	KMOVB(mask.As32(), k[0])
	SHRQ(Imm(8), mask)
	KMOVB(mask.As32(), k[1])
	for i := range v {
		VMOVDQU64_Z(Mem{Base: x, Disp: 64 * i}, k[i], v[i])
	}
	eval("taildegree", v, s)
	for i := range v {
		VMOVDQU64_Z(Mem{Base: dst, Disp: 64 * i}, k[i], v[i])
		VPXORQ(v[i], s[i], s[i])
		VMOVDQU64(s[i], k[i], Mem{Base: dst, Disp: 64 * i})
	}
	Label("done")
	VZEROUPPER()
	RET()
}

// mulFull sets a to a·b, both unknown beforehand.
func mulFull(a, b, poly VecVirtual) {
	lo, mid, hi, t := ZMM(), ZMM(), ZMM(), ZMM()
	VPCLMULQDQ(Imm(0x00), b, a, lo)
	VPCLMULQDQ(Imm(0x01), b, a, mid)
	VPCLMULQDQ(Imm(0x10), b, a, t)
	VPCLMULQDQ(Imm(0x11), b, a, hi)
	VPXORQ(t, mid, mid)
	VPSRLDQ(Imm(8), mid, t)
	VPXORQ(t, hi, hi)
	VPSLLDQ(Imm(8), mid, t)
	VPXORQ(t, lo, lo)
	Comment("Fold the top 64 bits, then the 64 below them.")
	VPCLMULQDQ(Imm(0x01), poly, hi, t)
	VPSRLDQ(Imm(8), t, mid)
	VPXORQ(mid, hi, hi)
	VPSLLDQ(Imm(8), t, t)
	VPXORQ(t, lo, lo)
	VPCLMULQDQ(Imm(0x00), poly, hi, t)
	VPXORQ(t, lo, a)
}

// The narrow kernels take one element in a register, and several in turn.
const lanes = 4

func narrowPoly() VecVirtual {
	poly, r := XMM(), GP64()
	MOVQ(U32(0x87), r)
	VMOVQ(r, poly)
	return poly
}

// eachNarrow runs body for lanes elements at a time, then one by one. The
// pointers advance by an element each.
func eachNarrow(n Register, pointers []Register, body func(count int)) {
	Label("many")
	CMPQ(n, Imm(lanes))
	JL(LabelRef("one"))
	body(lanes)
	for _, p := range pointers {
		ADDQ(Imm(16*lanes), p)
	}
	SUBQ(Imm(lanes), n)
	JMP(LabelRef("many"))
	Label("one")
	TESTQ(n, n)
	JZ(LabelRef("done"))
	body(1)
	for _, p := range pointers {
		ADDQ(Imm(16), p)
	}
	DECQ(n)
	JMP(LabelRef("one"))
	Label("done")
}

func mulAddNarrow() {
	TEXT("mulAddAVX2", NOSPLIT, "func(dst, src *uint64, n int, c, cx *uint64)")
	Doc("mulAddAVX2 is mulAddAVX512 on narrow registers.")
	dst, src, n := Load(Param("dst"), GP64()), Load(Param("src"), GP64()), Load(Param("n"), GP64())
	c, cx := XMM(), XMM()
	p := Load(Param("c"), GP64())
	VMOVDQU(Mem{Base: p}, c)
	p = Load(Param("cx"), GP64())
	VMOVDQU(Mem{Base: p}, cx)
	poly := narrowPoly()
	eachNarrow(n, []Register{dst, src}, func(count int) {
		for i := range count {
			a, out, mid, t := XMM(), XMM(), XMM(), XMM()
			VMOVDQU(Mem{Base: src, Disp: 16 * i}, a)
			VPCLMULQDQ(Imm(0x00), c, a, out)
			VPCLMULQDQ(Imm(0x01), cx, a, t)
			VPXOR(t, out, out)
			VPCLMULQDQ(Imm(0x10), c, a, mid)
			VPCLMULQDQ(Imm(0x11), cx, a, t)
			VPXOR(t, mid, mid)
			VPCLMULQDQ(Imm(0x01), poly, mid, t)
			VPSLLDQ(Imm(8), mid, mid)
			VPXOR(t, out, out)
			VPXOR(mid, out, out)
			VPXOR(Mem{Base: dst, Disp: 16 * i}, out, out)
			VMOVDQU(out, Mem{Base: dst, Disp: 16 * i})
		}
	})
	VZEROUPPER()
	RET()
}

func innerProductNarrow() {
	TEXT("innerProductAVX2", NOSPLIT, "func(sum, a, b *uint64, n int)")
	Doc("innerProductAVX2 is innerProductAVX512 on narrow registers.")
	sum, a, b, n := Load(Param("sum"), GP64()), Load(Param("a"), GP64()), Load(Param("b"), GP64()), Load(Param("n"), GP64())
	acc := []VecVirtual{XMM(), XMM(), XMM()}
	for _, v := range acc {
		VPXOR(v, v, v)
	}
	eachNarrow(n, []Register{a, b}, func(count int) {
		for i := range count {
			x, y := XMM(), XMM()
			VMOVDQU(Mem{Base: a, Disp: 16 * i}, x)
			VMOVDQU(Mem{Base: b, Disp: 16 * i}, y)
			for _, p := range []struct {
				imm uint64
				acc VecVirtual
			}{{0x00, acc[0]}, {0x01, acc[1]}, {0x10, acc[1]}, {0x11, acc[2]}} {
				t := XMM()
				VPCLMULQDQ(Imm(p.imm), y, x, t)
				VPXOR(t, p.acc, p.acc)
			}
		}
	})
	for i, v := range acc {
		VMOVDQU(v, Mem{Base: sum, Disp: 16 * i})
	}
	VZEROUPPER()
	RET()
}

func addPolyNarrow() {
	TEXT("addPolyAVX2", NOSPLIT, "func(dst, x *uint64, n int, coef *uint64, degree int)")
	Doc("addPolyAVX2 is addPolyAVX512 on narrow registers.")
	dst, x, n := Load(Param("dst"), GP64()), Load(Param("x"), GP64()), Load(Param("n"), GP64())
	coef, degree := Load(Param("coef"), GP64()), Load(Param("degree"), GP64())
	end := GP64()
	MOVQ(degree, end)
	SHLQ(Imm(4), end)
	ADDQ(coef, end)
	poly := narrowPoly()
	eachNarrow(n, []Register{dst, x}, func(count int) {
		s, at := make([]VecVirtual, count), GP64()
		for i := range s {
			s[i] = XMM()
			VPXOR(s[i], s[i], s[i])
		}
		MOVQ(end, at)
		loop := []string{"", "onedegree", "", "", "manydegree"}[count]
		Label(loop)
		SUBQ(Imm(16), at)
		for i := range s {
			lo, mid, hi, t := XMM(), XMM(), XMM(), XMM()
			v := XMM()
			VMOVDQU(Mem{Base: x, Disp: 16 * i}, v)
			VPXOR(Mem{Base: at}, s[i], s[i])
			VPCLMULQDQ(Imm(0x00), v, s[i], lo)
			VPCLMULQDQ(Imm(0x01), v, s[i], mid)
			VPCLMULQDQ(Imm(0x10), v, s[i], t)
			VPCLMULQDQ(Imm(0x11), v, s[i], hi)
			VPXOR(t, mid, mid)
			VPSRLDQ(Imm(8), mid, t)
			VPXOR(t, hi, hi)
			VPSLLDQ(Imm(8), mid, t)
			VPXOR(t, lo, lo)
			VPCLMULQDQ(Imm(0x01), poly, hi, t)
			VPSRLDQ(Imm(8), t, mid)
			VPXOR(mid, hi, hi)
			VPSLLDQ(Imm(8), t, t)
			VPXOR(t, lo, lo)
			VPCLMULQDQ(Imm(0x00), poly, hi, t)
			VPXOR(t, lo, s[i])
		}
		CMPQ(at, coef)
		JNE(LabelRef(loop))
		for i := range s {
			VPXOR(Mem{Base: dst, Disp: 16 * i}, s[i], s[i])
			VMOVDQU(s[i], Mem{Base: dst, Disp: 16 * i})
		}
	})
	VZEROUPPER()
	RET()
}
