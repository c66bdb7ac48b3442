// Package okvs encodes pairs of key and value as a vector that hides the keys:
// an oblivious key-value store. Decoding is linear in the vector, which is what
// the VOLE engine builds on.
//
// It is the clustered construction of weight w = 3 of
// Raghuraman and Rindal, "Blazing Fast PSI from Improved OKVS and Subfield
// VOLE" (CCS 2022): keys fall into bins, and within its bin a key selects
// three columns and g dense ones,
//
//	Decode(k) = P[p0] + P[p1] + P[p2] + Σ_j k^(j+1)·D[j],
//
// a binary system that peeling solves, but for a small core left to
// elimination. Bins are independent, so that each fits in cache and they run
// in parallel; the result does not depend on the number of workers.
//
// Keys are uniformly random elements of GF(2^128): outputs of a random oracle
// that is bound to the run. Running time varies with keys, never with values.
package okvs

import (
	"context"
	"errors"
	"fmt"

	"github.com/symbolon/symbolon/internal/cpu"
	"github.com/symbolon/symbolon/internal/field"
	"github.com/symbolon/symbolon/internal/parallel"
)

// Weight is w, the number of sparse columns a key selects.
const Weight = 3

// Errors of Encode. The first two have probability at most 2^-λ each for keys
// that come from a random oracle, and another oracle is the remedy.
var (
	ErrSingular  = errors.New("okvs: the system has no solution")
	ErrCapacity  = errors.New("okvs: a bin holds more keys than its capacity")
	ErrDuplicate = errors.New("okvs: a key occurs twice")
)

// Keys holds keys in the order of their bins.
type Keys struct {
	Params Params
	// Keys are sorted by bin; those of bin b are at Starts[b] to Starts[b+1].
	Keys   []field.Element
	Starts []uint32
}

// bin returns the bin of a key.
func (p *Params) bin(key field.Element) int {
	return int(key.Hi >> 32 * uint64(p.Bins) >> 32)
}

// arrangePiece is the number of keys that one piece of Arrange counts.
const arrangePiece = 1 << 16

// Arrange computes where each key goes when sorted by bin: key i belongs at
// places[i], and bin b begins at starts[b]. The order within a bin is that of
// the keys.
func (p *Params) Arrange(ctx context.Context, workers int, keys []field.Element) (places, starts []uint32, err error) {
	pieces := (len(keys) + arrangePiece - 1) / arrangePiece
	counts := make([]uint32, pieces*p.Bins)
	places = make([]uint32, len(keys))
	err = parallel.Ranges(ctx, workers, len(keys), arrangePiece, func(lo, hi int) error {
		count := counts[lo/arrangePiece*p.Bins:][:p.Bins]
		for i := lo; i < hi; i++ {
			b := p.bin(keys[i])
			places[i] = count[b]
			count[b]++
		}
		return nil
	})
	if err != nil {
		return nil, nil, err
	}
	starts = make([]uint32, p.Bins+1)
	total := uint32(0)
	for b := range p.Bins {
		starts[b] = total
		for piece := range pieces {
			c := &counts[piece*p.Bins+b]
			*c, total = total, total+*c
		}
	}
	starts[p.Bins] = total
	err = parallel.Ranges(ctx, workers, len(keys), arrangePiece, func(lo, hi int) error {
		first := counts[lo/arrangePiece*p.Bins:][:p.Bins]
		for i := lo; i < hi; i++ {
			places[i] += first[p.bin(keys[i])]
		}
		return nil
	})
	return places, starts, err
}

// Sort returns the keys sorted by bin, and the place of each.
func (p *Params) Sort(ctx context.Context, workers int, keys []field.Element) (*Keys, []uint32, error) {
	places, starts, err := p.Arrange(ctx, workers, keys)
	if err != nil {
		return nil, nil, err
	}
	sorted := make([]field.Element, len(keys))
	for i, k := range keys {
		sorted[places[i]] = k
	}
	return &Keys{*p, sorted, starts}, places, nil
}

// Encode writes to out, which has Params.Len elements and is zero, a vector
// with Decode(k.Keys[i]) = values[i] for all i. It has at most Params.Keys
// keys. Columns that the system leaves free stay zero: the vector looks random
// only under a mask.
func Encode(ctx context.Context, workers int, k *Keys, values, out []field.Element) error {
	p := &k.Params
	if len(values) != len(k.Keys) || len(out) != p.Len() {
		return fmt.Errorf("okvs: got %d values for %d keys and a vector of %d, want %d", len(values), len(k.Keys), len(out), p.Len())
	}
	if len(k.Keys) > p.Keys {
		return fmt.Errorf("okvs: got %d keys, want at most %d", len(k.Keys), p.Keys)
	}
	spare := make(chan *encoder, parallel.Workers(workers))
	return parallel.For(ctx, workers, p.Bins, func(b int) error {
		var e *encoder
		select {
		case e = <-spare:
		default:
			e = newEncoder(p)
		}
		lo, hi := k.Starts[b], k.Starts[b+1]
		err := e.encode(k.Keys[lo:hi], values[lo:hi], out[b*p.BinLen():(b+1)*p.BinLen()])
		spare <- e
		return err
	})
}

// Decode writes to values, for each key, its value in the vector.
func Decode(ctx context.Context, workers int, k *Keys, vector, values []field.Element) error {
	p := &k.Params
	if len(values) != len(k.Keys) || len(vector) != p.Len() {
		return fmt.Errorf("okvs: got room for %d values of %d keys and a vector of %d, want %d", len(values), len(k.Keys), len(vector), p.Len())
	}
	return parallel.For(ctx, workers, p.Bins, func(b int) error {
		lo, hi := k.Starts[b], k.Starts[b+1]
		bin := vector[b*p.BinLen() : (b+1)*p.BinLen()]
		decodeSparse(values[lo:hi], k.Keys[lo:hi], bin[:p.Columns])
		field.AddPoly(values[lo:hi], k.Keys[lo:hi], bin[p.Columns:])
		return nil
	})
}

// columns returns the three distinct columns of a key among n, each triple as
// likely as any other.
func columns(key field.Element, n uint64) (p0, p1, p2 uint64) {
	p0 = key.Lo & 0xffffffff * n >> 32
	p1 = key.Lo >> 32 * (n - 1) >> 32
	p2 = key.Hi & 0xffffffff * (n - 2) >> 32
	// Skip p0 for p1, then both, lower first, for p2.
	p1 += 1 - (p1-p0)>>63
	lo, hi := min(p0, p1), max(p0, p1)
	p2 += 1 - (p2-lo)>>63
	p2 += 1 - (p2-hi)>>63
	return p0, p1, p2
}

var host = cpu.Host()

// columnRowsGeneric packs the columns of each key in 16 bits each.
func columnRowsGeneric(rows []uint64, keys []field.Element, n int) {
	for i, k := range keys {
		p0, p1, p2 := columns(k, uint64(n))
		rows[i] = p0 | p1<<16 | p2<<32
	}
}

func sumRowsGeneric(values []field.Element, rows []uint64, sparse []field.Element) {
	for i, r := range rows {
		a, b, c := &sparse[r&0xffff], &sparse[r>>16&0xffff], &sparse[r>>32]
		values[i] = field.Element{Lo: a.Lo ^ b.Lo ^ c.Lo, Hi: a.Hi ^ b.Hi ^ c.Hi}
	}
}

func decodeSparse(values, keys, sparse []field.Element) {
	var rows [512]uint64
	for len(keys) > 0 {
		n := min(len(keys), len(rows))
		columnRows(host, rows[:n], keys[:n], len(sparse))
		sumRows(host, values[:n], rows[:n], sparse)
		keys, values = keys[n:], values[n:]
	}
}
