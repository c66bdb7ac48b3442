// Command okvs generates the kernels of internal/okvs: the columns of keys, and
// the sums of three elements each.
package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

func main() {
	ConstraintExpr("!purego")
	columns()
	sumRows()
	Generate()
}

// columns computes the columns of eight keys at a time, a qword each.
func columns() {
	TEXT("columnsAVX512", NOSPLIT, "func(rows, keys *uint64, groups int, n uint64)")
	Doc("columnsAVX512 writes the columns of 8·groups keys among n, 16 bits each, the",
		"first lowest.")
	rows, keys := Load(Param("rows"), GP64()), Load(Param("keys"), GP64())
	groups, n := Load(Param("groups"), GP64()), Load(Param("n"), GP64())
	counts := [3]VecVirtual{ZMM(), ZMM(), ZMM()}
	for i, c := range counts {
		if i > 0 {
			DECQ(n)
		}
		VPBROADCASTQ(n, c)
	}
	one, r := ZMM(), GP64()
	MOVQ(U32(1), r)
	VPBROADCASTQ(r, one)
	Label("group")
	a, b, lo, hi := ZMM(), ZMM(), ZMM(), ZMM()
	VMOVDQU64(Mem{Base: keys}, a)
	VMOVDQU64(Mem{Base: keys, Disp: 64}, b)
	Comment("Within lanes: keys 0, 4, 1, 5, 2, 6, 3, 7.")
	VPUNPCKLQDQ(b, a, lo)
	VPUNPCKHQDQ(b, a, hi)
	p := [3]VecVirtual{ZMM(), ZMM(), ZMM()}
	VPMULUDQ(counts[0], lo, p[0])
	VPSRLQ(Imm(32), lo, lo)
	VPMULUDQ(counts[1], lo, p[1])
	VPMULUDQ(counts[2], hi, p[2])
	for _, v := range p {
		VPSRLQ(Imm(32), v, v)
	}
	skip := func(v, taken VecVirtual) {
		k := K()
		Comment("Greater or equal.")
		VPCMPUQ(Imm(5), taken, v, k)
		VPADDQ(one, v, k, v)
	}
	skip(p[1], p[0])
	low, high := ZMM(), ZMM()
	VPMINUQ(p[0], p[1], low)
	VPMAXUQ(p[0], p[1], high)
	skip(p[2], low)
	skip(p[2], high)
	VPSLLQ(Imm(16), p[1], p[1])
	VPSLLQ(Imm(32), p[2], p[2])
	VPTERNLOGQ(Imm(0xfe), p[1], p[0], p[2])
	Comment("Back into the keys' order.")
	order := ZMM()
	VMOVDQU64(interleaved, order)
	VPERMQ(p[2], order, p[2])
	VMOVDQU64(p[2], Mem{Base: rows})
	ADDQ(Imm(128), keys)
	ADDQ(Imm(64), rows)
	DECQ(groups)
	JNZ(LabelRef("group"))
	VZEROUPPER()
	RET()
}

// interleaved[i] is where key i comes out of the unpacking.
var interleaved = func() Mem {
	m := GLOBL("interleaved", RODATA|NOPTR)
	for i, at := range []uint64{0, 2, 4, 6, 1, 3, 5, 7} {
		DATA(8*i, U64(at))
	}
	return m
}()

// sumRows sums three elements a row.
func sumRows() {
	TEXT("sumRowsAVX2", NOSPLIT, "func(values, rows *uint64, n int, sparse *uint64)")
	Doc("sumRowsAVX2 sets each of n values to the sum of the elements in its row's columns.")
	values, rows := Load(Param("values"), GP64()), Load(Param("rows"), GP64())
	n, sparse := Load(Param("n"), GP64()), Load(Param("sparse"), GP64())
	Label("row")
	row := GP64()
	MOVQ(Mem{Base: rows}, row)
	v := XMM()
	for i := range 3 {
		p := GP64()
		MOVWQZX(row.As16(), p)
		if i < 2 {
			SHRQ(Imm(16), row)
		}
		SHLQ(Imm(4), p)
		if i == 0 {
			VMOVDQU(Mem{Base: sparse, Index: p, Scale: 1}, v)
		} else {
			VPXOR(Mem{Base: sparse, Index: p, Scale: 1}, v, v)
		}
	}
	VMOVDQU(v, Mem{Base: values})
	ADDQ(Imm(8), rows)
	ADDQ(Imm(16), values)
	DECQ(n)
	JNZ(LabelRef("row"))
	VZEROUPPER()
	RET()
}
