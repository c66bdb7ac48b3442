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
	// chunk is the number of OTs that a worker takes at a time.
	chunk = 16
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
	err := parallel.Ranges(context.Background(), e.Workers, n, chunk, func(lo, hi int) error {
		r.requestChunk(lo, hi, seeds)
		return nil
	})
	clear(seeds)
	if err != nil {
		return nil, nil, err
	}
	return append([]byte(nil), r.request...), r, nil
}

// requestChunk makes the request's elements of OTs lo to hi.
func (r *endemicReceiver) requestChunk(lo, hi int, seeds []byte) {
	n := hi - lo
	for i := lo; i < hi; i++ {
		endemicPoint.Scalar(&r.scalars[i], seeds[128*i:][:64])
	}
	var points, hashes ristretto.Batch
	others, owns := make([]byte, n*pointLen), make([]byte, n*pointLen)
	points.Hash(endemicPoint, n, func(i int) []byte { return seeds[128*(lo+i)+64:][:64] })
	points.Encode(others)
	hashes.Hash(endemicHash, n, func(i int) []byte {
		return hashInput(r.binding, lo+i, bit(r.choices[lo+i]), others[i*pointLen:][:pointLen])
	})
	points.MultiplyBase(r.scalars[lo:hi])
	points.Subtract(&hashes)
	points.Encode(owns)
	for i := range n {
		other, own := others[i*pointLen:][:pointLen], owns[i*pointLen:][:pointLen]
		// Which element goes where is the secret: no address depends on it.
		r0 := r.request[2*pointLen*(lo+i):][:pointLen]
		r1 := r.request[2*pointLen*(lo+i)+pointLen:][:pointLen]
		c := bit(r.choices[lo+i])
		copy(r0, own)
		copy(r1, other)
		subtle.ConstantTimeCopy(c, r0, other)
		subtle.ConstantTimeCopy(c, r1, own)
	}
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
	err := parallel.Ranges(context.Background(), e.Workers, n, chunk, func(lo, hi int) error {
		return replyChunk(binding, lo, hi, seeds, request, reply, keys)
	})
	clear(seeds)
	if err != nil {
		return nil, nil, err
	}
	return reply, keys, nil
}

// replyChunk makes the reply and the keys of OTs lo to hi.
func replyChunk(binding []byte, lo, hi int, seeds, request, reply []byte, keys [][2]Key) error {
	n := hi - lo
	scalars, twice := make([]ristretto.Scalar, n), make([]ristretto.Scalar, 2*n)
	for i := range scalars {
		endemicPoint.Scalar(&scalars[i], seeds[64*(lo+i):][:64])
		twice[2*i], twice[2*i+1] = scalars[i], scalars[i]
	}
	defer clear(scalars)
	defer clear(twice)
	var points, hashes ristretto.Batch
	points.MultiplyBase(scalars)
	points.Encode(reply[lo*pointLen : hi*pointLen])
	// Element j of OT i is number 2i + j.
	request = request[2*lo*pointLen : 2*hi*pointLen]
	if bad, ok := errors.AsType[*ristretto.DecodeError](points.Decode(request)); ok {
		return fmt.Errorf("%w: request %d: group element %w", ErrMalformed, lo+bad.Index/2, bad.Err)
	}
	hashes.Hash(endemicHash, 2*n, func(i int) []byte {
		return hashInput(binding, lo+i/2, i%2, request[(i^1)*pointLen:][:pointLen])
	})
	points.Add(&hashes)
	points.MultiplyEach(twice)
	shared := make([]byte, 2*n*pointLen)
	points.Encode(shared)
	for i := range 2 * n {
		pair, answer := request[i/2*2*pointLen:][:2*pointLen], reply[(lo+i/2)*pointLen:][:pointLen]
		keys[lo+i/2][i%2] = deriveKey(binding, lo+i/2, i%2, pair, answer, shared[i*pointLen:][:pointLen])
	}
	return nil
}

// Keys derives key c from a·(b·G).
func (r *endemicReceiver) Keys(reply []byte) ([]Key, error) {
	n := len(r.choices)
	if want := (Endemic{}).ReplyLen(n); len(reply) != want {
		return nil, fmt.Errorf("%w: reply is %d bytes, want %d", ErrMalformed, len(reply), want)
	}
	keys := make([]Key, n)
	err := parallel.Ranges(context.Background(), r.workers, n, chunk, func(lo, hi int) error {
		var points ristretto.Batch
		if bad, ok := errors.AsType[*ristretto.DecodeError](points.Decode(reply[lo*pointLen : hi*pointLen])); ok {
			return fmt.Errorf("%w: reply %d: group element %w", ErrMalformed, lo+bad.Index, bad.Err)
		}
		points.MultiplyEach(r.scalars[lo:hi])
		shared := make([]byte, (hi-lo)*pointLen)
		points.Encode(shared)
		for i := lo; i < hi; i++ {
			pair, answer := r.request[2*pointLen*i:][:2*pointLen], reply[pointLen*i:][:pointLen]
			keys[i] = deriveKey(r.binding, i, bit(r.choices[i]), pair, answer, shared[(i-lo)*pointLen:][:pointLen])
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return keys, nil
}

// hashInput is what H_side of a point hashes.
func hashInput(binding []byte, index, side int, point []byte) []byte {
	return append(appendTag(nil, binding, index, side), point...)
}

func deriveKey(binding []byte, index, side int, pair, answer, shared []byte) Key {
	sum := oracle.Sum(endemicKey, appendTag(nil, binding, index, side), pair, answer, shared)
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
