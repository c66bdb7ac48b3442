//go:build !amd64 || purego

package vole

import (
	"github.com/symbolon/symbolon/internal/cpu"
	"github.com/symbolon/symbolon/internal/field"
)

type schedules struct{}

func (s *schedules) expand(cpu.Features, [2]field.Element) {}

func (g *prg) grow(_ cpu.Features, nodes []field.Element, n int) (left, right field.Element) {
	return g.growFrom(nodes, n, 0)
}

func convolve(_ cpu.Features, x []field.Element, masks []byte, lo int) { convolveGeneric(x, masks, lo) }

func expand(_ cpu.Features, out, x []field.Element, words []byte) { expandGeneric(out, x, words) }

func convolvePairs(_ cpu.Features, x []pair, masks []byte, lo int) {
	convolvePairsGeneric(x, masks, lo)
}

func expandPairs(_ cpu.Features, out0, out1 []field.Element, x []pair, words []byte) {
	expandPairsGeneric(out0, out1, x, words)
}
