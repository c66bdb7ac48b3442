package hugepage

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// advise marks the whole large pages of b. The memory stays the garbage
// collector's; the advice is about its pages only, and may be refused.
func advise(b []byte) {
	skip := int(-uintptr(unsafe.Pointer(unsafe.SliceData(b))) % pageSize)
	if size := (len(b) - skip) / pageSize * pageSize; size > 0 {
		_ = unix.Madvise(b[skip:skip+size], unix.MADV_HUGEPAGE)
	}
}
