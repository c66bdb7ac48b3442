package hugepage

import (
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/symbolon/symbolon/internal/field"
)

// advise marks the whole large pages of v. The memory stays the garbage
// collector's; the advice is about its pages only, and may be refused.
func advise(v []field.Element) {
	b := unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(v))), len(v)*field.Size)
	skip := int(-uintptr(unsafe.Pointer(unsafe.SliceData(b))) % pageSize)
	if size := (len(b) - skip) / pageSize * pageSize; size > 0 {
		_ = unix.Madvise(b[skip:skip+size], unix.MADV_HUGEPAGE)
	}
}
