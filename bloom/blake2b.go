package bloom

import (
	"encoding"
	"encoding/binary"
	"hash"

	"golang.org/x/crypto/blake2b"
)

// Package blake2b knows keys but no salt. Its encoding of a state is that of
// package hash: three letters, then h, then the byte counter, in big-endian
// words, the size, the pending block and its length. The parameters of BLAKE2b
// enter h alone (RFC 7693 section 2.5), so they can be put in there.
const (
	stateH      = 3
	stateCount  = stateH + 8*8
	stateBlock  = stateCount + 2*8 + 1
	stateLength = stateBlock + blake2b.BlockSize
)

// saltedState returns the state of BLAKE2b-512 with a key of at most 64 bytes
// and a salt of at most 16, when the key's block has been compressed: what
// remains is to write the message, which must not be empty.
func saltedState(key []byte, salt string) []byte {
	h, err := blake2b.New512(nil)
	if err != nil {
		panic("bloom: " + err.Error())
	}
	state := getState(h)
	xor := func(word int, v uint64) {
		at := state[stateH+8*word:]
		binary.BigEndian.PutUint64(at, binary.BigEndian.Uint64(at)^v)
	}
	var padded [16]byte
	copy(padded[:], salt)
	xor(0, uint64(len(key))<<8)
	xor(4, binary.LittleEndian.Uint64(padded[:8]))
	xor(5, binary.LittleEndian.Uint64(padded[8:]))
	setState(h, state)
	var block [blake2b.BlockSize]byte
	copy(block[:], key)
	h.Write(block[:])
	// A full block stays pending until it is known not to be the last.
	h.Write(block[:1])
	state = getState(h)
	state[stateLength] = 0
	clear(state[stateBlock:stateLength])
	return state
}

func getState(h hash.Hash) []byte {
	state, err := h.(encoding.BinaryMarshaler).MarshalBinary()
	if err != nil {
		panic("bloom: " + err.Error()) // it has no key
	}
	return state
}

func setState(h hash.Hash, state []byte) {
	if err := h.(encoding.BinaryUnmarshaler).UnmarshalBinary(state); err != nil {
		panic("bloom: " + err.Error()) // it comes from getState
	}
}
