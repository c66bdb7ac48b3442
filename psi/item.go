package psi

import (
	"crypto/sha256"
	"encoding/binary"
)

// ItemHasher turns match keys into items of one session: the first 128 bits of
// SHA-256(domain, session id, rule id, canonical key), every part prefixed with
// its length. It is not safe for concurrent use; Clone it.
type ItemHasher struct {
	buf  []byte
	head int
}

// NewItemHasher returns a hasher for the session.
func NewItemHasher(session [32]byte) *ItemHasher {
	b := AppendPart(nil, []byte("symbolon/v1/item"))
	b = AppendPart(b, session[:])
	return &ItemHasher{buf: b, head: len(b)}
}

// Clone returns an independent hasher for the same session.
func (h *ItemHasher) Clone() *ItemHasher {
	return &ItemHasher{buf: append([]byte(nil), h.buf[:h.head]...), head: h.head}
}

// Item returns the item of a rule's canonical key.
func (h *ItemHasher) Item(rule, key string) Item {
	b := h.buf[:h.head]
	b = binary.BigEndian.AppendUint64(b, uint64(len(rule)))
	b = append(b, rule...)
	b = binary.BigEndian.AppendUint64(b, uint64(len(key)))
	b = append(b, key...)
	h.buf = b
	sum := sha256.Sum256(b)
	return Item(sum[:ItemSize])
}
