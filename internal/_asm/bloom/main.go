// Command bloom generates the comparison kernels of package bloom: the bits in
// common of four CLKs with eight others at a time.
package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

const (
	rows       = 4  // CLKs that lie interleaved on one side
	group      = 8  // and on the other
	wordBytes  = 8  // a word of a CLK
	groupBytes = 64 // a word of each of a group
	tileBytes  = rows * wordBytes
	shift      = 16 // binary places of bounds and bases
)

func main() {
	ConstraintExpr("!purego")
	avx512()
	avx2()
	Generate()
}

const doc = "sets masks[4i+r], for n groups i and four rows r, to the bits j for which base[r] " +
	"plus 2^16 times the bits in common of row r and CLK j of group i reaches bounds[8i+j]."

// operands of both kernels.
type operands struct{ masks, tile, groups, bounds, base, n, words Register }

func begin(name string) operands {
	TEXT(name, NOSPLIT, "func(masks *byte, tile, groups *uint64, bounds, base *int64, n, words int)")
	Doc(name + " " + doc)
	load := func(p string) Register { return Load(Param(p), GP64()) }
	return operands{load("masks"), load("tile"), load("groups"), load("bounds"), load("base"), load("n"), load("words")}
}

// next steps to the next group; groups has moved already.
func (o operands) next() {
	ADDQ(Imm(rows), o.masks)
	ADDQ(Imm(groupBytes), o.bounds)
	DECQ(o.n)
	JNZ(LabelRef("group"))
}

func avx512() {
	o := begin("scanAVX512")
	base, acc := make([]VecVirtual, rows), make([]VecVirtual, rows)
	for r := range rows {
		base[r], acc[r] = ZMM(), ZMM()
		VPBROADCASTQ(Mem{Base: o.base, Disp: wordBytes * r}, base[r])
	}
	TESTQ(o.n, o.n)
	JZ(LabelRef("done"))
	word := func(i int, at Register) {
		b, t := ZMM(), ZMM()
		VMOVDQU64(Mem{Base: o.groups, Disp: groupBytes * i}, b)
		for r := range rows {
			VPANDQ_BCST(Mem{Base: at, Disp: tileBytes*i + wordBytes*r}, b, t)
			VPOPCNTQ(t, t)
			VPADDQ(t, acc[r], acc[r])
		}
	}

	Label("group")
	for r := range rows {
		VPXORQ(acc[r], acc[r], acc[r])
	}
	at, left := GP64(), GP64()
	MOVQ(o.tile, at)
	MOVQ(o.words, left)
	const unroll = 4
	Label("four")
	CMPQ(left, Imm(unroll))
	JL(LabelRef("tail"))
	for i := range unroll {
		word(i, at)
	}
	ADDQ(U32(unroll*groupBytes), o.groups)
	ADDQ(U32(unroll*tileBytes), at)
	SUBQ(Imm(unroll), left)
	JMP(LabelRef("four"))
	Label("tail")
	TESTQ(left, left)
	JZ(LabelRef("compare"))
	word(0, at)
	ADDQ(Imm(groupBytes), o.groups)
	ADDQ(Imm(tileBytes), at)
	DECQ(left)
	JMP(LabelRef("tail"))

	Label("compare")
	bound := ZMM()
	VMOVDQU64(Mem{Base: o.bounds}, bound)
	for r := range rows {
		VPSLLQ(Imm(shift), acc[r], acc[r])
		VPADDQ(base[r], acc[r], acc[r])
		k, m := K(), GP32()
		const notLess = 5
		VPCMPQ(Imm(notLess), bound, acc[r], k)
		KMOVB(k, m)
		MOVB(m.As8(), Mem{Base: o.masks, Disp: r})
	}
	o.next()
	Label("done")
	VZEROUPPER()
	RET()
}

// avx2 counts by looking up nibbles: Muła, Kurz and Lemire, "Faster Population
// Counts Using AVX2 Instructions", The Computer Journal 61 (2018). Two rows are
// in registers at a time, so it reads each group twice.
func avx2() {
	table := GLOBL("nibbleCounts", RODATA|NOPTR)
	for i := range 2 {
		DATA(16*i, U64(0x0302020102010100))
		DATA(16*i+8, U64(0x0403030203020201))
	}
	o := begin("scanAVX2")
	counts, nibble := YMM(), YMM()
	VMOVDQU(table, counts)
	tmp := GP32()
	MOVL(U32(0x0f0f0f0f), tmp)
	VMOVD(tmp, nibble.AsX())
	VPBROADCASTD(nibble.AsX(), nibble)
	TESTQ(o.n, o.n)
	JZ(LabelRef("done"))
	Label("group")
	for half := range rows / 2 {
		o.twoRows(2*half, counts, nibble)
	}
	step := GP64()
	MOVQ(o.words, step)
	SHLQ(Imm(6), step)
	ADDQ(step, o.groups)
	o.next()
	Label("done")
	VZEROUPPER()
	RET()
}

// twoRows compares rows first and first+1 with the present group.
func (o operands) twoRows(first int, counts, nibble VecVirtual) {
	var acc, sum [4]VecVirtual // row·2 + half of the group
	for i := range acc {
		acc[i], sum[i] = YMM(), YMM()
		VPXOR(acc[i], acc[i], acc[i])
	}
	at, from, left, chunk := GP64(), GP64(), GP64(), GP64()
	MOVQ(o.tile, at)
	MOVQ(o.groups, from)
	MOVQ(o.words, left)
	label := func(name string) string { return fmt.Sprintf("%s%d", name, first) }

	Label(label("chunk"))
	// A byte holds the counts of 31 words.
	MOVQ(left, chunk)
	most := GP64()
	MOVQ(U32(31), most)
	CMPQ(left, most)
	CMOVQGT(most, chunk)
	SUBQ(chunk, left)
	for _, s := range sum {
		VPXOR(s, s, s)
	}
	Label(label("word"))
	b := [2]VecVirtual{YMM(), YMM()}
	for i := range b {
		VMOVDQU(Mem{Base: from, Disp: 32 * i}, b[i])
	}
	for r := range 2 {
		row := YMM()
		VPBROADCASTQ(Mem{Base: at, Disp: wordBytes * (first + r)}, row)
		for i := range b {
			lo, hi := YMM(), YMM()
			VPAND(b[i], row, lo)
			VPSRLW(Imm(4), lo, hi)
			VPAND(nibble, lo, lo)
			VPAND(nibble, hi, hi)
			VPSHUFB(lo, counts, lo)
			VPSHUFB(hi, counts, hi)
			VPADDB(lo, sum[2*r+i], sum[2*r+i])
			VPADDB(hi, sum[2*r+i], sum[2*r+i])
		}
	}
	ADDQ(Imm(groupBytes), from)
	ADDQ(Imm(tileBytes), at)
	DECQ(chunk)
	JNZ(LabelRef(label("word")))
	zero := YMM()
	VPXOR(zero, zero, zero)
	for i := range sum {
		VPSADBW(zero, sum[i], sum[i])
		VPADDQ(sum[i], acc[i], acc[i])
	}
	TESTQ(left, left)
	JNZ(LabelRef(label("chunk")))

	for r := range 2 {
		m := [2]Register{GP32(), GP32()}
		base := YMM()
		VPBROADCASTQ(Mem{Base: o.base, Disp: wordBytes * (first + r)}, base)
		for i := range m {
			less := YMM()
			VPSLLQ(Imm(shift), acc[2*r+i], acc[2*r+i])
			VPADDQ(base, acc[2*r+i], acc[2*r+i])
			VMOVDQU(Mem{Base: o.bounds, Disp: 32 * i}, less)
			VPCMPGTQ(acc[2*r+i], less, less)
			VMOVMSKPD(less, m[i])
		}
		SHLL(Imm(4), m[1])
		ORL(m[1], m[0])
		NOTL(m[0])
		MOVB(m[0].(GPVirtual).As8(), Mem{Base: o.masks, Disp: first + r})
	}
}
