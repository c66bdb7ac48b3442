package okvs

import "github.com/symbolon/symbolon/internal/field"

func decodeSparse(values, keys, sparse []field.Element) { decodeSparseGeneric(values, keys, sparse) }
func addDense(values, keys, dense []field.Element)      { addDenseGeneric(values, keys, dense) }
