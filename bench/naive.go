package bench

import (
	"context"
	"crypto/sha256"

	"github.com/symbolon/symbolon/internal/parallel"
	"github.com/symbolon/symbolon/psi"
)

// The naive engine is a yardstick and nothing else: both sides hash their items
// with SHA-256 and compare. It is INSECURE. Whoever gets the hashes can test
// any name, phone or document number at home, and keys have so few values that
// all of them can be tried. It exists here only, and no agreement can name it.

// naiveTagLen is the length of the hashes sent: enough that no two of 2^28
// items collide by chance.
const naiveTagLen = 16

// naiveBatch is the number of hashes in a message.
const naiveBatch = 32768

type naive struct {
	p     psi.Params
	items []psi.Item
	o     psi.Options
	done  int
}

// hashes returns the hashes of the items from lo to hi.
func (n *naive) hashes(ctx context.Context, lo, hi int) ([]byte, error) {
	out := make([]byte, (hi-lo)*naiveTagLen)
	err := parallel.Ranges(ctx, n.o.Workers, hi-lo, 4096, func(a, b int) error {
		for i := a; i < b; i++ {
			sum := sha256.Sum256(n.items[lo+i][:])
			copy(out[i*naiveTagLen:(i+1)*naiveTagLen], sum[:])
		}
		return nil
	})
	return out, err
}

type naiveSender struct{ naive }

func newNaiveSender(p psi.Params, items []psi.Item, o psi.Options) *naiveSender {
	return &naiveSender{naive{p: p, items: items, o: o}}
}

func (s *naiveSender) Next(ctx context.Context) (*psi.Message, error) {
	if s.Done() {
		return nil, nil
	}
	hi := min(s.done+naiveBatch, len(s.items))
	payload, err := s.hashes(ctx, s.done, hi)
	if err != nil {
		return nil, err
	}
	s.done = hi
	return &psi.Message{Kind: 1, Payload: payload}, nil
}

func (s *naiveSender) Wants() bool { return false }

func (s *naiveSender) Handle(context.Context, psi.Message) error {
	return psi.Peerf("bench: the naive receiver sends nothing")
}

func (s *naiveSender) Done() bool { return s.done == len(s.items) }

func (s *naiveSender) Outputs() *psi.Outputs { return nil }

type naiveReceiver struct {
	naive
	theirs map[[naiveTagLen]byte]uint32
	result *psi.Result
}

func newNaiveReceiver(p psi.Params, items []psi.Item, o psi.Options) *naiveReceiver {
	return &naiveReceiver{
		naive:  naive{p: p, items: items, o: o},
		theirs: make(map[[naiveTagLen]byte]uint32, p.SenderItems),
	}
}

// Next sends nothing: it joins once all hashes have come.
func (r *naiveReceiver) Next(ctx context.Context) (*psi.Message, error) {
	if r.done < r.p.SenderItems || r.result != nil {
		return nil, nil
	}
	own, err := r.hashes(ctx, 0, len(r.items))
	if err != nil {
		return nil, err
	}
	r.result = new(psi.Result)
	for i := range r.items {
		h := [naiveTagLen]byte(own[i*naiveTagLen:])
		if p, ok := r.theirs[h]; ok {
			r.result.Count++
			if r.p.Mode != psi.ModeCardinality {
				r.result.Hits = append(r.result.Hits, psi.Hit{Item: uint32(i), Position: p})
			}
		}
	}
	return nil, nil
}

func (r *naiveReceiver) Wants() bool { return r.done < r.p.SenderItems }

func (r *naiveReceiver) Handle(_ context.Context, m psi.Message) error {
	n := min(naiveBatch, r.p.SenderItems-r.done)
	if len(m.Payload) != n*naiveTagLen {
		return psi.Peerf("bench: got %d bytes of hashes, want %d", len(m.Payload), n*naiveTagLen)
	}
	for i := range n {
		r.theirs[[naiveTagLen]byte(m.Payload[i*naiveTagLen:])] = uint32(r.done + i)
	}
	r.done += n
	return nil
}

func (r *naiveReceiver) Done() bool { return r.result != nil }

func (r *naiveReceiver) Result() *psi.Result { return r.result }
