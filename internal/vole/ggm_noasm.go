package vole

import "github.com/symbolon/symbolon/internal/field"

func (g *prg) grow(nodes []field.Element, n int) (left, right field.Element) {
	return g.growGeneric(nodes, n)
}
