// Package ot provides oblivious transfer: base OTs from public-key
// cryptography, and the extension that turns 128 of them into any number of
// correlated ones with symmetric cryptography alone.
//
// In a random OT the sender gets two keys and the receiver the one it chose; in
// a correlated OT with a global Δ the sender gets q, the receiver q + uΔ for
// its choice bit u. The engine's PSI sender is the receiver of the base OTs and
// the sender of the extension: the roles reverse, as always in OT extension.
package ot

import (
	"context"
	"crypto/subtle"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/symbolon/symbolon/internal/oracle"
	"github.com/symbolon/symbolon/internal/parallel"
	"github.com/symbolon/symbolon/internal/ristretto"
)

// ErrMalformed reports a message of the peer that no honest party sends.
var ErrMalformed = errors.New("ot: malformed message")

// Key is one random OT key.
type Key [16]byte

// Base is a protocol for n random OTs in two messages: the receiver requests,
// the sender replies. The binding separates runs; both sides pass the same. All
// randomness is read before any goroutine starts, so a fixed rand gives fixed
// messages.
type Base interface {
	// RequestLen and ReplyLen are the messages' lengths in bytes.
	RequestLen(n int) int
	ReplyLen(n int) int
	// Request returns the receiver's message and what will open the reply.
	Request(binding []byte, choices []bool, rand io.Reader) ([]byte, BaseReceiver, error)
	// Reply answers a request with the sender's message and key pairs. A
	// malformed request is an error.
	Reply(binding []byte, n int, request []byte, rand io.Reader) ([]byte, [][2]Key, error)
}

// BaseReceiver is a receiver between its two messages.
type BaseReceiver interface {
	// Keys returns the chosen key of each OT. A malformed reply is an error.
	Keys(reply []byte) ([]Key, error)
}

// Endemic is the endemic OT of Masny and Rindal, "Endemic Oblivious Transfer"
// (CCS 2019), Figure 8, over ristretto255 with its hash to group from RFC 9380.
// It is secure against malicious parties under CDH in the random oracle model,
// where either malicious side may choose its own keys: enough for OT extension.
// The sender takes a fresh scalar for every OT, and each hash is bound to the
// run and the OT's index, so that a batch keeps no common structure
// (McQuoid, Rosulek and Roy, "Batching Base Oblivious Transfers", 2021).
type Endemic struct {
	// Workers bounds the goroutines of a call; 0 means all processors.
	Workers int
}

const (
	pointLen   = ristretto.ElementSize
	endemicKey = "symbolon/v1/ot/endemic-key"
)

var (
	endemicHash  = ristretto.NewHasher([]byte("symbolon/v1/ot/endemic-hash"))
	endemicPoint = ristretto.NewHasher([]byte("symbolon/v1/ot/endemic-point"))
)

// RequestLen is two group elements an OT.
func (Endemic) RequestLen(n int) int { return 2 * pointLen * n }

// ReplyLen is one group element an OT.
func (Endemic) ReplyLen(n int) int { return pointLen * n }

type endemicReceiver struct {
	binding []byte
	workers int
	request []byte
	choices []bool
	scalars []ristretto.Scalar
}

// Request sends r_0 and r_1 for each OT, with r_{1-c} a random element and
// r_c = a·G - H_c(r_{1-c}). Both look random, which hides the choice.
func (e Endemic) Request(binding []byte, choices []bool, rand io.Reader) ([]byte, BaseReceiver, error) {
	n := len(choices)
	seeds := make([]byte, 128*n)
	if _, err := io.ReadFull(rand, seeds); err != nil {
		return nil, nil, fmt.Errorf("ot: reading randomness: %w", err)
	}
	r := &endemicReceiver{binding: binding, workers: e.Workers, choices: append([]bool(nil), choices...), scalars: make([]ristretto.Scalar, n)}
	r.request = make([]byte, e.RequestLen(n))
	err := parallel.For(context.Background(), e.Workers, n, func(i int) error {
		seed := seeds[128*i : 128*i+128]
		endemicPoint.Scalar(&r.scalars[i], seed[:64])
		c := bit(choices[i])
		var other, own [pointLen]byte
		var p, h ristretto.Element
		endemicPoint.Element(&p, seed[64:])
		p.Encode(other[:])
		hashPoint(&h, binding, i, c, other[:])
		p.MultiplyBase(&r.scalars[i])
		p.Subtract(&p, &h)
		p.Encode(own[:])
		// Which element goes where is the secret: no address depends on it.
		r0, r1 := r.request[2*pointLen*i:][:pointLen], r.request[2*pointLen*i+pointLen:][:pointLen]
		copy(r0, own[:])
		copy(r1, other[:])
		subtle.ConstantTimeCopy(c, r0, other[:])
		subtle.ConstantTimeCopy(c, r1, own[:])
		return nil
	})
	clear(seeds)
	if err != nil {
		return nil, nil, err
	}
	return append([]byte(nil), r.request...), r, nil
}

// Reply sends b·G and derives key j from b·(r_j + H_j(r_{1-j})).
func (e Endemic) Reply(binding []byte, n int, request []byte, rand io.Reader) ([]byte, [][2]Key, error) {
	if len(request) != e.RequestLen(n) {
		return nil, nil, fmt.Errorf("%w: request is %d bytes, want %d", ErrMalformed, len(request), e.RequestLen(n))
	}
	seeds := make([]byte, 64*n)
	if _, err := io.ReadFull(rand, seeds); err != nil {
		return nil, nil, fmt.Errorf("ot: reading randomness: %w", err)
	}
	reply := make([]byte, e.ReplyLen(n))
	keys := make([][2]Key, n)
	err := parallel.For(context.Background(), e.Workers, n, func(i int) error {
		var scalar ristretto.Scalar
		endemicPoint.Scalar(&scalar, seeds[64*i:64*i+64])
		pair := request[2*pointLen*i:][:2*pointLen]
		slots := [2][]byte{pair[:pointLen], pair[pointLen:]}
		answer := reply[pointLen*i:][:pointLen]
		var p, h ristretto.Element
		p.MultiplyBase(&scalar)
		p.Encode(answer)
		for j := range 2 {
			if err := p.Decode(slots[j]); err != nil {
				return fmt.Errorf("%w: request %d: group element %w", ErrMalformed, i, err)
			}
			hashPoint(&h, binding, i, j, slots[1-j])
			p.Add(&p, &h)
			p.Multiply(&scalar, &p)
			keys[i][j] = deriveKey(binding, i, j, pair, answer, &p)
		}
		return nil
	})
	clear(seeds)
	if err != nil {
		return nil, nil, err
	}
	return reply, keys, nil
}

// Keys derives key c from a·(b·G).
func (r *endemicReceiver) Keys(reply []byte) ([]Key, error) {
	n := len(r.choices)
	if want := (Endemic{}).ReplyLen(n); len(reply) != want {
		return nil, fmt.Errorf("%w: reply is %d bytes, want %d", ErrMalformed, len(reply), want)
	}
	keys := make([]Key, n)
	err := parallel.For(context.Background(), r.workers, n, func(i int) error {
		answer := reply[pointLen*i:][:pointLen]
		var p ristretto.Element
		if err := p.Decode(answer); err != nil {
			return fmt.Errorf("%w: reply %d: group element %w", ErrMalformed, i, err)
		}
		p.Multiply(&r.scalars[i], &p)
		pair := r.request[2*pointLen*i:][:2*pointLen]
		keys[i] = deriveKey(r.binding, i, bit(r.choices[i]), pair, answer, &p)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return keys, nil
}

func hashPoint(p *ristretto.Element, binding []byte, index, side int, point []byte) {
	endemicHash.Element(p, append(appendTag(nil, binding, index, side), point...))
}

func deriveKey(binding []byte, index, side int, pair, answer []byte, shared *ristretto.Element) Key {
	var s [pointLen]byte
	shared.Encode(s[:])
	sum := oracle.Sum(endemicKey, appendTag(nil, binding, index, side), pair, answer, s[:])
	return Key(sum[:16])
}

func appendTag(b, binding []byte, index, side int) []byte {
	b = binary.BigEndian.AppendUint64(b, uint64(len(binding)))
	b = append(b, binding...)
	b = binary.BigEndian.AppendUint32(b, uint32(index))
	return append(b, byte(side))
}

func bit(b bool) int {
	if b {
		return 1
	}
	return 0
}
