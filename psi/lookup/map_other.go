//go:build !unix

package lookup

import (
	"io"
	"os"
)

// mapFile returns the first n bytes of a file, which it reads.
func mapFile(f *os.File, n int) ([]byte, func() error, error) {
	b := make([]byte, n)
	if _, err := f.ReadAt(b, 0); err != nil && err != io.EOF {
		return nil, nil, err
	}
	return b, func() error { return nil }, nil
}
