//go:build !purego

package oracle

import (
	"encoding/binary"

	"github.com/symbolon/symbolon/internal/cpu"
	"github.com/symbolon/symbolon/internal/field"
)

//go:generate go run -C ../_asm ./oracle -out ../oracle/kernel_amd64.s -stubs ../oracle/kernel_amd64.go -pkg oracle

// initial is SHA-256's initial value (FIPS 180-4, Section 5.3.3) as SHA-NI
// orders it: F, E, B, A, then H, G, D, C.
var initial = state(
	[8]uint32{0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19})

func state(h [8]uint32) [4]uint64 {
	pair := func(lo, hi int) uint64 { return uint64(h[lo]) | uint64(h[hi])<<32 }
	return [4]uint64{pair(5, 4), pair(1, 0), pair(7, 6), pair(3, 2)}
}

// padded returns the block of a message of n bytes that begins with prefix, in
// words of SHA-256's order, and zero where the message goes on.
func (h *Batch) padded(n int) [8]uint64 {
	var b [64]byte
	copy(b[:], h.prefix[:])
	b[n] = 0x80
	binary.BigEndian.PutUint64(b[56:], uint64(8*n))
	var w [8]uint64
	for i := range w {
		w[i] = uint64(binary.BigEndian.Uint32(b[8*i:])) | uint64(binary.BigEndian.Uint32(b[8*i+4:]))<<32
	}
	return w
}

// hash1 does as many inputs as the kernel takes, and returns their number.
func (h *Batch) hash1(f cpu.Features, a, b, x []field.Element) int {
	n := len(x) &^ 1
	if !f.SHA || n == 0 {
		return 0
	}
	block := h.padded(32)
	hash1SHA(&a[0].Lo, &b[0].Lo, &x[0].Lo, n/2, &block[0], &initial[0])
	return n
}

func (h *Batch) hash2(f cpu.Features, a, b, x, y []field.Element) int {
	n := len(x) &^ 1
	if !f.SHA || n == 0 {
		return 0
	}
	block := h.padded(48)
	hash2SHA(&a[0].Lo, &b[0].Lo, &x[0].Lo, &y[0].Lo, n/2, &block[0], &initial[0])
	return n
}

func (s *Shared) init(f cpu.Features) {
	if !f.SHA {
		return
	}
	// The state after the first block is its digest without padding.
	two, out := [2][64]byte{s.head, s.head}, [2][32]byte{}
	blocksSHA(&out[0][0], &two[0][0], 1, &initial[0])
	var h [8]uint32
	for i := range h {
		h[i] = binary.BigEndian.Uint32(out[0][4*i:])
	}
	s.state = state(h)
}

// blocks does as many messages as the kernel takes, and returns their number.
func (s *Shared) blocks(f cpu.Features, digests [][32]byte, tails [][64]byte, lens []uint8) int {
	n := len(tails) &^ 1
	if !f.SHA || n == 0 {
		return 0
	}
	for i := range n {
		t, l := &tails[i], lens[i]
		t[l&63] = 0x80
		binary.BigEndian.PutUint16(t[62:], 8*(64+uint16(l)))
	}
	blocksSHA(&digests[0][0], &tails[0][0], n/2, &s.state[0])
	return n
}
