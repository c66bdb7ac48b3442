//go:build !purego

package vole

import (
	"github.com/symbolon/symbolon/internal/cpu"
	"github.com/symbolon/symbolon/internal/field"
)

//go:generate go run -C ../_asm ./vole -out ../vole/kernel_amd64.s -stubs ../vole/kernel_amd64.go -pkg vole

// schedules holds the round keys of both keys of a prg, for the kernels.
type schedules [2 * 11 * 2]uint64

func (s *schedules) expand(f cpu.Features, keys [2]field.Element) {
	if f.AES {
		expandKeyAES(&s[0], &keys[0].Lo)
		expandKeyAES(&s[22], &keys[1].Lo)
	}
}

// growCall bounds the nodes of one call of a kernel, which the scheduler can't
// interrupt, to well under a millisecond.
const growCall = 1 << 16

func (g *prg) grow(f cpu.Features, nodes []field.Element, n int) (left, right field.Element) {
	done, rights := 0, len(nodes)-n
	for f.AES && done < n {
		var sums [2]field.Element
		count := min(growCall, n-done)
		if f.AVX512 {
			growAVX512(&nodes[done].Lo, count, min(count, rights-done), n, &g.schedules[0], &sums[0].Lo)
		} else if count = min(count, rights-done) &^ 3; count > 0 {
			growAVX2(&nodes[done].Lo, count, n, &g.schedules[0], &sums[0].Lo)
		} else {
			break
		}
		left, right = left.Add(sums[0]), right.Add(sums[1])
		done += count
	}
	l, r := g.growFrom(nodes, n, done)
	return left.Add(l), right.Add(r)
}

// The numbers of outputs, or pairs, that one turn of a kernel finishes.
const (
	convolveStride = 28
	pairsStride    = 26
)

func convolve(f cpu.Features, x []field.Element, masks []byte, lo int) {
	// The kernel loads a whole window beyond its outputs.
	if n := min(len(masks)/4, len(x)-lo-window) / convolveStride; f.AVX512 && n > 0 {
		convolveAVX512(&x[lo].Lo, &masks[0], n)
		masks, lo = masks[4*convolveStride*n:], lo+convolveStride*n
	}
	convolveGeneric(x, masks, lo)
}

func convolvePairs(f cpu.Features, x []pair, masks []byte, lo int) {
	if n := min(len(masks)/4, len(x)-lo-window) / pairsStride; f.AVX512 && n > 0 {
		convolvePairsAVX512(&x[lo][0].Lo, &masks[0], n)
		masks, lo = masks[4*pairsStride*n:], lo+pairsStride*n
	}
	convolvePairsGeneric(x, masks, lo)
}

func expand(f cpu.Features, out, x []field.Element, words []byte) {
	if !f.AVX2 || len(out) == 0 {
		expandGeneric(out, x, words)
		return
	}
	gatherAVX2(&out[0].Lo, &x[0].Lo, &words[0], len(out), len(x))
}

func expandPairs(f cpu.Features, out0, out1 []field.Element, x []pair, words []byte) {
	if !f.AVX2 || len(out0) == 0 {
		expandPairsGeneric(out0, out1, x, words)
		return
	}
	gatherPairsAVX2(&out0[0].Lo, &out1[0].Lo, &x[0][0].Lo, &words[0], len(out0), len(x))
}
