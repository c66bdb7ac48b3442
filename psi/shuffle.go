package psi

import (
	"encoding/binary"
	"fmt"
	"io"
)

// Permutation returns a uniformly random permutation of 0..n-1, by Fisher and
// Yates' shuffle (Knuth, The Art of Computer Programming, Volume 2, Section
// 3.4.2, Algorithm P). It reads at least 4n bytes of rand, in pieces whose
// sizes depend on n alone until a draw has to be repeated.
func Permutation(rand io.Reader, n int) ([]uint32, error) {
	p := make([]uint32, n)
	for i := range p {
		p[i] = uint32(i)
	}
	if n < 2 {
		return p, nil
	}
	d := drawer{rand: rand, left: n - 1}
	for i := n - 1; i > 0; i-- {
		j, err := d.below(uint32(i) + 1)
		if err != nil {
			return nil, err
		}
		p[i], p[j] = p[j], p[i]
	}
	return p, nil
}

// drawer yields uniform numbers from a reader, of which it reads no more ahead
// than the draws that are left need.
type drawer struct {
	rand io.Reader
	left int
	mem  [4096]byte
	buf  []byte
}

// below returns a uniform number under n, by Lemire's multiplication with
// rejection (Fast Random Integer Generation in an Interval, ACM TOMACS 2019).
func (d *drawer) below(n uint32) (uint32, error) {
	for {
		if len(d.buf) == 0 {
			d.buf = d.mem[:min(len(d.mem), 4*max(d.left, 1))]
			if _, err := io.ReadFull(d.rand, d.buf); err != nil {
				return 0, fmt.Errorf("psi: reading randomness: %w", err)
			}
		}
		x := uint64(binary.LittleEndian.Uint32(d.buf)) * uint64(n)
		d.buf = d.buf[4:]
		// Of the 2^32 draws, 2^32 mod n low halves are one too many.
		if uint32(x) >= -n%n {
			d.left--
			return uint32(x >> 32), nil
		}
	}
}
