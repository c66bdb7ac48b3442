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

// compress replaces v[:k] by the code word of v, which has 2k elements; v[k:]
// is scratch afterwards.
func (c *code) compress(ctx context.Context, workers int, v []field.Element) error {
	x := v[c.k : 2*c.k]
	for pass := range passes {
		if err := c.convolve(ctx, x, pass); err != nil {
			return err
		}
	}
	return c.expand(ctx, workers, v[:c.k], x)
}

// convolve runs one pass over x in place.
func (c *code) convolve(ctx context.Context, x []field.Element, pass int) error {
	const piece = 28 * 128 // whole turns of the kernel
	masks := make([]byte, 4*piece)
	stream := oracle.StreamAt(c.key[:16], c.maskBlock(pass))
	for lo := 0; lo < len(x); lo += piece {
		if err := ctx.Err(); err != nil {
			return err
		}
		hi := min(len(x), lo+piece)
		oracle.Fill(masks[:4*(hi-lo)], stream)
		convolve(host, x, masks[:4*(hi-lo)], lo)
	}
	return nil
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

// expand adds E·x to out.
func (c *code) expand(ctx context.Context, workers int, out, x []field.Element) error {
	return parallel.Ranges(ctx, workers, len(out), expandPiece, func(lo, hi int) error {
		words := make([]byte, 32*(hi-lo))
		oracle.Fill(words, oracle.StreamAt(c.key[:16], c.rowBlock(lo)))
		expand(host, out[lo:hi], x, words)
		return nil
	})
}

// expandGeneric adds to each out seven elements of x, at positions that scale
// 32 random bits each to the length of x.
func expandGeneric(out, x []field.Element, words []byte) {
	n := uint64(len(x))
	for i := range out {
		row := words[32*i:][:32]
		s := out[i]
		for j := range expanderWeight {
			p := uint64(binary.LittleEndian.Uint32(row[4*j:])) * n >> 32
			s.Lo ^= x[p].Lo
			s.Hi ^= x[p].Hi
		}
		out[i] = s
	}
}
