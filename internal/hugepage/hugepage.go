// Package hugepage asks the operating system to back large slices by large
// pages, which saves most page faults of a first touch and most TLB misses of
// random access.
package hugepage

import "github.com/symbolon/symbolon/internal/field"

// pageSize is that of a large page on amd64 and, with small base pages, arm64.
const pageSize = 2 << 20

// Elements returns a slice of n zero elements, in large pages where the system
// grants them.
func Elements(n int) []field.Element {
	v := make([]field.Element, n)
	if n*field.Size >= pageSize {
		advise(v)
	}
	return v
}
