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

	"github.com/cloudflare/circl/group"

	"github.com/symbolon/symbolon/internal/oracle"
	"github.com/symbolon/symbolon/internal/parallel"
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
	pointLen     = 32
	endemicHash  = "symbolon/v1/ot/endemic-hash"
	endemicKey   = "symbolon/v1/ot/endemic-key"
	endemicPoint = "symbolon/v1/ot/endemic-point"
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
	scalars []group.Scalar
}

// Request sends r_0 and r_1 for each OT, with r_{1-c} a random element and
// r_c = a·G - H_c(r_{1-c}). Both look random, which hides the choice.
func (e Endemic) Request(binding []byte, choices []bool, rand io.Reader) ([]byte, BaseReceiver, error) {
	n := len(choices)
	seeds := make([]byte, 128*n)
	if _, err := io.ReadFull(rand, seeds); err != nil {
		return nil, nil, fmt.Errorf("ot: reading randomness: %w", err)
	}
	r := &endemicReceiver{binding: binding, workers: e.Workers, choices: append([]bool(nil), choices...), scalars: make([]group.Scalar, n)}
	r.request = make([]byte, e.RequestLen(n))
	err := parallel.For(context.Background(), e.Workers, n, func(i int) error {
		seed := seeds[128*i : 128*i+128]
		r.scalars[i] = scalarFrom(seed[:64])
		c := bit(choices[i])
		var other, own [pointLen]byte
		if err := putPoint(other[:], group.Ristretto255.HashToElement(seed[64:], []byte(endemicPoint))); err != nil {
			return err
		}
		p := group.Ristretto255.NewElement().MulGen(r.scalars[i])
		p.Add(p, negated(hashPoint(binding, i, c, other[:])))
		if err := putPoint(own[:], p); err != nil {
			return err
		}
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
		scalar := scalarFrom(seeds[64*i : 64*i+64])
		pair := request[2*pointLen*i:][:2*pointLen]
		slots := [2][]byte{pair[:pointLen], pair[pointLen:]}
		answer := reply[pointLen*i:][:pointLen]
		if err := putPoint(answer, group.Ristretto255.NewElement().MulGen(scalar)); err != nil {
			return err
		}
		for j := range 2 {
			p, err := getPoint(slots[j])
			if err != nil {
				return fmt.Errorf("%w: request %d: %w", ErrMalformed, i, err)
			}
			p.Add(p, hashPoint(binding, i, j, slots[1-j]))
			if keys[i][j], err = deriveKey(binding, i, j, pair, answer, p.Mul(p, scalar)); err != nil {
				return err
			}
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
		p, err := getPoint(answer)
		if err != nil {
			return fmt.Errorf("%w: reply %d: %w", ErrMalformed, i, err)
		}
		pair := r.request[2*pointLen*i:][:2*pointLen]
		keys[i], err = deriveKey(r.binding, i, bit(r.choices[i]), pair, answer, p.Mul(p, r.scalars[i]))
		return err
	})
	if err != nil {
		return nil, err
	}
	return keys, nil
}

// scalarFrom hashes 64 random bytes to a scalar: circl's RandomScalar ignores
// the reader it is given, and a run must be reproducible from its seed.
func scalarFrom(seed []byte) group.Scalar {
	return group.Ristretto255.HashToScalar(seed, []byte(endemicPoint))
}

func hashPoint(binding []byte, index, side int, point []byte) group.Element {
	m := append(appendTag(nil, binding, index, side), point...)
	return group.Ristretto255.HashToElement(m, []byte(endemicHash))
}

func deriveKey(binding []byte, index, side int, pair, answer []byte, shared group.Element) (Key, error) {
	s, err := shared.MarshalBinary()
	if err != nil {
		return Key{}, fmt.Errorf("ot: encoding a group element: %w", err)
	}
	sum := oracle.Sum(endemicKey, appendTag(nil, binding, index, side), pair, answer, s)
	return Key(sum[:16]), nil
}

func appendTag(b, binding []byte, index, side int) []byte {
	b = binary.BigEndian.AppendUint64(b, uint64(len(binding)))
	b = append(b, binding...)
	b = binary.BigEndian.AppendUint32(b, uint32(index))
	return append(b, byte(side))
}

func negated(e group.Element) group.Element { return e.Neg(e) }

func putPoint(dst []byte, e group.Element) error {
	b, err := e.MarshalBinary()
	if err != nil {
		return fmt.Errorf("ot: encoding a group element: %w", err)
	}
	copy(dst, b)
	return nil
}

// getPoint refuses encodings that are not canonical and the identity, which no
// honest party sends but with negligible probability.
func getPoint(b []byte) (group.Element, error) {
	e := group.Ristretto255.NewElement()
	if err := e.UnmarshalBinary(b); err != nil {
		return nil, fmt.Errorf("invalid group element: %w", err)
	}
	if e.IsIdentity() {
		return nil, errors.New("group element is the identity")
	}
	return e, nil
}

func bit(b bool) int {
	if b {
		return 1
	}
	return 0
}
