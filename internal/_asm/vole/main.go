// Command vole generates the kernels of internal/vole: GGM trees with wide AES,
// and the convolution and expansion of the code.
package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

func main() {
	ConstraintExpr("!purego")
	expandKey()
	grow()
	growNarrow()
	convolve()
	convolvePairs()
	gather("gatherAVX2", 1)
	gather("gatherPairsAVX2", 2)
	Generate()
}

// expandKey is the AES-128 key schedule of FIPS 197 by AESKEYGENASSIST.
func expandKey() {
	TEXT("expandKeyAES", NOSPLIT, "func(schedule, key *uint64)")
	Doc("expandKeyAES writes the eleven round keys of an AES-128 key.")
	out, key := Load(Param("schedule"), GP64()), Load(Param("key"), GP64())
	k, t := XMM(), XMM()
	MOVOU(Mem{Base: key}, k)
	MOVOU(k, Mem{Base: out})
	for i, rcon := range []uint64{0x01, 0x02, 0x04, 0x08, 0x10, 0x20, 0x40, 0x80, 0x1b, 0x36} {
		AESKEYGENASSIST(Imm(rcon), k, t)
		PSHUFD(Imm(0xff), t, t)
		s := XMM()
		MOVO(k, s)
		for range 3 {
			PSLLDQ(Imm(4), s)
			PXOR(s, k)
		}
		PXOR(t, k)
		MOVOU(k, Mem{Base: out, Disp: 16 * (i + 1)})
	}
	RET()
}

// grow expands nodes of a GGM level, eight at a time: both key schedules stay
// in registers, and four chains of AES hide its latency.
func grow() {
	TEXT("growAVX512", NOSPLIT, "func(nodes *uint64, n, rights, stride int, keys, sums *uint64)")
	Doc("growAVX512 replaces nodes 0 to n-1 by their left children, writes the right",
		"children of the first rights of them stride nodes on, and writes both sums",
		"to sums. Keys holds both key schedules.")
	nodes, n, rights := Load(Param("nodes"), GP64()), Load(Param("n"), GP64()), Load(Param("rights"), GP64())
	keys := Load(Param("keys"), GP64())
	var key [2][11]VecVirtual
	for side := range key {
		for r := range key[side] {
			key[side][r] = ZMM()
			VBROADCASTI64X2(Mem{Base: keys, Disp: 176*side + 16*r}, key[side][r])
		}
	}
	sum := [2]VecVirtual{ZMM(), ZMM()}
	for _, s := range sum {
		VPXORQ(s, s, s)
	}
	right := Load(Param("stride"), GP64())
	SHLQ(Imm(4), right)
	ADDQ(nodes, right)
	x := [2]VecVirtual{ZMM(), ZMM()}
	y := [2][2]VecVirtual{{ZMM(), ZMM()}, {ZMM(), ZMM()}} // by side and register
	aes := func() {
		for side := range y {
			for j := range x {
				VPXORQ(key[side][0], x[j], y[side][j])
			}
		}
		for r := 1; r <= 10; r++ {
			for side := range y {
				for j := range x {
					if r < 10 {
						VAESENC(key[side][r], y[side][j], y[side][j])
					} else {
						VAESENCLAST(key[side][r], y[side][j], y[side][j])
					}
				}
			}
		}
		for side := range y {
			for j := range x {
				VPXORQ(x[j], y[side][j], y[side][j])
			}
		}
	}

	Label("loop")
	CMPQ(n, Imm(8))
	JL(LabelRef("tail"))
	CMPQ(rights, Imm(8))
	JL(LabelRef("tail"))
	for j := range x {
		VMOVDQU64(Mem{Base: nodes, Disp: 64 * j}, x[j])
	}
	aes()
	for side, base := range []Register{nodes, right} {
		for j := range x {
			VMOVDQU64(y[side][j], Mem{Base: base, Disp: 64 * j})
			VPXORQ(y[side][j], sum[side], sum[side])
		}
	}
	ADDQ(Imm(128), nodes)
	ADDQ(Imm(128), right)
	SUBQ(Imm(8), n)
	SUBQ(Imm(8), rights)
	JMP(LabelRef("loop"))

	Comment("At most eight nodes are left, of which the last may lack its right child.")
	Label("tail")
	TESTQ(n, n)
	JZ(LabelRef("done"))
	ones := GP64()
	MOVQ(I32(-1), ones)
	masks := [2]GPVirtual{}
	for side, count := range []Register{n, rights} {
		m, shift := GP64(), GP64()
		MOVQ(count, shift)
		ADDQ(shift, shift)
		SHLXQ(shift, ones, m)
		NOTQ(m)
		masks[side] = m
	}
	mask := [2][2]OpmaskVirtual{{K(), K()}, {K(), K()}}
	for side := range masks {
		KMOVB(masks[side].As32(), mask[side][0])
		SHRQ(Imm(8), masks[side])
		KMOVB(masks[side].As32(), mask[side][1])
	}
	for j := range x {
		VMOVDQU64_Z(Mem{Base: nodes, Disp: 64 * j}, mask[0][j], x[j])
	}
	aes()
	for side, base := range []Register{nodes, right} {
		for j := range x {
			VMOVDQU64(y[side][j], mask[side][j], Mem{Base: base, Disp: 64 * j})
			VPXORQ(y[side][j], sum[side], mask[side][j], sum[side])
		}
	}
	Label("done")
	out := Load(Param("sums"), GP64())
	for side, z := range sum {
		h, q := YMM(), XMM()
		VEXTRACTI64X4(Imm(1), z, h)
		VPXORQ(h, z.AsY(), h)
		VEXTRACTI64X2(Imm(1), h, q)
		VPXORQ(q, h.AsX(), q)
		VMOVDQU64(q, Mem{Base: out, Disp: 16 * side})
	}
	VZEROUPPER()
	RET()
}

// growNarrow is grow with AES-NI, four nodes at a time. Two key schedules do not
// fit in sixteen registers, so the round keys come from memory.
func growNarrow() {
	TEXT("growAVX2", NOSPLIT, "func(nodes *uint64, n, stride int, keys, sums *uint64)")
	Doc("growAVX2 is growAVX512 for n nodes, a multiple of four, that all have right",
		"children, which go stride nodes on.")
	nodes, n, right := Load(Param("nodes"), GP64()), Load(Param("n"), GP64()), Load(Param("stride"), GP64())
	keys := Load(Param("keys"), GP64())
	SHLQ(Imm(4), right)
	ADDQ(nodes, right)
	const count = 4
	sum := [2]VecVirtual{XMM(), XMM()}
	for _, s := range sum {
		VPXOR(s, s, s)
	}
	Label("loop")
	var y [2][count]VecVirtual
	for j := range count {
		x := XMM()
		VMOVDQU(Mem{Base: nodes, Disp: 16 * j}, x)
		for side := range y {
			y[side][j] = XMM()
			VPXOR(Mem{Base: keys, Disp: 176 * side}, x, y[side][j])
		}
	}
	for r := 1; r <= 10; r++ {
		for side := range y {
			k := XMM()
			VMOVDQU(Mem{Base: keys, Disp: 176*side + 16*r}, k)
			for j := range count {
				if r < 10 {
					VAESENC(k, y[side][j], y[side][j])
				} else {
					VAESENCLAST(k, y[side][j], y[side][j])
				}
			}
		}
	}
	for j := range count {
		x := XMM()
		VMOVDQU(Mem{Base: nodes, Disp: 16 * j}, x)
		for side, base := range []Register{nodes, right} {
			VPXOR(x, y[side][j], y[side][j])
			VPXOR(y[side][j], sum[side], sum[side])
			VMOVDQU(y[side][j], Mem{Base: base, Disp: 16 * j})
		}
	}
	ADDQ(Imm(16*count), nodes)
	ADDQ(Imm(16*count), right)
	SUBQ(Imm(count), n)
	JNZ(LabelRef("loop"))
	out := Load(Param("sums"), GP64())
	for side, s := range sum {
		VMOVDQU(s, Mem{Base: out, Disp: 16 * side})
	}
	VZEROUPPER()
	RET()
}

// convolve runs 28 steps of the convolution at a time over a ring of seven
// registers, each of four elements: the four that are being finished and the
// 24 that follow.
func convolve() {
	TEXT("convolveAVX512", NOSPLIT, "func(x *uint64, masks *byte, groups int)")
	Doc("convolveAVX512 finishes 28·groups outputs from x on, which is followed by at",
		"least 24 more elements. A mask takes four bytes.")
	x, masks, groups := Load(Param("x"), GP64()), Load(Param("masks"), GP64()), Load(Param("groups"), GP64())
	spread, low := GP64(), GP64()
	MOVQ(U64(0x5555555555555555), spread)
	MOVQ(U32(1<<23-1), low)
	poly := polyPairs()
	var ring [7]VecVirtual
	for i := range ring {
		ring[i] = ZMM()
		if i < 6 {
			VMOVDQU64(Mem{Base: x, Disp: 64 * i}, ring[i])
		}
	}
	Label("group")
	for g := range 7 {
		// Register g is being finished; the one six further on comes in.
		cur, last := ring[g], ring[(g+6)%7]
		VMOVDQU64(Mem{Base: x, Disp: 64 * (g + 6)}, last)
		for l := range 4 {
			m := GP64()
			MOVL(Mem{Base: masks, Disp: 4 * (4*g + l)}, m.As32())
			Comment("Two mask bits an element, from the one after this on.")
			ANDQ(low, m)
			SHLQ(Imm(uint64(l+1)), m)
			PDEPQ(spread, m, m)
			LEAQ(Mem{Base: m, Index: m, Scale: 2}, m)
			y := ZMM()
			VSHUFI64X2(Imm(uint64(0x55*l)), cur, cur, y)
			for r := range 7 {
				if r == 0 && l == 3 {
					SHRQ(Imm(8), m)
					continue // nothing of this register is left
				}
				k := K()
				KMOVB(m.As32(), k)
				t := ring[(g+r)%7]
				VPXORQ(y, t, k, t)
				if r < 6 {
					SHRQ(Imm(8), m)
				}
			}
		}
		mulX(cur, poly, last)
		VMOVDQU64(cur, Mem{Base: x, Disp: 64 * g})
	}
	ADDQ(U32(7*64), x)
	ADDQ(Imm(28*4), masks)
	DECQ(groups)
	JNZ(LabelRef("group"))
	for i := range 6 {
		VMOVDQU64(ring[i], Mem{Base: x, Disp: 64 * i})
	}
	VZEROUPPER()
	RET()
}

// convolvePairs is convolve for two vectors whose elements take turns: a ring of
// thirteen registers, each of two pairs.
func convolvePairs() {
	const regs = 13
	TEXT("convolvePairsAVX512", NOSPLIT, "func(x *uint64, masks *byte, groups int)")
	Doc("convolvePairsAVX512 finishes 26·groups pairs from x on, which is followed by at",
		"least 24 more. A mask takes four bytes and serves both elements of a pair.")
	x, masks, groups := Load(Param("x"), GP64()), Load(Param("masks"), GP64()), Load(Param("groups"), GP64())
	spread, low := GP64(), GP64()
	MOVQ(U64(0x1111111111111111), spread)
	MOVQ(U32(1<<23-1), low)
	poly := polyPairs()
	var ring [regs]VecVirtual
	for i := range ring {
		ring[i] = ZMM()
		if i < regs-1 {
			VMOVDQU64(Mem{Base: x, Disp: 64 * i}, ring[i])
		}
	}
	Label("group")
	for g := range regs {
		cur, last := ring[g], ring[(g+regs-1)%regs]
		VMOVDQU64(Mem{Base: x, Disp: 64 * (g + regs - 1)}, last)
		for l := range 2 {
			lo, hi := GP64(), GP64()
			MOVL(Mem{Base: masks, Disp: 4 * (2*g + l)}, lo.As32())
			Comment("Four mask bits a pair, from the one after this on.")
			ANDQ(low, lo)
			SHLQ(Imm(uint64(l+1)), lo)
			MOVQ(lo, hi)
			SHRQ(Imm(16), hi)
			for _, m := range []GPVirtual{lo, hi} {
				t := GP64()
				PDEPQ(spread, m, m)
				Comment("Times fifteen.")
				MOVQ(m, t)
				SHLQ(Imm(4), t)
				SUBQ(m, t)
				MOVQ(t, m)
			}
			y := ZMM()
			VSHUFI64X2(Imm([]uint64{0x44, 0xee}[l]), cur, cur, y)
			for r := range regs {
				m := lo
				if r >= 8 {
					m = hi
				}
				// After the second pair nothing of this register is left, and
				// 23 bits reach the 24th pair, in the last but one, at most.
				if !(r == 0 && l == 1) && !(r == regs-1 && l == 0) {
					k := K()
					KMOVB(m.As32(), k)
					t := ring[(g+r)%regs]
					VPXORQ(y, t, k, t)
				}
				if r != 7 && r != regs-1 {
					SHRQ(Imm(8), m)
				}
			}
		}
		mulX(cur, poly, last)
		VMOVDQU64(cur, Mem{Base: x, Disp: 64 * g})
	}
	ADDQ(U32(regs*64), x)
	ADDQ(U32(2*regs*4), masks)
	DECQ(groups)
	JNZ(LabelRef("group"))
	for i := range regs - 1 {
		VMOVDQU64(ring[i], Mem{Base: x, Disp: 64 * i})
	}
	VZEROUPPER()
	RET()
}

// polyPairs returns (0x87, 1) in each lane: what the carries out of the high
// and the low qword add to the low and the high one.
func polyPairs() VecVirtual {
	r, b, poly := GP64(), XMM(), ZMM()
	MOVQ(U32(0x87), r)
	VMOVQ(r, b)
	MOVQ(U32(1), r)
	VPINSRQ(Imm(1), r, b, b)
	VSHUFI64X2(Imm(0), b.AsZ(), b.AsZ(), poly)
	return poly
}

// mulX adds x·a to out.
func mulX(a, poly, out VecVirtual) {
	carry, twice := ZMM(), ZMM()
	VPSRAQ(Imm(63), a, carry)
	VPSHUFD(Imm(0x4e), carry, carry)
	VPADDQ(a, a, twice)
	VPTERNLOGQ(Imm(0x78), poly, carry, out)
	VPXORQ(twice, out, out)
}

// gather sums seven elements a row, at positions that scale 32-bit words to n.
// With pairs, x holds the elements of two vectors in turn, and so one cache
// miss serves both.
func gather(name string, vectors int) {
	outs := []string{"out"}
	if vectors == 2 {
		outs = []string{"out0", "out1"}
	}
	signature := "func(" + outs[0]
	for _, o := range outs[1:] {
		signature += ", " + o
	}
	TEXT(name, NOSPLIT, signature+", x *uint64, words *byte, rows, n int)")
	Doc(name + " adds to each output seven elements of x, which has n.")
	var out []Register
	for _, o := range outs {
		out = append(out, Load(Param(o), GP64()))
	}
	x, words := Load(Param("x"), GP64()), Load(Param("words"), GP64())
	rows, n := Load(Param("rows"), GP64()), Load(Param("n"), GP64())
	Label("row")
	sum := YMM()
	width := func(v VecVirtual) Op {
		if vectors == 2 {
			return v.AsY()
		}
		return v.AsX()
	}
	for j := range 7 {
		p := GP64()
		MOVL(Mem{Base: words, Disp: 4 * j}, p.As32())
		IMULQ(n, p)
		SHRQ(Imm(32), p)
		SHLQ(Imm(uint64(3+vectors)), p)
		if j == 0 {
			VMOVDQU(Mem{Base: x, Index: p, Scale: 1}, width(sum))
		} else {
			VPXOR(Mem{Base: x, Index: p, Scale: 1}, width(sum), width(sum))
		}
	}
	halves := []VecVirtual{sum.AsX().(VecVirtual)}
	if vectors == 2 {
		Comment("The upper half first: writing the lower one clears it.")
		upper := XMM()
		VEXTRACTI128(Imm(1), sum, upper)
		halves = append(halves, upper)
	}
	for i := len(out) - 1; i >= 0; i-- {
		VPXOR(Mem{Base: out[i]}, halves[i], halves[i])
		VMOVDQU(halves[i], Mem{Base: out[i]})
		ADDQ(Imm(16), out[i])
	}
	ADDQ(Imm(32), words)
	DECQ(rows)
	JNZ(LabelRef("row"))
	VZEROUPPER()
	RET()
}
