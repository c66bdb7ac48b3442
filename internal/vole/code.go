package vole

import (
	"context"
	"encoding/binary"

	"github.com/symbolon/symbolon/internal/field"
	"github.com/symbolon/symbolon/internal/oracle"
	"github.com/symbolon/symbolon/internal/parallel"
)

// The code is the systematic expand-convolute code of Raghuraman, Rindal and
// Tanguy, "Expand-Convolute Codes for Pseudorandom Correlation Generators from
// LPN" (CRYPTO 2023), with expander weight 7, window 24 and two convolutions.
// It maps e = (e1, e2) of 2k elements to e1 + E·C·C'·e2, where a convolution
// is
//
//	y_i = x_i + Σ_{j=1..23} m_ij·y_{i-j} + x·y_{i-24}
//
// with random bits m_ij, and row i of E sums seven random positions. The one
// constant x of the field keeps the code from being 128 separate binary ones,
// in each of which half of the noise would vanish.
const (
	expanderWeight = 7
	window         = 24
	passes         = 2
)

// expandPiece is the number of outputs that one piece of the expander makes.
const expandPiece = 1 << 12

// code is the public code of a run.
type code struct {
	k   int
	key [32]byte
}

func newCode(binding []byte, k int) *code {
	return &code{k: k, key: oracle.Sum(codeDomain, binding)}
}

// The code's random bits are one AES stream: the masks of each pass, then the
// positions of the expander, four bytes each. Piece i of the expander takes
// eight words a row, of which the last is unused, so that rows stay aligned.
func (c *code) maskBlock(pass int) uint64 { return uint64(pass) * uint64(c.k) / 4 }
func (c *code) rowBlock(row int) uint64   { return uint64(passes)*uint64(c.k)/4 + 2*uint64(row) }

// pair holds an element of each of two vectors that the code compresses at once:
// one cache miss of the expander then serves both.
type pair [2]field.Element

// compress adds to out, which has at most k elements, the code word of (0, x).
// It leaves x, of k elements, as scratch.
func (c *code) compress(ctx context.Context, workers int, out, x []field.Element) error {
	for pass := range passes {
		if err := c.masks(ctx, pass, func(lo int, masks []byte) { convolve(host, x, masks, lo) }); err != nil {
			return err
		}
	}
	return c.rows(ctx, workers, len(out), func(lo, hi int, words []byte) {
		expand(host, out[lo:hi], x, words)
	})
}

// compressPairs is compress for two vectors, of equal length.
func (c *code) compressPairs(ctx context.Context, workers int, out0, out1 []field.Element, x []pair) error {
	for pass := range passes {
		if err := c.masks(ctx, pass, func(lo int, masks []byte) { convolvePairs(host, x, masks, lo) }); err != nil {
			return err
		}
	}
	return c.rows(ctx, workers, len(out0), func(lo, hi int, words []byte) {
		expandPairs(host, out0[lo:hi], out1[lo:hi], x, words)
	})
}

// masks calls f for each piece of one pass over k elements, in order, with its
// first element and its masks.
func (c *code) masks(ctx context.Context, pass int, f func(lo int, masks []byte)) error {
	const piece = 3640 // whole turns of the kernels
	buf := make([]byte, 4*piece)
	stream := oracle.StreamAt(c.key[:16], c.maskBlock(pass))
	for lo := 0; lo < c.k; lo += piece {
		if err := ctx.Err(); err != nil {
			return err
		}
		m := buf[:4*(min(c.k, lo+piece)-lo)]
		oracle.Fill(m, stream)
		f(lo, m)
	}
	return nil
}

// rows calls f for each piece of the first n rows of the expander, with their
// random words.
func (c *code) rows(ctx context.Context, workers, n int, f func(lo, hi int, words []byte)) error {
	spare := make(chan []byte, parallel.Workers(workers))
	return parallel.Ranges(ctx, workers, n, expandPiece, func(lo, hi int) error {
		var buf []byte
		select {
		case buf = <-spare:
		default:
			buf = make([]byte, 32*expandPiece)
		}
		words := buf[:32*(hi-lo)]
		oracle.Fill(words, oracle.StreamAt(c.key[:16], c.rowBlock(lo)))
		f(lo, hi, words)
		spare <- buf
		return nil
	})
}

// convolveGeneric finishes the outputs lo, lo+1, ... with one mask each, by
// adding each output to the window after it.
func convolveGeneric(x []field.Element, masks []byte, lo int) {
	for i := range len(masks) / 4 {
		m := binary.LittleEndian.Uint32(masks[4*i:])
		y := x[lo+i]
		rest := x[lo+i+1:]
		for j := range min(window-1, len(rest)) {
			mask := -uint64(m >> j & 1)
			rest[j].Lo ^= mask & y.Lo
			rest[j].Hi ^= mask & y.Hi
		}
		if len(rest) >= window {
			rest[window-1] = rest[window-1].Add(y.MulX())
		}
	}
}

func convolvePairsGeneric(x []pair, masks []byte, lo int) {
	for i := range len(masks) / 4 {
		m := binary.LittleEndian.Uint32(masks[4*i:])
		y := x[lo+i]
		rest := x[lo+i+1:]
		for j := range min(window-1, len(rest)) {
			mask, r := -uint64(m>>j&1), &rest[j]
			r[0].Lo ^= mask & y[0].Lo
			r[0].Hi ^= mask & y[0].Hi
			r[1].Lo ^= mask & y[1].Lo
			r[1].Hi ^= mask & y[1].Hi
		}
		if len(rest) >= window {
			r := &rest[window-1]
			r[0], r[1] = r[0].Add(y[0].MulX()), r[1].Add(y[1].MulX())
		}
	}
}

// position scales word j of a row of the expander to one of n positions.
func position(row []byte, j int, n uint64) uint64 {
	return uint64(binary.LittleEndian.Uint32(row[4*j:])) * n >> 32
}

// expandGeneric adds to each out seven elements of x.
func expandGeneric(out, x []field.Element, words []byte) {
	n := uint64(len(x))
	for i := range out {
		row := words[32*i:][:32]
		s := out[i]
		for j := range expanderWeight {
			p := &x[position(row, j, n)]
			s.Lo ^= p.Lo
			s.Hi ^= p.Hi
		}
		out[i] = s
	}
}

func expandPairsGeneric(out0, out1 []field.Element, x []pair, words []byte) {
	n := uint64(len(x))
	for i := range out0 {
		row := words[32*i:][:32]
		s, t := out0[i], out1[i]
		for j := range expanderWeight {
			p := &x[position(row, j, n)]
			s.Lo ^= p[0].Lo
			s.Hi ^= p[0].Hi
			t.Lo ^= p[1].Lo
			t.Hi ^= p[1].Hi
		}
		out0[i], out1[i] = s, t
	}
}
