// Package vole makes vector oblivious linear evaluations over GF(2^128) from a
// few hundred kilobytes of messages, whatever the length: the sender gets Δ
// and B, the receiver A and C, with C = A·Δ + B, and A and B pseudorandom.
//
// It is a silent VOLE from dual LPN with regular noise (Boyle et al.,
// "Efficient Pseudorandom Correlation Generators", CRYPTO 2019; Rindal and
// Schoppmann, "VOLE-PSI", Eurocrypt 2021):
//
//	sender (Δ)                                    receiver
//	Request: base OTs, choices are Δ's bits  ──▶
//	                                         ◀──  Extend: base OT reply, OT
//	                                              extension with its choices
//	Expand: sums of the GGM trees' sides     ──▶
//	                                         ◀──  Open: challenge, X  ┐ malicious
//	Prove: hash of ΣXⁱ·bᵢ and its share      ──▶  Verify              ┘ only
//	Compress                                      Compress
//
// The noise e has one random value at a random position in each of 256 blocks.
// A GGM tree a block, punctured at the position, gives shares of e·Δ; an
// expand-convolute code compresses e to A and the shares to B and C.
// PARAMETERS.md estimates the LPN problem.
//
// One Δ serves the OT extension and the result, as in Ferret (Yang et al., CCS
// 2020): a VOLE over the field is 128 correlated OTs combined, so the check of
// the OT extension covers the noise's values too.
package vole

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"

	"github.com/symbolon/symbolon/internal/field"
	"github.com/symbolon/symbolon/internal/oracle"
	"github.com/symbolon/symbolon/internal/ot"
)

// NoiseWeight is t, the number of noisy positions. With a code of relative
// distance δ the linear-test bias is at most (1-2δ)^t: 131.7 bits at δ = 0.15.
const NoiseWeight = 256

// minBlock keeps tiny runs at an LPN dimension of 8192, where the noise is far
// from guessable; see PARAMETERS.md.
const minBlock = 64

// MaxLength bounds the length of a VOLE.
const MaxLength = 1 << 29

// Errors that blame the peer: it failed a consistency check, so it lies, or
// sent what no honest party sends. Those of package ot mean the same.
var (
	ErrCheck     = errors.New("vole: consistency check failed")
	ErrMalformed = errors.New("vole: malformed message")
)

// PeerFault reports whether err blames the peer.
func PeerFault(err error) bool {
	return errors.Is(err, ErrCheck) || errors.Is(err, ErrMalformed) ||
		errors.Is(err, ot.ErrCheck) || errors.Is(err, ot.ErrMalformed)
}

// Params fixes a run. Both parties hold equal values.
type Params struct {
	// Length is the number of correlations, at most MaxLength.
	Length int
	// Binding separates runs: every hash of the run includes it, and the
	// public code is drawn from it.
	Binding []byte
	// Malicious adds the check that the receiver makes of the sender's trees.
	// The sender checks the receiver's OT extension always.
	Malicious bool
}

// Validate reports a length out of range.
func (p *Params) Validate() error {
	if p.Length < 0 || p.Length > MaxLength {
		return fmt.Errorf("vole: length %d is outside [0, %d]", p.Length, MaxLength)
	}
	return nil
}

// shape holds the sizes that follow from the length.
type shape struct {
	block int // positions in one block of noise: leaves of one tree
	depth int // levels of a tree below its root
	out   int // k: outputs of the code, at least Length
	in    int // N = 2k: inputs of the code, NoiseWeight blocks
}

func (p *Params) shape() shape {
	block := max(minBlock, (2*p.Length+NoiseWeight-1)/NoiseWeight)
	return shape{
		block: block,
		depth: bits.Len(uint(block - 1)),
		out:   NoiseWeight / 2 * block,
		in:    NoiseWeight * block,
	}
}

// level returns the number of nodes of a tree at level l: the fewest that lead
// to the leaves. A level has twice the nodes of the one above, or one less.
func (s shape) level(l int) int {
	d := s.depth - l
	return (s.block + 1<<d - 1) >> d
}

// A run takes correlated OTs for each level of each tree, then 128 for each
// noise value and 128 for the mask of the check.
func (s shape) treeOTs() int { return NoiseWeight * s.depth }
func (s shape) totalOTs() int {
	return s.treeOTs() + 128*(NoiseWeight+1)
}

// RequestLen is the length in bytes of the sender's first message.
func (p *Params) RequestLen() int { return ot.Endemic{}.RequestLen(ot.BaseCount) }

// ExtendLen is the length in bytes of the receiver's answer to the request.
func (p *Params) ExtendLen() int {
	return ot.Endemic{}.ReplyLen(ot.BaseCount) + ot.ExtendLen(p.shape().totalOTs())
}

// ExpandLen is the length in bytes of the sender's sums: two for each level of
// each tree and one for each tree.
func (p *Params) ExpandLen() int {
	s := p.shape()
	return field.Size * NoiseWeight * (2*s.depth + 1)
}

// SenderMemory and ReceiverMemory are the numbers of elements of the memory
// that Sender.Expand and Receiver.Open take.
func (p *Params) SenderMemory() int   { return p.shape().in }
func (p *Params) ReceiverMemory() int { return p.shape().out }

// OpenLen and ProveLen are the lengths in bytes of the consistency check's
// messages.
const (
	OpenLen  = 2 * field.Size
	ProveLen = 32
)

const (
	baseDomain  = "symbolon/v1/vole/base"
	padDomain   = "symbolon/v1/vole/pad"
	proofDomain = "symbolon/v1/vole/proof"
	treeDomain  = "symbolon/v1/vole/tree"
	codeDomain  = "symbolon/v1/vole/code"
)

// step is the position of a party in its run: each method is called once, in
// order.
type step int

func (s *step) take(want step) {
	if *s != want {
		panic(fmt.Sprintf("vole: step %d called when step %d is next", want, *s))
	}
	*s++
}

// combine turns 128 correlated OTs, whose choice bits are the bits of a field
// element, into one VOLE: Σ xⁱ·row_i.
func combine(rows []field.Element) field.Element {
	var s field.Element
	for i := len(rows) - 1; i >= 0; i-- {
		s = s.MulX().Add(rows[i])
	}
	return s
}

// pad hashes a correlated OT into a random one (tweaked by its index, since Δ
// is the same in all).
func pad(binding []byte, index int, q field.Element) field.Element {
	var b [4]byte
	binary.BigEndian.PutUint32(b[:], uint32(index))
	e := q.Bytes()
	sum := oracle.Sum(padDomain, binding, b[:], e[:])
	return field.Load(sum[:])
}

// proof hashes the sender's side of the consistency check.
func proof(binding []byte, v field.Element) [32]byte {
	b := v.Bytes()
	return oracle.Sum(proofDomain, binding, b[:])
}
