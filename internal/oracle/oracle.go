// Package oracle is the random oracle of the primitives: SHA-256 over tuples
// that no two inputs share an encoding of, and pseudorandom streams keyed by
// its outputs.
package oracle

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/sha256"
	"encoding/binary"
)

// Sum returns SHA-256 over the domain and the parts, each prefixed with its
// length as eight big-endian bytes.
func Sum(domain string, parts ...[]byte) [32]byte {
	h := sha256.New()
	var n [8]byte
	binary.BigEndian.PutUint64(n[:], uint64(len(domain)))
	h.Write(n[:])
	h.Write([]byte(domain))
	for _, p := range parts {
		binary.BigEndian.PutUint64(n[:], uint64(len(p)))
		h.Write(n[:])
		h.Write(p)
	}
	var out [32]byte
	h.Sum(out[:0])
	return out
}

// Stream returns the pseudorandom stream AES-CTR with a zero initial counter.
// The key is 16 or 32 bytes and used for nothing else.
func Stream(key []byte) cipher.Stream {
	block, err := aes.NewCipher(key)
	if err != nil {
		panic("oracle: " + err.Error())
	}
	return cipher.NewCTR(block, make([]byte, aes.BlockSize))
}

// Fill overwrites dst with the next bytes of s.
func Fill(dst []byte, s cipher.Stream) {
	clear(dst)
	s.XORKeyStream(dst, dst)
}

// StreamAt returns Stream(key) from its 16-byte block number block on.
func StreamAt(key []byte, block uint64) cipher.Stream {
	c, err := aes.NewCipher(key)
	if err != nil {
		panic("oracle: " + err.Error())
	}
	var iv [aes.BlockSize]byte
	binary.BigEndian.PutUint64(iv[8:], block)
	return cipher.NewCTR(c, iv[:])
}
