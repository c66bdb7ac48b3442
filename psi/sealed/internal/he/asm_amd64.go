//go:build !purego

package he

import (
	"math/bits"

	"github.com/symbolon/symbolon/internal/cpu"
)

//go:generate go run -C ../../../../internal/_asm ./sealed -out ../../psi/sealed/internal/he/kernel_amd64.s -stubs ../../psi/sealed/internal/he/kernel_amd64.go -pkg he

// The transforms run their stages two at a time: the widest over the whole
// array, the others over a quarter of it after another, which fits the first
// cache, and the four narrowest within registers.

func (t *transform) forwardAVX512(dst, src []uint64) {
	n, w := t.n, t.forward
	m := 1
	if bits.Len(uint(n))%2 == 0 {
		forwardHalfAVX512(&dst[0], &src[0], n/2, w[1], t.q)
		m = 2
	} else {
		forwardFirstAVX512(&dst[0], &src[0], n/4, 1, &w[1], &w[2], t.q)
		m = 4
	}
	part, size := m, n/m
	for i := range part {
		x := dst[i*size:][:size]
		stage := m
		for ; n/stage > 16; stage *= 4 {
			blocks := stage / part
			forwardPassAVX512(&x[0], &x[0], n/stage/4, blocks, &w[stage+i*blocks], &w[2*(stage+i*blocks)], t.q)
		}
		blocks := stage / part
		at := stage + i*blocks
		forwardTailAVX512(&x[0], &x[0], blocks, &w[at], &w[2*at], &w[4*at], &w[8*at], t.q)
	}
}

func (t *transform) backwardAVX512(dst, src []uint64) {
	n, w := t.n, t.backward
	part := 4
	if bits.Len(uint(n))%2 == 0 {
		part = 2
	}
	size := n / part
	for i := range part {
		x, y := dst[i*size:][:size], src[i*size:][:size]
		stage := n / 16
		blocks := stage / part
		at := stage + i*blocks
		inverseTailAVX512(&x[0], &y[0], blocks, &w[at], &w[2*at], &w[4*at], &w[8*at], t.q)
		for stage /= 4; stage >= part; stage /= 4 {
			blocks = stage / part
			at = stage + i*blocks
			if stage == part && part == 2 {
				inverseLastAVX512(&x[0], &x[0], n/stage/4, blocks, &w[at], &w[2*at], t.q, t.scale)
			} else {
				inversePassAVX512(&x[0], &x[0], n/stage/4, blocks, &w[at], &w[2*at], t.q)
			}
		}
	}
	if part == 2 {
		inverseHalfAVX512(&dst[0], &dst[0], n/2, w[1], t.q)
	} else {
		inverseLastAVX512(&dst[0], &dst[0], n/4, 1, &w[1], &w[2], t.q, t.scale)
	}
}

// multiplyAdd chooses the kernel.
func multiplyAdd(f cpu.Features, lo, hi []uint64, diagonals, rotated []uint32, m uint64) {
	if !f.AVX512 || len(lo) != chunkSize {
		multiplyAddGeneric(lo, hi, diagonals, rotated, m)
		return
	}
	multiplyAddAVX512(&lo[0], &hi[0], &diagonals[0], &rotated[0], len(diagonals)/(2*chunkSize), m)
}

// convert chooses the kernel.
func convert(f cpu.Features, v *conversion, dst, src []uint64, n int) {
	if !f.AVX512 {
		convertGeneric(v, dst, src, n)
		return
	}
	_ = dst[v.offsets[v.targets-1]+n-1]
	convertAVX512(&dst[0], &src[0], n, v.sources, v.targets, &v.constants[0], &v.offsets[0])
}

// sumProducts chooses the kernel.
func sumProducts(f cpu.Features, dst []uint64, rows [][]uint64, key [][]uint32, q uint64) {
	n, inverse := len(dst), inverse32(q)
	switch {
	case !f.AVX512:
		sumProductsGeneric(dst, rows, key, q)
	case len(rows) == 1:
		sumProducts1AVX512(&dst[0], n, &rows[0][0], &key[0][0], q, inverse)
	case len(rows) == 2:
		sumProducts2AVX512(&dst[0], n, &rows[0][0], &rows[1][0], &key[0][0], &key[1][0], q, inverse)
	default:
		sumProducts3AVX512(&dst[0], n, &rows[0][0], &rows[1][0], &rows[2][0], &key[0][0], &key[1][0], &key[2][0], q, inverse)
	}
}

// subtractScale chooses the kernel.
func subtractScale(f cpu.Features, dst, a, b, plus []uint64, scale, q uint64) {
	switch {
	case !f.AVX512:
		subtractScaleGeneric(dst, a, b, plus, scale, q)
	case plus == nil:
		subtractScaleAVX512(&dst[0], &a[0], &b[0], len(dst), scale, q)
	default:
		subtractScalePlusAVX512(&dst[0], &a[0], &b[0], &plus[0], len(dst), scale, q)
	}
}
