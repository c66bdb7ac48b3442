// Command oracle generates the SHA-256 kernels of internal/oracle: one block a
// message, two messages at a time, with SHA-NI.
package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

var k256 = [64]uint32{
	0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
	0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
	0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
	0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
	0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
	0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
	0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
	0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
}

var (
	constants Mem
	swap      Mem
)

func main() {
	ConstraintExpr("!purego")
	constants = GLOBL("k256", RODATA|NOPTR)
	for i, k := range k256 {
		DATA(4*i, U32(k))
	}
	swap = GLOBL("swap32", RODATA|NOPTR)
	DATA(0, U64(0x0405060700010203))
	DATA(8, U64(0x0c0d0e0f08090a0b))

	hash("hash1SHA", "a, b, x *uint64, pairs int, block, state *uint64", 1)
	hash("hash2SHA", "a, b, x, y *uint64, pairs int, block, state *uint64", 2)
	blocks()
	Generate()
}

// hash makes the kernel that compresses block with one or two inputs in place
// of its second, or second and third, 16 bytes.
func hash(name, params string, inputs int) {
	TEXT(name, NOSPLIT, "func("+params+")")
	Doc(name+" compresses block, with the inputs in place of its 16-byte words 1 and on,",
		"from state (ABEF, CDGH) for pairs of inputs, and sets a and b to the halves of",
		"the digests. Block is in the order of the words, already swapped.")
	a, b := Load(Param("a"), GP64()), Load(Param("b"), GP64())
	in := []Register{Load(Param("x"), GP64())}
	if inputs == 2 {
		in = append(in, Load(Param("y"), GP64()))
	}
	pairs, block, state := Load(Param("pairs"), GP64()), Load(Param("block"), GP64()), Load(Param("state"), GP64())
	Label("pair")
	compress(state, func(lane, word int, w VecVirtual) {
		if word >= 1 && word <= inputs {
			MOVOU(Mem{Base: in[word-1], Disp: 16 * lane}, w)
			PSHUFB(swap, w)
		} else {
			MOVOU(Mem{Base: block, Disp: 16 * word}, w)
		}
	}, func(lane int, first, second VecVirtual) {
		MOVOU(first, Mem{Base: a, Disp: 16 * lane})
		MOVOU(second, Mem{Base: b, Disp: 16 * lane})
	})
	for _, r := range append(in, a, b) {
		ADDQ(Imm(32), r)
	}
	DECQ(pairs)
	JNZ(LabelRef("pair"))
	RET()
}

// blocks makes the kernel that compresses whole blocks.
func blocks() {
	TEXT("blocksSHA", NOSPLIT, "func(digests, blocks *byte, pairs int, state *uint64)")
	Doc("blocksSHA compresses pairs of 64-byte blocks, each from state (ABEF, CDGH), to",
		"32-byte digests.")
	digests, in := Load(Param("digests"), GP64()), Load(Param("blocks"), GP64())
	pairs, state := Load(Param("pairs"), GP64()), Load(Param("state"), GP64())
	Label("pair")
	compress(state, func(lane, word int, w VecVirtual) {
		MOVOU(Mem{Base: in, Disp: 64*lane + 16*word}, w)
		PSHUFB(swap, w)
	}, func(lane int, first, second VecVirtual) {
		MOVOU(first, Mem{Base: digests, Disp: 32 * lane})
		MOVOU(second, Mem{Base: digests, Disp: 32*lane + 16})
	})
	ADDQ(U32(128), in)
	ADDQ(Imm(64), digests)
	DECQ(pairs)
	JNZ(LabelRef("pair"))
	RET()
}

// compress runs the compression function on two lanes, whose rounds alternate
// so that one hides the other's latency. SHA256RNDS2 takes its words from X0.
func compress(state Register, load func(lane, word int, w VecVirtual), store func(lane int, first, second VecVirtual)) {
	var s [2][2]VecVirtual
	var w [2][4]VecVirtual
	for lane := range s {
		for i := range s[lane] {
			s[lane][i] = XMM()
			MOVOU(Mem{Base: state, Disp: 16 * i}, s[lane][i])
		}
		for i := range w[lane] {
			w[lane][i] = XMM()
			load(lane, i, w[lane][i])
		}
	}
	for i := range 16 {
		for lane := range s {
			ww, t := w[lane], XMM()
			cur := ww[i%4]
			if i >= 4 {
				// The message schedule, four words at a time.
				SHA256MSG1(ww[(i+1)%4], cur)
				MOVO(ww[(i+3)%4], t)
				PALIGNR(Imm(4), ww[(i+2)%4], t)
				PADDD(t, cur)
				SHA256MSG2(ww[(i+3)%4], cur)
			}
			MOVOU(constants.Offset(16*i), X0)
			PADDD(cur, X0)
			SHA256RNDS2(X0, s[lane][0], s[lane][1])
			PSHUFD(Imm(0x0e), X0, X0)
			SHA256RNDS2(X0, s[lane][1], s[lane][0])
		}
	}
	for lane := range s {
		t := XMM()
		for i, v := range s[lane] {
			MOVOU(Mem{Base: state, Disp: 16 * i}, t)
			PADDD(t, v)
		}
		abef, cdgh := s[lane][0], s[lane][1]
		first, second := XMM(), XMM()
		PSHUFD(Imm(0x1b), abef, first)
		PSHUFD(Imm(0xb1), cdgh, second)
		MOVO(first, t)
		PBLENDW(Imm(0xf0), second, first)
		PALIGNR(Imm(8), t, second)
		PSHUFB(swap, first)
		PSHUFB(swap, second)
		store(lane, first, second)
	}
}
