package vole

import (
	"context"
	"fmt"
	"io"

	"github.com/symbolon/symbolon/internal/field"
	"github.com/symbolon/symbolon/internal/ot"
	"github.com/symbolon/symbolon/internal/parallel"
)

// Sender is the party that holds Δ and gets B. It calls Accept, Expand, Prove (if
// malicious) and Compress, in this order.
type Sender struct {
	params  Params
	shape   shape
	workers int
	step    step

	delta  field.Element
	base   ot.BaseReceiver
	seeds  []byte          // the trees' roots
	q      []field.Element // of the OTs
	shares []field.Element // of e·Δ; after Compress B
	noise  []field.Element // of the noise's values times Δ, and the mask's
}

// NewSender returns a sender that draws Δ and its trees from rand.
func NewSender(params Params, workers int, rand io.Reader) (*Sender, []byte, error) {
	if err := params.Validate(); err != nil {
		return nil, nil, err
	}
	s := &Sender{params: params, shape: params.shape(), workers: workers}
	secret := make([]byte, field.Size*(NoiseWeight+1))
	if _, err := io.ReadFull(rand, secret); err != nil {
		return nil, nil, fmt.Errorf("vole: reading randomness: %w", err)
	}
	s.delta, s.seeds = field.Load(secret), secret[field.Size:]
	choices := make([]bool, ot.BaseCount)
	for i := range choices {
		choices[i] = secret[i/8]>>(i%8)&1 == 1
	}
	request, base, err := ot.Endemic{Workers: workers}.Request(s.binding(), choices, rand)
	s.base = base
	return s, request, err
}

// Delta returns Δ.
func (s *Sender) Delta() field.Element { return s.delta }

func (s *Sender) binding() []byte { return baseBinding(s.params.Binding) }

// Accept takes the receiver's Extend. An error for which PeerFault holds means
// that the peer's message is malformed or a lie.
func (s *Sender) Accept(extend []byte) error {
	s.step.take(0)
	if len(extend) != s.params.ExtendLen() {
		return fmt.Errorf("%w: extension is %d bytes, want %d", ErrMalformed, len(extend), s.params.ExtendLen())
	}
	split := ot.Endemic{}.ReplyLen(ot.BaseCount)
	keys, err := s.base.Keys(extend[:split])
	if err != nil {
		return err
	}
	s.base = nil
	s.q, err = ot.Accept(s.binding(), keys, s.delta, extend[split:], s.shape.totalOTs())
	return err
}

// Expand grows the trees and returns the sums that let the receiver puncture
// them. It keeps mem, of Params.SenderMemory elements with any contents, of which
// B will be a part.
func (s *Sender) Expand(ctx context.Context, mem []field.Element) ([]byte, error) {
	s.step.take(1)
	if len(mem) != s.shape.in {
		panic(fmt.Sprintf("vole: got memory for %d elements, want %d", len(mem), s.shape.in))
	}
	s.noise = make([]field.Element, NoiseWeight+1)
	for i := range s.noise {
		s.noise[i] = combine(s.q[s.shape.treeOTs()+128*i:][:128])
	}
	s.shares = mem
	msg := make([]byte, s.params.ExpandLen())
	prg := newPRG(s.params.Binding)
	err := parallel.For(ctx, s.workers, NoiseWeight, func(i int) error {
		s.expandTree(msg, prg, i)
		return nil
	})
	clear(s.seeds)
	s.q = nil
	return msg, err
}

// expandTree grows tree i and writes its part of the message: for each level
// the two sums, each under the pad of one OT message, and the sum of all leaves
// plus the share of the noise.
func (s *Sender) expandTree(msg []byte, prg *prg, i int) {
	t := tree{s.shape, prg}
	leaves := s.shares[i*s.shape.block : (i+1)*s.shape.block]
	sums := make([][2]field.Element, s.shape.depth)
	t.expand(leaves, field.Load(s.seeds[field.Size*i:]), sums)
	out := msg[field.Size*(2*s.shape.depth+1)*i:]
	total := s.noise[i]
	for l, sum := range sums {
		index := i*s.shape.depth + l
		for side := range 2 {
			// The receiver chose side 1 if it holds q + Δ.
			key := s.q[index]
			if side == 1 {
				key = key.Add(s.delta)
			}
			b := sum[side].Add(pad(s.params.Binding, 2*index+side, key)).Bytes()
			copy(out[field.Size*(2*l+side):], b[:])
		}
		if l == s.shape.depth-1 {
			total = total.Add(sum[0]).Add(sum[1])
		}
	}
	b := total.Bytes()
	copy(out[field.Size*2*s.shape.depth:], b[:])
}

// Prove answers the receiver's challenge: a hash of ΣXⁱ·bᵢ plus the share of
// the mask, which an honest receiver can compute too.
func (s *Sender) Prove(ctx context.Context, open []byte) ([]byte, error) {
	s.step.take(2)
	if len(open) != OpenLen {
		return nil, fmt.Errorf("%w: challenge is %d bytes, want %d", ErrMalformed, len(open), OpenLen)
	}
	x, masked := field.Load(open), field.Load(open[field.Size:])
	e := newEvaluation(x, s.shape)
	err := parallel.For(ctx, s.workers, NoiseWeight, func(i int) error {
		e.block(i, s.shares[i*s.shape.block:(i+1)*s.shape.block])
		return nil
	})
	if err != nil {
		return nil, err
	}
	v := e.sum()
	// C = eΔ + B and z = μΔ + y give C(X) + z = B(X) + y + (e(X) + μ)Δ, and
	// the receiver sends e(X) + μ.
	v = v.Add(s.noise[NoiseWeight]).Add(masked.Mul(s.delta))
	h := proof(s.params.Binding, v)
	return h[:], nil
}

// Compress returns B, and what is left of the memory given to Expand.
func (s *Sender) Compress(ctx context.Context) (b, rest []field.Element, err error) {
	if s.params.Malicious {
		s.step.take(3)
	} else {
		s.step.take(2)
	}
	c := newCode(s.params.Binding, s.shape.out)
	b, rest = s.shares[:s.params.Length:s.shape.out], s.shares[s.shape.out:]
	s.shares = nil
	return b, rest, c.compress(ctx, s.workers, b, rest)
}

// evaluation computes Σ v[i]·Xⁱ of a vector v block by block.
type evaluation struct {
	x      field.Element
	shape  shape
	powers []field.Element // of X, up to a block's length
	parts  []field.Element // of the blocks
}

func newEvaluation(x field.Element, s shape) *evaluation {
	return &evaluation{x, s, field.Powers(x, s.block), make([]field.Element, NoiseWeight)}
}

// block takes block i. Blocks may come in any order and at once.
func (e *evaluation) block(i int, v []field.Element) { e.parts[i] = field.InnerProduct(v, e.powers) }

func (e *evaluation) sum() field.Element {
	step := field.Pow(e.x, uint64(e.shape.block))
	var sum field.Element
	for i := len(e.parts) - 1; i >= 0; i-- {
		sum = sum.Mul(step).Add(e.parts[i])
	}
	return sum
}
