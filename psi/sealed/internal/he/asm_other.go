//go:build !amd64 || purego

package he

import "github.com/symbolon/symbolon/internal/cpu"

// No machine of this build has the features that lead here.

func (t *transform) forwardAVX512(dst, src []uint64) { panic("sealed: no kernels in this build") }

func (t *transform) backwardAVX512(dst, src []uint64) { panic("sealed: no kernels in this build") }

func multiplyAdd(_ cpu.Features, lo, hi []uint64, diagonals, rotated []uint32, m uint64) {
	multiplyAddGeneric(lo, hi, diagonals, rotated, m)
}

func convert(_ cpu.Features, v *conversion, dst, src []uint64, n int) {
	convertGeneric(v, dst, src, n)
}

func sumProducts(_ cpu.Features, dst []uint64, rows [][]uint64, key [][]uint32, q uint64) {
	sumProductsGeneric(dst, rows, key, q)
}

func subtractScale(_ cpu.Features, dst, a, b, plus []uint64, scale, q uint64) {
	subtractScaleGeneric(dst, a, b, plus, scale, q)
}
