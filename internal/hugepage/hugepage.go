// Package hugepage asks the operating system to back large slices by large
// pages, which saves most page faults of a first touch and most TLB misses of
// random access.
package hugepage

import (
	"unsafe"

	"github.com/symbolon/symbolon/internal/field"
)

// pageSize is that of a large page on amd64 and, with small base pages, arm64.
const pageSize = 2 << 20

// Elements returns a slice of n zero elements, in large pages where the system
// grants them.
func Elements(n int) []field.Element { return Of[field.Element](n) }

// Of returns a slice of n zero values of a type without pointers.
func Of[T any](n int) []T {
	v := make([]T, n)
	if b := asBytes(v); len(b) >= pageSize {
		advise(b)
	}
	return v
}

func asBytes[T any](v []T) []byte {
	var t T
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(v))), len(v)*int(unsafe.Sizeof(t)))
}
