// Package bloom encodes records into Bloom filters and compares them.
//
// A Schema says how each field of a record becomes tokens and how a token sets
// bits; an Encoder, made from a schema and a secret, turns a record into a
// cryptographic long-term key (CLK) of Schnell, Bachteler and Reiher, "A Novel
// Error-Tolerant Anonymous Linking Code" (2011). Schemas are those of clkhash,
// "linkage schema" version 3, and the bits are the same. A Set holds many CLKs
// packed for the machine; Search finds the similar pairs between two sets and
// Assign makes a one-to-one matching of them.
//
// # What a CLK reveals
//
// CLKs hide records from nobody who is determined. Their frequencies and
// patterns give names away (Christen, Ranbaduge, Vatsalan and Schnell, "Precise
// and Fast Cryptanalysis for Bloom Filter Based Privacy-Preserving Record
// Linkage", 2019), the graph of their similarities does without any key
// (Vidanage et al., "A Graph Matching Attack on Privacy-Preserving Record
// Linkage", CIKM 2020), and whoever has the secret can encode any name and
// look for it. They are for use inside one agency, or for a linkage unit that
// the parties trust with the data; never send them to a peer.
package bloom

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"
)

// group is how many CLKs lie interleaved in a Set.
const group = 8

// ErrLength is a CLK whose length is not that of its set.
var ErrLength = errors.New("bloom: wrong length of a CLK")

// Set is a list of CLKs of equal length. Eight neighbours lie interleaved, word
// by word, so that a vector register loads the same word of all eight.
type Set struct {
	bits, words int
	n           int
	data        []uint64 // data[(i/8·words + w)·8 + i%8] is word w of CLK i
	counts      []uint32 // bits set in each
}

// NewSet returns an empty set for CLKs of the given length in bits, from 1 to
// MaxBits.
func NewSet(bits int) (*Set, error) {
	if bits < 1 || bits > MaxBits {
		return nil, fmt.Errorf("bloom: a length of %d bits is outside [1, %d]", bits, MaxBits)
	}
	return newSet(bits), nil
}

func newSet(bits int) *Set { return &Set{bits: bits, words: (bits + 63) / 64} }

// Bits returns the length of each CLK.
func (s *Set) Bits() int { return s.bits }

// Len returns the number of CLKs.
func (s *Set) Len() int { return s.n }

// Count returns the number of bits set in CLK i.
func (s *Set) Count(i int) int { return int(s.counts[i]) }

// Append adds a CLK of ⌈Bits/8⌉ bytes, its first bit the highest of the first
// byte. It returns ErrLength for another length, and an error when one of the
// bits that fill up the last byte is set.
func (s *Set) Append(clk []byte) error {
	if len(clk) != (s.bits+7)/8 {
		return fmt.Errorf("%w: got %d bytes, want %d", ErrLength, len(clk), (s.bits+7)/8)
	}
	if fill := s.bits % 8; fill != 0 && clk[len(clk)-1]<<fill != 0 {
		return fmt.Errorf("%w: bits are set beyond bit %d", ErrLength, s.bits)
	}
	s.grow(1)
	var last [8]byte
	i := s.n - 1
	for w := range s.words {
		word := clk[8*w:]
		if len(word) < 8 {
			copy(last[:], word)
			word = last[:]
		}
		s.set(i, w, binary.LittleEndian.Uint64(word))
	}
	return nil
}

// AppendSet adds the CLKs of another set of the same length in bits.
func (s *Set) AppendSet(t *Set) error {
	if s.bits != t.bits {
		return fmt.Errorf("%w: got %d bits, want %d", ErrLength, t.bits, s.bits)
	}
	first, n := s.n, t.n // t may be s
	s.grow(n)
	for i := range n {
		for w := range s.words {
			s.set(first+i, w, t.word(i, w))
		}
	}
	return nil
}

// AppendBytes appends CLK i to dst, as Append takes it.
func (s *Set) AppendBytes(dst []byte, i int) []byte {
	var b [8]byte
	left := (s.bits + 7) / 8
	for w := range s.words {
		binary.LittleEndian.PutUint64(b[:], s.word(i, w))
		k := min(left, 8)
		dst = append(dst, b[:k]...)
		left -= k
	}
	return dst
}

// grow adds n empty CLKs.
func (s *Set) grow(n int) {
	s.n += n
	s.counts = append(s.counts, make([]uint32, n)...)
	if want := (s.n + group - 1) / group * group * s.words; want > len(s.data) {
		s.data = append(s.data, make([]uint64, want-len(s.data))...)
	}
}

func (s *Set) at(i, w int) int { return (i/group*s.words+w)*group + i%group }

func (s *Set) word(i, w int) uint64 { return s.data[s.at(i, w)] }

// set gives word w of CLK i its first value.
func (s *Set) set(i, w int, v uint64) {
	s.data[s.at(i, w)] = v
	s.counts[i] += uint32(bits.OnesCount64(v))
}

// position returns the word and the bit of it for bit i of a CLK. Words are
// little-endian, but the first bit of a byte is its highest.
func position(i int) (word int, mask uint64) { return i >> 6, 1 << (i&63 ^ 7) }
