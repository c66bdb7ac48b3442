//go:build unix

package disk

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// Map returns the first n bytes of a file, read from it page by page when
// they are looked at, and what gives them back.
func Map(f *os.File, n int64) ([]byte, func() error, error) {
	b, err := unix.Mmap(int(f.Fd()), 0, int(n), unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		return nil, nil, fmt.Errorf("mapping %d bytes: %w", n, err)
	}
	return b, func() error { return unix.Munmap(b) }, nil
}
