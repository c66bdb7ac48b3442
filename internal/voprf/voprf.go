// Package voprf is the oblivious pseudorandom function of RFC 9497 in the modes
// OPRF and VOPRF with the suite ristretto255-SHA512.
//
// An owner holds a secret key k. An asker learns F(k, input) for inputs of its
// choice; the owner learns how many they are and nothing else:
//
//	asker                                  owner
//	Blind         -- blinded  r·H(x) -->
//	              <-- evaluated k·r·H(x), proof --  BlindEvaluate
//	Finalize
//	F(k, x) = hash of x and r⁻¹·k·r·H(x)
//
// In ModeVOPRF the proof shows that the logarithm of the public key made the
// answer, so that an owner can't single an asker out by a key of its own. The
// owner computes the same function by itself with Evaluate.
//
// Time depends on the number and length of inputs, not on keys, blinds or
// inputs. A proof is checked in time that depends on what both sides have sent.
package voprf

import (
	"crypto/sha512"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/symbolon/symbolon/internal/ristretto"
)

// Mode is a mode of RFC 9497.
type Mode uint8

// Modes, by the numbers of RFC 9497, Section 3.1.
const (
	// ModeOPRF has no proof and no public key.
	ModeOPRF Mode = 0
	// ModeVOPRF proves that answers come from the public key.
	ModeVOPRF Mode = 1
)

// Lengths in bytes.
const (
	ElementSize = ristretto.ElementSize // an element, and a public key
	KeySize     = ristretto.ScalarSize  // a private key
	SeedSize    = 32                    // of DeriveKey
	OutputSize  = sha512.Size           // F(k, x)
	ProofSize   = 2 * ristretto.ScalarSize
)

// MaxBatch is the number of elements that a request may hold and MaxInput the
// length of an input in bytes: both are counted in two bytes.
const (
	MaxBatch = 1<<16 - 1
	MaxInput = 1<<16 - 1
)

// Output is a value of the function.
type Output = [OutputSize]byte

// ErrPeer is what every error is that the other party's bytes caused.
var ErrPeer = errors.New("voprf: the peer's message is wrong")

// peerError is an ErrPeer that says what was wrong.
type peerError struct{ error }

func (peerError) Is(target error) bool { return target == ErrPeer }
func (e peerError) Unwrap() error      { return e.error }

func peerf(format string, args ...any) error {
	return peerError{fmt.Errorf("voprf: "+format, args...)}
}

// suite holds what a mode hashes under (RFC 9497, Section 3.1).
type suite struct {
	mode                   Mode
	toGroup, toScalar, key *ristretto.Hasher
	seedTag                []byte
}

var suites = [...]*suite{newSuite(ModeOPRF), newSuite(ModeVOPRF)}

func newSuite(mode Mode) *suite {
	context := "OPRFV1-" + string([]byte{byte(mode)}) + "-ristretto255-SHA512"
	return &suite{
		mode:     mode,
		toGroup:  ristretto.NewHasher([]byte("HashToGroup-" + context)),
		toScalar: ristretto.NewHasher([]byte("HashToScalar-" + context)),
		key:      ristretto.NewHasher([]byte("DeriveKeyPair" + context)),
		seedTag:  []byte("Seed-" + context),
	}
}

func suiteOf(mode Mode) (*suite, error) {
	if int(mode) >= len(suites) {
		return nil, fmt.Errorf("voprf: mode %d is neither %d nor %d", mode, ModeOPRF, ModeVOPRF)
	}
	return suites[mode], nil
}

// appendCounted appends b after its length in two bytes.
func appendCounted(to, b []byte) []byte {
	return append(binary.BigEndian.AppendUint16(to, uint16(len(b))), b...)
}

// finalHash is the function's value for an input and its evaluated, unblinded
// element (RFC 9497, Section 3.3.1). It uses buf and returns it for the next.
func finalHash(out *Output, buf, input, element []byte) []byte {
	buf = appendCounted(buf[:0], input)
	buf = appendCounted(buf, element)
	buf = append(buf, "Finalize"...)
	*out = sha512.Sum512(buf)
	return buf
}

// checkInputs refuses inputs whose length takes more than two bytes.
func checkInputs(inputs [][]byte) error {
	for i, in := range inputs {
		if len(in) > MaxInput {
			return fmt.Errorf("voprf: input %d has %d bytes, at most %d", i, len(in), MaxInput)
		}
	}
	return nil
}
