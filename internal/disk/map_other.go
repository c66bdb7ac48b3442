//go:build !unix

package disk

import (
	"io"
	"os"
)

// Map reads the first n bytes of a file into memory, where there is no
// mapping of files.
func Map(f *os.File, n int64) ([]byte, func() error, error) {
	b := make([]byte, n)
	_, err := io.ReadFull(io.NewSectionReader(f, 0, n), b)
	return b, func() error { return nil }, err
}
