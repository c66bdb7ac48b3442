//go:build !amd64 || purego

package field

import "github.com/symbolon/symbolon/internal/cpu"

func mulAdd(_ cpu.Features, dst, src []Element, c Element) { mulAddGeneric(dst, src, c) }
func innerProduct(_ cpu.Features, a, b []Element) Element  { return innerProductGeneric(a, b) }

func addPoly(_ cpu.Features, dst, x, coef []Element) { addPolyGeneric(dst, x, coef) }
