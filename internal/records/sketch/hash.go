package sketch

import (
	"crypto/sha256"
	"encoding/binary"
)

// mix is the finaliser of SplitMix64 (Steele, Lea and Flood, OOPSLA 2014), a
// permutation of 64 bits in which each input bit moves each output bit. It
// need not resist anyone: seeds and features are no secret.
func mix(x uint64) uint64 {
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// groupSeeds derives the seed of each group: the first eight bytes, little
// endian, of SHA-256 over length-prefixed parts.
func groupSeeds(p Params, normalisation string, salt []byte) []uint64 {
	head := sha256.New()
	for _, part := range [][]byte{[]byte("symbolon/v1/sketch-seed"), []byte(Version), []byte(normalisation), salt, {byte(p.Groups), byte(p.Symbols)}} {
		var n [8]byte
		binary.LittleEndian.PutUint64(n[:], uint64(len(part)))
		head.Write(n[:])
		head.Write(part)
	}
	base := head.Sum(nil)
	seeds := make([]uint64, p.Groups)
	for i := range seeds {
		sum := sha256.Sum256(append(base[:sha256.Size:sha256.Size], byte(i)))
		seeds[i] = binary.LittleEndian.Uint64(sum[:])
	}
	return seeds
}

// fillSeed decides the symbols of a record's missing fields.
func fillSeed(role Role, id string) uint64 { return hashText(kindFill, id) + uint64(role) }

// hashText is FNV-1a of the text from a basis that the kind chooses, mixed.
func hashText(k kind, text string) uint64 {
	h := basis(k)
	for i := range len(text) {
		h = (h ^ uint64(text[i])) * 0x100000001b3
	}
	return mix(h)
}

// hashNumbers hashes two small numbers of a kind.
func hashNumbers(k kind, a, b int) uint64 {
	return mix(basis(k) ^ uint64(a)<<32 ^ uint64(b))
}

func basis(k kind) uint64 { return 0xcbf29ce484222325 + uint64(k)*0x9e3779b97f4a7c15 }
