package vole

import (
	"context"
	"crypto/subtle"
	"encoding/binary"
	"fmt"
	"io"
	"math/bits"
	"unsafe"

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
	c         []field.Element // first half of the share of e·Δ, to become C
	pairs     []pair          // second half, each with the element of e
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
	reply, pairs, err := ot.Endemic{Workers: r.workers}.Reply(binding, ot.BaseCount, request, r.rand)
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
// of the consistency check, nil if the run is not malicious. It keeps mem, of
// Params.MemoryLen elements with any contents, of which C will be a part.
func (r *Receiver) Open(ctx context.Context, sums []byte, mem []field.Element) ([]byte, error) {
	r.step.take(1)
	if len(mem) != r.shape.out {
		panic(fmt.Sprintf("vole: got memory for %d elements, want %d", len(mem), r.shape.out))
	}
	if len(sums) != r.params.ExpandLen() {
		return nil, fmt.Errorf("%w: sums are %d bytes, want %d", ErrMalformed, len(sums), r.params.ExpandLen())
	}
	// X is drawn only now that the sums are fixed.
	open := make([]byte, OpenLen)
	if _, err := io.ReadFull(r.rand, open[:field.Size]); err != nil {
		return nil, fmt.Errorf("vole: reading randomness: %w", err)
	}
	check := newEvaluation(field.Load(open), r.shape)
	noise := make([]field.Element, NoiseWeight+1)
	for i := range noise {
		noise[i] = combine(r.shares[r.shape.treeOTs()+128*i:][:128])
	}
	r.c = mem
	r.pairs = hugepage.Of[pair](r.shape.out)
	prg := newPRG(r.params.Binding)
	scratch := make(chan []field.Element, parallel.Workers(r.workers))
	err := parallel.For(ctx, r.workers, NoiseWeight, func(i int) error {
		var leaves []field.Element
		select {
		case leaves = <-scratch:
		default:
			leaves = make([]field.Element, r.shape.block)
		}
		r.punctureTree(leaves, sums, prg, noise[i], i)
		if r.params.Malicious {
			check.block(i, leaves)
		}
		r.place(leaves, i)
		scratch <- leaves
		return nil
	})
	r.shares = nil
	if err != nil || !r.params.Malicious {
		return nil, err
	}
	masked := r.values[NoiseWeight]
	for i, p := range r.positions {
		masked = masked.Add(field.Pow(check.x, uint64(i*r.shape.block+p)).Mul(r.values[i]))
	}
	b := masked.Bytes()
	copy(open[field.Size:], b[:])
	r.expected = proof(r.params.Binding, check.sum().Add(noise[NoiseWeight]))
	return open, nil
}

// punctureTree computes block i: the leaves of tree i, and at its noisy
// position what makes the block C = e·Δ + B.
func (r *Receiver) punctureTree(leaves []field.Element, sums []byte, prg *prg, share field.Element, i int) {
	t := tree{r.shape, prg}
	in := sums[field.Size*(2*r.shape.depth+1)*i:]
	path := t.path(r.positions[i])
	known := make([]field.Element, r.shape.depth)
	for l, side := range path {
		index, off := i*r.shape.depth+l, int(1-side)
		known[l] = field.Load(in[field.Size*(2*l+off):]).Add(pad(r.params.Binding, 2*index+off, r.shares[index]))
	}
	t.puncture(leaves, path, known)
	total := field.Load(in[field.Size*2*r.shape.depth:])
	leaves[r.positions[i]] = field.Sum(leaves).Add(total).Add(share)
}

// place puts block i where the code takes it: the blocks of the code's first
// half are outputs already, those of the second get the noise beside them.
func (r *Receiver) place(leaves []field.Element, i int) {
	at := i * r.shape.block
	if at < r.shape.out {
		copy(r.c[at:], leaves)
		return
	}
	pairs := r.pairs[at-r.shape.out:][:len(leaves)]
	for j, v := range leaves {
		pairs[j][0] = v
	}
	pairs[r.positions[i]][1] = r.values[i]
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

// Compress adds A to sum, of the run's length, and returns C, and memory that it
// needs no more.
func (r *Receiver) Compress(ctx context.Context, sum []field.Element) (c, rest []field.Element, err error) {
	if len(sum) != r.params.Length {
		panic(fmt.Sprintf("vole: got room for %d elements, want %d", len(sum), r.params.Length))
	}
	if r.params.Malicious {
		r.step.take(3)
	} else {
		r.step.take(2)
	}
	for i, p := range r.positions {
		if at := i*r.shape.block + p; at < len(sum) {
			sum[at] = sum[at].Add(r.values[i])
		}
	}
	c = r.c[:len(sum)]
	err = newCode(r.params.Binding, r.shape.out).compressPairs(ctx, r.workers, c, sum, r.pairs)
	rest = unsafe.Slice((*field.Element)(unsafe.Pointer(unsafe.SliceData(r.pairs))), 2*len(r.pairs))
	r.c, r.pairs = nil, nil
	return c, rest, err
}

func baseBinding(binding []byte) []byte {
	sum := oracle.Sum(baseDomain, binding)
	return sum[:]
}
