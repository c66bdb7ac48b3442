//go:build !amd64 || purego

package okvs

import (
	"github.com/symbolon/symbolon/internal/cpu"
	"github.com/symbolon/symbolon/internal/field"
)

func columnRows(_ cpu.Features, rows []uint64, keys []field.Element, n int) {
	columnRowsGeneric(rows, keys, n)
}

func sumRows(_ cpu.Features, values []field.Element, rows []uint64, sparse []field.Element) {
	sumRowsGeneric(values, rows, sparse)
}
