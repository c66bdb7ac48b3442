//go:build !purego

package okvs

import (
	"github.com/symbolon/symbolon/internal/cpu"
	"github.com/symbolon/symbolon/internal/field"
)

//go:generate go run -C ../_asm ./okvs -out ../okvs/kernel_amd64.s -stubs ../okvs/kernel_amd64.go -pkg okvs

func columnRows(f cpu.Features, rows []uint64, keys []field.Element, n int) {
	done := 0
	if groups := len(keys) / 8; f.AVX512 && groups > 0 {
		columnsAVX512(&rows[0], &keys[0].Lo, groups, uint64(n))
		done = 8 * groups
	}
	columnRowsGeneric(rows[done:], keys[done:], n)
}

func sumRows(f cpu.Features, values []field.Element, rows []uint64, sparse []field.Element) {
	if !f.AVX2 || len(rows) == 0 {
		sumRowsGeneric(values, rows, sparse)
		return
	}
	sumRowsAVX2(&values[0].Lo, &rows[0], len(rows), &sparse[0].Lo)
}
