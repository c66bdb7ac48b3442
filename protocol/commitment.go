package protocol

import (
	"crypto/hmac"
	"crypto/sha256"
	"hash"
	"math/bits"

	"github.com/symbolon/symbolon/psi"
)

// Commit returns the Merkle root (RFC 9162, Section 2.1.1) over HMAC-SHA-256(k,
// item) of the padded items in their order. The key k is fresh for a session
// and never sent, so the root tells nothing of the items; it binds a side to
// its input over all attempts and for a later inspection. Memory is a hash for
// each level of the tree.
func Commit(k []byte, items []psi.Item) [32]byte {
	mac := newReusableHMAC(k)
	return merkleRoot(len(items), func(i int) [32]byte { return leafHash(mac.sum(items[i][:])) })
}

// merkleRoot returns the root over n nodes, which it asks for in their order:
// hashes of leaves, or roots of subtrees of one size, a power of two, of which
// the last may have fewer leaves.
func merkleRoot(n int, at func(i int) [32]byte) [32]byte {
	if n == 0 {
		return sha256.Sum256(nil)
	}
	var levels [64][32]byte // levels[i] is the root of a full subtree of 2^i nodes
	for i := range n {
		node := at(i)
		// Merge as carries do in a binary counter.
		for level := 0; ; level++ {
			if i>>level&1 == 0 {
				levels[level] = node
				break
			}
			node = nodeHash(levels[level], node)
		}
	}
	// The subtrees that remain are the bits of n; fold them from the right.
	level := bits.TrailingZeros(uint(n))
	root := levels[level]
	for level++; n>>level != 0; level++ {
		if n>>level&1 == 1 {
			root = nodeHash(levels[level], root)
		}
	}
	return root
}

func leafHash(leaf [32]byte) [32]byte {
	var b [33]byte
	copy(b[1:], leaf[:])
	return sha256.Sum256(b[:])
}

func nodeHash(left, right [32]byte) [32]byte {
	var b [65]byte
	b[0] = 1
	copy(b[1:], left[:])
	copy(b[33:], right[:])
	return sha256.Sum256(b[:])
}

// reusableHMAC computes HMAC-SHA-256 under one key with the padded key blocks
// hashed once.
type reusableHMAC struct{ mac hash.Hash }

func newReusableHMAC(k []byte) reusableHMAC { return reusableHMAC{hmac.New(sha256.New, k)} }

func (h reusableHMAC) sum(b []byte) (out [32]byte) {
	h.mac.Reset()
	h.mac.Write(b)
	h.mac.Sum(out[:0])
	return out
}
