package ristretto

import (
	"crypto/sha512"
	"encoding/binary"
)

// Hasher hashes messages to the group and to scalars under one domain
// separation tag. It is safe for concurrent use.
type Hasher struct {
	// suffix is the tag and its length, as each hash ends with.
	suffix []byte
}

// NewHasher returns the hasher for a tag. One of more than 255 bytes is hashed
// first (RFC 9380, Section 5.3.3).
func NewHasher(dst []byte) *Hasher {
	if len(dst) > 255 {
		sum := sha512.Sum512(append([]byte("H2C-OVERSIZE-DST-"), dst...))
		dst = sum[:]
	}
	return &Hasher{suffix: append(append([]byte(nil), dst...), byte(len(dst)))}
}

// Element sets e to hash_to_ristretto255(msg) (RFC 9380, Appendix B).
func (h *Hasher) Element(e *Element, msg []byte) {
	b := h.uniform(msg)
	e.SetUniform(&b)
}

// Scalar sets k to 64 bytes of msg expanded, modulo the order of the group
// (HashToScalar of RFC 9497, Section 4.1).
func (h *Hasher) Scalar(k *Scalar, msg []byte) {
	b := h.uniform(msg)
	k.SetUniform(&b)
}

func (h *Hasher) uniform(msg []byte) (b [64]byte) {
	h.expand(b[:], msg)
	return b
}

// expand fills dst, of at most 255·64 bytes, with expand_message_xmd of msg
// under SHA-512 (RFC 9380, Section 5.3.1).
func (h *Hasher) expand(dst, msg []byte) {
	if len(dst) > 255*sha512.Size {
		panic("ristretto: expansion of more than 255 blocks")
	}
	// Short messages and tags, which are the common ones, stay on the stack.
	var room [sha512.BlockSize + 512]byte
	buf := append(room[:sha512.BlockSize], msg...)
	buf = binary.BigEndian.AppendUint16(buf, uint16(len(dst)))
	buf = append(append(buf, 0), h.suffix...)
	first := sha512.Sum512(buf)
	var last [sha512.Size]byte
	for i := byte(1); len(dst) > 0; i++ {
		for j := range last {
			last[j] ^= first[j]
		}
		buf = append(append(append(buf[:0], last[:]...), i), h.suffix...)
		last = sha512.Sum512(buf)
		dst = dst[copy(dst, last[:]):]
	}
}
