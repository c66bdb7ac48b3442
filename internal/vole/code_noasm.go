package vole

import "github.com/symbolon/symbolon/internal/field"

func convolve(x []field.Element, masks []byte, lo int) { convolveGeneric(x, masks, lo) }
func expand(out, x []field.Element, words []byte)      { expandGeneric(out, x, words) }
