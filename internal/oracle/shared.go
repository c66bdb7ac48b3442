package oracle

import (
	"crypto/sha256"

	"github.com/symbolon/symbolon/internal/cpu"
)

// MaxTail is the length of the longest tail that Shared hashes.
const MaxTail = 55

// Shared computes SHA-256 of many messages that begin with the same 64 bytes
// and go on for at most MaxTail more: one call of the compression function
// each.
type Shared struct {
	head  [64]byte
	state [4]uint64
}

// NewShared returns a Shared for messages that begin with head.
func NewShared(head [64]byte) *Shared {
	s := &Shared{head: head}
	s.init(host)
	return s
}

// Sum sets digests[i] to the hash of head and the first lens[i] bytes of
// tails[i], of which the rest is zero and is overwritten. All slices have the
// same length.
func (s *Shared) Sum(digests [][32]byte, tails [][64]byte, lens []uint8) {
	s.sum(host, digests, tails, lens)
}

func (s *Shared) sum(f cpu.Features, digests [][32]byte, tails [][64]byte, lens []uint8) {
	if len(tails) != len(digests) || len(lens) != len(digests) {
		panic("oracle: slices differ in length")
	}
	var m [64 + MaxTail]byte
	copy(m[:], s.head[:])
	for i := s.blocks(f, digests, tails, lens); i < len(tails); i++ {
		n := copy(m[64:], tails[i][:lens[i]])
		digests[i] = sha256.Sum256(m[:64+n])
	}
}
