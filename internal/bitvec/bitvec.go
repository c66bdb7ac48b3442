// Package bitvec packs bits into words and transposes bit matrices. Bit i of a
// vector is bit i%64 of word i/64.
package bitvec

import "github.com/symbolon/symbolon/internal/field"

// Vector is a packed vector of bits.
type Vector []uint64

// New returns n zero bits.
func New(n int) Vector { return make(Vector, (n+63)/64) }

// Get returns bit i as 0 or 1.
func (v Vector) Get(i int) uint64 { return v[i>>6] >> (i & 63) & 1 }

// Set sets bit i.
func (v Vector) Set(i int) { v[i>>6] |= 1 << (i & 63) }

// Or ors the lowest bit of b into bit i.
func (v Vector) Or(i int, b uint64) { v[i>>6] |= (b & 1) << (i & 63) }

// Transpose turns 128 columns of n bits into n rows of 128 bits: bit j of
// rows[i] is bit i of column j. n is len(rows) and a multiple of 128; column j
// starts at columns[j*n/64].
func Transpose(rows []field.Element, columns []uint64) {
	n := len(rows)
	if n%128 != 0 || len(columns) != 128*n/64 {
		panic("bitvec: a transposed matrix is 128 columns by a multiple of 128 rows")
	}
	stride := n / 64
	var lo, hi [64]uint64
	for w := range stride {
		for j := range 64 {
			lo[j] = columns[j*stride+w]
			hi[j] = columns[(64+j)*stride+w]
		}
		transpose64(&lo)
		transpose64(&hi)
		for i := range 64 {
			rows[64*w+i] = field.Element{Lo: lo[i], Hi: hi[i]}
		}
	}
}

// transpose64 transposes a 64 by 64 bit matrix in place by swapping ever
// smaller off-diagonal blocks. See Warren, Hacker's Delight, Section 7-3.
func transpose64(a *[64]uint64) {
	mask := uint64(0x00000000ffffffff)
	for width := 32; width > 0; width >>= 1 {
		for i := 0; i < 64; i = (i + width + 1) &^ width {
			t := (a[i]>>width ^ a[i+width]) & mask
			a[i] ^= t << width
			a[i+width] ^= t
		}
		mask ^= mask << (width / 2)
	}
}
