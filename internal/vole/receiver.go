package vole

import (
	"context"
	"crypto/subtle"
	"encoding/binary"
	"fmt"
	"io"
	"math/bits"

	"github.com/symbolon/symbolon/internal/bitvec"
	"github.com/symbolon/symbolon/internal/field"
	"github.com/symbolon/symbolon/internal/hugepage"
	"github.com/symbolon/symbolon/internal/oracle"
	"github.com/symbolon/symbolon/internal/ot"
	"github.com/symbolon/symbolon/internal/parallel"
)

// Receiver is the party that gets A and C. It calls Extend, Open, Verify (if
// malicious) and Compress, in this order.
type Receiver struct {
	params  Params
	shape   shape
	workers int
	step    step
	rand    io.Reader

	positions []int           // of the noise, within each block
	values    []field.Element // of the noise, and the mask of the check
	shares    []field.Element // t = u·Δ + q of the OTs, then of the values
	c         []field.Element // share of e·Δ; after Compress C
	expected  [32]byte        // the honest sender's proof
}

// NewReceiver returns a receiver that draws its noise from rand.
func NewReceiver(params Params, workers int, rand io.Reader) (*Receiver, error) {
	if err := params.Validate(); err != nil {
		return nil, err
	}
	r := &Receiver{params: params, shape: params.shape(), workers: workers, rand: rand}
	secret := make([]byte, 8*NoiseWeight+field.Size*(NoiseWeight+1))
	if _, err := io.ReadFull(rand, secret); err != nil {
		return nil, fmt.Errorf("vole: reading randomness: %w", err)
	}
	r.positions = make([]int, NoiseWeight)
	for i := range r.positions {
		// 64 bits scaled to a block are uniform up to 2^-40.
		hi, _ := bits.Mul64(binary.LittleEndian.Uint64(secret[8*i:]), uint64(r.shape.block))
		r.positions[i] = int(hi)
	}
	r.values = make([]field.Element, NoiseWeight+1)
	field.Decode(r.values, secret[8*NoiseWeight:])
	return r, nil
}

// Extend takes the sender's request and returns the base OTs' reply and the
// OT extension's message.
func (r *Receiver) Extend(request []byte) ([]byte, error) {
	r.step.take(0)
	binding := baseBinding(r.params.Binding)
	reply, pairs, err := ot.Endemic{}.Reply(binding, ot.BaseCount, request, r.rand)
	if err != nil {
		return nil, err
	}
	extend, t, err := ot.Extend(binding, pairs, r.choices(), r.shape.totalOTs(), r.rand)
	if err != nil {
		return nil, err
	}
	r.shares = t
	return append(reply, extend...), nil
}

// choices packs the choice bits: for each level of each tree the side that is
// not on the path, then the bits of each noise value.
func (r *Receiver) choices() bitvec.Vector {
	u := bitvec.New(r.shape.totalOTs())
	t := tree{shape: r.shape}
	for i, p := range r.positions {
		for l, side := range t.path(p) {
			u.Or(i*r.shape.depth+l, 1-side)
		}
	}
	for i, v := range r.values {
		at := r.shape.treeOTs() + 128*i
		for b := range 64 {
			u.Or(at+b, v.Lo>>b)
			u.Or(at+64+b, v.Hi>>b)
		}
	}
	return u
}

// Open takes the sender's sums, punctures the trees, and returns the challenge
// of the consistency check, nil if the run is not malicious.
func (r *Receiver) Open(ctx context.Context, sums []byte) ([]byte, error) {
	r.step.take(1)
	if len(sums) != r.params.ExpandLen() {
		return nil, fmt.Errorf("%w: sums are %d bytes, want %d", ErrMalformed, len(sums), r.params.ExpandLen())
	}
	noise := make([]field.Element, NoiseWeight+1)
	for i := range noise {
		noise[i] = combine(r.shares[r.shape.treeOTs()+128*i:][:128])
	}
	r.c = hugepage.Elements(r.shape.in)
	prg := newPRG(r.params.Binding)
	err := parallel.For(ctx, r.workers, NoiseWeight, func(i int) error {
		r.punctureTree(sums, prg, noise[i], i)
		return nil
	})
	r.shares = nil
	if err != nil || !r.params.Malicious {
		return nil, err
	}
	return r.challenge(ctx, noise[NoiseWeight])
}

// punctureTree fills block i with the leaves of tree i, and its noisy position
// with what makes the block C = e·Δ + B.
func (r *Receiver) punctureTree(sums []byte, prg *prg, share field.Element, i int) {
	t := tree{r.shape, prg}
	in := sums[field.Size*(2*r.shape.depth+1)*i:]
	path := t.path(r.positions[i])
	known := make([]field.Element, r.shape.depth)
	for l, side := range path {
		index, off := i*r.shape.depth+l, int(1-side)
		known[l] = field.Load(in[field.Size*(2*l+off):]).Add(pad(r.params.Binding, 2*index+off, r.shares[index]))
	}
	leaves := r.c[i*r.shape.block : (i+1)*r.shape.block]
	t.puncture(leaves, path, known)
	total := field.Load(in[field.Size*2*r.shape.depth:])
	leaves[r.positions[i]] = field.Sum(leaves).Add(total).Add(share)
}

// challenge draws X, and sends with it e(X) under the mask. It fixes the proof
// that an honest sender will return.
func (r *Receiver) challenge(ctx context.Context, mask field.Element) ([]byte, error) {
	open := make([]byte, OpenLen)
	if _, err := io.ReadFull(r.rand, open[:field.Size]); err != nil {
		return nil, fmt.Errorf("vole: reading randomness: %w", err)
	}
	x := field.Load(open)
	masked := r.values[NoiseWeight]
	for i, p := range r.positions {
		masked = masked.Add(field.Pow(x, uint64(i*r.shape.block+p)).Mul(r.values[i]))
	}
	b := masked.Bytes()
	copy(open[field.Size:], b[:])
	v, err := evaluate(ctx, r.workers, r.c, x, r.shape.block)
	if err != nil {
		return nil, err
	}
	r.expected = proof(r.params.Binding, v.Add(mask))
	return open, nil
}

// Verify checks the sender's proof. An error that wraps ErrCheck means that
// the trees were not grown honestly.
func (r *Receiver) Verify(proof []byte) error {
	r.step.take(2)
	if len(proof) != ProveLen {
		return fmt.Errorf("%w: proof is %d bytes, want %d", ErrMalformed, len(proof), ProveLen)
	}
	if subtle.ConstantTimeCompare(proof, r.expected[:]) != 1 {
		return fmt.Errorf("%w: sums of the trees", ErrCheck)
	}
	return nil
}

// Compress returns A and C.
func (r *Receiver) Compress(ctx context.Context) (a, c []field.Element, err error) {
	if r.params.Malicious {
		r.step.take(3)
	} else {
		r.step.take(2)
	}
	e := hugepage.Elements(r.shape.in)
	for i, p := range r.positions {
		e[i*r.shape.block+p] = r.values[i]
	}
	code := newCode(r.params.Binding, r.shape.out)
	if err := code.compress(ctx, r.workers, e); err != nil {
		return nil, nil, err
	}
	if err := code.compress(ctx, r.workers, r.c); err != nil {
		return nil, nil, err
	}
	a, c = e[:r.params.Length], r.c[:r.params.Length]
	r.c = nil
	return a, c, nil
}

func baseBinding(binding []byte) []byte {
	sum := oracle.Sum(baseDomain, binding)
	return sum[:]
}
